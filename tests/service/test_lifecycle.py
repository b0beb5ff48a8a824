import pytest

from service.errors import Draining, NotReady
from service.lifecycle import Lifecycle, Phase


def test_loading_takes_nothing():
    with pytest.raises(NotReady):
        Lifecycle().check_accepting()


def test_ready_and_leaving_take_what_comes():
    lifecycle = Lifecycle()
    lifecycle.loaded()
    lifecycle.check_accepting()
    lifecycle.leave()
    assert lifecycle.phase is Phase.LEAVING
    lifecycle.check_accepting()


def test_draining_takes_nothing_new_and_never_goes_back():
    lifecycle = Lifecycle()
    lifecycle.drain()
    lifecycle.loaded()
    lifecycle.leave()
    assert lifecycle.phase is Phase.DRAINING
    with pytest.raises(Draining):
        lifecycle.check_accepting()


def test_failure_is_kept():
    lifecycle = Lifecycle()
    error = RuntimeError("no")
    lifecycle.failed(error)
    lifecycle.drain()
    assert (lifecycle.phase, lifecycle.failure) == (Phase.FAILED, error)
