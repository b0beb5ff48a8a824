"""How far `rpn train` changes its pictures."""

import argparse
from dataclasses import replace

from model.errors import ConfigError
from model.training.augmentation import AugmentationConfig

_DEFAULTS = AugmentationConfig()


def add_augmentation(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument_group("augmentation").add_argument
    add("--flip", type=float, default=_DEFAULTS.flip, help="chance of a left-right flip (default: %(default)s)")
    # Without a default of their own, to tell whether they were asked for where they would do nothing.
    add("--crop", type=float, help=f"chance of a random crop (default: {_DEFAULTS.crop})")
    add(
        "--zoom-out",
        type=float,
        help=f"chance of a smaller picture, of those that are not cropped (default: {_DEFAULTS.zoom_out})",
    )
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
        ConfigError: a value is out of its range, or of no use beside the others.
    """
    jitter = arguments.scale_jitter
    crop = _DEFAULTS.crop if arguments.crop is None else arguments.crop
    zoom_out = _DEFAULTS.zoom_out if arguments.zoom_out is None else arguments.zoom_out
    for option, value in (("--crop", arguments.crop), ("--zoom-out", arguments.zoom_out)):
        if jitter is not None and value is not None:
            raise ConfigError(f"{option} does nothing beside --scale-jitter, which is in the place of crops and zooms")
    if arguments.zoom_out and crop == 1:
        raise ConfigError("--zoom-out is for pictures that are not cropped, and --crop 1 crops them all")
    return replace(
        _DEFAULTS,
        flip=arguments.flip,
        crop=crop,
        zoom_out=zoom_out,
        colour=arguments.colour,
        scale_jitter=None if jitter is None else (jitter[0], jitter[1]),
        mosaic=arguments.mosaic,
    )
