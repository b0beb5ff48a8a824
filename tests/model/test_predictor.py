"""The contract of the door: an answer depends on its picture alone, and is in that picture's own pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from model.checkpoints.checkpoint import Checkpoint, save_checkpoint
from model.config import ModelConfig
from model.errors import DeviceError
from model.imaging.canvas import draw_on_canvas, left_to_draw
from model.network.network import build_network
from model.precision import multiplies_bf16
from model.predictor import Predictor
from model.structures import Canvas, ImageSize, PixelArray, Placement, Proposals, Selection
from tests.needs import needs_cuda
from tests.scenes import draw_scene

ALL = Selection(top_n=1000)
NEEDS_BF16 = pytest.mark.skipif(not multiplies_bf16("cpu"), reason="needs a processor that multiplies bf16")


@pytest.fixture
def predictor(tiny_config: ModelConfig, tmp_path: Path) -> Predictor:
    network = build_network(tiny_config)
    with torch.no_grad():  # a random head says 0.5 of everything: make it say different things
        network.rpn.head.cls_logits.weight *= 100
        network.rpn.head.bbox_pred.weight *= 10
    checkpoint = Checkpoint("tiny", "1", tiny_config, network.state_dict())
    save_checkpoint(checkpoint, tmp_path / "tiny.safetensors")
    # by name: `auto` is bf16 where the processor multiplies it
    return Predictor.load(tmp_path / "tiny.safetensors", device="cpu", precision="fp32")


def place(predictor: Predictor, seed: int, **size: int) -> tuple[PixelArray, Placement]:
    picture, _ = draw_scene(seed, **size)
    placement = predictor.input_rule.place(ImageSize(*picture.size))
    return draw_on_canvas(picture, placement), placement


def predict(predictor: Predictor, items: list[tuple[PixelArray, Placement]]) -> list[Proposals]:
    pixels, placements = zip(*items, strict=True)
    return predictor.predict(np.stack(pixels), placements, [ALL] * len(items))


def assert_same_up_to_ties(found: Proposals, expected: Proposals) -> None:
    """The same box at every rank, each once; only scores closer than rounding may have changed places."""
    left = set(range(len(expected)))
    for rank, box in enumerate(found.boxes):
        near = np.abs(expected.boxes - box).max(axis=1) < 1e-2
        tied = near & (np.abs(expected.scores - found.scores[rank]) < 2e-6)  # some 20 units in a score's last place
        match = next((int(i) for i in np.flatnonzero(tied) if int(i) in left), None)
        assert match is not None, rank
        left.remove(match)


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=NEEDS_BF16)])
def test_batch_equals_single_in_any_company(predictor: Predictor, precision: str, tmp_path: Path):
    predictor = Predictor.load(tmp_path / "tiny.safetensors", device="cpu", precision=precision)
    items = [place(predictor, seed, height=height) for seed, height in enumerate([120, 112, 120, 118, 115, 120, 113])]
    assert len({placement.canvas for _, placement in items}) == 1
    assert len({placement.content for _, placement in items}) > 1, "the padding must differ within the batch"
    alone = [predict(predictor, [item])[0] for item in items]
    for order in (range(7), [6, 2, 4, 0], [3, 3]):
        for index, answer in zip(order, predict(predictor, [items[i] for i in order]), strict=True):
            assert len(answer) == len(alone[index]) > 50
            np.testing.assert_allclose(answer.scores, alone[index].scores, atol=1e-5)
            assert_same_up_to_ties(answer, alone[index])


def test_what_lies_in_the_padding_does_not_matter(predictor: Predictor):
    pixels, placement = place(predictor, 1, height=112)
    dirty = pixels.copy()
    dirty[placement.content.height :] = 255
    assert dirty.any(axis=2).sum() > pixels.any(axis=2).sum()
    clean, other = (predict(predictor, [(p, placement)])[0] for p in (pixels, dirty))
    assert np.array_equal(clean.boxes, other.boxes)


@pytest.mark.parametrize(
    "size", [{"width": 160, "height": 120}, {"width": 90, "height": 400}, {"width": 700, "height": 80}]
)
def test_boxes_are_in_the_pictures_own_pixels(predictor: Predictor, size: dict[str, int]):
    answer = predict(predictor, [place(predictor, 2, **size)])[0]
    assert answer.boxes.dtype == answer.scores.dtype == np.float32
    assert (answer.boxes >= 0).all()
    assert answer.boxes[:, 2].max() <= size["width"]
    assert answer.boxes[:, 3].max() <= size["height"]
    assert answer.boxes[:, 2].max() > 0.9 * size["width"], "some box must reach across the picture"
    assert (np.diff(answer.scores) <= 0).all()
    assert ((answer.scores >= 0) & (answer.scores <= 1)).all()


def test_each_caller_gets_his_own_selection(predictor: Predictor):
    pixels, placement = place(predictor, 0)
    wanted = [Selection(top_n=5), Selection(top_n=1000, nms_iou=0.3), ALL]
    few, sparse, every = predictor.predict(np.stack([pixels] * 3), [placement] * 3, wanted)
    assert (len(few), few.truncated) == (5, True)
    np.testing.assert_allclose(few.boxes, every.boxes[:5], atol=1e-3)
    assert 5 < len(sparse) < len(every)


def test_wrong_arguments_are_named(predictor: Predictor):
    pixels, placement = place(predictor, 0)
    assert predictor.predict(np.zeros((0, 96, 96, 3), np.uint8), [], []) == []
    with pytest.raises(ValueError, match=r"pixels must be uint8 \(N, H, W, 3\), not float32"):
        predictor.predict(pixels[None].astype(np.float32), [placement], [ALL])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 pictures, 2 placements, 1 selections"):
        predictor.predict(pixels[None], [placement] * 2, [ALL])


def test_it_says_what_it_is(predictor: Predictor):
    assert (predictor.info.name, predictor.info.version, predictor.device) == ("tiny", "1", "cpu")
    assert predictor.info.digest.startswith("sha256:")
    assert predictor.info.parameters > 1e6


def test_warming_up_runs_every_canvas_at_every_size(predictor: Predictor, monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[int, ...]] = []
    propose = predictor._execution.propose

    def watched(pixels, *given, **options):
        seen.append(pixels.shape)
        return propose(pixels, *given, **options)

    monkeypatch.setattr(predictor._execution, "propose", watched)
    predictor.warm_up((1, 2))
    assert seen == [(n, canvas.height, canvas.width, 3) for canvas in predictor.input_rule.canvases for n in (1, 2)]


@pytest.mark.parametrize("device", ["tpu", "meta", "cuda:99", "cpu:zero"])
def test_a_device_that_is_not_here_is_named(predictor: Predictor, tmp_path: Path, device: str):
    with pytest.raises(DeviceError, match=repr(device)):
        Predictor.load(tmp_path / "tiny.safetensors", device=device)


def test_the_cpu_is_the_cpu_whichever_number_it_is_given(predictor: Predictor, tmp_path: Path):
    other = Predictor.load(tmp_path / "tiny.safetensors", device="cpu:0", precision="fp32")
    assert (other.device, other.runtime, other.usual_batch) == ("cpu", predictor.runtime, 1)


def test_a_picture_that_is_yet_to_be_resized_gets_the_same(predictor: Predictor):
    pictures = [draw_scene(seed, width=120, height=90)[0] for seed in range(3)]
    placements = [predictor.input_rule.place(ImageSize(*picture.size)) for picture in pictures]
    pairs = list(zip(pictures, placements, strict=True))
    found = predictor.predict_undrawn([left_to_draw(*pair) for pair in pairs], placements, [ALL] * 3)
    drawn = [(draw_on_canvas(*pair), pair[1]) for pair in pairs]
    for one, other in zip(found, predict(predictor, drawn), strict=True):
        assert len(one) > 5
        assert np.array_equal(one.boxes, other.boxes)
    assert predictor.predict_undrawn([], [], []) == []


def test_undrawn_pictures_are_checked(predictor: Predictor):
    picture = np.zeros((90, 120, 3), dtype=np.uint8)
    wide = predictor.input_rule.place(ImageSize(120, 90))
    tall = replace(wide, canvas=Canvas(wide.canvas.height, wide.canvas.width + 32))
    with pytest.raises(ValueError, match=r"pictures must be uint8 \(h, w, 3\), not float32 \(90, 120, 3\)"):
        predictor.predict_undrawn([picture.astype(np.float32)], [wide], [ALL])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="1 pictures, 2 placements, 1 selections"):
        predictor.predict_undrawn([picture], [wide, wide], [ALL])
    with pytest.raises(ValueError, match="the pictures of one call must have one canvas"):
        predictor.predict_undrawn([picture] * 2, [wide, tall], [ALL] * 2)


@needs_cuda
def test_cuda_agrees_with_the_cpu(predictor: Predictor, tmp_path: Path):
    other = Predictor.load(tmp_path / "tiny.safetensors", device="cuda", precision="fp32")
    items = [place(predictor, seed) for seed in range(4)]
    for cpu, cuda in zip(predict(predictor, items), predict(other, items), strict=True):
        away = np.abs(cpu.boxes[:100, None] - cuda.boxes).max(axis=2).min(axis=1)  # ranks may change places
        assert away.max() < 0.5


def test_whatever_computes_the_network_the_boxes_are_the_same(predictor: Predictor, tmp_path: Path):
    pytest.importorskip("openvino")
    assert predictor.runtime == "openvino fp32"
    torchs = Predictor.load(tmp_path / "tiny.safetensors", device="cpu", precision="fp32", runtime="torch", lanes=2)
    assert (torchs.runtime, torchs.lanes, predictor.lanes) == ("torch fp32", 2, 1)
    for seed in range(4):
        item = place(predictor, seed)
        found, expected = predict(predictor, [item])[0], predict(torchs, [item])[0]
        assert len(found) == len(expected) > 50
        assert_same_up_to_ties(found, expected)


def test_bf16_says_nearly_the_same(predictor: Predictor, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    rough = Predictor.load(tmp_path / "tiny.safetensors", device="cpu", precision="bf16")
    assert ("many times slower" in caplog.text) is not multiplies_bf16("cpu")
    item = place(predictor, 4)
    exact, found = predict(predictor, [item])[0], predict(rough, [item])[0]
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert not np.array_equal(exact.scores[:10], found.scores[:10]), "it computes in another format"
    overlaps = box_iou(torch.from_numpy(exact.boxes[:50]), torch.from_numpy(found.boxes))
    assert (overlaps.amax(dim=1) > 0.8).float().mean() > 0.9


def test_a_precision_that_there_is_not_is_named(predictor: Predictor, tmp_path: Path):
    with pytest.raises(DeviceError, match="precision 'fp8' is none of auto, fp32, bf16"):
        Predictor.load(tmp_path / "tiny.safetensors", device="cpu", precision="fp8")
