"""A network made ready to serve and for nothing else."""

import torch

from model.device import is_cpu
from model.network.folding import fold_norms
from model.network.fusing import fuse, fuse_depthwise
from model.network.network import ProposalNetwork
from model.precision import multiplies_bf16


def make_ready(network: ProposalNetwork, precision: str, device: str) -> None:
    """Fold its norms, have it compute in fp32 or bf16, and on a GPU fuse what that can compute in one go; for good."""
    fold_norms(network)
    network.compute_in(precision)
    if is_cpu(device) or torch.version.hip is not None:  # AMD's GPUs have no cuDNN
        return
    has_cudnn = torch.backends.cudnn.is_available()  # type: ignore[no-untyped-call]
    whole = precision == "bf16" and has_cudnn and multiplies_bf16(device)
    for part in (network.backbone, network.rpn):
        (fuse if whole else fuse_depthwise)(part)
