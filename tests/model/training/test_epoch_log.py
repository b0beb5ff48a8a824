from pathlib import Path

from model.evaluation.training_log import read_log
from model.training.epoch_log import write_epoch


def row(epoch: int, loss: float = 0.5) -> dict[str, float]:
    figures = {"learning_rate": 1e-3, "seconds": 8.25, "pictures_per_second": 12.5, "objectness": loss, "AR@10": 0.25}
    return {"epoch": epoch, "steps": epoch * 3, **figures}


def test_the_report_reads_what_training_writes(tmp_path: Path):
    path = tmp_path / "log.csv"
    write_epoch(path, row(1))
    write_epoch(path, row(2, 0.123456789))
    log = read_log(path)
    assert log.epochs == [1, 2]
    assert log.losses == {"objectness": [0.5, 0.12346]}, "counters and speeds are no losses"
    assert log.recalls == {"AR@10": [0.25, 0.25]}
    assert log.columns["pictures_per_second"] == [12.5, 12.5]


def test_an_epoch_that_is_done_again_or_a_run_begun_anew_replaces_its_rows(tmp_path: Path):
    path = tmp_path / "log.csv"
    for epoch in (1, 2, 3):
        write_epoch(path, row(epoch))
    write_epoch(path, row(2, 0.75))
    assert read_log(path).losses["objectness"] == [0.5, 0.75]
    write_epoch(path, row(1))
    assert read_log(path).epochs == [1]


def test_lines_that_are_no_rows_are_not_kept(tmp_path: Path):
    path = tmp_path / "log.csv"
    path.write_text("epoch,steps\n1,3\nbroken\n,\n")
    write_epoch(path, {"epoch": 2, "steps": 6, "box": 0.5})
    assert path.read_text() == "epoch,steps,box\n1,3,\n2,6,0.5\n"
