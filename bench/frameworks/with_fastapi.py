"""Plain FastAPI: the function in a thread of Starlette's pool, uvicorn with a process for each core."""

import os
import sys
from functools import cache
from typing import Annotated

import uvicorn
from fastapi import FastAPI, File

from bench.frameworks.torchvision_proposals import PATH, WORKERS, Answer, TorchvisionProposals

app = FastAPI()
network = cache(TorchvisionProposals)


@app.post(PATH)
def propose(image: Annotated[bytes, File()]) -> Answer:
    """The picture's proposals."""
    return network()(image)


if __name__ == "__main__":
    uvicorn.run(f"{__spec__.name}:app", port=int(sys.argv[1]), workers=int(os.environ[WORKERS]), access_log=False)
