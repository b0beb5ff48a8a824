"""What ``--name`` may be."""

from model.errors import ConfigError


def check_model_name(name: str | None) -> None:
    """Whether a model can be called this, where it is given.

    Raises:
        ConfigError: it is empty, or has a slash.
    """
    if name is not None and (not name.strip() or "/" in name):
        raise ConfigError(f"--name must be a name without slashes, not {name!r}")
