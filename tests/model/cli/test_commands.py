"""`rpn train`, `rpn eval` and `rpn weights` as a user types them, on drawn scenes."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torchvision.models import detection

from model.checkpoints.checkpoint import file_sha256, load_checkpoint, save_checkpoint
from model.evaluation import quantization
from model.quantization import Quantization
from service import cli
from tests.scenes import write_coco, write_voc


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_coco(folder, "train", range(8))
    write_coco(folder, "val", range(20, 24))
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "scenes"
    command = ["train", "--data", str(data), "--out", str(out), "--epochs", "1", "--batch-size", "4"]
    assert cli.main([*command, "--input-size", "96", "--device", "cpu", "--workers", "0", "--seed", "5"]) == 0
    return out


def fault(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert cli.main([str(a) for a in arguments]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    return printed


def test_a_checkpoint_says_how_it_was_made_but_not_where(run: Path, data: Path):
    checkpoint = load_checkpoint(run / "last.safetensors")
    assert checkpoint.name == data.name
    assert checkpoint.provenance["training"]["recipe"]["seed"] == 5
    assert checkpoint.config.input.size == 96
    assert str(data.parent) not in json.dumps(checkpoint.provenance)


def test_training_from_a_checkpoint_keeps_its_history(run: Path, data: Path, tmp_path: Path):
    start = run / "last.safetensors"
    command = ["train", "--data", str(data), "--out", str(tmp_path / "next"), "--from", str(start), "--epochs", "1"]
    assert cli.main([*command, "--limit", "4", "--device", "cpu", "--workers", "0"]) == 0
    checkpoint = load_checkpoint(tmp_path / "next" / "best.safetensors")
    assert checkpoint.provenance["started_from"]["digest"] == load_checkpoint(start).digest
    assert checkpoint.config.input.size == 96


def test_eval_prints_and_writes_the_same_figures(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "figures.json"
    command = ["eval", str(run / "best.safetensors"), "--data", str(data / "val.json"), "--json", str(out)]
    assert cli.main([*command, "--device", "cpu"]) == 0
    figures = json.loads(out.read_text())
    printed = capsys.readouterr().out
    checkpoint = load_checkpoint(run / "best.safetensors")
    nms = checkpoint.config.selection.nms_iou
    title = f"{checkpoint.name} 0 on {data / 'val.json'}, 4 pictures; NMS at {nms:g}, torch fp32 on cpu\n"
    assert printed.startswith(title)
    (row,) = (line.split() for line in printed.splitlines() if line.split()[:1] == ["all"])
    assert [float(v) for v in row[1:6]] == [figures[f"AR@{b}"] for b in (1, 10, 100, 300, 1000)]
    validation = checkpoint.metrics["validation"]
    assert {name: figures[name] for name in validation} == validation
    assert set(figures) - set(validation) == {"ECE", "ECE/raw", "ECE@100", "ECE@100/raw"}


def test_eval_measures_the_precision_that_a_service_would_compute_in(run: Path, data: Path, tmp_path: Path):
    figures = {}
    for precision in ("fp32", "bf16"):
        out = tmp_path / f"{precision}.json"
        arguments = ["eval", str(run / "last.safetensors"), "--data", str(data), "--precision", precision]
        assert cli.main([*arguments, "--json", str(out)]) == 0
        figures[precision] = json.loads(out.read_text())
    assert figures["fp32"] != figures["bf16"]
    assert figures["fp32"]["AR@1000"] == pytest.approx(figures["bf16"]["AR@1000"], abs=0.1)


def test_eval_takes_pictures_from_elsewhere_and_another_nms(run: Path, data: Path, tmp_path: Path):
    (tmp_path / "val.json").write_bytes((data / "val.json").read_bytes())
    elsewhere = ["--data", str(tmp_path / "val.json"), "--images", str(data / "images")]
    assert cli.main(["data", "check", *elsewhere[1:]]) == 0
    figures = []
    for number, options in enumerate((["--data", str(data / "val.json")], elsewhere, [*elsewhere, "--nms-iou", "0.1"])):
        out = tmp_path / f"{number}.json"
        command = ["eval", str(run / "best.safetensors"), "--device", "cpu", "--json", str(out), *options]
        assert cli.main(command) == 0
        figures.append(json.loads(out.read_text()))
    as_it_lies, moved, strict = figures
    assert moved == as_it_lies
    assert strict["AR@1000"] < moved["AR@1000"]


def test_an_import_can_be_told_the_epsilon_of_its_norms(tmp_path: Path):
    network = detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    torch.save(network.state_dict(), tmp_path / "detector.pth")
    command = ["weights", "import", str(tmp_path / "detector.pth"), "--out", str(tmp_path / "peer.safetensors")]
    assert cli.main([*command, "--norm-eps", "0"]) == 0
    assert load_checkpoint(tmp_path / "peer.safetensors").config.backbone.norm_eps == 0.0


def test_eval_writes_a_report_with_the_runs_own_losses(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    report = tmp_path / "report.html"
    command = ["eval", run / "best.safetensors", "--data", data / "val.json", "--device", "cpu", "--report", report]
    assert cli.main([str(a) for a in command]) == 0
    assert "(not calibrated)" in capsys.readouterr().out
    html = report.read_text()
    assert "Losses on the training set" in html
    assert f"{data.name}/val.json" in html
    assert str(data.parent) not in html
    assert "none.csv: No such file" in fault(capsys, *command, "--log", tmp_path / "none.csv")


def test_a_report_shows_pictures_whose_names_have_no_encoding(run: Path, data: Path, tmp_path: Path):
    shutil.copytree(data, tmp_path / "data")
    content = json.loads((data / "val.json").read_text())
    old, new = tmp_path / "data" / "images" / content["images"][0]["file_name"], os.fsdecode(b"caf\xe9.png")
    old.rename(old.with_name(new))
    content["images"][0]["file_name"] = new
    (tmp_path / "data" / "val.json").write_text(json.dumps(content))
    report = tmp_path / "report.html"
    command = ["eval", run / "best.safetensors", "--data", tmp_path / "data" / "val.json", "--report", report]
    assert cli.main([str(argument) for argument in command]) == 0
    assert "caf\\udce9.png" in report.read_text(encoding="utf-8")


def test_what_happens_to_be_called_a_log_stops_no_measuring(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    weights, log, report = tmp_path / "best.safetensors", tmp_path / "log.csv", tmp_path / "report.html"
    weights.write_bytes((run / "best.safetensors").read_bytes())
    log.write_text("time,message\n12:00,started\n")
    command = ["eval", weights, "--data", data / "val.json", "--device", "cpu"]
    assert cli.main([str(a) for a in command]) == 0
    assert "log.csv" not in capsys.readouterr().err, "nobody has asked for a report"
    assert cli.main([str(a) for a in (*command, "--report", report)]) == 0
    said = f"not in the report: {log}: not a training log (no column 'epoch')\n"
    assert capsys.readouterr().err.startswith(said), "before anything is measured"
    assert "Losses on the training set" not in report.read_text()
    log.write_text("epoch,box\nnan,0.5\n")
    named = fault(capsys, *command, "--report", report, "--log", log)
    assert named == f"rpn: {log}: line 2: 'epoch' must be a finite number, not nan\n"


def test_baselines_and_other_checkpoints_stand_beside_the_first(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out, report = tmp_path / "figures.json", tmp_path / "report.html"
    first, second = run / "best.safetensors", run / "last.safetensors"
    command = ["eval", first, second, "--data", data / "val.json", "--device", "cpu", "--json", out, "--report", report]
    options = ["--baseline", "selective-search", "--baseline", "sliding-window", "--nms-iou", "0.6"]
    assert cli.main([str(a) for a in (*command, *options)]) == 0
    printed = capsys.readouterr().out
    figures = json.loads(out.read_text())
    name = load_checkpoint(first).name
    names = [f"{name} 0 (scenes/{path.name})" for path in (first, second)] + ["selective-search", "sliding-window"]
    assert list(figures["compared"]) == names
    said = [f"{name}: NMS at 0.6, torch fp32 on cpu" for name in names[:2]]
    assert all(f"\n{line}; calibration error: " in printed for line in said)
    assert f"<p>{'; '.join(said)}.</p>" in report.read_text()
    for figure, value in figures["compared"][names[0]].items():
        assert figure == "seconds_per_picture" or figures[figure] == value
    assert all(row["seconds_per_picture"] > 0 for row in figures["compared"].values())
    for method in names:
        recalls = [f"{figures['compared'][method][f'AR@{b}']:.4f}" for b in (1, 10, 100, 300, 1000)]
        assert f"{method}  {'  '.join(recalls)}".split() in [line.removeprefix("all").split() for line in rows(printed)]
        assert f">{method}</th>" in report.read_text()
    assert "Side by side" in report.read_text()


def rows(printed: str) -> list[str]:
    """The table's rows without the count of boxes at their ends."""
    return [line.strip().rpartition(" ")[0].strip() for line in printed.splitlines()]


def test_a_voc_folder_trains_and_is_measured_like_any(tmp_path: Path):
    voc = tmp_path / "voc"
    write_voc(voc, "train", range(4))
    split = write_voc(voc, "val", range(20, 24))
    command = ["train", "--data", str(voc), "--out", str(tmp_path / "run"), "--epochs", "1", "--input-size", "96"]
    assert cli.main([*command, "--device", "cpu", "--workers", "0"]) == 0
    weights = tmp_path / "run" / "best.safetensors"
    expected = load_checkpoint(weights).metrics["validation"]
    for place in (voc, split):  # a folder stands for its val split
        out = tmp_path / "figures.json"
        command = ["eval", str(weights), "--data", str(place), "--json", str(out), "--device", "cpu"]
        assert cli.main(command) == 0
        assert expected.items() <= json.loads(out.read_text()).items()


def test_a_release_is_halved_measured_and_carded(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("openvino")
    monkeypatch.setattr(quantization, "loss", lambda floats, integers: 0.0)  # what four scenes lose is chance
    about = tmp_path / "about.json"
    about.write_text(json.dumps({"data": "Drawn scenes.", "limits": "Shapes only.", "measured_on": "unseen scenes"}))
    out = tmp_path / "scenes.safetensors"
    command = ["weights", "release", str(run / "best.safetensors"), "--out", str(out), "--version", "1"]
    command += ["--input-size", "128", "--nms-iou", "0.8", "--overlap-penalty", "0.75"]
    assert cli.main([*command, "--data", str(data / "val.json"), "--about", str(about), "--device", "cpu"]) == 0
    assert out.stat().st_size < 0.6 * (run / "best.safetensors").stat().st_size
    assert out.stat().st_mode & 0o044, "others must be able to read it"
    card = out.with_suffix(".md").read_text()
    assert file_sha256(out) in card
    assert "\nReleased by `rpn" in card
    assert " seconds of steps on " in card, "in minutes it would be none"
    assert all(text in card for text in ("Drawn scenes.", "Shapes only.", "unseen scenes", "seed 5"))
    capsys.readouterr()
    assert cli.main(["weights", "show", str(out)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["version"], shown["sha256"]) == ("1", file_sha256(out))
    selection = shown["config"]["selection"]
    assert (shown["config"]["input"]["size"], selection["nms_iou"]) == (128, 0.8)
    assert selection["overlap_penalty"] == {"ious": [0.5, 0.7], "logits": 0.75}
    assert "0.75 of a proposal's logit for each of the IoUs 0.5 and 0.7" in card
    assert "| NMS | 0.8, for callers who name none |" in card
    assert shown["quantization"]["input_ranges"]
    integers = "unseen scenes, in int8 as a CPU serves it"
    assert list(shown["metrics"]) == ["unseen scenes", integers, "unseen scenes, the same network with random weights"]
    assert f" on {integers}:" in card
    measured = tmp_path / "int8.json"
    command = ["eval", str(out), "--data", str(data / "val.json"), "--precision", "int8", "--json", str(measured)]
    assert cli.main([*command, "--device", "cpu"]) == 0
    assert "; NMS at 0.8, openvino int8 on cpu\n" in capsys.readouterr().out
    again = json.loads(measured.read_text())
    stated = shown["metrics"][integers]
    for figure, value in stated.items():  # an ECE is of a curve that has not seen the picture there, and has here
        assert again[figure] == pytest.approx(value, abs=0.05 if "ECE" in figure else 1e-3), figure
    assert f"| {integers} | {stated['ECE/raw']:.4f} | {stated['ECE']:.4f} |" in card
    figures = shown["metrics"]["unseen scenes"]
    assert shown["calibration"]["nms_ious"] == [0.5, 0.7, 0.8, 0.9]
    for nms, row in (("", "unseen scenes"), ("/nms0.5", "NMS at 0.5")):
        before, after = figures[f"ECE/raw{nms}"], figures[f"ECE{nms}"]
        assert after < before
        assert f"| {row} | {before:.4f} | {after:.4f} |" in card
    assert "\n- after NMS at 0.5: " in card


def test_a_release_that_integers_would_spoil_does_without(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("openvino")
    monkeypatch.setattr(quantization, "loss", lambda floats, integers: 0.01)
    measured, out = tmp_path / "measured.safetensors", tmp_path / "scenes.safetensors"
    ranges = Quantization({"head.conv.0.0": (0.0, 1.0)})
    save_checkpoint(replace(load_checkpoint(run / "best.safetensors"), quantization=ranges), measured)
    command = ["weights", "release", str(measured), "--out", str(out), "--version", "1"]
    assert cli.main([*command, "--data", str(data / "val.json"), "--device", "cpu"]) == 0
    assert "not for int8: " in capsys.readouterr().err
    assert load_checkpoint(out).quantization is None, "nor is what was measured before taken over"
    assert len(load_checkpoint(out).metrics) == 2


def test_what_cannot_be_measured_is_not_released(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    bare, out = tmp_path / "bare.json", tmp_path / "scenes.safetensors"
    bare.write_text(json.dumps({**json.loads((data / "val.json").read_text()), "annotations": []}))
    command = ("weights", "release", run / "best.safetensors", "--out", out, "--version", "1", "--data", bare)
    printed = fault(capsys, *command)  # its pictures are not there: none is looked at
    assert printed == f"rpn: {bare}: none of its pictures has a box to find\n"
    assert [path.name for path in tmp_path.iterdir()] == ["bare.json"]


def test_a_checkpoint_is_quantized_where_it_loses_no_more_than_that(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("openvino")
    trained, out = run / "best.safetensors", tmp_path / "quantized.safetensors"
    command = ("weights", "quantize", trained, "--data", data / "val.json", "--device", "cpu", "--out")
    with monkeypatch.context() as patch:
        patch.setattr(quantization, "loss", lambda floats, integers: 0.01)
        assert "in int8 it loses 0.0100 of AR@100 or AR@1000, more than 0.003" in fault(capsys, *command, out)
    assert not out.exists()
    assert "--most-lost must lie between 0 and 1, not 2.0" in fault(capsys, *command, out, "--most-lost", "2")
    assert "must end in .safetensors" in fault(capsys, *command, tmp_path / "quantized.pt")
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps({**json.loads((data / "val.json").read_text()), "annotations": []}))
    (tmp_path / "images").symlink_to(data / "images")
    without = ("weights", "quantize", trained, "--data", bare, "--device", "cpu", "--out", out)
    assert fault(capsys, *without) == f"rpn: {bare}: none of its pictures has a box to find\n"
    assert cli.main([*map(str, command), str(out), "--most-lost", "1"]) == 0
    said = capsys.readouterr().out
    made, before = load_checkpoint(out), load_checkpoint(trained)
    assert made.digest in said
    assert all(f" {name} " in said for name in ("fp32", "int8"))
    assert made.quantization is not None
    assert dict(made.state_dict).keys() == dict(before.state_dict).keys()
    assert all(torch.equal(made.state_dict[name], tensor) for name, tensor in before.state_dict.items())
    assert made.version == before.version
    assert made.provenance["quantized_by"].startswith("rpn")


def test_what_cannot_be_done_is_one_line(run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    assert "neither train.json (COCO) nor" in fault(capsys, "train", "--data", tmp_path, "--out", out)
    assert "none: is no folder" in fault(capsys, "train", "--data", tmp_path / "none", "--out", out)
    assert "val.json: is no folder" in fault(capsys, "train", "--data", data / "val.json", "--out", out)
    assert "none.safetensors" in fault(capsys, "train", "--data", data, "--out", out, "--from", "none.safetensors")
    assert "multiple of 32" in fault(capsys, "train", "--data", data, "--out", out, "--input-size", "100")
    assert "--input-size: rpn_vgg16" in fault(
        capsys, "train", "--data", data, "--out", out, "--architecture", "rpn_vgg16", "--input-size", "96"
    )
    assert "epochs must be at least 1" in fault(capsys, "train", "--data", data, "--out", out, "--epochs", "0")
    assert "val.json: No such file" in fault(capsys, "eval", run / "best.safetensors", "--data", tmp_path / "val.json")
    twice = (run / "best.safetensors", run / "best.safetensors")
    assert "would both be called" in fault(capsys, "eval", *twice, "--data", data / "val.json")
    measured = ("eval", run / "best.safetensors", "--data", data / "val.json")
    assert "--nms-iou must lie between 0 and 1, not 2.0" in fault(capsys, *measured, "--nms-iou", "2")
    assert "--batch-size must be at least 1, not 0" in fault(capsys, *measured, "--batch-size", "0")
    ship = ("weights", "release", run / "best.safetensors", "--data", data / "val.json", "--out")
    for target in (out.with_suffix(".md"), "."):
        assert "must end in .safetensors" in fault(capsys, *ship, target, "--version", "1")
    assert "--version must not be empty" in fault(capsys, *ship, out.with_suffix(".safetensors"), "--version", " ")
    release = (*ship, out.with_suffix(".safetensors"), "--version", "1")
    assert "nms_iou must lie in [0, 1], not 2.0" in fault(capsys, *release, "--nms-iou", "2")
    assert "logits must be positive and finite, not -1.0" in fault(capsys, *release, "--overlap-penalty", "-1")
    strict = ("--overlap-penalty", "1.5", "--nms-iou", "0.5")
    assert "--overlap-penalty: NMS at 0.5 leaves nothing to penalise" in fault(capsys, *release, *strict)
    assert "about.json: No such file" in fault(capsys, *release, "--about", tmp_path / "about.json")
    (tmp_path / "about.json").write_text("[1]")
    assert "about.json: must be an object of texts" in fault(capsys, *release, "--about", tmp_path / "about.json")
    (tmp_path / "about.json").write_text(json.dumps({"limits": "None.", "digest": "sha256:0"}))
    (tmp_path / "deep.json").write_text("[" * 100_000)
    assert "deep.json: not JSON" in fault(capsys, *release, "--about", tmp_path / "deep.json")
    imported = ("weights", "import", tmp_path / "none.pth", "--out", tmp_path / "peer.pth")
    assert "peer.pth: must end in .safetensors" in fault(capsys, *imported)
    unknown = "about.json: 'digest' is none of data, limits, measured_on"
    assert unknown in fault(capsys, *release, "--about", tmp_path / "about.json")
    assert "--log is for the report" in fault(capsys, *measured, "--log", run / "log.csv")
    lost = tmp_path / "lost"
    write_coco(lost, "train", range(2))
    (lost / "images" / "scene_1.png").unlink()
    assert "scene_1.png is not there" in fault(capsys, "train", "--data", lost, "--out", out)
    assert not list(tmp_path.glob("out*")), "nothing is written before the arguments are known to be good"


def test_prepare_converts_what_is_not_there(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("openvino")
    command = ["weights", "prepare", "--cache", str(tmp_path / "cache"), str(run / "last.safetensors")]
    for said in ("converted", "there already"):
        assert cli.main(command) == 0
        assert capsys.readouterr().out == f"{run / 'last.safetensors'}: {said}\n"
    (tmp_path / "file").write_text("")
    command[3] = str(tmp_path / "file" / "cache")
    assert "cache: cannot be written to" in fault(capsys, *command)
