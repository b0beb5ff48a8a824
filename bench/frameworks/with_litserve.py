"""LitServe: a worker for each core, a picture at a time."""

import os
import sys
from typing import cast

import litserve
from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from bench.frameworks.torchvision_proposals import PATH, WORKERS, Answer, TorchvisionProposals


class Proposals(litserve.LitAPI):  # type: ignore[misc]
    """The picture's proposals."""

    def setup(self, device: str) -> None:
        """In each worker, once."""
        self._network = TorchvisionProposals()

    def decode_request(self, request: Request) -> bytes:
        """The JPEG's bytes. For a parameter of this type LitServe hands over the form."""
        return cast("UploadFile", cast("FormData", request)["image"]).file.read()

    def predict(self, jpeg: bytes) -> Answer:
        """As the network answers."""
        return self._network(jpeg)

    def encode_response(self, answer: Answer) -> Answer:
        """JSON already."""
        return answer


if __name__ == "__main__":
    server = litserve.LitServer(
        Proposals(api_path=PATH), accelerator="cpu", workers_per_device=int(os.environ[WORKERS]), timeout=False
    )
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
