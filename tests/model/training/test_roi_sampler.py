import pytest
import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import RoIHeads

from model.errors import ConfigError
from model.training.dataset import Batch
from model.training.roi_sampler import RoISampler

EVERYTHING = RoISampler(per_picture=10_000, foreground_share=1.0)


def random_boxes(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 60
    return torch.cat((corner, corner + 4 + torch.rand(count, 2, generator=generator) * 36), dim=1)


def batch_of(boxes: list[Tensor], labels: list[list[int]], ignored: Tensor | None = None) -> Batch:
    most = max(len(b) for b in boxes)
    padded, padded_labels = torch.zeros(len(boxes), most, 4), torch.zeros(len(boxes), most, dtype=torch.int64)
    for n, row in enumerate(boxes):
        padded[n, : len(row)] = row
        padded_labels[n, : len(row)] = torch.tensor(labels[n], dtype=torch.int64)
    return Batch(
        pixels=torch.zeros(len(boxes), 100, 100, 3, dtype=torch.uint8),
        contents=torch.full((len(boxes), 2), 100.0),
        boxes=padded,
        counts=torch.tensor([len(b) for b in boxes]),
        ignored=torch.zeros(len(boxes), 0, 4) if ignored is None else ignored,
        labels=padded_labels,
    )


@pytest.mark.parametrize("seed", range(5))
def test_labels_and_boxes_are_those_that_torchvision_assigns(seed: int):
    boxes, labels = [random_boxes(4, seed), random_boxes(2, seed + 10)], [[1, 2, 3, 1], [2, 2]]
    proposals = [random_boxes(200, seed + 20), random_boxes(150, seed + 30)]
    samples = EVERYTHING(proposals, batch_of(boxes, labels))
    peer = RoIHeads(None, None, None, 0.5, 0.5, 10_000, 1.0, None, 0.05, 0.5, 100)
    candidates = peer.add_gt_proposals(proposals, boxes)
    matched, expected = peer.assign_targets_to_proposals(candidates, boxes, [torch.tensor(row) for row in labels])
    assert [len(b) for b in samples.boxes] == [204, 152]
    assert torch.equal(torch.cat(samples.boxes), torch.cat(candidates))
    assert torch.equal(samples.labels, torch.cat(expected))
    objects = samples.labels > 0
    targets = torch.cat([b[m] for b, m in zip(boxes, matched, strict=True)])
    assert torch.equal(samples.matched[objects], targets[objects])


def test_as_many_as_asked_for_and_no_more_objects_than_their_share():
    boxes = random_boxes(3, 0)
    near = boxes.repeat(40, 1) + torch.rand(120, 4)
    samples = RoISampler(64, 0.25)([torch.cat((near, random_boxes(300, 1)))], batch_of([boxes], [[1, 2, 1]]))
    assert len(samples.labels) == 64
    assert int((samples.labels > 0).sum()) == 16


def test_an_object_is_its_own_proposal():
    samples = RoISampler()([torch.zeros(0, 4)], batch_of([random_boxes(2, 0)], [[2, 1]]))
    assert samples.labels.tolist() == [2, 1]
    assert torch.equal(samples.matched, samples.boxes[0])


def test_what_lies_in_a_region_to_ignore_is_never_background_but_may_be_an_object():
    region = torch.tensor([[[50.0, 50, 100, 100], [0, 0, 0, 0]]])
    inside, half, outside = [60.0, 60, 80, 80], [40.0, 60, 61, 80], [0.0, 0, 30, 30]
    boxes = torch.tensor([[70.0, 70, 100, 100]])
    on_object = [71.0, 71, 100, 100]
    samples = EVERYTHING([torch.tensor([inside, half, outside, on_object])], batch_of([boxes], [[2]], region))
    assert samples.boxes[0].tolist() == [outside, on_object, boxes[0].tolist()]
    assert samples.labels.tolist() == [0, 2, 2]
    just_under = [38.0, 60, 60, 80]
    assert len(EVERYTHING([torch.tensor([just_under])], batch_of([boxes[:0]], [[]], region)).labels) == 1


def test_a_picture_without_objects_gives_background_and_one_without_anything_nothing():
    batch = batch_of([torch.zeros(0, 4)] * 2, [[], []])
    samples = RoISampler(16)([random_boxes(40, 0), torch.zeros(0, 4)], batch)
    assert [len(b) for b in samples.boxes] == [16, 0]
    assert samples.labels.tolist() == [0] * 16


def test_the_same_generator_draws_the_same():
    batch, proposals = batch_of([random_boxes(3, 0)], [[1, 1, 2]]), [random_boxes(300, 1)]
    draws = [RoISampler(32)(proposals, batch, torch.Generator().manual_seed(seed)).boxes[0] for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_what_cannot_be_sampled_is_said():
    with pytest.raises(ConfigError, match="per_picture must be at least 1, not 0"):
        RoISampler(0)
    batch = batch_of([random_boxes(1, 0)], [[1]])
    unlabelled = Batch(batch.pixels, batch.contents, batch.boxes, batch.counts, batch.ignored)
    with pytest.raises(ValueError, match="the batch has no labels"):
        RoISampler()([random_boxes(1, 0)], unlabelled)
