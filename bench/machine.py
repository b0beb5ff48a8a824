"""What the figures were taken on."""

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

import torch

from model.cores import processor_name, usable_cores

_REPOSITORY = Path(__file__).parent.parent
# What computes and what serves, where it is installed.
_PACKAGES = (
    "torch",
    "torchvision",
    "openvino",
    "pillow",
    "fastapi",
    "uvicorn",
    "uvloop",  # without it uvicorn takes asyncio's own loop and says nothing
    "httptools",
    "litserve",
    "bentoml",
    "ray",
)
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


def describe_machine(device: str = "cpu") -> dict[str, str]:
    """Processor, cores that may be used, what it has of vectors, the GPU if it is one, and what computes and serves."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    flags = set((re.search(r"^flags\s*: (.*)$", text, re.MULTILINE) or ["", ""])[1].split())
    return {
        "processor": processor_name(),
        "cores": str(usable_cores()),
        "vectors": ", ".join(flag for flag in _FLAGS if flag in flags) or "unknown",
        **_describe_gpu(device),
        "load at the start": f"{os.getloadavg()[0]:.1f}",
        **_describe_commit(),
        "python": platform.python_version(),
        **{name: version for name in _PACKAGES if (version := _version(name))},
    }


def _describe_commit() -> dict[str, str]:
    """Which code was measured, where that is a clone with git at hand."""
    if not (_REPOSITORY / ".git").exists():  # or git would name a repository that this folder only lies in
        return {}
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results")
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"commit": f"{commit}, changed" if changed else commit}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=_REPOSITORY, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _describe_gpu(device: str) -> dict[str, str]:
    if device == "cpu":
        return {}
    return {"gpu": torch.cuda.get_device_name(device), "cuda": str(torch.version.cuda)}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
