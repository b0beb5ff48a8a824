import math
from typing import Any

import pytest

from model.errors import ConfigError
from model.quantization import Quantization


def test_what_is_written_is_read():
    quantization = Quantization({"backbone.conv1": (0.0, 3.25), "head.conv.0.0": (-1.5, 2.0)})
    assert Quantization.from_dict(quantization.to_dict()) == quantization


@pytest.mark.parametrize(
    "range_", [(1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (math.nan, 1.0), (0.0, 1e300), (0.0, 1e-60)]
)
def test_a_range_that_is_none_names_its_convolution(range_: tuple[float, float]):
    with pytest.raises(ConfigError, match=r"quantization: head\.conv cannot read from"):
        Quantization({"head.conv": range_})


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"input_ranges": {"a": 1}},
        {"input_ranges": {"a": ["x", 1]}},
        {"input_ranges": {"a": [0, 10**400]}},
    ],
)
def test_another_document_is_refused(document: Any):
    with pytest.raises(ConfigError, match="not a table of ranges"):
        Quantization.from_dict(document)
    with pytest.raises(ConfigError, match="no layer has a range"):
        Quantization({})
