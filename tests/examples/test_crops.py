"""The client in examples/ against a real server, and against one that is busy or hangs up."""

import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from examples.crops import ATTEMPTS, Proposer, crops, main
from tests.e2e.conftest import REPOSITORY, server  # noqa: F401 - a fixture

COFFEE = REPOSITORY / "examples" / "coffee.jpg"
BOX = np.array([[1.5, 2, 8, 16, 0.75]], dtype="<f4")


class Scripted(BaseHTTPRequestHandler):
    """Answers what the test has put on ``script``, in turn; None hangs up without a word."""

    protocol_version = "HTTP/1.1"
    script: list[tuple[int, bytes] | None]

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        step = self.script.pop(0)
        if step is None:
            self.close_connection = True
            return
        status, body = step
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object):  # noqa: A002 - http.server's own name
        pass


@pytest.fixture
def scripted() -> Iterator[tuple[str, type[Scripted]]]:
    handler = type("Handler", (Scripted,), {"script": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        httpd.daemon_threads = True
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}", handler
        finally:
            httpd.shutdown()
            thread.join()


@pytest.mark.e2e
def test_each_proposal_is_cut_out(server: str, tmp_path: Path):  # noqa: F811
    main([server, str(COFFEE), "--out", str(tmp_path), "--top-n", "3", "--score-threshold", "0"])
    with Proposer(server, top_n=3, nms_iou=0.5) as proposer:
        proposals = proposer.propose(COFFEE.read_bytes())
    names = [f"coffee-{rank:03d}-{score:.2f}.png" for rank, score in enumerate(proposals[:, 4], start=1)]
    assert len(names) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name, (x1, y1, x2, y2, _) in zip(names, proposals, strict=True):
        with Image.open(tmp_path / name) as crop:
            assert x2 - x1 <= crop.width < x2 - x1 + 2
            assert y2 - y1 <= crop.height < y2 - y1 + 2


@pytest.mark.e2e
def test_a_refusal_names_the_picture(server: str, tmp_path: Path):  # noqa: F811
    (tmp_path / "notes.jpg").write_text("no picture")
    with pytest.raises(SystemExit, match=r"notes\.jpg: .*unsupported_format"):
        main([server, str(tmp_path / "notes.jpg"), "--out", str(tmp_path / "crops")])


def test_pictures_of_one_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["http://127.0.0.1:1", str(COFFEE), str(tmp_path / "coffee.png"), "--out", str(tmp_path / "crops")])
    assert "would be named coffee-" in capsys.readouterr().err
    assert not (tmp_path / "crops").exists()


def test_a_service_that_is_too_slow_may_be_asked_again(scripted: tuple[str, type[Scripted]]):
    address, handler = scripted
    handler.script = [(200, BOX.tobytes())]
    with Proposer(address) as proposer, socket.create_server(("127.0.0.1", 0)) as silent:
        working, proposer._connection = proposer._connection, HTTPConnection(*silent.getsockname(), timeout=0.1)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                proposer.propose(b"picture")
        proposer._connection = working
        np.testing.assert_array_equal(proposer.propose(b"picture"), BOX)


def test_no_server_is_one_line(tmp_path: Path):
    with pytest.raises(SystemExit, match=r"coffee\.jpg: .*refused"):
        main(["http://127.0.0.1:1", str(COFFEE), "--out", str(tmp_path)])


@pytest.mark.parametrize("script", [[(429, b""), (503, b"")], [None]], ids=["busy", "hangs up"])
def test_it_asks_again(scripted: tuple[str, type[Scripted]], script: list[tuple[int, bytes] | None]):
    address, handler = scripted
    handler.script = [*script, (200, BOX.tobytes())]
    with Proposer(address) as proposer:
        np.testing.assert_array_equal(proposer.propose(b"picture"), BOX)


def test_it_does_not_ask_for_ever(scripted: tuple[str, type[Scripted]]):
    address, handler = scripted
    handler.script = [(429, b"overloaded")] * (ATTEMPTS + 1)
    with Proposer(address) as proposer, pytest.raises(ValueError, match="overloaded"):
        proposer.propose(b"picture")
    assert len(handler.script) == 1


def test_boxes_are_of_the_upright_picture(tmp_path: Path):
    pixels = np.arange(20 * 10 * 3, dtype=np.uint8).reshape(20, 10, 3)
    upright, lying = Image.fromarray(pixels), Image.fromarray(np.rot90(pixels).copy())
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it clockwise to see it upright
    upright.save(tmp_path / "upright.png")
    lying.save(tmp_path / "lying.png", exif=exif)
    (expected,), (given,) = (crops(tmp_path / name, BOX) for name in ("upright.png", "lying.png"))
    assert expected.size == (7, 14)  # floor of 1.5 to 8, 2 to 16
    np.testing.assert_array_equal(np.asarray(given), np.asarray(expected))


def test_only_exif_turns_a_picture(tmp_path: Path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    for name in ("plain.jpg", "described.jpg"):
        Image.new("RGB", (40, 20), "red").save(tmp_path / name, xmp=xmp if name == "described.jpg" else b"")
    (plain,), (described,) = (crops(tmp_path / name, BOX) for name in ("plain.jpg", "described.jpg"))
    assert described.size == plain.size
    with Image.open(tmp_path / "described.jpg") as stored:
        assert ImageOps.exif_transpose(stored).size == (20, 40), "Pillow would have turned it"


def test_a_box_at_the_edge_keeps_a_pixel(tmp_path: Path):
    Image.new("RGB", (10, 20)).save(tmp_path / "small.png")
    edge = np.array([[10, 20, 10, 20, 0.1], [0, 0, 10, 20, 0.1]], dtype="<f4")
    assert [crop.size for crop in crops(tmp_path / "small.png", edge)] == [(1, 1), (10, 20)]
