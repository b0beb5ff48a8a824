"""torchvision without torch's compiler.

torchvision 0.29 imports ``torch._dynamo`` for one question that ``roi_align`` asks in training. With it come a thousand
modules that serving never uses: here they took 2.2 s and 150 MB of every process.
"""

import sys
from types import ModuleType

_COMPILER = "torch._dynamo"


def import_torchvision() -> None:
    """Import torchvision, with a stand-in for torch's compiler while it is imported and not after.

    Nothing happens where either is already imported. A later ``import torch._dynamo`` gets the real one; only
    ``roi_align`` keeps the stand-in's answer, that it cannot be compiled here, and stays uncompiled.
    """
    if _COMPILER in sys.modules or "torchvision" in sys.modules:
        return
    import torch  # noqa: F401  # first: it may look for its compiler itself

    compiler, questions = ModuleType(_COMPILER), ModuleType(f"{_COMPILER}.utils")
    compiler.__path__ = []  # a package
    questions.is_compile_supported = lambda device_type: False  # type: ignore[attr-defined]
    sys.modules |= {_COMPILER: compiler, f"{_COMPILER}.utils": questions}
    try:
        import torchvision  # noqa: F401
    except Exception:  # another version asks for more: it is imported as it is, when it is needed
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    finally:
        for name in (f"{_COMPILER}.utils", _COMPILER):
            sys.modules.pop(name, None)
