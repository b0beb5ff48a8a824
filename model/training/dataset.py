"""Annotated pictures to training samples and batches: decode, augment, onto the canvas as in service."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, Sampler

from model.errors import DataError
from model.imaging.canvas import InputRule, draw_on_canvas
from model.structures import Canvas, FloatArray, ImageSize, LabelArray, PixelArray, Placement
from model.training.annotations import AnnotatedPicture
from model.training.augmentation import AugmentationConfig, Sample, augment
from model.training.classes import labels_of
from model.training.mosaic import mosaic
from model.training.stored_picture import read_picture, size_mismatch


@dataclass(frozen=True, slots=True)
class CanvasSample:
    """One picture on its canvas: pixels uint8 (H, W, 3); boxes and ignored (_, 4) ``xyxy`` in canvas pixels.

    ``labels``: int64 (G,), from 1 on, None where the data set is class-agnostic.
    """

    pixels: PixelArray
    placement: Placement
    boxes: FloatArray
    ignored: FloatArray
    labels: LabelArray | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """N pictures of one canvas, their boxes padded to the longest list.

    ``pixels``: uint8 (N, H, W, 3); ``contents``: float32 (N, 2) as (width, height); ``boxes``: float32 (N, G, 4);
    ``counts``: int64 (N,), how many of a row are boxes; ``ignored``: float32 (N, I, 4), padded with empty boxes;
    ``labels``: int64 (N, G), the boxes' classes from 1 on, padded with 0, None where the data set is class-agnostic.
    """

    pixels: Tensor
    contents: Tensor
    boxes: Tensor
    counts: Tensor
    ignored: Tensor
    labels: Tensor | None = None

    @property
    def real(self) -> Tensor:
        """Which boxes are no padding: bool (N, G)."""
        return torch.arange(self.boxes.shape[1], device=self.boxes.device) < self.counts[:, None]

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        return Batch(**{name: value.to(device, non_blocking=True) for name, value in self._present().items()})

    def pin_memory(self) -> "Batch":
        """The same in memory that a GPU copies from by itself; torch's loader asks by this name."""
        return Batch(**{name: value.pin_memory() for name, value in self._present().items()})

    def _present(self) -> dict[str, Tensor]:
        return {name: value for name in Batch.__slots__ if (value := getattr(self, name)) is not None}


class CanvasDataset(Dataset[CanvasSample]):
    """A data set of `CanvasSample`, indexed by (position, epoch): the variant depends on the two and the seed alone.

    So a resumed run sees exactly the samples that the interrupted one would have seen, with any number of workers.
    ``classes``: the names that labels count, from 1 on; without them the samples are class-agnostic.
    """

    def __init__(
        self,
        pictures: Sequence[AnnotatedPicture],
        rule: InputRule,
        augmentation: AugmentationConfig | None = None,
        seed: int = 0,
        classes: Sequence[str] | None = None,
    ) -> None:
        self.pictures = pictures
        self.classes = classes
        self.rule = rule
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, key: tuple[int, int]) -> CanvasSample:
        index, epoch = key
        sample = self._decoded(self.pictures[index])
        if self.augmentation is not None:
            sample = self._varied(index, sample, np.random.default_rng((self.seed, epoch, index)))
        return self._placed(sample, self.rule.place(self.pictures[index].size).canvas)

    def _varied(self, index: int, sample: Sample, random: np.random.Generator) -> Sample:
        config = self.augmentation or AugmentationConfig()
        varied = augment(sample, config, random)
        if config.mosaic == 0 or random.random() >= config.mosaic:
            return varied
        others = [self._decoded(self.pictures[i]) for i in random.integers(len(self.pictures), size=3)]
        samples = [varied, *(augment(other, config, random) for other in others)]
        return mosaic([samples[i] for i in random.permutation(4)], self.pictures[index].size, random)

    def _decoded(self, annotated: AnnotatedPicture) -> Sample:
        try:
            header, decoded = read_picture(annotated.path)
            if mismatch := size_mismatch(header, annotated.size):
                raise DataError(f"{annotated.path}: {mismatch}")
        except DataError as error:
            raise DataError(f"{annotated.record}: {error}" if annotated.record else str(error)) from error
        labels = None if self.classes is None else labels_of(annotated, self.classes)
        return Sample(decoded, annotated.boxes, annotated.ignored, labels=labels)

    def _placed(self, sample: Sample, canvas: Canvas) -> CanvasSample:
        size = ImageSize(*sample.picture.size)
        if self.augmentation is None:
            placement = self.rule.place(size)
        else:  # a crop stays on the canvas of the whole picture, which its batch has
            placement = self.rule.place_on(size, canvas, sample.zoom)
        scale = np.array([placement.scale_x, placement.scale_y] * 2, dtype=np.float32)
        pixels = draw_on_canvas(sample.picture, placement)
        return CanvasSample(pixels, placement, sample.boxes * scale, sample.ignored * scale, sample.labels)


class CanvasBatchSampler(Sampler[list[tuple[int, int]]]):
    """Batches of one canvas each, shuffled anew each epoch, as a batch in service has one canvas.

    What is left over at an epoch's end makes smaller batches, so that every picture is seen once an epoch. ``epoch``
    chooses the order; the first ``start`` batches of it are skipped, for a run that is resumed.

    Of several processes, the ``rank``-th of ``ranks`` takes every ``ranks``-th batch of the one order. Where they do
    not come out even, the order begins again until all have as many: at most ``ranks - 1`` batches are repeats.
    """

    def __init__(self, dataset: CanvasDataset, batch_size: int, seed: int, rank: int = 0, ranks: int = 1) -> None:
        self.canvases = [dataset.rule.place(p.size).canvas for p in dataset.pictures]
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.ranks = ranks
        # The batches of a whole epoch that each process takes. Asked for at every step, and long to count.
        self.in_epoch = -(-_batches(self.canvases, batch_size) // ranks)
        self.epoch = 0
        self.start = 0

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        random = np.random.default_rng((self.seed, self.epoch))
        gathered: dict[Canvas, list[tuple[int, int]]] = {}
        batches = []
        for index in random.permutation(len(self.canvases)).tolist():
            row = gathered.setdefault(self.canvases[index], [])
            row.append((index, self.epoch))
            if len(row) == self.batch_size:
                batches.append(gathered.pop(self.canvases[index]))
        batches += gathered.values()
        order = np.resize(
            random.permutation(len(batches)), self.in_epoch * self.ranks
        )  # begins again where it is short
        yield from (batches[i] for i in order[self.rank :: self.ranks][self.start :])

    def __len__(self) -> int:
        return self.in_epoch - self.start


def collate(samples: Sequence[CanvasSample]) -> Batch:
    """One batch of samples that share a canvas."""
    contents = [(s.placement.content.width, s.placement.content.height) for s in samples]
    return Batch(
        pixels=torch.from_numpy(np.stack([s.pixels for s in samples])),
        contents=torch.tensor(contents, dtype=torch.float32),
        boxes=_padded([s.boxes for s in samples]),
        counts=torch.tensor([len(s.boxes) for s in samples]),
        ignored=_padded([s.ignored for s in samples]),
        labels=_padded_labels([s.labels for s in samples if s.labels is not None]),
    )


def _batches(canvases: list[Canvas], size: int) -> int:
    """How many of one canvas each these make, the smaller ones that are left over included."""
    return sum(-(-count // size) for count in Counter(canvases).values())


def _padded(rows: list[FloatArray]) -> Tensor:
    padded = np.zeros((len(rows), max((len(r) for r in rows), default=0), 4), dtype=np.float32)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    return torch.from_numpy(padded)


def _padded_labels(rows: list[LabelArray]) -> Tensor | None:
    """None for the samples of a class-agnostic data set, of which none has any."""
    if not rows:
        return None
    return pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True)
