"""What every figure shows: one photograph, two boxes given by hand, and what the shipped network makes of it."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from how_it_works.sheet import Numbers
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.checkpoints.restore import restore_network
from model.imaging.canvas import draw_on_canvas
from model.network.network import ProposalNetwork
from model.network.proposing import propose
from model.network.rpn import ScoredAnchors
from model.network.selection import SelectedBoxes
from model.structures import ImageSize, Placement, Selection
from model.training.assignment import Assignment, Candidates, pairwise_iou
from model.training.dataset import Batch
from model.training.rules import CLASSIC_RULES

_REPOSITORY = Path(__file__).parents[2]
_PHOTOGRAPH = _REPOSITORY / "examples" / "coffee.jpg"
_WEIGHTS = _REPOSITORY / "weights" / "general.safetensors"
# Ground truth, drawn by hand around what a person would name: ``xyxy`` in the photograph's own pixels.
OBJECTS = {"cup": (172.0, 17.0, 410.0, 308.0), "spoon": (317.0, 65.0, 425.0, 328.0)}
# The draw of the sampled anchors; any seed shows the same, this one is fixed so that a second run draws the same.
_SEED = 0


@dataclass(frozen=True)
class Scene:
    """The photograph and the network that looks at it; all boxes that its methods give are in the photograph's pixels.

    ``features``: L maps (1, C, H_l, W_l); ``scored``: what the network says of every anchor.
    """

    photograph: Image.Image
    checkpoint: Checkpoint
    network: ProposalNetwork
    placement: Placement
    features: list[Tensor]
    scored: ScoredAnchors

    @property
    def contents(self) -> Tensor:
        """float32 (1, 2): what the photograph covers of its canvas."""
        content = self.placement.content
        return torch.tensor([[content.width, content.height]], dtype=torch.float32)

    @property
    def strides(self) -> tuple[int, ...]:
        """Canvas pixels from place to place, per level."""
        return self.network.backbone.strides

    def maps(self) -> list[tuple[int, int]]:
        """(H_l, W_l) of each level."""
        return [(int(f.shape[-2]), int(f.shape[-1])) for f in self.features]

    @cached_property
    def anchors(self) -> Tensor:
        """(R, 4), all levels together, in canvas pixels."""
        return torch.cat([level.boxes for level in self.scored.anchors])

    @cached_property
    def competing(self) -> Tensor:
        """(1, R): anchors whose place lies in the photograph, not in the padding."""
        centres = torch.cat([level.centres for level in self.scored.anchors])
        return (centres < self.contents[:, None, :]).all(dim=-1)

    @cached_property
    def objects(self) -> Tensor:
        """(1, G, 4): the boxes given by hand, in canvas pixels."""
        return torch.tensor([list(OBJECTS.values())]) * torch.from_numpy(self._scale())

    @cached_property
    def assignment(self) -> Assignment:
        """What the paper's matcher makes of the anchors."""
        batch = Batch(
            pixels=torch.zeros(1, 1, 1, 3, dtype=torch.uint8),
            contents=self.contents,
            boxes=self.objects,
            counts=torch.tensor([len(OBJECTS)]),
            ignored=torch.zeros(1, 0, 4),
        )
        return CLASSIC_RULES.matcher(Candidates.of(self.scored, batch), batch)

    @cached_property
    def best_iou(self) -> Tensor:
        """(R,): each anchor's highest IoU with a box given by hand."""
        return pairwise_iou(self.objects, self.anchors)[0].amax(dim=0)

    @cached_property
    def sampled(self) -> tuple[Tensor, Tensor]:
        """(R,) twice: the foreground and the background anchors that the losses of one step would see."""
        generator = torch.Generator().manual_seed(_SEED)
        foreground, background = CLASSIC_RULES.sampler(self.assignment.labels, generator)
        return foreground[0], background[0]

    def select(self, top_n: int, nms_iou: float) -> SelectedBoxes:
        """The proposals, in canvas pixels, by the code that serves them; the network's own scores, after NMS alone."""
        selection = Selection(top_n=top_n, nms_iou=nms_iou)
        config = replace(self.checkpoint.config.selection, overlap_penalty=None)
        pixels = torch.from_numpy(draw_on_canvas(self.photograph, self.placement))[None]
        with torch.inference_mode():
            return propose(self.network, pixels, self.contents, config, [selection])[0]

    def in_photograph(self, boxes: Tensor) -> Numbers:
        """Canvas pixels to the photograph's."""
        return (boxes.numpy() / self._scale()).astype(np.float32)

    def _scale(self) -> Numbers:
        return np.array([self.placement.scale_x, self.placement.scale_y] * 2, dtype=np.float32)


@torch.inference_mode()
def load_scene() -> Scene:
    """The photograph, and the shipped weights run on it."""
    checkpoint = load_checkpoint(_WEIGHTS)
    network = restore_network(checkpoint, _WEIGHTS)
    photograph = Image.open(_PHOTOGRAPH).convert("RGB")
    placement = checkpoint.config.input.place(ImageSize(*photograph.size))
    content = torch.tensor([[placement.content.width, placement.content.height]], dtype=torch.float32)
    pixels = torch.from_numpy(draw_on_canvas(photograph, placement))[None]
    features = network.backbone(network.normalisation(pixels, content))
    scored = network.rpn(features, placement.canvas)
    return Scene(photograph, checkpoint, network, placement, features, scored)
