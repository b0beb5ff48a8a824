"""Plain FastAPI: the function in a thread of Starlette's pool, uvicorn with a process for each core.

Which process has a connection is the kernel's choice: often one has all of them, and its threads all the work.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, TypedDict

import uvicorn
from fastapi import FastAPI, File, Request

from bench.frameworks.torchvision_proposals import PATH, WORKERS, Answer, TorchvisionProposals

# uvicorn kills a worker that has not answered it for 5 seconds, and one that is importing torch does not.
_WORKER_ANSWERS_WITHIN_S = 60


class State(TypedDict):
    """What a worker holds."""

    network: TorchvisionProposals


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
    """Each worker loads the network before it takes requests."""
    yield {"network": TorchvisionProposals()}


app = FastAPI(lifespan=lifespan)


@app.post(PATH)
def propose(request: Request, image: Annotated[bytes, File()]) -> Answer:
    """The picture's proposals."""
    network: TorchvisionProposals = request.state.network
    return network(image)


if __name__ == "__main__":
    uvicorn.run(
        f"{__spec__.name}:app",
        port=int(sys.argv[1]),
        workers=int(os.environ[WORKERS]),
        access_log=False,
        timeout_worker_healthcheck=_WORKER_ANSWERS_WITHIN_S,
    )
