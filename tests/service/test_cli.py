import importlib

import pytest

from service import cli
from service.commands.settings import markdown_table
from service.settings import Settings


def test_settings_are_printed_with_their_values(monkeypatch, capsys):
    monkeypatch.setenv("RPN_PORT", "9000")
    assert cli.main(["settings"]) == 0
    printed = capsys.readouterr().out
    assert "RPN_PORT=9000  (int, default 8000)" in printed
    assert all(f"RPN_{name.upper()}=" in printed for name in Settings.model_fields)


def test_settings_as_markdown(capsys):
    assert cli.main(["settings", "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert printed == markdown_table()
    assert "| `RPN_PORT` | int | `8000` |" in printed


def test_what_can_be_expected_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("RPN_PORT", "x")
    assert cli.main(["serve"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("rpn: RPN_PORT=x: ")
    assert printed.err.count("\n") == 1


def test_interrupted(monkeypatch):
    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "build_parser", interrupt)
    assert cli.main(["settings"]) == 130


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in cli.COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["dance"], ["serve", "--port", "x"]])
def test_misuse_is_told(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: rpn" in capsys.readouterr().err


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_declares_itself(name, capsys):
    importlib.import_module(cli.COMMANDS[name].module)
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: rpn {name}" in capsys.readouterr().out
