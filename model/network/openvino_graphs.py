"""A network's operations recorded by torch and read by OpenVINO, for pictures of any size."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from model.host.graphs import Graphs
from model.host.integer_weights import constant_weights
from model.network.convolutions import Convolutions
from model.network.folding import fold_norms
from model.network.network import ProposalNetwork
from model.network.refinement import RefinementHead, SecondStage, as_table

# Whichever picture and boxes the operations are recorded on, they hold for all.
_EXAMPLE_SIDE = 64
# The second stage's boxes that are taken up at once. What lies between its layers takes 13 MB in every thread that
# calls, for twice as many 25 MB and as long.
_BOXES_AT_ONCE = 1000


def convert(network: ProposalNetwork) -> Graphs:
    """The graphs of a network in evaluation mode; its norms are folded, in place, so it cannot be trained any more.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    fold_norms(network)
    pictures = torch.zeros(1, _EXAMPLE_SIDE, _EXAMPLE_SIDE, 3)
    recording = Convolutions(network).eval()
    try:
        graph = _recorded(recording, [pictures], [[-1, -1, -1, 3]])
        refinement = None
        if network.refinement is not None:
            with torch.no_grad():
                features = recording(pictures)[2 * len(network.backbone.strides) :]
            refinement = _second_stage(network.refinement, features)
    finally:
        # torch keeps every recorded module's weights with its type, for good: 25 MB a model that nobody uses again.
        torch.jit._state._clear_class_state()
        torch._C._jit_clear_class_registry()
    return Graphs(graph, refinement, network.backbone.strides)


def _second_stage(head: RefinementHead, features: Sequence[Tensor]) -> Any:
    """For one picture, tables of any length, and one number of boxes: OpenVINO's embedding bag takes no other."""
    count = min(head.config.proposals, _BOXES_AT_ONCE)
    table, maps = as_table(features)
    boxes = torch.tensor([[0.0, 0.0, _EXAMPLE_SIDE, _EXAMPLE_SIDE]]).repeat(count, 1)
    shapes = [[-1, table.shape[1]], list(maps.shape), [count, 4], [count]]
    return _recorded(SecondStage(head).eval(), [table, maps, boxes, torch.zeros(count)], shapes)


def _recorded(module: nn.Module, example: Sequence[Tensor], shapes: Sequence[Sequence[int]]) -> Any:
    from openvino import PartialShape, Type
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    given = tuple(example)
    with torch.no_grad(), _quiet():
        recorded = torch.jit.trace(module, given, check_trace=False)  # type: ignore[no-untyped-call]
        # The decoder must outlive the conversion: the front end only borrows it.
        decoder = TorchScriptPythonDecoder(torch.jit.freeze(recorded), example_input=given)
    front_end = FrontEndManager().load_by_framework("pytorch")
    graph = front_end.load(decoder)
    for place, tensor, shape in zip(graph.get_inputs(), given, shapes, strict=True):
        graph.set_element_type(place, Type.f32 if tensor.is_floating_point() else Type.i64)
        graph.set_partial_shape(place, PartialShape(shape))
    converted = front_end.convert(graph)
    _own_biases(converted)
    return converted


def _own_biases(graph: Any) -> None:
    """A constant for each convolution's bias, in the shape in which it is added.

    What is recorded gives it that shape on the way. A pyramid's levels have a head's bias in common, and where OpenVINO
    folds that way for all of them at once it does not take the sum into their convolutions.
    """
    from openvino import opset13

    for layer in graph.get_ordered_ops():
        if layer.get_type_name() != "Add" or layer.input_value(0).get_node().get_type_name() != "Convolution":
            continue
        bias = layer.input_value(1)
        if bias.get_node().get_type_name() == "Reshape":
            layer.input(1).replace_source_output(opset13.constant(constant_weights(bias)).output(0))
    graph.validate_nodes_and_infer_types()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No warnings that torch's tracing is going to be replaced (its successor takes seconds for each network), nor
    that what is computed from constants becomes one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
