"""BentoML: a worker for each core."""

import os
import sys
from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType

from bench.frameworks.torchvision_proposals import PATH, WORKERS, Answer, TorchvisionProposals


@bentoml.service(workers=int(os.environ[WORKERS]))
class Proposals:
    """The picture's proposals."""

    def __init__(self) -> None:
        self._network = TorchvisionProposals()

    @bentoml.api(route=PATH)  # type: ignore[untyped-decorator]
    def propose(self, image: Annotated[Path, ContentType("image/jpeg")]) -> Answer:
        """As the network answers."""
        return self._network(image.read_bytes())


if __name__ == "__main__":
    command = [sys.executable, "-m", "bentoml", "serve", f"{__spec__.name}:Proposals", "--port", sys.argv[1]]
    os.execv(sys.executable, [*command, "--host", "127.0.0.1"])
