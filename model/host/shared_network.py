"""A network compiled for several calls at once, made ready in the background while another one answers."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

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
                threading.Thread(target=self._prepare, args=(canvas,), name="sharing", daemon=True).start()
        return None

    def _prepare(self, canvas: Canvas) -> None:
        try:
            with self._turn:
                if self._compile is not None:
                    self._network, self._compile = self._compile(), None
                if self._network is not None:
                    self._run_blank(self._network, canvas)
                    self._ready.add(canvas)
        except Exception:
            _log.exception("calls cannot share the processor on %s; they go on taking turns", canvas)

    def _run_blank(self, network: OpenVINONetwork, canvas: Canvas) -> None:
        """As often at once as there are lanes: each of them has kernels of its own."""
        pixels = np.zeros((1, canvas.height, canvas.width, 3), dtype=np.uint8)
        contents = np.array([[canvas.width, canvas.height]], dtype=np.float32)
        with ThreadPoolExecutor(self._lanes, thread_name_prefix="sharing") as threads:
            running = [
                threads.submit(propose, network, pixels, contents, [Selection()], None) for _ in range(self._lanes)
            ]
            for one in running:
                one.result()
