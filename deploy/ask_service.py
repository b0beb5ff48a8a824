"""Ask a running service for proposals in a picture drawn here, and check that the answer makes sense.

    python3 deploy/ask_service.py http://127.0.0.1:8000 --wait 120

Needs nothing but Python. Exits non-zero, with one line that says why, if the service or its answer is not as it should
be.
"""

import argparse
import json
import struct
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Sequence
from typing import Any

WIDTH, HEIGHT = 640, 480

_OBJECTS = (  # left, top, right, bottom, colour
    (60, 80, 260, 400, (200, 40, 40)),
    (320, 60, 600, 220, (240, 200, 60)),
    (380, 260, 560, 440, (40, 70, 190)),
)

_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open  # past any proxy: the service is near


def main(arguments: Sequence[str] | None = None) -> None:
    """Wait until the service is ready, ask it, check its answer."""
    parser = argparse.ArgumentParser(description="Ask a running service for proposals in a drawn picture.")
    parser.add_argument("url", help="where the service is, such as http://127.0.0.1:8000")
    parser.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="how long /readyz may say no")
    options = parser.parse_args(arguments)
    try:
        _wait_until_ready(options.url, options.wait)
        answer = propose(options.url, draw_png())
    except (OSError, ValueError) as error:
        sys.exit(f"{options.url}: {error}")
    if faults := faults_in(answer):
        sys.exit(f"{options.url}: {'; '.join(faults)}")
    best = answer["proposals"][0]
    sys.stdout.write(
        f"{answer['count']} boxes from {answer['model']['name']}; the best {best['box']} at {best['score']}\n"
    )


def draw_png() -> bytes:
    """Three plain rectangles on a slope of grey."""
    rows = bytearray()
    for y in range(HEIGHT):
        rows.append(0)  # this row is not filtered
        for x in range(WIDTH):
            rows += bytes(_colour(x, y))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)  # 8 bits, RGB
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(rows))) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def propose(url: str, picture: bytes) -> Any:
    """The service's answer to a PNG."""
    request = urllib.request.Request(f"{url}/propose", picture, {"Content-Type": "image/png"})
    try:
        with _open(request, timeout=60) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise ValueError(f"/propose says {error.code}: {error.read(500)!r}") from error


def faults_in(answer: Any) -> list[str]:
    """What is wrong with an answer about the drawn picture."""
    proposals, size = answer["proposals"], (answer["image"]["width"], answer["image"]["height"])
    scores = [proposal["score"] for proposal in proposals]
    checks = {
        "no boxes": answer["count"] > 0,
        f"count is {answer['count']} for {len(proposals)} boxes": answer["count"] == len(proposals),
        f"the picture's size is given as {size}": size == (WIDTH, HEIGHT),
        "a box is empty or leaves the picture": all(_is_inside(*proposal["box"]) for proposal in proposals),
        "a score is not in [0, 1]": all(0 <= score <= 1 for score in scores),
        "the highest score does not come first": scores == sorted(scores, reverse=True),
    }
    return [fault for fault, passed in checks.items() if not passed]


def _wait_until_ready(url: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with _open(f"{url}/readyz", timeout=5):
                return
        except OSError as error:  # refused, or HTTPError: 503
            if time.monotonic() > deadline:
                raise TimeoutError(f"not ready after {seconds:g} s: {error}") from error
        time.sleep(0.5)


def _is_inside(left: float, top: float, right: float, bottom: float) -> bool:
    return 0 <= left < right <= WIDTH and 0 <= top < bottom <= HEIGHT


def _colour(x: int, y: int) -> tuple[int, int, int]:
    for left, top, right, bottom, colour in _OBJECTS:
        if left <= x < right and top <= y < bottom:
            return colour
    grey = 120 + 80 * (x + y) // (WIDTH + HEIGHT)
    return grey, grey, grey


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


if __name__ == "__main__":
    main()
