"""In processes of their own: what is imported stays imported."""

import subprocess
import sys
from pathlib import Path

import pytest


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_torchvision_comes_without_torchs_compiler_which_can_still_be_imported():
    code = """
import sys
from model.light_import import import_torchvision
import_torchvision()
assert "torchvision" in sys.modules
assert not [name for name in sys.modules if name.startswith("torch._dynamo")]
import model.predictor
import torch, torchvision
assert torchvision.ops.nms(torch.tensor([[0., 0, 1, 1]]), torch.tensor([1.0]), 0.5).tolist() == [0]
boxes = torch.tensor([[0, 0.0, 0.0, 4.0, 4.0]])
assert torchvision.ops.roi_align(torch.ones(1, 1, 8, 8), boxes, 2).shape == (1, 1, 2, 2)
assert not [name for name in sys.modules if name.startswith("torch._dynamo")]
import torch._dynamo
print(torch._dynamo.is_compiling())
"""
    assert run(code) == "False"


@pytest.mark.parametrize("first", ["torchvision", "torch._dynamo"])
def test_it_leaves_alone_what_is_there(first: str):
    code = f"""
import sys, {first}
from model.light_import import import_torchvision
before = sys.modules["torch._dynamo"]
import_torchvision()
print(sys.modules["torch._dynamo"] is before and before.__file__ is not None)
"""
    assert run(code) == "True"


def test_a_torchvision_that_asks_for_more_is_left_to_be_imported_as_it_is(tmp_path: Path):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("import torchvision.part, torch._dynamo\ntorch._dynamo.config\n")
    (package / "part.py").write_text("")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from model.light_import import import_torchvision
import_torchvision()
print([name for name in sys.modules if name.startswith(("torchvision", "torch._dynamo"))])
"""
    assert run(code) == "[]"
