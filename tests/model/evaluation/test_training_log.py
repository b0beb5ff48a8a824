import math
from pathlib import Path

import pytest

from model.errors import DataError
from model.evaluation.training_log import read_log


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(text)
    return path


def test_losses_and_recalls_are_told_apart(tmp_path: Path):
    log = read_log(
        written(tmp_path, "epoch,steps,objectness,box,AR@100,R@10/0.5\n1,9,0.5,0.1,0.2,0.3\n2,18,0.4,0.09\n")
    )
    assert log.epochs == [1, 2]
    assert log.losses == {"objectness": [0.5, 0.4], "box": [0.1, 0.09]}
    assert list(log.recalls) == ["AR@100", "R@10/0.5"]
    assert log.recalls["AR@100"][0] == 0.2
    assert math.isnan(log.recalls["AR@100"][1]), "the row ends before it"


def test_a_run_that_has_finished_no_epoch(tmp_path: Path):
    assert read_log(written(tmp_path, "epoch,steps,box\n")).epochs == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'epoch'"),
        ("a,b\n1,2\n", "no column 'epoch'"),
        ("epoch,box\n1,2\n2,x\n", "line 3: could not convert"),
        ("epoch,box\n1,2,3\n", "line 2: 3 values for 2 columns"),
        ("epoch,box\n1,2\nnan,2\n", "line 3: 'epoch' must be a finite number, not nan"),
        ("epoch,box\n,2\n", "line 2: 'epoch' must be a finite number, not nan"),
        ("epoch,box\ninf,2\n", "line 2: 'epoch' must be a finite number, not inf"),
    ],
)
def test_what_is_no_log_is_named(tmp_path: Path, text: str, message: str):
    with pytest.raises(DataError, match=message) as caught:
        read_log(written(tmp_path, text))
    assert "log.csv" in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(DataError, match="No such file"):
        read_log(tmp_path / "log.csv")
    (tmp_path / "log.csv").write_bytes(b"epoch\xff\n")
    with pytest.raises(DataError, match="not a CSV file"):
        read_log(tmp_path / "log.csv")
