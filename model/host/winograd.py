"""3x3 convolutions with fewer products, by Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray 2016).

Sixteen outputs take 36 products a pair of channels where one by one they take 144. The sums before and after cost
time, too, and move four times the data; it pays where there are many channels and many places, as in a ResNet-50's
feature pyramid and head. In fp32 alone: the sums magnify what bf16 rounds off, and integers have no room for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from model.host.graphs import Graphs
from model.host.mapped_weights import MappedWeights
from model.structures import Canvas, FloatArray

# Fewer places or channels gain nothing that the sums do not take; more weights than 256 x 256 leave the processor's
# cache for every strip. Measured layer by layer on Zen 4 (docs/performance.md).
_LEAST_PLACES = 2_000
_LEAST_CHANNELS = 192
_MOST_WEIGHTS = 256 * 256
# What lies between the sums is a strip's alone, which the cache holds: 12 MB with 256 channels.
_TILES_IN_A_STRIP = 340

_OUT, _IN = 4, 6  # a tile's side, of what is computed and of what is read
# The matrices of the points 0, 1, -1, 2, -2 and infinity (Lavin and Gray 2016, section 4.3).
_OF_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=np.float32,
)
_OF_WEIGHTS = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_OF_OUTPUT = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=np.float32
)
# OpenVINO's Gather gives zeros for what lies beyond its table: the convolution's padding.
_BEYOND = np.iinfo(np.int32).max


def with_winograd(graphs: Graphs, canvases: Sequence[Canvas]) -> Graphs:
    """Graphs for pictures of any size still; by these canvases it is decided which convolutions change, and how.

    Values differ by some 1e-5 of the largest from those of products one by one.
    """
    graph = graphs.convolutions.clone()
    largest = max(canvases, key=lambda canvas: canvas.pixels)
    maps = _maps(graphs.convolutions, largest)
    products: dict[str, Any] = {}  # by what they are made of: a head's layer is there once for each level
    for layer in graph.get_ordered_ops():
        if layer.get_type_name() != "Convolution":
            continue
        size = maps[layer.get_friendly_name()]
        if size.pixels >= _LEAST_PLACES and _fits(layer):
            weights = layer.input_value(1).get_node()
            name = weights.get_friendly_name()
            if name not in products:
                products[name] = _products(weights.data)
            rows = [-(-canvas.height * size.height // (largest.height * _OUT)) for canvas in canvases]
            strips = _strips(rows, size.pixels / _OUT**2 / _TILES_IN_A_STRIP)
            layer.output(0).replace(_convolved(layer.input_value(0), products[name], strips))
    graph.validate_nodes_and_infer_types()
    if products:
        MappedWeights(graphs.convolutions).let_go()  # those that were read have no other reader
    return replace(graphs, convolutions=graph)


def _strips(rows: Sequence[int], about: float) -> int:
    """Into about so many strips, all alike, maps of these numbers of tile rows are cut with the fewest left over."""
    numbers = range(max(1, round(about * 3 / 4)), max(1, round(about * 5 / 4)) + 1)
    return min(numbers, key=lambda number: sum(-(-count // number) * number / count for count in rows))


def _maps(graph: Any, canvas: Canvas) -> dict[str, Canvas]:
    """How large each convolution's output is on this canvas."""
    sized = graph.clone()
    sized.reshape([1, canvas.height, canvas.width, 3])
    layers = [layer for layer in sized.get_ordered_ops() if layer.get_type_name() == "Convolution"]
    sides = {layer.get_friendly_name(): layer.get_output_shape(0)[2:] for layer in layers}
    return {name: Canvas(width=width, height=height) for name, (height, width) in sides.items()}


def _fits(layer: Any) -> bool:
    *channels, height, width = layer.get_input_shape(1)
    ones = (*layer.get_strides(), *layer.get_dilations(), *layer.get_pads_begin(), *layer.get_pads_end())
    return bool(
        (height, width) == (3, 3)
        and set(ones) == {1}
        and min(channels) >= _LEAST_CHANNELS
        and np.prod(channels) <= _MOST_WEIGHTS
        and layer.input_value(1).get_node().get_type_name() == "Constant"
    )


@dataclass(frozen=True, slots=True)
class _Tiling:
    """How a map is cut, as operations that know its size when it comes, each of one int64.

    ``count``, ``height``, ``width``: pictures and their maps' sides; ``across``: tiles beside one another; ``down``:
    those above one another in a strip.
    """

    count: Any
    height: Any
    width: Any
    across: Any
    down: Any


def _products(weights: FloatArray) -> Any:
    """What the sums of a tile are multiplied with, (36, C, K), of weights (K, C, 3, 3)."""
    from openvino import opset13 as op

    outputs, inputs = weights.shape[:2]
    sums = np.einsum("ij,kcjl,ml->mick", _OF_WEIGHTS, weights, _OF_WEIGHTS, optimize=True)
    return op.constant(sums.reshape(_IN**2, inputs, outputs).astype(np.float32))


def _convolved(given: Any, products: Any, strips: int) -> Any:
    """Maps (N, C, H, W) to (N, K, H, W), strip by strip."""
    from openvino import opset13 as op

    inputs = products.get_output_shape(0)[1]
    # Over a flat map, OpenVINO gives the channels the last place in half the time.
    flat = op.transpose(op.reshape(given, _whole([0, 0, -1]), special_zero=True), _whole([0, 2, 1]))
    table = op.reshape(flat, _whole([-1, inputs]), special_zero=False)
    tiling = _tiling(given, strips)
    parts = [_strip(table, tiling, products, number) for number in range(strips)]
    sides = op.concat([tiling.height, tiling.width], 0)
    whole = op.slice(op.concat(parts, 1), _whole([0, 0]), sides, _whole([1, 1]), _whole([1, 2]))
    return op.transpose(whole, _whole([0, 3, 1, 2])).output(0)


def _tiling(given: Any, strips: int) -> _Tiling:
    from openvino import opset13 as op

    sides = op.shape_of(given, "i64")
    count, height, width = (op.gather(sides, _whole([axis]), _whole(0)) for axis in (0, 2, 3))
    tiles = _divided_up(height, _OUT)
    return _Tiling(count, height, width, _divided_up(width, _OUT), _divided_up(tiles, strips))


def _strip(table: Any, tiling: _Tiling, products: Any, number: int) -> Any:
    """One strip of every picture, (N, 4 * down, 4 * across, K); ``table``: (N * H * W, C)."""
    from openvino import opset13 as op

    inputs, outputs = products.get_output_shape(0)[1:]
    read = _summed(_OF_INPUT, op.gather(table, _columns(tiling, number), _whole(0)), [_IN, -1])
    lines = op.multiply(tiling.count, _rows_read(tiling))
    by_line = op.reshape(read, _shape(_IN, lines, -1), special_zero=False)
    tiles = _summed(_OF_INPUT, op.gather(by_line, _rows(tiling), _whole(1)), [_IN, _IN, -1])
    multiplied = op.matmul(op.reshape(tiles, _whole([_IN**2, -1, inputs]), False), products, False, False)
    summed = _summed(_OF_OUTPUT, _summed(_OF_OUTPUT, multiplied, [_IN, _IN, -1]), [_IN, -1])
    # (column, row in a tile, tiles down, across, K): its rows and columns go where they belong
    stacked = op.multiply(tiling.count, tiling.down)
    apart = op.reshape(summed, _shape(_OUT, _OUT, stacked, tiling.across, outputs), special_zero=False)
    height, width = (op.multiply(side, _whole([_OUT])) for side in (tiling.down, tiling.across))
    return op.reshape(
        op.transpose(apart, _whole([2, 1, 3, 0, 4])), _shape(tiling.count, height, width, outputs), special_zero=False
    )


def _summed(matrix: FloatArray, values: Any, shape: Sequence[int]) -> Any:
    """The matrix times values of this shape, of whose last two axes the first is summed over."""
    from openvino import opset13 as op

    return op.matmul(op.constant(matrix), op.reshape(values, _whole(shape), special_zero=False), False, False)


def _columns(tiling: _Tiling, number: int) -> Any:
    """Where in the table the strip's rows have each tile's six columns: (6, N, rows read, across)."""
    from openvino import opset13 as op

    first = op.multiply(tiling.down, _whole([_OUT * number]))
    rows = op.add(op.subtract(first, _whole([1])), _range(_rows_read(tiling), [1, 1, -1, 1]))
    starts = op.multiply(_range(tiling.across, [1, 1, 1, -1]), _whole([_OUT]))
    columns = op.add(starts, _whole(np.arange(_IN).reshape(-1, 1, 1, 1) - 1))
    before = op.multiply(_range(tiling.count, [1, -1, 1, 1]), tiling.height)
    places = op.add(op.multiply(op.add(before, rows), tiling.width), columns)
    inside = op.logical_and(_within(rows, tiling.height), _within(columns, tiling.width))
    return op.convert(op.select(inside, places, _whole(_BEYOND)), "i32")


def _rows(tiling: _Tiling) -> Any:
    """Which of all pictures' rows read are each tile's six: (6, N * down)."""
    from openvino import opset13 as op

    starts = op.multiply(_range(tiling.down, [1, 1, -1]), _whole([_OUT]))
    before = op.multiply(_range(tiling.count, [1, -1, 1]), _rows_read(tiling))
    rows = op.add(op.add(before, starts), _whole(np.arange(_IN).reshape(-1, 1, 1)))
    return op.convert(op.reshape(rows, _whole([_IN, -1]), special_zero=False), "i32")


def _rows_read(tiling: _Tiling) -> Any:
    """Of a strip: its own, and one above and below."""
    from openvino import opset13 as op

    return op.add(op.multiply(tiling.down, _whole([_OUT])), _whole([_IN - _OUT]))


def _divided_up(number: Any, by: int) -> Any:
    from openvino import opset13 as op

    return op.divide(op.add(number, _whole([by - 1])), _whole([by]))


def _within(places: Any, side: Any) -> Any:
    from openvino import opset13 as op

    return op.logical_and(op.greater_equal(places, _whole([0])), op.less(places, side))


def _range(length: Any, shape: Sequence[int]) -> Any:
    """0, 1, ... along the axis of this shape that is -1."""
    from openvino import opset13 as op

    numbers = op.range(_whole(0), op.squeeze(length, _whole([0])), _whole(1), "i64")
    return op.reshape(numbers, _whole(shape), special_zero=False)


def _shape(*sides: Any) -> Any:
    from openvino import opset13 as op

    return op.concat([_whole([side]) if isinstance(side, int) else side for side in sides], 0)


def _whole(values: Any) -> Any:
    from openvino import opset13 as op

    return op.constant(np.array(values, dtype=np.int64))
