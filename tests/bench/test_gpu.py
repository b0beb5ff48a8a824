"""`bench/gpu.sh` runs through without a GPU, so that nothing but the hardware is missing."""

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from bench import gpu
from bench.__main__ import ALL, PARTS, build_parser, command_of
from bench.backbone import rate
from bench.rounds import Samples
from tests.e2e.conftest import REPOSITORY


@pytest.mark.e2e
def test_the_quick_run_on_the_cpu_writes_every_part(tmp_path: Path):
    command = ["bench/gpu.sh", "--device", "cpu", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=300)
    assert done.returncode == 0, done.stderr
    pages = {path.stem: path.read_text() for path in tmp_path.glob("*.md")}
    assert set(pages) == {"gpu-parity", "gpu-predict", "gpu-backbone", "gpu-serve"}
    for page in pages.values():
        assert page.strip() in done.stdout
        assert "its figures mean nothing" in page
        assert "- processor: " in page
    for network in ("mobilenet", "general"):
        assert f"| {network} | cpu, fp32, torch | 1.00 |" in pages["gpu-parity"]
    assert "| mobilenet, batch 1 | ours, fp32 |" in pages["gpu-predict"]
    assert "| mobilenet | 1 |" in pages["gpu-backbone"]
    assert "| small | 8 clients |" in pages["gpu-serve"]
    assert "px of those alone | 1.00 of" in pages["gpu-serve"]


def test_serving_is_skipped_with_its_reason_where_the_service_is_not_installed(monkeypatch, capsys):
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    assert gpu.why_not_serving() is None
    monkeypatch.setattr(metadata, "version", missing)
    assert len(list(gpu.parts(gpu.build_parser().parse_args(["--replicas", "4"])))) == 4
    assert "The serving part is skipped: " in capsys.readouterr().out


def test_nothing_but_serving_asks_for_what_the_service_needs():
    code = """
import sys
sys.modules |= dict.fromkeys(("pydantic", "pydantic_settings", "fastapi", "uvicorn"))  # None: it cannot be imported
import bench.sides
from bench import gpu
print(len(list(gpu.parts(gpu.build_parser().parse_args([])))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    skipped, parts = done.stdout.splitlines()
    assert skipped.startswith("The serving part is skipped: import of ")
    assert skipped.endswith("BENCH_WHEELS can bring it (see bench/gpu.sh)")
    assert parts == "4"


def test_more_processes_are_measured_beside_one(monkeypatch):
    names = []
    monkeypatch.setattr(gpu.serve, "run", lambda **asked: names.append((asked["name"], asked["replicas"])))
    monkeypatch.setattr(gpu.predict, "run", lambda **asked: None)
    for replicas in (1, 4):
        arguments = gpu.build_parser().parse_args(["--replicas", str(replicas)])
        for part in list(gpu.parts(arguments))[3:]:
            part()
    assert names == [("gpu-serve", 1), ("gpu-serve", 1), ("gpu-serve-4", 4)]


def test_only_what_is_asked_for_is_measured_in_the_one_order(monkeypatch):
    names: list[str] = []
    for name in ("parity", "predict", "backbone", "serve"):
        module = getattr(gpu, name)
        monkeypatch.setattr(module, "run", lambda *_, name=name, **asked: names.append(asked.get("name", name)))
    monkeypatch.setattr(gpu, "write_weights", lambda name: (Path(), Path()))

    def measured(*given: str) -> list[str]:
        names.clear()
        for part in gpu.parts(gpu.build_parser().parse_args(given)):
            part()
        return list(names)

    assert measured() == ["parity", "gpu-predict", "backbone", "gpu-serve", "gpu-predict-large"]
    assert measured("--quick") == ["parity", "gpu-predict", "backbone", "gpu-serve"]
    assert measured("--only", "serve", "backbone") == ["backbone", "gpu-serve"]
    assert measured("--only", "large", "parity") == ["parity", "gpu-predict-large"]


def test_a_page_names_the_command_that_it_is_of(monkeypatch):
    commands: list[str] = []
    monkeypatch.setattr(gpu, "run_parts", lambda *given: commands.append(given[3]) or 0)
    monkeypatch.setattr("sys.argv", ["gpu", "--device", "cpu", "--out", "x", "--only", "serve", "--replicas", "4"])
    assert gpu.main() == 0
    monkeypatch.setattr("sys.argv", ["gpu", "--device", "cpu", "--quick"])
    assert gpu.main() == 0
    assert commands[0] == "`bench/gpu.sh --device cpu --only serve --replicas 4`"
    assert commands[1].startswith("`bench/gpu.sh --device cpu --quick`, which only shows")


def test_a_processor_s_figures_do_not_take_the_place_of_a_gpu_s(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["bench/gpu.sh", "--device", "cpu"])
    monkeypatch.setattr(gpu, "run_parts", lambda *_: pytest.fail("it was measured"))
    with pytest.raises(SystemExit):
        gpu.main()
    assert "--device cpu wants --quick or --out" in capsys.readouterr().err


def test_a_rate_is_work_over_time():
    assert rate(Samples((1000.0, 250.0)), 1e12).values == (1.0, 4.0)


def test_make_bench_leaves_what_takes_long_to_targets_of_its_own():
    assert set(PARTS) - set(ALL) == {"soak", "compare"}
    targets = (REPOSITORY / "Makefile").read_text()
    assert all(f"\n{part}: install" in targets for part in set(PARTS) - set(ALL))
    assert build_parser().parse_args([]).part == "all"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((), "make bench"),
        (("all", "--device", "cuda"), "python -m bench all --device cuda"),
        (("serve", "--replicas", "2"), "python -m bench serve --replicas 2"),
        (("soak", "--minutes", "8"), "python -m bench soak --minutes 8"),
        (("soak", "--minutes", "20", "--out", "x"), "python -m bench soak"),
    ],
)
def test_a_page_names_the_command_that_makes_it_again(given: tuple[str, ...], told: str):
    assert command_of(build_parser().parse_args(given)) == told


def test_the_script_names_every_option_of_its_program():
    head, program = (REPOSITORY / "bench/gpu.sh").read_text(), gpu.build_parser().format_help()
    for option in ("--device", "--replicas", "--only", "--quick", "--out"):
        assert option in head
        assert option in program


@pytest.mark.parametrize(
    ("given", "whole", "left"), [({}, 590, range(580, 590)), ({"BENCH_SECONDS": "1"}, 1, range(1, 2))]
)
def test_what_installing_takes_is_taken_from_the_time(tmp_path: Path, given: dict[str, str], whole: int, left: range):
    """In a copy, which has no .venv beside it, with a timeout that takes a second and runs nothing."""
    (tmp_path / "bench").mkdir()
    script, called = shutil.copy(REPOSITORY / "bench/gpu.sh", tmp_path / "bench"), tmp_path / "called"
    (tmp_path / "timeout").write_text(f'#!/usr/bin/env bash\necho "$@" >> {called}\nsleep 1.1\n')
    (tmp_path / "timeout").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run([script], env={"PATH": path, "PYTHON": "python", "BENCH_WHEELS": str(tmp_path), **given}, check=True)
    installing, measuring = called.read_text().splitlines()
    assert installing.startswith(f"{whole} python -m pip install ")
    *_, limit, python, module, program = measuring.split()
    assert (python, module, program) == ("python", "-m", "bench.gpu")
    assert int(limit) in left
