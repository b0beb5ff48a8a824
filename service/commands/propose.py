"""``rpn propose``: a photograph's proposals without a server, through the code that serves."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model.errors import PictureError
from model.imaging.decoding import Picture
from model.structures import FloatArray
from service.answers import Found, result
from service.batching import Inference
from service.engine import LoadedModel, Predictor
from service.errors import StartupError
from service.images import DecodedPicture, decode_picture
from service.parameters import ProposeQuery
from service.settings import ModelSource, Settings, read_settings

_DRAWN = (".png", ".jpg", ".jpeg", ".webp")
_DEFAULTS = ProposeQuery()


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "propose",
        help="a photograph's proposals, drawn or as JSON, without a server",
        description="The proposals of photographs, drawn on them or as JSON, without a server. Without --out the "
        "JSON goes to standard output, a line for each picture.",
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("pictures", type=Path, nargs="+", metavar="PICTURE")
    add("-o", "--out", help=f"a file ({', '.join(_DRAWN)} or .json) or, for several pictures, a folder")
    add("--model", help="a shipped name, or name=path (default: the first of RPN_MODELS)")
    add("--top-n", type=int, default=_DEFAULTS.top_n, help="default: %(default)s")
    add("--score-threshold", type=float, default=_DEFAULTS.score_threshold, help="default: %(default)s")
    add("--nms-iou", type=float, help="default: the model's own")
    add("--box-format", default=_DEFAULTS.box_format, choices=("xyxy", "xywh", "cxcywh"), help="of the JSON")
    add("--normalized", action="store_true", help="the JSON's boxes divided by width and height")


def run(args: argparse.Namespace) -> int:
    """Write each picture's proposals; without ``--out``, JSON goes to standard output, a line a picture."""
    targets = _targets(args.pictures, args.out)
    settings = read_settings()
    query = _query(args, settings)
    source = _source(args.model, settings)
    from service.app import load_predictor  # after the arguments: a wrong one need not wait for it

    predictor = load_predictor(
        source.path, settings.device, settings.precision, settings.runtime, cache=settings.cache_dir
    )
    model = LoadedModel.of(source.name, predictor)
    for path, target in zip(args.pictures, targets, strict=True):
        picture, inference = _propose(path, predictor, query, settings)
        answer = result(Found(model, picture, inference, query))
        if target is None:
            sys.stdout.write(json.dumps({"picture": str(path), **answer}) + "\n")
        elif target.suffix.lower() == ".json":
            target.write_text(json.dumps({"picture": str(path), **answer}, indent=2) + "\n", encoding="utf-8")
        else:
            _draw(path, target, inference.proposals.boxes, inference.proposals.scores, settings)
    return 0


def _propose(
    path: Path, predictor: Predictor, query: ProposeQuery, settings: Settings
) -> tuple[DecodedPicture, Inference]:
    try:
        picture = decode_picture(path.read_bytes(), predictor.input_rule, settings.max_pixels)
    except OSError as error:
        raise StartupError(f"{path}: {error.strerror or error}") from error
    except PictureError as error:
        raise StartupError(f"{path}: {error}") from error
    started = time.perf_counter()
    selection = query.selection(max_top_n=settings.max_top_n, nms_iou=predictor.info.nms_iou)
    (proposals,) = predictor.predict(picture.pixels[None], [picture.placement], [selection], alone=True)
    return picture, Inference(proposals, 0.0, (time.perf_counter() - started) * 1000, 1)


def _draw(path: Path, target: Path, boxes: FloatArray, scores: FloatArray, settings: Settings) -> None:
    from model.evaluation.pictures import draw_boxes

    whole = Picture(path.read_bytes(), max_pixels=settings.max_pixels).decode()
    drawn = draw_boxes(whole, boxes, scores)
    try:
        drawn.save(target)
    except (ValueError, OSError) as error:  # WebP and JPEG have a longest side
        raise StartupError(f"{target}: {getattr(error, 'strerror', None) or error}") from error


def _targets(pictures: list[Path], named: str | None) -> list[Path | None]:
    """Where each picture's result goes, checked before any work is done."""
    if named is None:
        return [None] * len(pictures)
    if not named:  # as a script's variable may be: not the folder that it happens to run in
        raise StartupError("--out names nothing")
    out = Path(named)
    targets = [out / f"{picture.stem}.proposals.png" for picture in pictures] if out.is_dir() else [out]
    if len(targets) < len(pictures):
        raise StartupError(f"{out} is not a folder, and {len(pictures)} pictures do not go into one file")
    if targets[0].suffix.lower() not in (*_DRAWN, ".json"):
        raise StartupError(f"{out}: the result is written as {', '.join(_DRAWN)} or .json")
    if not targets[0].parent.is_dir():
        raise StartupError(f"{out}: the folder {out.parent} is not there")
    _check_apart(pictures, targets)
    return [*targets]


def _check_apart(pictures: list[Path], targets: list[Path]) -> None:
    """No result takes the place of a picture, or of another result."""
    given = {picture.resolve() for picture in pictures}
    sources: dict[Path, Path] = {}
    for picture, target in zip(pictures, targets, strict=True):
        if target.resolve() in given:
            raise StartupError(f"{target} is one of the pictures, which the result of {picture} would replace")
        if target in sources:
            raise StartupError(f"{sources[target]} and {picture} would both be drawn to {target}")
        sources[target] = picture


def _query(args: argparse.Namespace, settings: Settings) -> ProposeQuery:
    given: dict[str, Any] = {name: getattr(args, name) for name in ProposeQuery.model_fields if name != "model"}
    try:
        query = ProposeQuery(**given)
    except ValidationError as error:
        faults = [(str(fault["loc"][0]), fault["msg"]) for fault in error.errors(include_url=False)]
        raise StartupError("; ".join(f"--{name.replace('_', '-')}: {reason}" for name, reason in faults)) from error
    if query.top_n > settings.max_top_n:
        raise StartupError(f"--top-n: at most {settings.max_top_n}, RPN_MAX_TOP_N, not {query.top_n}")
    return query


def _source(model: str | None, settings: Settings) -> ModelSource:
    if model is None:
        return settings.models[0]
    try:
        return next((s for s in settings.models if s.name == model), None) or ModelSource.parse(model)
    except ValueError as error:
        raise StartupError(f"--model: {error}") from error
