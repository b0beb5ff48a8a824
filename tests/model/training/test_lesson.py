"""What a step computes in."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from model.training.lesson import Lesson
from model.training.recipe import Recipe


@pytest.mark.parametrize(("precision", "computed"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_are_computed_in_the_recipes_precision_and_weights_stay(precision: str, computed: torch.dtype):
    network = nn.Linear(4, 2)

    def losses(network: nn.Module, batch: SimpleNamespace, *_: object) -> dict[str, torch.Tensor]:
        found = network(batch.pixels)
        assert found.dtype == computed
        return {"objectness": found.float().sum()}

    lesson = Lesson(network, SimpleNamespace(losses=losses), Recipe(precision=precision))  # type: ignore[arg-type]
    loss = lesson(SimpleNamespace(pixels=torch.ones(3, 4)), torch.Generator())["objectness"]
    loss.backward()
    assert network.weight.dtype == torch.float32
    assert network.weight.grad is not None
    assert network.weight.grad.dtype == torch.float32
    torch.testing.assert_close(network.weight.grad, torch.full((2, 4), 3.0))
