"""Train the default network on other backbones, all else equal, and say what each finds and costs.

    .venv/bin/python scripts/compare_backbones.py --data general --out runs -- --limit 1500 --input-size 192 --epochs 4

What follows ``--`` goes to `rpn train` as it is. A run that is in OUT already is not trained again, and one that was
stopped goes on. Prints the rows of the table in docs/training.md: recall of the last epoch, and the time of one picture
on this processor, in turns, against the first's.
"""

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision import models

from model.architectures import ARCHITECTURES, DEFAULT_ARCHITECTURE, architecture
from model.config import ModelConfig
from model.imaging.canvas import draw_on_canvas
from model.network.backbones import BACKBONES, Body, NormLayer, regnet_body
from model.predictor import Predictor
from model.structures import ImageSize, Selection
from model.training.run_folder import LAST_FILE, LOG_FILE
from service.cli import main as rpn

_EXAMPLE = Path(__file__).parents[1] / "examples" / "coffee.jpg"
_ROUNDS = 21  # of timing: the middle eight tenths are then seventeen
_BUDGETS = (10, 100, 300, 1000)


def _mobilenet(norm: NormLayer) -> Body:
    """Its pyramid from stride 8 on, where torchvision's detector takes two maps of stride 32."""
    features = models.mobilenetv3.mobilenet_v3_large(weights=None, norm_layer=norm).features
    return Body(features, ("6", "12", "16"), (8, 16, 32), (40, 112, 960))


def _shufflenet(norm: NormLayer) -> Body:
    """Always with trained norms: torchvision's takes no others."""
    network = models.shufflenet_v2_x1_0(weights=None)
    return Body(network, ("stage2", "stage3", "stage4"), (8, 16, 32), (116, 232, 464))


CANDIDATES: dict[str, Callable[[NormLayer], Body]] = {
    "shufflenet_v2_x1_0_fpn": _shufflenet,
    "mobilenet_v3_large_s8_fpn": _mobilenet,
    "regnet_y_400mf_fpn": regnet_body(models.regnet_y_400mf),
}


# And this, which `rpn train` knows already.
OTHERS = ("rpn_regnet_x_400mf_fpn_cascade",)


def register() -> list[str]:
    """Make the candidates known to `rpn train`; the architectures that are compared, the default first."""
    default = architecture(DEFAULT_ARCHITECTURE)
    names = [DEFAULT_ARCHITECTURE]
    for backbone, body in CANDIDATES.items():
        BACKBONES[backbone] = body
        name = f"rpn_{backbone}_cascade"
        config = replace(default, architecture=name, backbone=replace(default.backbone, name=backbone))
        ARCHITECTURES[name] = partial(_itself, config)
        names.append(name)
    return [*names, *OTHERS]


def _itself(config: ModelConfig) -> ModelConfig:
    return config


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing, then print the table."""
    names = register()
    parser = argparse.ArgumentParser(description="Train the default network on other backbones, all else equal.")
    parser.add_argument("--data", type=Path, required=True, help="a folder as `rpn train` takes it")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the runs, one each")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"some of {', '.join(names)}")
    parser.add_argument("training", nargs="*", metavar="-- OPTION", help="more options of `rpn train`")
    given = parser.parse_args(arguments)
    runs = {name: given.out / name for name in given.only or names}
    for name, folder in runs.items():
        command = ["train", "--data", str(given.data), "--out", str(folder), "--architecture", name, *given.training]
        if (status := _trained(command)) != 0:
            return status
    print(table(runs, given.out / "cache"))
    return 0


def _trained(command: list[str]) -> int:
    """Run ``rpn`` here, where the candidates are known; a checkpoint keeps the command line that it was trained by."""
    before = sys.argv
    sys.argv = [before[0], *command]
    try:
        return rpn(command)
    finally:
        sys.argv = before


def table(runs: dict[str, Path], cache: Path) -> str:
    """A row for each run: what it finds after its last epoch, and what a picture costs, the first run's being 1."""
    times = _milliseconds(
        {name: Predictor.load(run / LAST_FILE, device="cpu", cache=cache) for name, run in runs.items()}
    )
    first = next(iter(times.values()))
    head = [
        "| architecture | cost | " + " | ".join(f"AR@{n}" for n in _BUDGETS) + " |",
        "|---" * (2 + len(_BUDGETS)) + "|",
    ]
    return "\n".join(head + [_row(name, run, times[name], first) for name, run in runs.items()])


def _row(name: str, run: Path, times: list[float], first: list[float]) -> str:
    ratios = sorted(own / others for own, others in zip(times, first, strict=True))
    cut = len(ratios) // 10
    spread = f"{statistics.median(ratios):.2f} ({ratios[cut]:.2f} - {ratios[-1 - cut]:.2f})"
    with (run / LOG_FILE).open(newline="", encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-1]
    recalls = " | ".join(f"{float(last[f'AR@{n}']):.3f}" for n in _BUDGETS)
    return f"| {name} | {spread}, {statistics.median(times):.0f} ms | {recalls} |"


def _milliseconds(predictors: dict[str, Predictor]) -> dict[str, list[float]]:
    """The time of one picture from canvas to proposals, in turns."""
    picture = Image.open(_EXAMPLE).convert("RGB")
    times: dict[str, list[float]] = {name: [] for name in predictors}
    for round_ in range(-2, _ROUNDS):  # two to warm up
        for name, predictor in predictors.items():
            placement = predictor.input_rule.place(ImageSize(*picture.size))
            pixels = np.stack([draw_on_canvas(picture, placement)])
            start = time.perf_counter()
            predictor.predict(pixels, [placement], [Selection(top_n=_BUDGETS[-1])])
            if round_ >= 0:
                times[name].append((time.perf_counter() - start) * 1e3)
    return times


if __name__ == "__main__":
    sys.exit(main())
