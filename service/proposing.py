"""One picture's way from its bytes to its result; of several each goes its own, and fails alone."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.errors import PictureError
from model.structures import Selection
from service.answers import Found, result
from service.batching import Batcher
from service.errors import DeadlineExceeded, ServiceError
from service.images import Decoder
from service.parameters import ProposeQuery
from service.problems import as_service_error, problem
from service.uploads import Upload

_log = logging.getLogger("service.proposing")


@dataclass(frozen=True, slots=True)
class Proposing:
    """What all the pictures of one request have in common. ``deadline`` is on the event loop's clock."""

    batcher: Batcher
    decoder: Decoder
    query: ProposeQuery
    selection: Selection
    deadline: float
    request_id: str

    async def one(self, upload: Upload) -> Found:
        """A picture's proposals.

        Raises:
            ServiceError, PictureError: why there is none.
        """
        if upload.error is not None:
            raise upload.error
        try:
            asked_at = time.perf_counter()
            async with asyncio.timeout_at(self.deadline), self.batcher.place(self.deadline):
                model = self.batcher.model
                picture = await self.decoder.decode(
                    upload.data, model.input_rule, draws=model.draws, asked_at=asked_at, deadline=self.deadline
                )
                inference = await self.batcher.propose(picture.pixels, picture.placement, self.selection, self.deadline)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before the answer was ready") from None
        return Found(self.batcher.model, picture, inference, self.query)

    async def several(self, uploads: Sequence[Upload]) -> list[dict[str, Any]]:
        """For each picture, in their order, its result or its problem."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one_or_problem(i, upload)) for i, upload in enumerate(uploads)]
        return [task.result() for task in tasks]

    async def _one_or_problem(self, index: int, upload: Upload) -> dict[str, Any]:
        try:
            return result(await self.one(upload))
        except (ServiceError, PictureError) as error:
            told = as_service_error(error)
        except Exception as error:
            _log.exception("unexpected fault", extra={"request_id": self.request_id, "index": index})
            told = as_service_error(error)
        return problem(told, self.request_id, index=index, filename=upload.filename)
