from pathlib import Path

import pytest

from service.errors import StartupError
from service.settings import (
    ModelSource,
    Settings,
    current_values,
    read_settings,
    setting_rows,
    shipped_checkpoint,
    unknown_names,
)


def test_defaults_are_what_the_service_promises():
    settings = Settings()
    shipped = ("general", "pedestrian", "face")
    assert settings.models == tuple(ModelSource(name, shipped_checkpoint(name)) for name in shipped)
    assert (settings.max_upload_bytes, settings.max_pixels) == (20_000_000, 50_000_000)
    assert (settings.host, settings.port, settings.device) == ("127.0.0.1", 8000, "auto")


def test_environment_is_read(monkeypatch):
    monkeypatch.setenv("RPN_MODELS", "general, peer=/elsewhere/x.safetensors")
    monkeypatch.setenv("RPN_PORT", "9000")
    settings = read_settings(port=9001)
    assert [source.name for source in settings.models] == ["general", "peer"]
    assert settings.models[1].path == Path("/elsewhere/x.safetensors")
    assert settings.port == 9001, "the command line wins"


def test_shipped_name_lies_in_the_weights_package():
    assert shipped_checkpoint("general").parts[-2:] == ("weights", "general.safetensors")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RPN_PORT", "x", "RPN_PORT=x"),
        ("RPN_PORT", "70000", "65535"),
        ("RPN_DEVICE", "tpu", "RPN_DEVICE=tpu"),
        ("RPN_MODELS", "", "at least one model"),
        ("RPN_MODELS", "a,a", "occurs twice"),
        ("RPN_MODELS", "a=", "names no path"),
        ("RPN_MODELS", "../x", "neither a name"),
        ("RPN_MODELS", "a=~no-such-user/x", "'~no-such-user/x': there is no such home"),
        ("RPN_DEADLINE_S", "nan", "RPN_DEADLINE_S=nan"),
        ("RPN_MAX_REQUEST_BYTES", "10", "RPN_MAX_UPLOAD_BYTES"),
        ("RPN_MAX_HELD_BYTES", "10", "RPN_MAX_HELD_BYTES is smaller than RPN_MAX_REQUEST_BYTES"),
        ("RPN_KEEP_ALIVE_S", "0", "RPN_KEEP_ALIVE_S=0"),
        ("RPN_LOG_LEVEL", "loud", "RPN_LOG_LEVEL=loud"),
    ],
)
def test_bad_value_is_one_line_that_names_it(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(StartupError) as caught:
        read_settings()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_setting_has_a_row_with_a_description():
    rows = setting_rows()
    assert [row.name for row in rows] == [f"RPN_{name.upper()}" for name in Settings.model_fields]
    assert all(row.description.endswith(".") for row in rows)
    assert all(row.type in {"int", "float", "str", "list", "path", "choice"} for row in rows)


def test_current_values_are_spelt_as_the_environment_spells_them():
    values = current_values(Settings(models="general,peer=/x.safetensors"))
    assert values["RPN_MODELS"] == "general,peer=/x.safetensors"
    assert values["RPN_PORT"] == "8000"


def test_misspelt_variables_are_found():
    assert unknown_names({"RPN_MAX_BATHC": "1", "RPN_PORT": "1", "PATH": ""}) == ["RPN_MAX_BATHC"]


def test_decode_threads_default_to_some():
    assert Settings().decode_workers >= 1
    assert Settings(decode_threads=3).decode_workers == 3
