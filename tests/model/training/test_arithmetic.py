"""What is measured in the middle of a training leaves the training's own arithmetic alone."""

from collections.abc import Iterator

import pytest
import torch

from model.config import ModelConfig
from model.device_execution import on_accelerator
from model.network.network import build_network
from model.torch_execution import use_threads
from model.training import arithmetic
from model.training.arithmetic import kept_arithmetic, settle_threads


@pytest.fixture(autouse=True)
def _threads_as_they_were() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_what_an_accelerator_computes_without_leaves_tf32_to_the_training(
    tiny_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # torch's own default
    with kept_arithmetic():
        on_accelerator(build_network(tiny_config), "cpu", tiny_config.selection, None, recorded=False)
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_settings_come_back_from_what_fails():
    def fail() -> None:
        use_threads(1)
        torch.backends.cuda.matmul.allow_tf32 = True
        raise KeyboardInterrupt

    torch.set_num_threads(3)
    with pytest.raises(KeyboardInterrupt), kept_arithmetic():
        fail()
    assert torch.get_num_threads() == 3
    assert not torch.backends.cuda.matmul.allow_tf32


def test_a_training_takes_no_more_threads_than_it_has_cores(monkeypatch: pytest.MonkeyPatch):
    torch.set_num_threads(3)
    monkeypatch.setattr(arithmetic, "default_threads", lambda: 2)
    settle_threads()
    assert torch.get_num_threads() == 2
    monkeypatch.setattr(arithmetic, "default_threads", lambda: 8)
    settle_threads()
    assert torch.get_num_threads() == 2, "fewer were asked for"
