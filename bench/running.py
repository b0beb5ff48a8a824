"""Running parts one after the other."""

import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bench.load import UnexpectedAnswers
from bench.pages import Page

_RESULTS = Path(__file__).parent / "results"

Part = Callable[[], Page]


def run_parts(parts: Iterable[Part], folder: Path, machine: Mapping[str, str], command: str) -> int:
    """Measure each, write and print it as soon as it is done; the exit status.

    A part that fails has no result, and a page may say that what it measured is at fault: both are told on standard
    error; the others go on, and the status is 1.
    """
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(ending, signal.default_int_handler)  # as an interrupt: what was started is ended, too
    failed = 0
    for part in parts:
        try:
            page = part()
            print(page.write(folder, machine, command), flush=True)
        except UnexpectedAnswers as error:
            failed = _told(f"NO RESULT: neither proposals nor a refusal: {error}")
        except Exception:  # whatever it is, the parts after it are worth their figures
            failed = _told(f"NO RESULT: {traceback.format_exc()}")
        else:
            if page.fault is not None:
                failed = _told(f"AT FAULT: {page.name}: {page.fault}")
    return failed


def results_folder(out: Path | None, *, quick: bool) -> Path:
    """Where pages go: where they were asked to, or into the kept results; those of a quick run are not to be kept."""
    if out is not None:
        return out
    return Path(tempfile.mkdtemp(prefix="rpn-bench-quick-")) if quick else _RESULTS


def _told(what: str) -> int:
    print(what, file=sys.stderr, flush=True)
    return 1
