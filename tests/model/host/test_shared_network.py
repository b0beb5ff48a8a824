"""A network that is made ready behind another one's back, canvas by canvas."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from model.config import ModelConfig
from model.host.openvino_network import OpenVINONetwork
from model.host.share import Share
from model.host.shared_network import SharedNetwork
from model.network.network import build_network
from model.structures import Canvas

pytest.importorskip("openvino")

REPOSITORY = Path(__file__).parents[3]
PATIENCE_S = 30
SQUARE, WIDE = Canvas(width=96, height=96), Canvas(width=96, height=64)


def compiled(config: ModelConfig) -> OpenVINONetwork:
    from model.network.openvino_graphs import convert

    return OpenVINONetwork(config, convert(build_network(config).eval()), Share(2, 2), "fp32")


def ready(shared: SharedNetwork, canvas: Canvas) -> OpenVINONetwork:
    end = time.monotonic() + PATIENCE_S
    while (network := shared.at(canvas)) is None:
        assert time.monotonic() < end, "it never became ready"
        time.sleep(0.01)
    return network


def sharing() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("sharing")]


def test_it_is_compiled_once_and_made_ready_for_what_is_asked_for(tiny_config: ModelConfig):
    made: list[OpenVINONetwork] = []
    seen: list[tuple[int, ...]] = []

    def make() -> OpenVINONetwork:
        network = compiled(tiny_config)
        score = network.score
        network.score = lambda pixels, contents: (seen.append(pixels.shape), score(pixels, contents))[1]  # type: ignore[method-assign]
        made.append(network)
        return network

    shared = SharedNetwork(make, 2)
    assert not made, "a service that is never busy does not pay for it"
    network = ready(shared, WIDE)
    assert made == [network]
    assert seen == [(1, 64, 96, 3)] * 2, "once for each lane"
    assert shared.at(SQUARE) is None
    assert ready(shared, SQUARE) is ready(shared, WIDE) is network
    assert seen[2:] == [(1, 96, 96, 3)] * 2


def test_asking_again_and_again_begins_nothing_anew():
    may_go_on, begun = threading.Event(), []

    def make() -> OpenVINONetwork:
        begun.append(1)
        may_go_on.wait(PATIENCE_S)
        raise MemoryError("no room")

    shared = SharedNetwork(make, 2)
    assert [shared.at(SQUARE) for _ in range(20)] == [None] * 20
    assert len(sharing()) == 1
    may_go_on.set()
    for thread in sharing():
        thread.join(PATIENCE_S)
    assert begun == [1]


def test_where_it_cannot_be_made_that_is_said_once_and_calls_go_on_without(caplog: pytest.LogCaptureFixture):
    def make() -> OpenVINONetwork:
        raise MemoryError("no room")

    shared = SharedNetwork(make, 2)
    for canvas in (SQUARE, WIDE, SQUARE, WIDE):
        assert shared.at(canvas) is None
        for thread in sharing():
            thread.join(PATIENCE_S)
    assert [record.getMessage() for record in caplog.records] == [
        "calls cannot share the processor on 96x96; they go on taking turns"
    ]
    assert "no room" in caplog.text


def test_a_thread_that_there_is_none_for_costs_no_call_and_is_tried_again(
    tiny_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
):
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    shared = SharedNetwork(lambda: compiled(tiny_config), 2)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert shared.at(SQUARE) is None
    assert ready(shared, SQUARE).config == tiny_config


ENDING = """
import sys, time
from pathlib import Path
from model.predictor import Predictor
from model.structures import Canvas
predictor = Predictor.load(Path("weights/face.safetensors"), device="cpu", lanes=2, cache=Path(sys.argv[1]))
canvas = predictor.input_rule.canvases[0]
assert predictor._execution.network(canvas, alone=False) is predictor._execution.network(canvas, alone=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize("after_s", ["0", "0.3"])
def test_an_interpreter_may_end_while_it_is_made(after_s: str, tmp_path_factory: pytest.TempPathFactory):
    cache = tmp_path_factory.getbasetemp() / "ending"
    command = [sys.executable, "-c", ENDING, str(cache), after_s]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=REPOSITORY)
    assert (done.returncode, done.stderr) == (0, "")
