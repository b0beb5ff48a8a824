"""The law of accumulated gradients, on a network so small that nothing else can be at work."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from model.config import ModelConfig
from model.errors import ConfigError
from model.training.annotations import AnnotatedPicture, read_annotations
from model.training.dataset import Batch, collate
from model.training.loop import Trainer
from model.training.recipe import Recipe
from model.training.run import Run
from tests.scenes import write_coco


class MeanLesson(nn.Module):
    """A loss that is a mean over the batch's pictures, of all weights of the network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        shades = batch.pixels.float().mean(dim=(1, 2, 3))
        weights = torch.cat([parameter.flatten() for parameter in self.network.parameters()])
        return {"objectness": (shades[:, None] * weights**2).mean(), "box": (shades[:, None] * weights).mean()}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[AnnotatedPicture]:
    return read_annotations(write_coco(tmp_path_factory.mktemp("scenes"), "train", range(12)))


def gradients(
    config: ModelConfig, scenes: list[AnnotatedPicture], folder: Path, steps: int = 1, **recipe: int
) -> list[Tensor]:
    """The gradients of the first steps."""
    run = Run("scenes", config, Recipe(epochs=1, seed=2, **recipe), scenes, [], folder, torch.device("cpu"))
    trainer = Trainer(run, show_progress=False)
    trainer.lesson = MeanLesson(trainer.network)
    batches = (collate([trainer.dataset[key] for key in keys]) for keys in trainer.batches)
    return [step_gradient(trainer, batches) for _ in range(steps)]


def step_gradient(trainer: Trainer, batches: Iterator[Batch]) -> Tensor:
    trainer.optimizer.zero_grad()
    trainer._backward(batches)
    return torch.cat([p.grad.flatten() for p in trainer.network.parameters() if p.grad is not None])


def test_four_batches_of_three_are_as_one_of_twelve(
    tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path
):
    (joint,) = gradients(tiny_config, scenes, tmp_path, batch_size=12)
    (accumulated,) = gradients(tiny_config, scenes, tmp_path, batch_size=3, accumulate=4)
    torch.testing.assert_close(accumulated, joint)
    (first,) = gradients(tiny_config, scenes, tmp_path, batch_size=3)
    assert not torch.allclose(first, joint, rtol=1e-4), "or it would not matter which batches are in it"


def test_the_last_incomplete_group_is_the_mean_of_what_it_has(
    tiny_config: ModelConfig, scenes: list[AnnotatedPicture], tmp_path: Path
):
    _, last = gradients(tiny_config, scenes, tmp_path, steps=2, batch_size=2, accumulate=4)
    *_, fifth, sixth = gradients(tiny_config, scenes, tmp_path, steps=6, batch_size=2)
    torch.testing.assert_close(last, (fifth + sixth) / 2)


def test_less_than_one_batch_a_step_is_refused():
    with pytest.raises(ConfigError, match="recipe: accumulate must be at least 1, not 0"):
        Recipe(accumulate=0)
