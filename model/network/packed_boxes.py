"""A batch's boxes as one tensor, to leave a device in one copy: each waits for all that the device has yet to do."""

from collections.abc import Sequence

import torch
from torch import Tensor

from model.network.device_selection import FoundBoxes
from model.structures import FloatArray, Proposals, Selection


def pack(found: FoundBoxes) -> Tensor:
    """float32 (N, 1 + P, 5): how many survived and whether NMS had come to rest, then each place's box and score."""
    rows = torch.cat((found.boxes, found.scores[..., None]), dim=2)
    head = torch.zeros_like(rows[:, :1])
    head[:, 0, 0] = found.survivors  # float32 is exact to 16 million
    head[:, 0, 1] = found.settled
    return torch.cat((head, rows), dim=1)


def all_settled(packed: FloatArray) -> bool:
    """Whether every picture's NMS had come to rest, so that its boxes may be served."""
    return bool(packed[:, 0, 1].all())


def unpack(packed: FloatArray, selections: Sequence[Selection]) -> list[Proposals]:
    """Each picture's boxes on its canvas, as many as its caller asks for."""
    return [_picture(int(one[0, 0]), one[1:], selection) for one, selection in zip(packed, selections, strict=True)]


def _picture(survivors: int, rows: FloatArray, selection: Selection) -> Proposals:
    limit = min(selection.top_n, len(rows))
    filled = rows[: min(survivors, limit)]
    return Proposals(filled[:, :4].copy(), filled[:, 4].copy(), truncated=survivors > limit)
