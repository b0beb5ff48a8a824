"""One of the processes that torchrun starts for `test_ranks`: trains a little, and leaves what it ended with.

Each has a folder of its own, ``OUT/0``, ``OUT/1``, so that it shows which of them writes a run's files.
"""

import sys
from pathlib import Path

import torch

from model.config import AnchorConfig, BackboneConfig, ModelConfig, longest_side_rule
from model.training.annotations import AnnotatedPicture, read_annotations
from model.training.dataset import collate
from model.training.loop import Trainer
from model.training.ranks import join_ranks
from model.training.recipe import Recipe
from model.training.run import Run

CONFIG = ModelConfig(
    architecture="rpn_regnet_x_400mf_fpn",
    # A frozen norm: a batch norm sees the batches of a step one by one, and so tells them from one joint batch.
    backbone=BackboneConfig("regnet_x_400mf_fpn", fpn_channels=16, frozen_norm=True),
    anchors=AnchorConfig(sizes=((16.0,), (32.0,), (64.0,), (128.0,)), convention="centred"),
    input=longest_side_rule(64),
)
RECIPE = Recipe(epochs=1, batch_size=2, warmup_steps=2, seed=4)


def make_run(pictures: list[AnnotatedPicture], folder: Path, recipe: Recipe = RECIPE) -> Run:
    return Run("scenes", CONFIG, recipe, pictures, pictures[:2], folder, torch.device("cpu"), workers=0)


def take_gradient(trainer: Trainer) -> dict[str, torch.Tensor]:
    """The first step's gradient, by the names of the weights; the trainer is then as it was before."""
    batches = (collate([trainer.dataset[key] for key in keys]) for keys in trainer.batches)
    trainer._backward(batches)
    trainer.progress.batch = 0
    return {name: p.grad.clone() for name, p in trainer.network.named_parameters() if p.grad is not None}


def main(annotations: Path, out: Path) -> None:
    with join_ranks("cpu") as ranks:
        run = make_run(read_annotations(annotations), out / str(ranks.rank))
        trainer = Trainer(run, ranks=ranks, show_progress=False)
        gradient = take_gradient(trainer)
        trainer.train()
        torch.save({"gradient": gradient, "weights": trainer.network.state_dict()}, out / f"rank{ranks.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
