"""What the benchmark computes from its samples. How fast anything is is asserted nowhere."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch

from bench import predict, sides
from bench.photographs import jpeg, photograph
from bench.predict import Comparison, table
from bench.rounds import Samples, take_turns, times_as_fast
from bench.sides import Following, timed
from model.architectures import architecture
from model.checkpoints.checkpoint import Checkpoint, save_checkpoint
from model.network.network import build_network


def test_contenders_take_turns_and_the_first_rounds_do_not_count():
    order: list[str] = []

    def contender(name: str, ms: float):
        def measure() -> float:
            order.append(name)
            return ms + len(order)

        return measure

    samples = take_turns({"a": contender("a", 0.0), "b": contender("b", 100.0)}, rounds=3, warm_up=1)
    assert order == ["a", "b"] * 4
    assert samples["a"].values == (3.0, 5.0, 7.0)
    assert samples["b"].values == (104.0, 106.0, 108.0)


def test_median_spread_and_ratio():
    samples = Samples(tuple(float(ms) for ms in [50, *range(1, 10), 1000]))
    assert samples.median == 6.0
    assert samples.spread == (2.0, 50.0)
    assert times_as_fast(Samples((10.0, 40.0)), Samples((5.0, 10.0))).values == (2.0, 4.0)


def test_the_table_compares_each_with_its_own_peer():
    samples = {
        "torchvision": Samples((30.0,)),
        "ours, fp32": Samples((10.0,)),
        "torchvision, after the network": Samples((4.0,)),
        "ours, after the network": Samples((2.0,)),
        "torchvision, after the network, right behind it": Samples((9.0,)),
        "ours, after the network, right behind it": Samples((3.0,)),
        "floor, fp32": Samples((50.0,)),
    }
    text = str(table([Comparison("mobilenet", 1, samples, network_work=1e9, product_work=1e10)]))
    assert "| mobilenet, batch 1 | ours, fp32 | 10.0 (10.0 - 10.0) | 3.00 (3.00 - 3.00) | 0.50 (0.50 - 0.50) |" in text
    assert "| ours, after the network | 2.0 (2.0 - 2.0) | 2.00 (2.00 - 2.00) |  |" in text
    assert "| ours, after the network, right behind it | 3.0 (3.0 - 3.0) | 3.00 (3.00 - 3.00) |  |" in text
    assert "matrix product's rate | 5.0 (5.0 - 5.0) |  |  |" in text


def test_of_large_batches_what_follows_the_network_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(predict, "in_int8", lambda device: False)
    named = {batch: list(predict._sides((Path("a"), Path("b")), batch, ("fp32",), "cpu")) for batch in (8, 32)}
    assert sum("after the network" in name for name in named[8]) == 4
    assert named[32] == [name for name in named[8] if "after the network" not in name]


def test_work_is_counted_on_one_picture_and_told_of_the_batch(tmp_path: Path):
    config = architecture("rpn_regnet_x_400mf_fpn")
    network = build_network(config).eval()
    save_checkpoint(Checkpoint("x", "1", config, network.state_dict()), tmp_path / "x.safetensors")
    arguments = Namespace(weights=tmp_path / "x.safetensors", device="cpu", batch=2, precision="fp32")
    with torch.inference_mode():
        given = sides._on_canvas(config.input, arguments)
        assert sides.floor_side(arguments)[1]["network"] == sides._work(lambda: network(*given))
        backbone = sides._work(lambda: network.backbone(network.normalisation(*given)))
        assert sides.backbone_side(arguments)[1]["network"] == backbone


@pytest.mark.parametrize(("once", "goes", "firsts", "thens"), [(False, 1, 1, 1), (False, 3, 4, 4), (True, 3, 1, 4)])
def test_what_follows_is_given_anew_each_time_or_once(once: bool, goes: int, firsts: int, thens: int):
    made: list[str] = []

    def first() -> int:
        made.append("first")
        return len(made)

    go = Following(first, lambda given: made.append(f"then {given}"), once=once)
    assert timed(go, "cpu", goes) >= 0
    assert (made.count("first"), len(made) - made.count("first")) == (firsts, thens), "several come after one more"
    assert made[:2] == ["first", "then 1"]


@pytest.mark.parametrize("size", [(640, 480), (2000, 1500)])
def test_photographs_are_as_large_as_asked_and_full_of_detail(size: tuple[int, int]):
    picture = photograph(*size)
    assert picture.size == size
    assert len(jpeg(picture)) / (size[0] * size[1]) > 0.1, "bytes per pixel, as cameras write them"
    assert photograph(*size, seed=1).tobytes() != picture.tobytes()
