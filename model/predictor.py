"""The only door that the service uses: load a checkpoint, warm it, predict a batch."""

import logging
from collections.abc import Sequence, Sized
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from model.allocator import give_back_freed_memory
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.device import choose_device, is_cpu
from model.errors import DeviceError
from model.execution import Execution, choose_execution, choose_lanes
from model.host.graphs import DEFAULT_CACHE, GraphFolder
from model.imaging.canvas import draw_on_canvas
from model.precision import multiplies_bf16
from model.preparation import graphs_of
from model.structures import Canvas, FloatArray, ImageSize, ModelInfo, PixelArray, Placement, Proposals, Selection

if TYPE_CHECKING:  # torch is imported where it is what computes
    import torch

    from model.network.network import ProposalNetwork

_log = logging.getLogger(__name__)

# Pictures in one call on a GPU; larger ones gain little more there and make the first ones wait.
_GPU_BATCH = 8


class Predictor:
    """A loaded checkpoint on a device.

    Where it ``keeps_its_thread``, load it, warm it and call it alone in one and the same thread: a network that torch
    has built in one thread runs much slower on all cores in another. As many further threads may call it at the same
    time as it has ``lanes``.
    """

    def __init__(self, execution: Execution, checkpoint: Checkpoint, device: str) -> None:
        self._execution = execution
        self.device = device
        self.input_rule = checkpoint.config.input
        self.max_top_n = checkpoint.config.selection.post_nms_top_n
        penalty = checkpoint.config.selection.overlap_penalty
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
            overlap_penalty=None if penalty is None else str(penalty),
        )

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        lanes: int = 1,
        cache: Path = DEFAULT_CACHE,
        calibrated: bool = True,
    ) -> "Predictor":
        """Read and check a checkpoint, and place its network on the device, made ready to serve and for nothing else.

        ``lanes``: how many threads will call it at once; 0 takes what pays here (`choose_lanes`). ``cache``: the folder
        in which networks are kept that OpenVINO computes; one that is not there yet is made with torch, which takes
        seconds (`model.preparation` does it in another process). ``calibrated``: scores are the checkpoint's chances,
        not what its network gives.

        Raises:
            CheckpointError: the file is not a sound checkpoint of ours.
            DeviceError: there is no such device, precision or runtime here.
            MissingExtra: the runtime is not installed.
        """
        chosen = "cpu" if is_cpu(device) else _name_of(choose_device(device))
        checkpoint = load_checkpoint(path)
        quantized = checkpoint.quantization is not None
        chosen_runtime, arithmetic = choose_execution(runtime, precision, chosen, quantized=quantized)
        count = choose_lanes(lanes, chosen, chosen_runtime)
        if arithmetic == "int8" and not quantized:
            raise DeviceError(f"{path}: precision 'int8' needs the ranges that `rpn weights quantize` measures")
        if not calibrated:
            checkpoint = replace(checkpoint, calibration=None)
        if chosen_runtime == "openvino":
            return cls(_openvino_execution(checkpoint, path, cache, arithmetic, count), checkpoint, chosen)
        network = _network(checkpoint, path, chosen, arithmetic)
        execution = _torch_execution(network, checkpoint, chosen, count, recorded=chosen_runtime == "cuda-graphs")
        return cls(execution, checkpoint, chosen)

    @classmethod
    def of(cls, network: "ProposalNetwork", checkpoint: Checkpoint, device: "torch.device") -> "Predictor":
        """A network at hand as it is, nothing folded or compiled: for measuring one that is being trained."""
        name = _name_of(device)
        execution = _torch_execution(_placed(network.eval(), name), checkpoint, name, 1, recorded=False)
        return cls(execution, checkpoint, name)

    @property
    def runtime(self) -> str:
        """What computes the network and in which format: ``torch fp32``, ``openvino int8``."""
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
        return 1 if self.device == "cpu" else _GPU_BATCH

    @property
    def draws(self) -> bool:
        """Whether `predict_undrawn` resizes on the device; if not, whoever decodes may as well do it before."""
        return self._execution.drawing is not None

    def sizes_to_warm(self, largest: int) -> tuple[int, ...]:
        """The batch sizes to warm where batches of up to ``largest`` pictures are going to come, smallest first."""
        return self._execution.sizes_to_warm(largest)

    def warm_up(self, batch_sizes: Sequence[int] = (1,)) -> None:
        """Run every canvas at these batch sizes once, so that no caller pays for a shape's first time."""
        for canvas in self.input_rule.canvases:
            for size in batch_sizes:
                pixels = np.zeros((size, canvas.height, canvas.width, 3), dtype=np.uint8)
                given = ([_whole(canvas)] * size, [Selection()] * size)
                if self.draws:
                    self.predict_undrawn(list(pixels), *given)
                else:
                    self.predict(pixels, *given)
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
            DeviceLost: only a new process can go on.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
            raise ValueError(f"pixels must be uint8 (N, H, W, 3), not {pixels.dtype} {pixels.shape}")
        _check_lengths(pixels, placements, selections)
        if not len(pixels):
            return []
        return _restored(self._execution.propose(pixels, _contents(placements), selections, alone=alone), placements)

    def predict_undrawn(
        self,
        pictures: Sequence[PixelArray],
        placements: Sequence[Placement],
        selections: Sequence[Selection],
        *,
        alone: bool = True,
    ) -> list[Proposals]:
        """As `predict`, from pictures that are yet to be resized: by the device where it ``draws``, or else here.

        ``pictures``: uint8 (h, w, 3) each, RGB, upright, as `left_to_draw` leaves them, all placed on one canvas.

        Raises:
            ValueError: the three arguments are not of one length, a picture not uint8 (h, w, 3), or canvases differ.
            DeviceOutOfMemory, DeviceLost: as `predict`.
        """
        _check_lengths(pictures, placements, selections)
        for picture in pictures:
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
                raise ValueError(f"pictures must be uint8 (h, w, 3), not {picture.dtype} {picture.shape}")
        if len({placement.canvas for placement in placements}) > 1:
            raise ValueError("the pictures of one call must have one canvas")
        if not pictures:
            return []
        if (drawing := self._execution.drawing) is None:
            pairs = zip(pictures, placements, strict=True)
            pixels = np.stack([draw_on_canvas(Image.fromarray(picture), placement) for picture, placement in pairs])
            return self.predict(pixels, placements, selections, alone=alone)
        contents = _contents(placements)
        return _restored(drawing.propose_undrawn(pictures, placements, contents, selections), placements)


def _check_lengths(pictures: Sized, placements: Sized, selections: Sized) -> None:
    if not len(pictures) == len(placements) == len(selections):
        raise ValueError(f"{len(pictures)} pictures, {len(placements)} placements, {len(selections)} selections")


def _contents(placements: Sequence[Placement]) -> FloatArray:
    """The (width, height) that each picture covers of its canvas: float32 (N, 2)."""
    return np.array([(p.content.width, p.content.height) for p in placements], dtype=np.float32)


def _openvino_execution(checkpoint: Checkpoint, path: Path, cache: Path, precision: str, lanes: int) -> Execution:
    from model.openvino_execution import OpenVINOExecution

    graphs = graphs_of(checkpoint, path, GraphFolder(cache), precision)
    return OpenVINOExecution(checkpoint.config, graphs, precision, lanes, checkpoint.calibration)


def _network(checkpoint: Checkpoint, path: Path, device: str, precision: str) -> "ProposalNetwork":
    """Made ready to serve and for nothing else."""
    from model.light_import import import_torchvision

    import_torchvision()
    from model.checkpoints.restore import restore_network
    from model.network.serving import make_ready

    if precision == "bf16" and is_cpu(device) and not multiplies_bf16("cpu"):
        _log.warning("%s: bf16 was asked for, which this processor computes many times slower than fp32", path)
    network = restore_network(checkpoint, path)
    make_ready(network, precision, device)
    return _placed(network, device)


def _placed(network: "ProposalNetwork", device: str) -> "ProposalNetwork":
    import torch

    # channels_last: convolutions read a pixel's channels together, faster on a CPU and on tensor cores
    return network.to(device).to(memory_format=torch.channels_last)


def _torch_execution(
    network: "ProposalNetwork", checkpoint: Checkpoint, device: str, lanes: int, *, recorded: bool
) -> Execution:
    selection, calibration = checkpoint.config.selection, checkpoint.calibration
    if device == "cpu":
        from model.torch_execution import TorchExecution

        return TorchExecution(network, lanes, selection, calibration)
    from model.device_execution import on_accelerator

    return on_accelerator(network, device, selection, calibration, recorded=recorded)


def _name_of(device: "torch.device") -> str:
    """``cpu``, whichever number it was given, ``cuda`` or ``cuda:1``."""
    return "cpu" if device.type == "cpu" else str(device)


def _whole(canvas: Canvas) -> Placement:
    """The placement of a picture that fills its canvas at full scale."""
    size = ImageSize(canvas.width, canvas.height)
    return Placement(size, size, canvas)


def _restored(selected: Sequence[Proposals], placements: Sequence[Placement]) -> list[Proposals]:
    return [_restore(proposals, placement) for proposals, placement in zip(selected, placements, strict=True)]


def _restore(selected: Proposals, placement: Placement) -> Proposals:
    """Canvas pixels to the upright picture's own."""
    scale = np.array([placement.scale_x, placement.scale_y] * 2, dtype=np.float32)
    limit = np.array([placement.image.width, placement.image.height] * 2, dtype=np.float32)
    boxes = np.minimum(selected.boxes / scale, limit)  # rounding must not leave the picture
    return Proposals(boxes, selected.scores, selected.truncated)
