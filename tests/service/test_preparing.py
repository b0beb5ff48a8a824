"""Networks are converted by another process, or at the latest by this one."""

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from model.architectures import architecture
from model.checkpoints.checkpoint import Checkpoint, save_checkpoint
from model.network.network import build_network
from service import preparing
from service.preparing import prepare_models
from service.settings import Settings

pytest.importorskip("openvino")

pytestmark = pytest.mark.anyio

PATIENCE_S = 20


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    config = architecture("rpn_mobilenet_v3_large_320_fpn")
    path = tmp_path / "small.safetensors"
    save_checkpoint(Checkpoint("small", "1", config, build_network(config).state_dict()), path)
    return Settings(models=f"small={path}", device="cpu", precision="fp32", cache_dir=tmp_path / "cache")


async def test_what_is_missing_is_converted_once(
    settings: Settings, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    strange = tmp_path / "strange" / "service"
    strange.mkdir(parents=True)
    (strange / "__init__.py").write_text("raise ImportError('what lies in the current directory is not ours')")
    monkeypatch.chdir(strange.parent)
    with caplog.at_level(logging.INFO):
        await prepare_models(settings, asyncio.to_thread)
        assert caplog.messages == ["converting networks, once", "networks converted"]
        [place] = settings.cache_dir.iterdir()
        assert json.loads((place / "facts.json").read_text())["strides"] == [32, 32, 64]
        caplog.clear()
        await prepare_models(settings, asyncio.to_thread)
    assert not caplog.messages


@pytest.mark.parametrize("interpreter", ["/bin/false", "/not/there", None])
async def test_where_that_fails_loading_is_left_to_do_it(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, interpreter: str | None
):
    monkeypatch.setattr(preparing.sys, "executable", interpreter)
    await prepare_models(settings, asyncio.to_thread)
    assert caplog.messages == ["networks were not converted in another process; this one does it"]


async def test_a_service_that_is_told_to_leave_leaves_no_process_behind(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(preparing.sys, "executable", str(slow))
    task = asyncio.create_task(prepare_models(settings, asyncio.to_thread))
    pid = await asyncio.to_thread(_number_in, tmp_path / "pid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(_wait_for, lambda: not _runs(pid))


def _number_in(path: Path) -> int:
    _wait_for(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
