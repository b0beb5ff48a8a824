"""A trained detector in Python: a picture in, classes and boxes out. The service does not use it.

detector = load_detector(Path("runs/mine/detector-best.safetensors"))
found = detector.detect(Path("street.jpg").read_bytes())
for box, label, score in zip(found.boxes, found.labels, found.scores):
    print(f"{label} {score:.2f}", box)
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from model.checkpoints.detector import DetectorCheckpoint, load_detector_checkpoint
from model.checkpoints.restore import restore_detector
from model.config import SelectionConfig
from model.device import choose_device
from model.imaging.canvas import draw_on_canvas
from model.imaging.decoding import Picture
from model.network.detector import Detected, Detector
from model.network.rpn import ScoredAnchors
from model.network.selection import select_proposals
from model.structures import FloatArray, ImageSize, Placement, Selection

# As many as the service takes by default; more is a bomb before it is a photograph.
_MAX_PIXELS = 50_000_000


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found in one picture, the highest score first.

    ``boxes``: float32 (K, 4) ``xyxy`` in the upright picture's pixels; ``labels``: K names of classes; ``scores``:
    float32 (K,), the softmax of the class, in [0, 1].
    """

    boxes: FloatArray
    labels: tuple[str, ...]
    scores: FloatArray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class _Proposed:
    """The proposals that the heads judge, picture by picture, (K_n, 4) in canvas pixels."""

    boxes: list[Tensor]


class ObjectDetector:
    """A loaded detector on a device."""

    def __init__(self, network: Detector, checkpoint: DetectorCheckpoint, device: torch.device) -> None:
        self.network = network.eval().to(device).to(memory_format=torch.channels_last)
        self.checkpoint = checkpoint
        self.device = device

    @property
    def classes(self) -> tuple[str, ...]:
        """The names that a label may have."""
        return self.checkpoint.heads.classes

    def detect(self, picture: bytes | Image.Image) -> Detections:
        """Detect in a picture: the bytes of a file, decoded and turned upright as in service, or upright RGB.

        Raises:
            PictureError: the bytes are no picture that we read.
            ValueError: the picture is not RGB.
        """
        image = Picture(picture, max_pixels=_MAX_PIXELS).decode() if isinstance(picture, bytes) else picture
        if image.mode != "RGB":
            raise ValueError(f"the picture must be RGB, not {image.mode}")
        placement = self.checkpoint.checkpoint.config.input.place(ImageSize(*image.size))
        boxes, labels, scores = self._on_canvas(image, placement)
        scale = np.array([placement.scale_x, placement.scale_y] * 2, dtype=np.float32)
        limit = np.array([image.width, image.height] * 2, dtype=np.float32)
        names = tuple(self.classes[label - 1] for label in labels.tolist())
        return Detections(np.minimum(boxes.cpu().numpy() / scale, limit), names, scores.cpu().numpy())

    @torch.inference_mode()
    def _on_canvas(self, image: Image.Image, placement: Placement) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (K, 4) in canvas pixels, labels (K,) from 1 on, scores (K,)."""
        size = placement.content
        contents = torch.tensor([[size.width, size.height]], dtype=torch.float32, device=self.device)
        pixels = torch.from_numpy(draw_on_canvas(image, placement)[None]).to(self.device)
        selection = self.checkpoint.checkpoint.config.selection

        def choose(scored: ScoredAnchors) -> _Proposed:
            return _Proposed(_all_proposals(scored, contents, selection))

        found: Detected[_Proposed] = self.network(pixels, contents, choose)
        boxes, scores, labels = self.network.roi_heads.postprocess_detections(
            found.logits, found.deltas, found.rois.boxes, [(size.height, size.width)]
        )
        return boxes[0], labels[0], scores[0]


def load_detector(path: Path, *, device: str = "auto") -> ObjectDetector:
    """Read and check a detector's checkpoint, as ``rpn train --objective detection`` writes it.

    ``device``: ``auto`` (CUDA where there is one, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        CheckpointError: the file is not a sound checkpoint of a detector.
        DeviceError: there is no such device here.
    """
    chosen = choose_device(device)
    checkpoint = load_detector_checkpoint(path)
    return ObjectDetector(restore_detector(checkpoint, path), checkpoint, chosen)


def _all_proposals(scored: ScoredAnchors, contents: Tensor, selection: SelectionConfig) -> list[Tensor]:
    """As many as the checkpoint allows, at the paper's NMS threshold, `Selection`'s default."""
    wanted = [Selection(top_n=selection.post_nms_top_n)] * len(contents)
    return [proposals.boxes for proposals in select_proposals(scored, contents, selection, wanted)]
