"""Cut the proposals out of photographs: what a classifier, a tracker or a labelling tool asks of the service.

    .venv/bin/python examples/crops.py http://127.0.0.1:8000 examples/coffee.jpg --out crops

Writes one PNG a proposal, named for its picture, rank and score. Needs NumPy and Pillow.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Self
from urllib.parse import urlencode, urlsplit

import numpy as np
from PIL import Image, ImageOps

# How often an overloaded or leaving service is asked again before its answer is taken for final.
ATTEMPTS = 5


class Proposer:
    """A service's proposals, over one connection that is kept.

    One of these a thread. ``query`` is what ``/propose`` takes: ``top_n``, ``score_threshold``, ``nms_iou``, ``model``.
    """

    def __init__(self, url: str, **query: object) -> None:
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        # Longer than RPN_DEADLINE_S, so that it is the service that gives up, and says so.
        self._connection = kind(parts.netloc, timeout=35)
        self._path = f"{parts.path.rstrip('/')}/propose?{urlencode(query)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def propose(self, encoded: bytes) -> np.ndarray:
        """Float32 (N, 5), best first: xyxy in pixels of the upright picture, and the score.

        Raises:
            ValueError: the service refuses the picture or the query; its problem document.
            OSError: the service cannot be reached.
        """
        answer, body = self._ask(encoded)
        for _ in range(ATTEMPTS - 1):
            if answer.status not in (429, 503):
                break
            time.sleep(int(answer.headers.get("Retry-After", 1)))
            answer, body = self._ask(encoded)
        if answer.status != 200:
            raise ValueError(body.decode(errors="replace"))
        return np.frombuffer(body, "<f4").reshape(-1, 5)

    def _ask(self, encoded: bytes) -> tuple[HTTPResponse, bytes]:
        try:
            return self._exchange(encoded)
        except ConnectionError:  # one that lay idle may have been closed; asking twice does no harm
            return self._exchange(encoded)

    def _exchange(self, encoded: bytes) -> tuple[HTTPResponse, bytes]:
        # Numbers, not text: a thousand proposals are 20 kB and need no parsing.
        headers = {"Accept": "application/octet-stream", "Content-Type": "application/octet-stream"}
        try:
            self._connection.request("POST", self._path, encoded, headers)
            answer = self._connection.getresponse()
            return answer, answer.read()
        except (OSError, HTTPException) as error:
            self._connection.close()  # in the middle of an exchange it is of no more use
            raise error if isinstance(error, OSError) else ConnectionError(repr(error)) from error


def crops(encoded: Path, proposals: np.ndarray) -> Iterator[Image.Image]:
    """The picture within each box, at least a pixel wide and high."""
    with Image.open(encoded) as stored:
        # Boxes are of the picture as a person sees it; a telephone's photograph may be stored lying on its side. Only
        # EXIF says so to the service, as to a browser; Pillow would also believe these.
        for other in ("xmp", "XML:com.adobe.xmp", "Raw profile type exif"):
            stored.info.pop(other, None)
        picture = ImageOps.exif_transpose(stored).convert("RGB")
    for x1, y1, x2, y2 in proposals[:, :4]:
        # Box edges lie between pixels: x2 may be the width, and the pixels within go from floor to ceil.
        left, top = min(int(x1), picture.width - 1), min(int(y1), picture.height - 1)
        yield picture.crop((left, top, max(int(np.ceil(x2)), left + 1), max(int(np.ceil(y2)), top + 1)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask for each picture's proposals and write what lies within them."""
    parser = argparse.ArgumentParser(description="Cut the proposals out of photographs.")
    parser.add_argument("url", help="where the service is, such as http://127.0.0.1:8000")
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("crops"), help="folder for the crops (default: crops)")
    parser.add_argument("--top-n", type=int, default=20)
    parser.add_argument("--nms-iou", type=float, default=0.5, help="0.5 gives each thing once (the default)")
    parser.add_argument("--score-threshold", type=float, default=0.1, help="least chance of an object (default: 0.1)")
    options = parser.parse_args(arguments)
    stems = Counter(path.stem for path in options.pictures)
    if doubled := [stem for stem, count in stems.items() if count > 1]:
        parser.error(f"the crops of several pictures would be named {doubled[0]}-…")
    options.out.mkdir(parents=True, exist_ok=True)
    query = {name: getattr(options, name) for name in ("top_n", "nms_iou", "score_threshold")}
    with Proposer(options.url, **query) as proposer:
        for path in options.pictures:
            try:
                proposals = proposer.propose(path.read_bytes())
                for rank, crop in enumerate(crops(path, proposals), start=1):
                    crop.save(options.out / f"{path.stem}-{rank:03d}-{proposals[rank - 1, 4]:.2f}.png")
            except (OSError, ValueError) as error:
                sys.exit(f"{path}: {error}")
            sys.stdout.write(f"{path}: {len(proposals)} proposals in {options.out}\n")


if __name__ == "__main__":
    main()
