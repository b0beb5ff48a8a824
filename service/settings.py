"""Settings, read from the environment: ``RPN_`` and a field's name in capitals."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from model.cores import usable_cores
from model.host.graphs import DEFAULT_CACHE
from model.precision import Precision
from service.errors import StartupError

PREFIX = "RPN_"

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model to load: the name that callers use, and its checkpoint's path."""

    name: str
    path: Path

    @classmethod
    def parse(cls, text: str) -> "ModelSource":
        """``name`` (a checkpoint that ships with the project) or ``name=path``."""
        name, equals, path = (part.strip() for part in text.partition("="))
        if not _MODEL_NAME.fullmatch(name):
            raise ValueError(f"{text!r} is neither a name nor name=path")
        if equals and not path:
            raise ValueError(f"{text!r} names no path")
        return cls(name, _expanded(path) if path else shipped_checkpoint(name))

    def __str__(self) -> str:
        return self.name if self.path == shipped_checkpoint(self.name) else f"{self.name}={self.path}"


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # `~` of no such user, or of one without a home
        raise ValueError(f"{path!r}: there is no such home") from error


def shipped_checkpoint(name: str) -> Path:
    """Where a checkpoint of this name lies in the installed ``weights`` package."""
    return Path(str(resources.files("weights").joinpath(f"{name}.safetensors")))


def _parse_models(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    sources = tuple(ModelSource.parse(part) for part in value.split(",") if part.strip())
    if not sources:
        raise ValueError("at least one model is needed")
    names = [source.name for source in sources]
    if len(set(names)) != len(names):
        raise ValueError(f"a name occurs twice in {value!r}")
    return sources


def _join_models(sources: tuple[ModelSource, ...]) -> str:
    return ",".join(map(str, sources))


Models = Annotated[
    tuple[ModelSource, ...], NoDecode, BeforeValidator(_parse_models), PlainSerializer(_join_models, return_type=str)
]


class Settings(BaseSettings):
    """Everything that can be set. The descriptions are what ``rpn settings`` prints and the README shows."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, validate_default=True, extra="forbid")

    models: Models = Field(
        default="general,pedestrian,face",
        validate_default=True,
        description="Models to load, comma-separated: `name` for one that ships with the project, or `name=path`. "
        "The first is the default.",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="`auto` (CUDA where there is one, else the CPU), `cpu`, `cuda` or `cuda:N`.",
    )
    precision: Precision = Field(
        default="auto",
        description="What the network computes in: `auto` (`int8` on a CPU with AVX2 for models that were measured "
        "for it, such as those that ship; else `bf16` where the device is faster in it, else `fp32`), or one of "
        "these by name, for every model. `bf16` is many times slower on a processor without it.",
    )
    runtime: Literal["auto", "torch", "openvino", "cuda-graphs"] = Field(
        default="auto",
        description="What computes the network: `auto` (`cuda-graphs` on a GPU; `openvino` on a CPU where it is "
        "installed, else `torch`), or one of these by name. `torch` is for both.",
    )
    lanes: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Batches computed at once on a CPU; 0 takes one for each core and, with OpenVINO, one more, at "
        "most eight. A GPU has one.",
    )
    # As if it were not set: an empty path would be the folder that the service is started in.
    cache_dir: Annotated[Path, BeforeValidator(lambda given: given or DEFAULT_CACHE)] = Field(
        default=DEFAULT_CACHE,
        description="Folder for networks converted for OpenVINO, 25 to 65 MB for each model that ships, more for "
        "larger ones. Where it cannot be written to, every start converts them again.",
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    max_upload_bytes: int = Field(default=20_000_000, ge=1, description="Largest picture, in bytes as uploaded.")
    max_request_bytes: int = Field(
        default=64_000_000, ge=1, description="Largest multipart body, all its pictures together, in bytes."
    )
    max_pixels: int = Field(
        default=50_000_000, ge=1, description="Most pixels that a picture may declare; more are refused undecoded."
    )
    max_pictures: int = Field(default=16, ge=1, description="Most pictures in one multipart request.")
    max_requests: int = Field(
        default=128,
        ge=1,
        description="Requests held at once, from before the body is read; more get 429. Also how many decoded pictures "
        "of each model wait at once, where requests bring several.",
    )
    max_held_bytes: int = Field(
        default=1_000_000_000,
        ge=1,
        description="Most bytes of the bodies of all requests held at once; who brings more gets 429.",
    )
    max_batch: int = Field(
        default=0,
        ge=0,
        description="Most pictures in one batch; 0 takes what suits the device: one on a CPU, where each core takes a "
        "picture of its own, eight on a GPU.",
    )
    max_batch_pixels: int = Field(
        default=16_000_000, ge=1, description="Most canvas pixels in one batch; a lone picture always passes."
    )
    max_top_n: int = Field(
        default=1000,
        ge=300,
        description="Largest `top_n` that a caller may ask for. A model "
        "returns no more than its own `max_top_n`: 1000 of those that ship.",
    )
    decode_threads: int = Field(
        default=0, ge=0, le=256, description="Threads that decode pictures; 0 takes half the cores, at most 8."
    )
    body_timeout_s: float = Field(
        default=10.0, gt=0, allow_inf_nan=False, description="Longest silence while a body is uploaded; then 408."
    )
    upload_timeout_s: float = Field(
        default=120.0, gt=0, allow_inf_nan=False, description="Longest time for a whole upload; then 408."
    )
    deadline_s: float = Field(
        default=30.0,
        gt=0,
        allow_inf_nan=False,
        description="Longest time from the uploaded body to the answer; then 504.",
    )
    keep_alive_s: float = Field(
        default=75.0,  # nginx's; longer than any `Retry-After` and than most balancers' 60
        gt=0,
        allow_inf_nan=False,
        description="How long a connection is kept for a caller's next request, in whole seconds, rounded up. A load "
        "balancer that keeps idle connections itself must give them up before. One that has brought no request yet is "
        "kept for 10.",
    )
    drain_grace_s: float = Field(
        default=5.0,
        ge=0,
        allow_inf_nan=False,
        description="After SIGTERM, time to go on serving while `/readyz` already says 503, so that load balancers "
        "look away first.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe log lines written: `debug`, `info`, `warning` or `error`."
    )

    @model_validator(mode="after")
    def _room_for_one_picture(self) -> "Settings":
        if self.max_request_bytes < self.max_upload_bytes:
            raise ValueError("RPN_MAX_REQUEST_BYTES is smaller than RPN_MAX_UPLOAD_BYTES")
        if self.max_held_bytes < self.max_request_bytes:
            raise ValueError("RPN_MAX_HELD_BYTES is smaller than RPN_MAX_REQUEST_BYTES")
        return self

    @property
    def decode_workers(self) -> int:
        """``decode_threads``, or what 0 stands for here."""
        # Half, because torch's own threads take every core while a network runs.
        return self.decode_threads or min(8, max(1, usable_cores() // 2))


class SettingRow(NamedTuple):
    """One setting, as tables show it."""

    name: str
    type: str
    default: str
    description: str


def setting_rows() -> list[SettingRow]:
    """Every setting in the order of definition."""
    return [
        SettingRow(PREFIX + name.upper(), _type_name(field.annotation), str(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def current_values(settings: Settings) -> dict[str, str]:
    """Environment name to the value in force."""
    return {PREFIX + name.upper(): str(value) for name, value in settings.model_dump().items()}


def read_settings(**overrides: Any) -> Settings:
    """The settings of this process's environment; ``overrides`` (from the command line) win.

    Raises:
        StartupError: one line that names every bad value.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise StartupError("; ".join(_fault(fault) for fault in error.errors(include_url=False))) from error


def unknown_names(environ: Mapping[str, str]) -> list[str]:
    """Variables that begin like ours and are none of ours: most likely misspelt."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    return sorted(name for name in environ if name.upper().startswith(PREFIX) and name.upper() not in known)


def _type_name(annotation: Any) -> str:
    if annotation in (int, float, str):
        return str(annotation.__name__)
    if annotation is Path:
        return "path"
    return "list" if "ModelSource" in str(annotation) else "choice"


def _fault(fault: Any) -> str:
    reason = str(fault["msg"]).removeprefix("Value error, ")
    if not fault["loc"]:
        return reason
    return f"{PREFIX}{str(fault['loc'][0]).removeprefix(PREFIX.lower()).upper()}={fault['input']!s}: {reason}"
