"""Where pip takes packages from here, for a build: the right options, merged as pip merges, and the paths they need."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "pip_sources.py"


@pytest.fixture(scope="module")
def pip_sources():
    spec = importlib.util.spec_from_file_location("pip_sources", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_variables_win_over_files_and_only_sources_are_taken(pip_sources):
    listed = "\n".join(
        [
            ":env:.find-links='/wheels'",
            ":env:.no-input='1'",
            "global.find-links='/old'",
            "global.index-url='https://packages.example/simple'",
            "global.cache-dir='/cache'",
            "install.index-url='https://mirror.example/simple'",
        ]
    )
    assert pip_sources.sources_in(listed, {}) == {
        "find-links": "/wheels",
        "index-url": "https://mirror.example/simple",
    }


def test_certificates_of_the_environment_stand_in_for_pips_own(pip_sources):
    environ = {"SSL_CERT_FILE": "/ssl.pem", "REQUESTS_CA_BUNDLE": "/requests.pem"}
    assert pip_sources.sources_in("", environ) == {"cert": "/requests.pem"}
    assert pip_sources.sources_in("global.cert='/own.pem'", environ) == {"cert": "/own.pem"}


def test_local_paths_exist_and_an_index_brings_what_lies_beside_it(pip_sources, tmp_path):
    (tmp_path / "mirror" / "simple").mkdir(parents=True)
    (tmp_path / "wheels here").mkdir()
    sources = {
        "extra-index-url": f"https://packages.example/simple\n{(tmp_path / 'mirror' / 'simple').as_uri()}",
        "find-links": f"{(tmp_path / 'wheels here').as_uri()} {tmp_path / 'gone'}",
    }
    assert list(pip_sources.local_paths(sources)) == [tmp_path / "mirror", tmp_path / "wheels here"]
