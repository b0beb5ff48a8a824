"""The only door that the service uses: load a checkpoint, warm it, predict a batch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from model.allocator import give_back_freed_memory
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.checkpoints.restore import restore_network
from model.device import choose_device
from model.errors import DeviceError, DeviceOutOfMemory
from model.execution import Execution, OpenVINOExecution, TorchExecution, choose_lanes, choose_runtime
from model.network.folding import fold_norms
from model.network.network import ProposalNetwork
from model.network.proposing import ScoringNetwork, propose
from model.network.selection import SelectedBoxes
from model.precision import choose_precision
from model.structures import Canvas, ImageSize, ModelInfo, PixelArray, Placement, Proposals, Selection

# Pictures in one call on a GPU; larger ones gain little more there and make the first ones wait.
_GPU_BATCH = 8


class Predictor:
    """A loaded checkpoint on a device.

    Where it ``keeps_its_thread``, load it, warm it and call it alone in one and the same thread: a network that torch
    has built in one thread runs much slower on all cores in another. As many further threads may call it at the same
    time as it has ``lanes``.
    """

    def __init__(self, execution: Execution, checkpoint: Checkpoint, device: torch.device) -> None:
        self._execution = execution
        self._device = device
        self._selection = checkpoint.config.selection
        self._calibration = checkpoint.calibration
        self.input_rule = checkpoint.config.input
        self.max_top_n = checkpoint.config.selection.post_nms_top_n
        self.info = ModelInfo(
            name=checkpoint.name,
            version=checkpoint.version,
            digest=checkpoint.digest,
            architecture=checkpoint.config.architecture,
            parameters=checkpoint.parameters,
            input_rule=str(checkpoint.config.input),
            provenance=checkpoint.provenance,
            metrics=checkpoint.metrics,
            nms_iou=checkpoint.config.selection.nms_iou,
        )

    @classmethod
    def load(
        cls, path: Path, *, device: str = "auto", precision: str = "auto", runtime: str = "auto", lanes: int = 1
    ) -> "Predictor":
        """Read and check a checkpoint, and place its network on the device, made ready to serve and for nothing else.

        ``lanes``: how many threads will call it at once; 0 takes what pays here (`choose_lanes`).

        Raises:
            CheckpointError: the file is not a sound checkpoint of ours.
            DeviceError: there is no such device, precision or runtime here.
            MissingExtra: the runtime is not installed.
        """
        chosen = choose_device(device)
        dtype = choose_precision(precision, chosen)
        compiled = choose_runtime(runtime, chosen, dtype) == "openvino"
        checkpoint = load_checkpoint(path)
        network = restore_network(checkpoint, path).eval()
        fold_norms(network)
        count = choose_lanes(lanes, chosen)
        if compiled:
            return cls(OpenVINOExecution(network, dtype, count, checkpoint.config.input.canvases), checkpoint, chosen)
        network.compute_in(dtype)
        # channels_last: convolutions read a pixel's channels together, faster on a CPU and on tensor cores
        network = network.to(chosen).to(memory_format=torch.channels_last)
        return cls(TorchExecution(network, chosen, count), checkpoint, chosen)

    @classmethod
    def of(cls, network: ProposalNetwork, checkpoint: Checkpoint, device: torch.device) -> "Predictor":
        """A network at hand as it is, nothing folded or compiled: for measuring one that is being trained."""
        # channels_last: convolutions read a pixel's channels together, faster on a CPU and on tensor cores
        placed = network.eval().to(device).to(memory_format=torch.channels_last)
        return cls(TorchExecution(placed, device, lanes=1), checkpoint, device)

    @property
    def device(self) -> str:
        """Where it runs: ``cpu``, ``cuda``, ``cuda:1``."""
        return str(self._device)

    @property
    def runtime(self) -> str:
        """What computes the network and in which format: ``torch fp32``, ``openvino bf16``."""
        return self._execution.runtime

    @property
    def lanes(self) -> int:
        """How many threads may call `predict` at once."""
        return self._execution.lanes

    @property
    def keeps_its_thread(self) -> bool:
        """Whether its lone calls, the first ones too, should come from the thread that loaded it."""
        return self._execution.keeps_its_thread

    @property
    def usual_batch(self) -> int:
        """Most pictures that are worth one call: a CPU answers them sooner one by one, each on a core of its own."""
        return 1 if self._device.type == "cpu" else _GPU_BATCH

    def warm_up(self, batch_sizes: Sequence[int] = (1,)) -> None:
        """Run every canvas at these batch sizes once, so that no caller pays for a shape's first time."""
        for canvas in self.input_rule.canvases:
            for size in batch_sizes:
                pixels = np.zeros((size, canvas.height, canvas.width, 3), dtype=np.uint8)
                self.predict(pixels, [_whole(canvas)] * size, [Selection()] * size)
        give_back_freed_memory()

    def predict(
        self,
        pixels: PixelArray,
        placements: Sequence[Placement],
        selections: Sequence[Selection],
        *,
        alone: bool = True,
    ) -> list[Proposals]:
        """The proposals of N pictures on one canvas, each as its own caller wants them.

        ``pixels``: uint8 (N, H, W, 3), RGB, as `draw_on_canvas` lays them. The boxes come back in the pixels of each
        upright picture before resizing. ``alone``: no other thread is calling, so that the whole processor is this
        call's; the answer is the same.

        Raises:
            ValueError: the three arguments are not of one length, or the pixels not uint8 (N, H, W, 3).
            DeviceOutOfMemory: a smaller batch may pass.
            DeviceError: the device is lost; only a new process can go on.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
            raise ValueError(f"pixels must be uint8 (N, H, W, 3), not {pixels.dtype} {pixels.shape}")
        if not len(pixels) == len(placements) == len(selections):
            raise ValueError(f"{len(pixels)} pictures, {len(placements)} placements, {len(selections)} selections")
        if not len(pixels):
            return []
        try:
            selected = self._select(self._execution.network(alone=alone), pixels, placements, selections)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise DeviceOutOfMemory(f"{self.device} cannot hold a batch of {len(pixels)}") from error
        except torch.AcceleratorError as error:  # an illegal access or assert: the device's context is lost for good
            raise DeviceError(f"{self.device} has failed: {str(error).splitlines()[0]}") from error
        return [_restore(boxes, placement) for boxes, placement in zip(selected, placements, strict=True)]

    @torch.inference_mode()
    def _select(
        self,
        network: ScoringNetwork,
        pixels: PixelArray,
        placements: Sequence[Placement],
        selections: Sequence[Selection],
    ) -> list[SelectedBoxes]:
        sizes = [(p.content.width, p.content.height) for p in placements]
        contents = torch.tensor(sizes, dtype=torch.float32, device=self._device)
        on_device = torch.from_numpy(pixels).to(self._device)
        return propose(network, on_device, contents, self._selection, selections, self._calibration)


def _whole(canvas: Canvas) -> Placement:
    """The placement of a picture that fills its canvas at full scale."""
    size = ImageSize(canvas.width, canvas.height)
    return Placement(size, size, canvas)


def _restore(selected: SelectedBoxes, placement: Placement) -> Proposals:
    """Canvas pixels to the upright picture's own."""
    scale = np.array([placement.scale_x, placement.scale_y] * 2, dtype=np.float32)
    limit = np.array([placement.image.width, placement.image.height] * 2, dtype=np.float32)
    boxes = np.minimum(selected.boxes.cpu().numpy() / scale, limit)  # rounding must not leave the picture
    return Proposals(boxes, selected.scores.cpu().numpy(), selected.truncated)
