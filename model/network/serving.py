"""A network made ready to serve and for nothing else."""

from model.network.folding import fold_norms
from model.network.fusing import fuse, fuse_depthwise
from model.network.network import ProposalNetwork


def make_ready(network: ProposalNetwork, precision: str, device: str) -> None:
    """Fold its norms, have it compute in fp32 or bf16, and on a GPU fuse what that can compute in one go; for good."""
    fold_norms(network)
    network.compute_in(precision)
    if device != "cpu":
        for part in (network.backbone, network.rpn):
            (fuse if precision == "bf16" else fuse_depthwise)(part)
