import os
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from model.cores import default_threads

# No time an example may take: beside other work any may take long, and nothing here is about time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def _cores_of_its_own() -> Iterator[None]:
    """Tests that run beside others in processes of their own share the cores: torch's threads wait for each other by
    spinning, and with more of them than cores a training here took six times as long. The same goes for the processes
    that tests start, and for whatever asks anew how many threads to take."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = max(1, default_threads() // processes)
    with pytest.MonkeyPatch.context() as patch:
        if processes > 1:
            torch.set_num_threads(share)
            patch.setitem(os.environ, "OMP_NUM_THREADS", str(share))
        yield


@pytest.fixture(scope="session", autouse=True)
def _home_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Converted networks are kept under the home folder: neither take nor leave any in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "HOME", str(tmp_path_factory.mktemp("home")))
        yield
