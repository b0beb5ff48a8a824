"""How far `rpn train` changes its pictures."""

import argparse
from dataclasses import replace

from model.training.augmentation import AugmentationConfig

_DEFAULTS = AugmentationConfig()


def add_augmentation(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument_group("augmentation").add_argument
    add("--flip", type=float, default=_DEFAULTS.flip, help="chance of a left-right flip (default: %(default)s)")
    add("--crop", type=float, default=_DEFAULTS.crop, help="chance of a random crop (default: %(default)s)")
    add("--zoom-out", type=float, default=_DEFAULTS.zoom_out, help="chance of a smaller picture (default: %(default)s)")
    add("--colour", type=float, default=_DEFAULTS.colour, help="range of colour changes (default: %(default)s)")
    add(
        "--scale-jitter",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="instead of crops and smaller pictures, any scale between these two; 0.1 2 is large-scale jitter",
    )
    add(
        "--mosaic",
        type=float,
        default=_DEFAULTS.mosaic,
        help="chance of four pictures in one, none of them zoomed out (default: %(default)s)",
    )


def augmentation_of(arguments: argparse.Namespace) -> AugmentationConfig:
    """What was asked for.

    Raises:
        ConfigError: a value is out of its range.
    """
    jitter = arguments.scale_jitter
    return replace(
        _DEFAULTS,
        flip=arguments.flip,
        crop=arguments.crop,
        zoom_out=arguments.zoom_out,
        colour=arguments.colour,
        scale_jitter=None if jitter is None else (jitter[0], jitter[1]),
        mosaic=arguments.mosaic,
    )
