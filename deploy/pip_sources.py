"""Write down where pip on this machine takes packages from, for a build in a container; print the paths it needs.

    python3 deploy/pip_sources.py pip.conf

Indexes, folders of wheels, certificates and proxies, from pip's configuration files and `PIP_` variables, go to one
file. Printed, one a line, are the local files and folders that they name: what the container must be given as well.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

_INDEXES = ("index-url", "extra-index-url")
_OPTIONS = (
    *_INDEXES,
    *(
        "find-links",
        "no-index",
        "cert",
        "client-cert",
        "trusted-host",
        "proxy",
        "timeout",
        "default-timeout",
        "retries",
    ),
)
_SECTIONS = ("global", "install", ":env:")  # a later one wins, as in pip


def main() -> None:
    """Write the file that the command line names, print the paths."""
    sources = sources_in(_pip_config_list(), os.environ)
    lines = [f"{option} = {value}".replace("\n", "\n    ") for option, value in sources.items()]
    Path(sys.argv[1]).write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")
    sys.stdout.writelines(f"{path}\n" for path in sorted(set(local_paths(sources))))


def sources_in(config_list: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The options that say where packages come from, out of what `pip config list` prints."""
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in config_list.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if section in found and option in _OPTIONS:
            found[section][option] = str(ast.literal_eval(value))
    sources = {option: value for section in _SECTIONS for option, value in found[section].items()}
    # pip asks these only after its own option; inside the container they are not set.
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if environ.get(variable):
            sources.setdefault("cert", environ[variable])
    return sources


def local_paths(sources: Mapping[str, str]) -> Iterator[Path]:
    """The existing local files and folders that the options name."""
    for option, value in sources.items():
        for word in value.split():
            path = Path(unquote(urlsplit(word).path) if word.startswith("file:") else word)
            if option in _INDEXES and len(path.parts) > 2:
                path = path.parent  # the pages of an index commonly point to files beside it
            if path.is_absolute() and path.exists():
                yield path


def _pip_config_list() -> str:
    command = [sys.executable, "-m", "pip", "config", "list"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


if __name__ == "__main__":
    main()
