"""Where the process stands between its start and its end."""

import enum

from service.errors import Draining, NotReady


class Phase(enum.StrEnum):
    """The stages of a process, in their order."""

    LOADING = "loading"
    READY = "ready"
    LEAVING = "leaving"  # told to stop: no longer ready, still serving what comes
    DRAINING = "draining"  # finishing what was accepted, refusing what is new
    FAILED = "failed"


class Lifecycle:
    """The phase, and the only ways to change it. It never goes back."""

    def __init__(self) -> None:
        self._phase = Phase.LOADING
        self._failure: Exception | None = None

    @property
    def phase(self) -> Phase:
        """Where the process stands."""
        return self._phase

    @property
    def failure(self) -> Exception | None:
        """Why it failed, if it did."""
        return self._failure

    def loaded(self) -> None:
        """Every model is loaded and warm."""
        if self._phase is Phase.LOADING:
            self._phase = Phase.READY

    def failed(self, error: Exception) -> None:
        """Loading failed, or the device is lost: the process can only end."""
        self._phase, self._failure = Phase.FAILED, error

    def leave(self) -> None:
        """Stop being ready, go on serving."""
        if self._phase in (Phase.LOADING, Phase.READY):
            self._phase = Phase.LEAVING

    def drain(self) -> None:
        """Refuse what is new from now on."""
        if self._phase is not Phase.FAILED:
            self._phase = Phase.DRAINING

    def check_accepting(self) -> None:
        """Pass if a new request may be taken.

        Raises:
            NotReady: models are not loaded.
            Draining: the process finishes what it has accepted and no more.
        """
        if self._phase is Phase.DRAINING:
            raise Draining("the service finishes what it has accepted and takes nothing new")
        if self._phase is Phase.FAILED:
            raise NotReady("the service has failed and is ending")
        if self._phase is Phase.LOADING:
            raise NotReady("the models are not loaded yet")
