"""What `make` would run, and what it does run with a pip that only notes what it is asked."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INDEX = "TORCH_CPU_INDEX=https://packages.example/cpu"

# Notes its arguments, and fails on those that FAILS_ON is among.
FAKE_PYTHON = """#!/bin/sh
echo "$*" >> notes
case "$*" in *"${FAILS_ON:-nothing}"*) exit 1 ;; esac
"""


def make(*arguments: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Of none of the variables that whoever runs the tests has set, for this `make` or one around it."""
    own = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "HOST", "PORT", "TORCH", "TORCH_CPU_INDEX", "LOCK")
    inherited = {name: value for name, value in os.environ.items() if name not in own}
    command = ["make", *arguments]
    return subprocess.run(command, cwd=folder, env=inherited | environment, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with what `make install` looks at, and an environment."""
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("python", "rpn"):
        (tmp_path / ".venv" / "bin" / name).write_text(FAKE_PYTHON)
        (tmp_path / ".venv" / "bin" / name).chmod(0o755)
    return tmp_path


def asked_of_pip(project: Path) -> list[str]:
    """Since the last look: what pip was to do, and with which torch where it was named."""
    path = project / "notes"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    told = re.compile(r"(?<= )((?:un)?install|-e|torch(?:vision)?\b\S*)(?= |$)")
    return [" ".join(told.findall(line)) for line in lines if line.startswith("-m pip ")]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], ""),
        (["HOST=0.0.0.0"], "--host 0.0.0.0"),
        (["PORT=9000"], "--port 9000"),
        (["HOST=::", "PORT=0"], "--host :: --port 0"),
    ],
)
def test_where_to_serve_is_told_by_the_command_line_alone(arguments: list[str], told: str):
    """Else it is for RPN_HOST and RPN_PORT to say; HOST is a variable of some shells' own."""
    done = make("-n", "-o", "install", "serve", *arguments, HOST="shell.example", PORT="1")
    assert done.stdout.split() == [".venv/bin/rpn", "serve", *told.split()]


def test_the_index_of_cpu_builds_is_for_the_installer_to_name():
    refused = make("-n", "install-lock-cpu", "LOCK=requirements.txt")
    assert refused.returncode == 2
    assert "TORCH=cpu needs TORCH_CPU_INDEX" in refused.stderr
    named = make("-n", "install-lock-cpu", "LOCK=requirements.txt", INDEX)
    assert "--index-url https://packages.example/cpu " in named.stdout
    for file in ("Makefile", "Dockerfile"):
        assert not re.search(r"TORCH_CPU_INDEX[ \t]*\??=[ \t]*\S", (ROOT / file).read_text()), file


VERSIONS = re.findall(r"^torch(?:vision)?==\S+", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
CUDA = ["install", "install -e"]
CPU = [" ".join(["install", *VERSIONS]), *CUDA]
OTHER_GONE = "uninstall torch torchvision"


@pytest.mark.parametrize("target", ["install", "install-dev"])
def test_another_build_of_torch_takes_the_first_ones_place(project: Path, target: str):
    """pip would find the version that it is asked for, and leave what is there."""
    for arguments, first in (([], CUDA), (["TORCH=cpu", INDEX], [OTHER_GONE, *CPU]), ([], [OTHER_GONE, *CUDA])):
        assert make(target, *arguments, folder=project).returncode == 0
        assert asked_of_pip(project) == first
        assert make(target, *arguments, folder=project).returncode == 0
        assert asked_of_pip(project) == [], "the second time there is nothing to do"


def test_what_broke_off_is_not_taken_for_the_other_build(project: Path):
    assert make("install", folder=project).returncode == 0
    assert make("install", "TORCH=cpu", INDEX, folder=project, FAILS_ON="lock-cpu.txt").returncode == 2
    asked_of_pip(project)
    assert make("install", folder=project).returncode == 0
    assert asked_of_pip(project) == [OTHER_GONE, *CUDA]


def test_a_forgotten_index_costs_nothing(project: Path):
    assert make("install", folder=project).returncode == 0
    asked_of_pip(project)
    assert make("install", "TORCH=cpu", folder=project).returncode == 2
    assert make("install", folder=project).returncode == 0
    assert asked_of_pip(project) == []


def test_an_environment_of_before_there_was_a_mark_is_known_by_its_stamps(project: Path):
    (project / ".venv" / ".installed-dev-cuda").touch()
    assert make("install", "TORCH=cpu", INDEX, folder=project).returncode == 0
    assert asked_of_pip(project) == [OTHER_GONE, *CPU]
    assert not (project / ".venv" / ".installed-dev-cuda").exists()
