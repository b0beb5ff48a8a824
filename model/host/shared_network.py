"""A network compiled for several calls at once, made ready in the background while another one answers."""

import logging
import threading
from collections.abc import Callable

import numpy as np

from model.host.openvino_network import OpenVINONetwork
from model.host.proposing import propose
from model.structures import Canvas, Selection

_log = logging.getLogger("model.execution")


class SharedNetwork:
    """Compiled when a canvas is first asked for, and made ready canvas by canvas, as they are asked for.

    A second or more goes by before all canvases are ready, and memory; the one that is in demand is ready sooner, and
    those that nobody sends cost nothing. ``compile_network`` makes the network, for ``lanes`` calls at once.
    """

    def __init__(self, compile_network: Callable[[], OpenVINONetwork], lanes: int) -> None:
        self._compile: Callable[[], OpenVINONetwork] | None = compile_network  # let go of once compiled
        self._lanes = lanes
        self._network: OpenVINONetwork | None = None
        self._turn = threading.Lock()  # one canvas at a time is made ready
        self._asking = threading.Lock()
        self._asked: set[Canvas] = set()
        self._ready: set[Canvas] = set()

    def at(self, canvas: Canvas) -> OpenVINONetwork | None:
        """The network, once it is ready for this canvas; None until then, and for good where it cannot be made."""
        if canvas in self._ready:
            return self._network
        with self._asking:
            if canvas not in self._asked:
                self._asked.add(canvas)
                self._begin(canvas)
        return None

    def _begin(self, canvas: Canvas) -> None:
        # Not a daemon: an interpreter that ends waits for it, since OpenVINO aborts where it is taken apart at work.
        try:
            threading.Thread(target=self._prepare, args=(canvas,), name="sharing").start()
        except RuntimeError:  # the system has no thread left: perhaps it has one the next time
            self._asked.discard(canvas)
            _log.warning("no thread to share the processor on %s; calls take turns", canvas, exc_info=True)

    def _prepare(self, canvas: Canvas) -> None:
        try:
            with self._turn:
                if self._compile is not None:
                    compile_network, self._compile = self._compile, None  # once, whatever comes of it
                    self._network = compile_network()
                if self._network is not None:
                    self._run_blank(self._network, canvas)
                    self._ready.add(canvas)
        except Exception:
            _log.exception("calls cannot share the processor on %s; they go on taking turns", canvas)

    def _run_blank(self, network: OpenVINONetwork, canvas: Canvas) -> None:
        """As often at once as there are lanes: each of them has kernels of its own."""
        pixels = np.zeros((1, canvas.height, canvas.width, 3), dtype=np.uint8)
        contents = np.array([[canvas.width, canvas.height]], dtype=np.float32)
        errors: list[Exception] = []

        def run() -> None:
            try:
                propose(network, pixels, contents, [Selection()])
            except Exception as error:
                errors.append(error)

        # Plain threads: an executor takes nothing more once the interpreter has begun to end.
        threads = [threading.Thread(target=run, name="sharing") for _ in range(self._lanes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
