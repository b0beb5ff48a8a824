"""What every framework serves: a torchvision detector's proposals, eager fp32, as its user would write it."""

import io
import os
from pathlib import Path

import torch
from PIL import Image
from torchvision.models.detection.transform import resize_boxes
from torchvision.transforms.functional import pil_to_tensor

from bench.peer import filter_proposals, load_peer, parts

# How its workers learn what to load: frameworks start them by themselves, with nothing of ours but the environment.
NETWORK = "BENCH_NETWORK"
WEIGHTS = "BENCH_WEIGHTS"
WORKERS = "BENCH_WORKERS"

# Where clients send a picture, as the form field `image`.
PATH = "/propose"

Answer = dict[str, list[list[float]] | list[float]]


class TorchvisionProposals:
    """Called with a JPEG, it answers boxes (x1, y1, x2, y2, in pixels of the picture) and their scores, best first."""

    def __init__(self) -> None:
        self._transform, self._backbone, self._rpn = parts(load_peer(os.environ[NETWORK], Path(os.environ[WEIGHTS])))

    @torch.inference_mode()
    def __call__(self, jpeg: bytes) -> Answer:
        """``boxes`` and ``scores``, ready to be JSON."""
        picture = pil_to_tensor(Image.open(io.BytesIO(jpeg)).convert("RGB"))
        images, _ = self._transform([picture / 255])
        features = list(self._backbone(images.tensors).values())
        boxes, scores = filter_proposals(self._rpn, images, features, *self._rpn.get_submodule("head")(features))
        height, width = picture.shape[-2:]
        placed = resize_boxes(boxes[0], list(images.image_sizes[0]), [height, width])
        return {"boxes": placed.tolist(), "scores": scores[0].tolist()}
