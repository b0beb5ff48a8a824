"""Train and release all three shipped models, from nothing, on a GPU: the whole recipe in one command.

    .venv/bin/python scripts/train_shipped.py --data DATA --out OUT

DATA holds the folders general/, pedestrian/ and face/, each as `rpn train` takes it. OUT gets a run each, and in
released/ the checkpoints with their cards. What was stopped goes on with the same command: a run where it was, and
what is done is not done again; what is released takes the place of what was, where its version or its texts are others.
`--quick --device cpu` goes through all of it in miniature, anywhere: a few pictures, one epoch, 64 pixels; only the
releases are measured on the whole validation sets.

What ships today was trained in more stages than these: the cards say how. This is the recipe for a GPU, which has not
run on one as a whole. An H200 takes general through an epoch at 384 pixels in nine seconds, and pedestrian at 960 in
sixteen (docs/training.md), so all three are less than half an hour's work there.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from model.checkpoints.checkpoint import load_checkpoint
from model.cores import usable_cores
from model.errors import CheckpointError
from model.precision import choose_precision
from model.training.run import DEFAULT_BEST_BY
from model.training.run_folder import BEST_FILE

_REPOSITORY = Path(__file__).parents[1]
# VOC names every person, so its photographs without one show none: background for persons, and for faces. COCO's by
# these names all show one.
_WITHOUT_PERSONS = "voc*"
# Sets that are put together first: what each is based on, and what else `gather_class.py` is told. Persons are few in
# the pedestrian set, and three times as many pictures of them helped more than any setting (docs/training.md):
# general's photographs that show one are taken in.
_GATHERED = {
    "persons": ("pedestrian", "--class", "person", "--background", _WITHOUT_PERSONS),
    "faces": ("face", "--class", "face", "--background", _WITHOUT_PERSONS, "--without", "person"),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One model: what it is trained on and from, how, and what its release fixes for its service."""

    name: str
    data: str
    size: int
    epochs: int
    learning_rate: float
    start: str = ""
    release: tuple[str, ...] = ()
    best_by: str = DEFAULT_BEST_BY
    options: tuple[str, ...] = ()


# From nothing `rpn train` takes its default architecture. Batches of 32 are twice the default; the rate of general and
# pedestrian is 0.001 times the root of two, face's a little above that of its card's last stages. A second stage on
# 2,000 boxes is worth 0.04 of AR@1000 (docs/training.md). general began to learn its photographs by heart when it had
# seen each some 55 times; mosaic should hold that off, and cost nothing where it was tried. pedestrian found no more
# after 28 epochs at 704 pixels than after 11, and more after seven at 960: so eleven and seven at that size, in one
# run, which was not tried. pedestrian and face lack ResNet-18's last block, or the three files would pass 60 MB. Who
# asks for persons or faces wants each once, so their NMS is strict, which leaves an overlap penalty nothing to do.
_EACH_ONCE = ("--nms-iou", "0.5", "--overlap-penalty", "0")
_MOSAIC = ("--mosaic", "0.3")
_SMALLER = ("--architecture", "rpn_resnet16_fpn_cascade")
_ONE_IS_ENOUGH = "R@100/0.5"  # what persons and faces are judged by
STAGES = (
    Stage("general", "general", 448, 50, 0.0014, release=("--refine", "2000"), options=_MOSAIC),
    Stage(
        "pedestrian",
        "persons",
        960,
        18,
        0.0014,
        "general",
        release=("--refine", "2000", *_EACH_ONCE),
        best_by=_ONE_IS_ENOUGH,
        options=(*_SMALLER, *_MOSAIC),
    ),
    Stage(
        "face",
        "faces",
        448,
        10,
        0.0008,
        "general",
        release=("--refine", "2000", *_EACH_ONCE),
        best_by=_ONE_IS_ENOUGH,
        options=_SMALLER,
    ),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What the commands run on, and whether in miniature."""

    device: str
    quick: bool

    @property
    def training(self) -> tuple[str, ...]:
        """Options of `rpn train`."""
        workers = str(max(1, usable_cores() - 2))  # one core for the loop, one for the rest of the machine
        precision = choose_precision("auto", self.device)  # whichever the device is faster in
        given = ("--device", self.device, "--workers", workers, "--precision", precision)
        return (*given, "--batch-size", "4", "--limit", "8") if self.quick else (*given, "--batch-size", "32")

    def size(self, stage: Stage) -> str:
        """The stage's longest side in pixels."""
        return str(64 if self.quick else stage.size)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every command that is left to run; the status of the first that fails, or 0."""
    parser = argparse.ArgumentParser(description="Train and release all three shipped models on a GPU.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of general/, pedestrian/ and face/")
    parser.add_argument("--out", type=Path, required=True, help="the runs, and what is released")
    parser.add_argument("--version", default="1", help="the version to release as (default: %(default)s)")
    parser.add_argument(
        "--about", type=Path, help="a folder of texts for the cards: NAME.json, see rpn weights release"
    )
    parser.add_argument("--only", nargs="+", choices=[stage.name for stage in STAGES], help="not all three")
    parser.add_argument("--device", default="cuda", help="cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="in miniature, to see that all of it runs")
    given = parser.parse_args(arguments)
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("there is no CUDA device here; --device cpu --quick shows that all of it runs")
    machine = Machine(given.device, given.quick)
    given.out.mkdir(parents=True, exist_ok=True)
    for command in _commands(given, machine):
        print("+", *command, flush=True)
        if (status := _run(command)) != 0:
            return status
    return 0


def _run(command: Sequence[str]) -> int:
    """Run it to its end, its status: asked to stop, it saves first, so a signal is its to take, and this one waits."""
    with subprocess.Popen(command, cwd=_REPOSITORY) as process:
        before = {
            signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),  # a terminal sends it to both
            signal.SIGTERM: signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number)),
        }
        try:
            return process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _commands(given: argparse.Namespace, machine: Machine) -> Iterator[list[str]]:
    data, out = given.data.resolve(), given.out.resolve()
    for stage in STAGES:
        if given.only and stage.name not in given.only:
            continue
        if stage.data in _GATHERED and not (out / stage.data).exists():
            partial = out / f"{stage.data}.partial"  # it takes its name when it is whole
            shutil.rmtree(partial, ignore_errors=True)
            yield _gather(stage.data, data, partial)
            partial.rename(out / stage.data)
        yield _train(stage, machine, data, out)
        released = out / "released" / f"{stage.name}.safetensors"
        about = None if given.about is None else given.about.resolve() / f"{stage.name}.json"
        if not _is_released(released, given.version, about):
            released.parent.mkdir(exist_ok=True)
            texts = () if about is None else ("--about", str(about))
            yield [*_release(stage, machine, data, out, released), "--version", given.version, *texts]


def _gather(name: str, data: Path, out: Path) -> list[str]:
    script = str(_REPOSITORY / "scripts" / "gather_class.py")
    base, *options = _GATHERED[name]
    folders = ["--base", str(data / base), "--add", str(data / "general")]
    return [sys.executable, script, str(out), *folders, *options]


def _train(stage: Stage, machine: Machine, data: Path, out: Path) -> list[str]:
    folder = (out if stage.data in _GATHERED else data) / stage.data
    start = ["--from", str(out / stage.start / BEST_FILE)] if stage.start else []
    recipe = ["--epochs", "1" if machine.quick else str(stage.epochs), "--learning-rate", str(stage.learning_rate)]
    run = ["--data", str(folder), "--out", str(out / stage.name), "--name", stage.name, *start]
    options = ["--input-size", machine.size(stage), *recipe, "--best-by", stage.best_by, *stage.options]
    return [*_rpn(), "train", *run, *options, *machine.training]


def _is_released(path: Path, version: str, about: Path | None) -> bool:
    """Whether it is there, of this version, with these texts, if any, and with its own card, which is written last."""
    try:
        checkpoint, card = load_checkpoint(path), path.with_suffix(".md").read_text(encoding="utf-8")
        texts = {} if about is None else dict(json.loads(about.read_text(encoding="utf-8")))
    except (CheckpointError, OSError, TypeError, ValueError):  # what is wrong with the texts, the release says
        return False
    stated = {**checkpoint.provenance, "measured_on": next(iter(checkpoint.metrics), "")}
    same = all(stated.get(name) == text for name, text in texts.items())
    return same and checkpoint.version == version and checkpoint.digest in card


def _release(stage: Stage, machine: Machine, data: Path, out: Path, released: Path) -> list[str]:
    measured = ["--data", str(data / stage.name / "val.json"), "--device", machine.device]
    served = ["--input-size", machine.size(stage), *stage.release]
    return [
        *_rpn(),
        "weights",
        "release",
        str(out / stage.name / BEST_FILE),
        "--out",
        str(released),
        *measured,
        *served,
    ]


def _rpn() -> list[str]:
    return [sys.executable, "-m", "service.cli"]


if __name__ == "__main__":
    sys.exit(main())
