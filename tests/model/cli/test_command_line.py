import sys

import pytest

from model.cli.command_line import command_line


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--data", "/home/me/scenes"], "--data scenes"),
        (["--data=/home/me/scenes", "--seed=3"], "--data=scenes --seed=3"),
        (["--data=/home/me/a=b/c=d", "--out", "/runs/e=f"], "--data=c=d --out e=f"),
        (["--data=scenes/a", "--name", "-a=/b"], "--data=scenes/a --name -a=/b"),
    ],
)
def test_paths_are_told_without_where_they_lie(given: list[str], told: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/rpn", "train", *given])
    assert command_line() == f"rpn train {told}"
