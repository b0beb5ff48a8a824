import argparse

import pytest

from model.cli.augmentation_argument import add_augmentation
from model.cli.augmentation_argument import augmentation_of as augmentation_from
from model.errors import ConfigError
from model.training.augmentation import AugmentationConfig


def augmentation_of(*flags: str) -> AugmentationConfig:
    parser = argparse.ArgumentParser()
    add_augmentation(parser)
    return augmentation_from(parser.parse_args(flags))


def test_what_is_not_given_is_as_ever():
    assert augmentation_of() == AugmentationConfig()
    assert augmentation_of("--zoom-out", "0") == AugmentationConfig(zoom_out=0)
    assert augmentation_of("--crop", "1") == AugmentationConfig(crop=1)
    assert augmentation_of("--crop", "1", "--zoom-out", "0") == AugmentationConfig(crop=1, zoom_out=0)
    several = augmentation_of("--flip", "0.1", "--colour", "0.2", "--mosaic", "1")
    assert several == AugmentationConfig(flip=0.1, colour=0.2, mosaic=1.0)
    assert augmentation_of("--scale-jitter", "0.1", "2") == AugmentationConfig(scale_jitter=(0.1, 2.0))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--scale-jitter", "0.1", "2", "--crop", "0.5"], "--crop does nothing beside --scale-jitter"),
        (["--scale-jitter", "0.1", "2", "--zoom-out", "0"], "--zoom-out does nothing beside --scale-jitter"),
        (["--crop", "1", "--zoom-out", "0.2"], "--zoom-out is for pictures that are not cropped, and --crop 1 crops"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(flags: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        augmentation_of(*flags)
