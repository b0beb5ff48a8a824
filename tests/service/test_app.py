import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("module", ["service.app", "service.server", "service.cli", "tests.service.fakes"])
def test_the_service_never_imports_torch(module):
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_imports_run_one_way():
    """Only the composition root knows the model's door, and only what starts a process knows the root."""
    for path in (ROOT / "service").rglob("*.py"):
        source = path.read_text()
        assert not re.search(r"^\s*(from|import) torch(vision)?\b", source, re.MULTILINE), path
        if path.name != "app.py":
            assert "model.predictor import" not in source, path
        if path.name != "server.py" and path.parent.name != "commands":
            assert "from service.app import" not in source, path
    for path in (ROOT / "model").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) service\b", path.read_text(), re.MULTILINE), path
