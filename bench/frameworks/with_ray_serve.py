"""Ray Serve: a replica for each core."""

import os
import sys
from typing import cast

import ray
from ray import serve
from starlette.datastructures import UploadFile
from starlette.requests import Request

from bench.frameworks.torchvision_proposals import PATH, WORKERS, Answer, TorchvisionProposals


class Proposals:
    """The picture's proposals."""

    def __init__(self) -> None:
        self._network = TorchvisionProposals()

    async def __call__(self, request: Request) -> Answer:
        """As the network answers."""
        async with request.form() as form:
            return self._network(await cast("UploadFile", form["image"]).read())


if __name__ == "__main__":
    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    deployment = serve.deployment(Proposals, num_replicas=int(os.environ[WORKERS]))
    serve.run(deployment.bind(), route_prefix=PATH, blocking=True)
