"""Whether answers under load are the answers that a caller gets alone."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.answers import Agreement, agreement, read_floats
from bench.load import Plan, run_load

# More than lanes, or than pictures in a batch: each picture meets others on its way.
_CLIENTS = 32
# Answers for each picture, so that it meets other companions each time.
_TURNS = 8


def compare_answers(addresses: Sequence[str], pictures: Sequence[str]) -> tuple[Agreement, int]:
    """How badly any answer in a crowd agrees with the answer to its picture alone, and how many were compared.

    Answers are taken as floats; of those that are equal to the bit one is compared.
    """
    plan = Plan(addresses[:1], pictures, 1, requests=len(pictures), warm_up=0, accept="application/octet-stream")
    with tempfile.TemporaryDirectory() as alone, tempfile.TemporaryDirectory() as crowd:
        run_load(replace(plan, answers=alone))
        requests = _TURNS * len(pictures)
        run_load(replace(plan, addresses=addresses, clients=_CLIENTS, requests=requests, answers=crowd))
        found = [_with_its_own(path, Path(alone)) for path in sorted(Path(crowd).iterdir())]
    return Agreement(min(a.same for a in found), max(a.furthest_px for a in found)), len(found)


def _with_its_own(answer: Path, alone: Path) -> Agreement:
    picture = answer.name.rpartition("-")[0]
    reference = next(alone.glob(f"{picture}-*"))
    return agreement(read_floats(reference.read_bytes()), read_floats(answer.read_bytes()))
