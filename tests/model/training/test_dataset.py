from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.config import longest_side_rule
from model.errors import DataError
from model.structures import ImageSize
from model.training import dataset
from model.training.annotations import AnnotatedPicture, read_annotations
from model.training.augmentation import AugmentationConfig
from model.training.dataset import CanvasBatchSampler, CanvasDataset, collate
from tests.scenes import CLASSES, write_coco

RULE = longest_side_rule(64, step=16)


@pytest.fixture
def pictures(tmp_path: Path) -> list[AnnotatedPicture]:
    wide = read_annotations(write_coco(tmp_path, "wide", range(7)))
    tall = read_annotations(write_coco(tmp_path, "tall", range(10, 15), width=90, height=160))
    return wide + tall


def test_boxes_follow_their_picture_onto_the_canvas(pictures: list[AnnotatedPicture]):
    sample = CanvasDataset(pictures, RULE)[0, 0]
    assert sample.placement == RULE.place(ImageSize(160, 120))
    np.testing.assert_allclose(sample.boxes, pictures[0].boxes * 0.4, rtol=1e-6)
    assert sample.pixels.shape == (48, 64, 3)


def test_regions_to_ignore_go_with_them_into_the_batch(pictures: list[AnnotatedPicture]):
    region = np.array([[10, 20, 50, 60]], dtype=np.float32)
    dataset = CanvasDataset([replace(pictures[0], ignored=region), pictures[1]], RULE)
    np.testing.assert_allclose(dataset[0, 0].ignored, region * 0.4, rtol=1e-6)
    batch = collate([dataset[1, 0], dataset[0, 0]])
    assert batch.ignored.shape == (2, 1, 4)
    np.testing.assert_allclose(batch.ignored[1], region * 0.4, rtol=1e-6)
    assert not batch.ignored[0].any()


def test_a_mosaic_has_boxes_of_others_too(pictures: list[AnnotatedPicture]):
    off = AugmentationConfig(flip=0, crop=0, zoom_out=0, colour=0)
    alone, four = (CanvasDataset(pictures, RULE, replace(off, mosaic=chance), seed=3) for chance in (0.0, 1.0))
    for index in range(len(pictures)):
        one, many = alone[index, 0], four[index, 0]
        assert many.placement.canvas == one.placement.canvas
        assert not np.array_equal(many.pixels, one.pixels)
        content = many.placement.content
        assert (many.boxes >= 0).all()
        assert (many.boxes <= [content.width, content.height] * 2).all()
    counts = [(len(alone[i, 0].boxes), len(four[i, 0].boxes)) for i in range(len(pictures))]
    assert sum(many > one for one, many in counts) > len(counts) / 2


def test_a_variant_depends_on_seed_epoch_and_position_alone(pictures: list[AnnotatedPicture]):
    first = CanvasDataset(pictures, RULE, AugmentationConfig(), seed=1)
    second = CanvasDataset(pictures, RULE, AugmentationConfig(), seed=1)
    for _ in range(3):  # what was drawn before must not matter
        second[1, 0]
    assert np.array_equal(first[4, 2].pixels, second[4, 2].pixels)
    assert not np.array_equal(first[4, 2].pixels, first[4, 3].pixels)


def test_every_picture_once_an_epoch_in_batches_of_one_canvas(pictures: list[AnnotatedPicture]):
    dataset = CanvasDataset(pictures, RULE, AugmentationConfig(crop=1.0))
    sampler = CanvasBatchSampler(dataset, batch_size=3, seed=0)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 3 + 2
    assert sorted(index for batch in batches for index, _ in batch) == list(range(12))
    for batch in batches:
        assert len({dataset[key].placement.canvas for key in batch}) == 1
    sampler.epoch = 1
    assert list(sampler) != batches
    sampler.epoch, sampler.start = 0, 2
    assert list(sampler) == batches[2:]
    assert len(sampler) == 3


def test_an_epochs_batches_are_counted_once(pictures: list[AnnotatedPicture], monkeypatch: pytest.MonkeyPatch):
    """Three times a step, on 118,000 pictures: that had taken longer than some steps."""
    sampler = CanvasBatchSampler(CanvasDataset(pictures, RULE), batch_size=3, seed=0)
    monkeypatch.setattr(dataset, "Counter", lambda canvases: pytest.fail("counted again"))
    assert (sampler.in_epoch, len(sampler), len(list(sampler))) == (5, 5, 5)


@pytest.mark.parametrize(("ranks", "each"), [(2, 3), (3, 2), (5, 1), (7, 1)])
def test_processes_share_the_batches_of_one_order(pictures: list[AnnotatedPicture], ranks: int, each: int):
    dataset = CanvasDataset(pictures, RULE)
    alone = list(CanvasBatchSampler(dataset, batch_size=3, seed=0))
    shares = [list(CanvasBatchSampler(dataset, 3, 0, rank, ranks)) for rank in range(ranks)]
    assert [len(share) for share in shares] == [each] * ranks, "each must take as many steps as the others"
    rounds = [batch for together in zip(*shares, strict=True) for batch in together]
    assert rounds == (alone * 2)[: each * ranks], "where batches are short, the order begins again"
    resumed = CanvasBatchSampler(dataset, 3, 0, 1, ranks)
    resumed.start = 1
    assert list(resumed) == shares[1][1:]


def test_collate_pads_the_boxes(pictures: list[AnnotatedPicture]):
    dataset = CanvasDataset([replace(p, boxes=p.boxes[:n]) for n, p in enumerate(pictures[:3])], RULE)
    batch = collate([dataset[i, 0] for i in range(3)])
    most = int(batch.counts.max())
    assert batch.pixels.shape == (3, 48, 64, 3)
    assert batch.boxes.shape == (3, most, 4)
    assert batch.counts.tolist() == [0, 1, len(dataset[2, 0].boxes)]
    assert torch.equal(batch.boxes[1, 1:], torch.zeros(most - 1, 4))
    assert batch.ignored.shape == (3, 0, 4)
    assert batch.contents.tolist() == [[64.0, 48.0]] * 3


def test_labels_reach_the_batch_padded_and_change_nothing_else(tmp_path: Path):
    pictures = read_annotations(write_coco(tmp_path, "named", range(6), classes=True))
    plain = CanvasDataset(pictures, RULE, AugmentationConfig(crop=1.0), seed=1)
    named = CanvasDataset(pictures, RULE, AugmentationConfig(crop=1.0), seed=1, classes=CLASSES)
    batch = collate([named[i, 2] for i in range(6)])
    agnostic = collate([plain[i, 2] for i in range(6)])
    assert agnostic.labels is None
    for name in ("pixels", "contents", "boxes", "counts", "ignored"):
        assert torch.equal(getattr(batch, name), getattr(agnostic, name))
    assert batch.labels is not None
    assert batch.labels.dtype == torch.int64
    assert batch.labels.shape == batch.boxes.shape[:2]
    for row, count in zip(batch.labels, batch.counts, strict=True):
        assert set(row[:count].tolist()) <= {1, 2}
        assert not row[count:].any()
    moved = batch.to(torch.device("cpu")).labels
    assert moved is not None
    assert torch.equal(moved, batch.labels)


def test_a_batch_of_pictures_without_boxes_has_labels_all_the_same(tmp_path: Path):
    pictures = [
        replace(p, boxes=p.boxes[:0], classes=()) for p in read_annotations(write_coco(tmp_path, "x", range(2)))
    ]
    batch = collate([CanvasDataset(pictures, RULE, classes=CLASSES)[i, 0] for i in range(2)])
    assert batch.labels is not None
    assert batch.labels.shape == (2, 0)


def test_a_picture_that_cannot_be_used_is_named(pictures: list[AnnotatedPicture], tmp_path: Path):
    missing = replace(pictures[0], path=tmp_path / "none.png")
    with pytest.raises(DataError, match=r"none\.png: No such file"):
        CanvasDataset([missing], RULE)[0, 0]
    wrong = replace(pictures[0], size=ImageSize(80, 60))
    with pytest.raises(DataError, match="is 160x120, annotated as 80x60"):
        CanvasDataset([wrong], RULE)[0, 0]
    (tmp_path / "broken.png").write_bytes(pictures[0].path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"broken\.png: the PNG data cannot be decoded"):
        CanvasDataset([replace(pictures[0], path=tmp_path / "broken.png")], RULE)[0, 0]
