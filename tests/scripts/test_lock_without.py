"""The lock without some packages: whole requirements go, everything else stays byte for byte."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]

LOCK = """\
# made by a tool
--only-binary :all:

nvidia-cublas==13.1.1.3 ; sys_platform == 'linux' \\
    --hash=sha256:aaaa \\
    --hash=sha256:bbbb
    # via
    #   torch
numpy==2.4.6 \\
    --hash=sha256:cccc
    # via torchvision
# a note between requirements
Torch==2.14.1 \\
--hash=sha256:dddd \\
    --hash=sha256:eeee
    # via torchvision
torchvision[extra]==0.29.1 --hash=sha256:ffff
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lock_without", ROOT / "scripts" / "lock_without.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def without(script, *patterns, lock=LOCK) -> str:
    return "".join(script.lines_without(lock.splitlines(keepends=True), patterns))


def names(lock: str) -> list[str]:
    return re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==", lock, flags=re.MULTILINE)


def test_drops_a_requirement_with_its_hashes_and_comments(script):
    assert without(script, "torch", "nvidia-*") == (
        "# made by a tool\n--only-binary :all:\n\n"
        "numpy==2.4.6 \\\n    --hash=sha256:cccc\n    # via torchvision\n# a note between requirements\n"
        "torchvision[extra]==0.29.1 --hash=sha256:ffff\n"
    )


def test_a_name_is_matched_whole(script):
    assert names(without(script, "torch")) == ["nvidia-cublas", "numpy", "torchvision"]


def test_names_compare_as_pip_compares_them(script):
    assert names(without(script, "TORCHVISION", "nvidia_CUBLAS", "torch")) == ["numpy"]


def test_nothing_matching_changes_nothing(script):
    assert without(script, "jax*") == LOCK


def test_windows_line_ends_continue_too(script):
    lock = LOCK.replace("\n", "\r\n")
    assert without(script, "numpy", lock=lock) == without(script, "numpy").replace("\n", "\r\n")


def test_our_lock_keeps_every_other_package_with_its_hashes(script, capsys):
    lock = (ROOT / "requirements.txt").read_text()
    script.main([str(ROOT / "requirements.txt"), "torch", "torchvision", "triton", "nvidia-*", "cuda-*"])
    kept = capsys.readouterr().out

    gone = re.compile(r"torch|torchvision|triton|nvidia-.*|cuda-.*")
    assert names(kept) == [name for name in names(lock) if not gone.fullmatch(name)]
    assert {"torch", "torchvision", "triton"} <= set(names(lock))
    for requirement in re.split(r"\n(?=\w)", kept.strip()):
        assert "--hash=sha256:" in requirement
