"""What decides a run's weights: stored with its state, so that it goes on as it began or not at all."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from model.training.annotations import AnnotatedPicture
from model.training.run import DEFAULT_BEST_BY, Run

Settings = dict[str, Any]

_ABSENT = "nothing"
# No weight depends on how proposals are ranked in the end, and with the overlap penalty that has become another: a run
# that was begun before goes on.
_RANKING = ("config.selection.nms_iou", "config.selection.overlap_penalty")
# What runs did before there was a choice: those that were begun then go on.
_BEFORE_THE_CHOICE: Settings = {
    "best_by": DEFAULT_BEST_BY,
    "recipe.schedule": "cosine",
    "recipe.freeze_norms": False,
}
# Those by which pictures are cropped or shrunk: idle beside a scale jitter, and the last two where all are cropped.
_CROPS_AND_ZOOMS = tuple(f"recipe.augmentation.{name}" for name in ("crop", "min_crop", "zoom_out", "min_zoom"))
# Enough to tell two digests or two lists of canvases apart by eye, little enough for one line.
_LONGEST = 80


def settings_of(run: Run, processes: int) -> Settings:
    """The settings of a run that so many processes train, as plain JSON values.

    Of the data: how many pictures and boxes, and a digest of the pictures' names, sizes and boxes in their order, with
    the boxes' classes where they are learnt; neither the pixels, which would take as long to read as an epoch, nor
    where the folder lies.
    """
    labelled = run.objective.classes is not None
    settings = {
        "config": run.config.to_dict(),
        "objective": run.objective.describe(),
        "recipe": run.recipe.to_dict(),
        "data": {
            "train": fingerprint(run.train, labelled=labelled),
            "validation": fingerprint(run.validation, labelled=labelled),
        },
        "start": run.start_digest or _ABSENT,
        "processes": processes,
        "best_by": run.best_by,
    }
    return dict(json.loads(json.dumps(settings)))  # tuples become lists, as they are when read back


def fingerprint(pictures: Sequence[AnnotatedPicture], *, labelled: bool = False) -> str:
    """What a list of annotated pictures is told by: ``12 pictures with 31 boxes (sha256 8f14e45fceea)``."""
    sha = hashlib.sha256()
    for picture in pictures:
        fact = f"{picture.path.name} {picture.size} {len(picture.boxes)} {len(picture.ignored)}\n"
        sha.update(fact.encode(errors="surrogateescape"))  # a name may be bytes of no encoding
        sha.update(picture.boxes.tobytes() + picture.ignored.tobytes())
        if labelled:
            sha.update(json.dumps(picture.classes).encode())
    boxes = sum(len(picture.boxes) for picture in pictures)
    return f"{len(pictures)} pictures with {boxes} boxes (sha256 {sha.hexdigest()[:12]})"


def first_difference(stored: Settings, given: Settings) -> str | None:
    """The first setting that differs, by its dotted name, with both values; None where none does.

    >>> first_difference({"recipe": {"seed": 0}}, {"recipe": {"seed": 1}})
    'recipe.seed is 0 there and 1 here'
    """
    there, here = dict(_flat(stored)), dict(_flat(given))
    idle = {*_idle(there)} & {*_idle(here)}
    for name in (*here, *there):
        if name.startswith(_RANKING) or name in idle:
            continue
        absent = _BEFORE_THE_CHOICE.get(name, _ABSENT)
        before, now = there.get(name, absent), here.get(name, absent)
        if before != now:
            return f"{name} is {_shown(before)} there and {_shown(now)} here"
    return None


def _idle(settings: Settings) -> tuple[str, ...]:
    """What decides nothing beside the rest: `rpn train` took these flags without a word, and now refuses them."""
    if settings.get("recipe.augmentation.scale_jitter") is not None:
        return _CROPS_AND_ZOOMS
    return _CROPS_AND_ZOOMS[2:] if settings.get("recipe.augmentation.crop") == 1 else ()


def _flat(settings: Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
