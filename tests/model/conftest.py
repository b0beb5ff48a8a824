import pytest
import torch

from model.config import AnchorConfig, BackboneConfig, ModelConfig, longest_side_rule


@pytest.fixture(scope="session")
def tiny_config() -> ModelConfig:
    """The default's architecture, narrow and at a small size: quick to build and to train."""
    return ModelConfig(
        architecture="rpn_regnet_x_400mf_fpn",
        backbone=BackboneConfig("regnet_x_400mf_fpn", fpn_channels=32),
        anchors=AnchorConfig(
            sizes=((12.0, 16.0, 22.0), (30.0, 40.0, 54.0), (72.0, 96.0, 128.0), (160.0, 200.0, 250.0)),
            convention="centred",
        ),
        input=longest_side_rule(96),
    )


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)
