"""CUDA graphs: a shape's work recorded once and played back, so that starting its operations costs the host nothing.

A small network is hundreds of operations of a few microseconds each, which the host cannot start as fast as a GPU ends
them. What is recorded reads and writes the same memory each time: nothing in it may depend on a value or wait for the
host.
"""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

# Work on tensors of fixed shapes on one device; its first dimension, and its answer's, is the batch.
Work = Callable[..., Tensor]

# Convolutions choose their algorithms, and everything that is kept is made, before anything is recorded; torch's own
# documentation of CUDA graphs takes three.
_REHEARSALS = 3

_log = logging.getLogger(__name__)


class CUDAGraphRecorder:
    """Records work on one GPU; what it records is to be played back from one thread, one after the other."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # What the graphs compute on the way lies in the same memory for all of them, since no two ever run at once:
        # torch's allocator uses it again for what is recorded on the same stream.
        with torch.cuda.device(device):
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()
        self._failed: list[torch.cuda.CUDAGraph] = []

    def record(self, work: Work, given: Sequence[Tensor]) -> "Recording | None":
        """The work on tensors of the shapes of ``given``, or None where it cannot be recorded, which is logged.

        Raises:
            torch.OutOfMemoryError: smaller shapes may fit.
            torch.AcceleratorError: the device is lost.
        """
        with torch.cuda.device(self._device):
            inputs = [tensor.to(self._device, copy=True) for tensor in given]
            try:
                self._rehearse(work, inputs)
                graph, answer = self._record(work, inputs)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                torch.cuda.synchronize()  # raises where the device itself is lost
                _log.warning("a CUDA graph could not be recorded, so this shape goes without: %s", _first_line(error))
                return None
        return Recording(self._device, graph, work, inputs, answer)

    def _rehearse(self, work: Work, inputs: Sequence[Tensor]) -> None:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for _ in range(_REHEARSALS - 1):
                work(*inputs)
            with _no_waiting():
                work(*inputs)
        torch.cuda.current_stream().wait_stream(self._stream)

    def _record(self, work: Work, inputs: Sequence[Tensor]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            # The other threads of this process have work of their own for the device.
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                answer = work(*inputs)
        except RuntimeError as error:
            self._drop(graph, before)
            # The recording's own end fails too, and says only that there was an error before.
            raise error.__context__ if isinstance(error.__context__, RuntimeError) else error from None
        return graph, answer

    def _drop(self, graph: torch.cuda.CUDAGraph, before: torch.cuda.Stream) -> None:
        """Undo what a recording that has failed leaves: its stream is current, and the allocator fills its pool.

        torch up to 2.11 ends neither, and every later recording or `torch.cuda.empty_cache` would fail.
        """
        torch.cuda.set_stream(before)
        with contextlib.suppress(AttributeError, RuntimeError):  # private, and ended already in later versions
            torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), self._pool)
        self._pool = torch.cuda.graph_pool_handle()
        self._failed.append(graph)  # the allocator may still ask it


@contextlib.contextmanager
def _no_waiting() -> Iterator[None]:
    """Within it what waits for the device raises RuntimeError: a recording that fails so far costs nothing."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a prototype, torch says, which does not find all of it
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)


class Recording:
    """Recorded work, which is given its tensors and played back by calling it."""

    def __init__(
        self, device: torch.device, graph: torch.cuda.CUDAGraph, work: Work, inputs: Sequence[Tensor], answer: Tensor
    ) -> None:
        self._device = device
        self._graph = graph
        self._work = work  # it holds what else the graph reads
        self._inputs = inputs
        self._answer = answer

    def __call__(self, *given: Tensor) -> Tensor:
        """The answer for tensors of the recorded shapes or of a smaller batch, on any device; good until the next call.

        The rest of a smaller batch is computed from what was there before, and left out.
        """
        count = len(given[0])
        for recorded, new in zip(self._inputs, given, strict=True):
            recorded[:count].copy_(new)
        with torch.cuda.device(self._device):  # the stream that it is played on is the current device's
            self._graph.replay()
        return self._answer[:count]


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
