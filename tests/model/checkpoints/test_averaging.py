from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.checkpoints.averaging import average
from model.checkpoints.card import write_card
from model.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.config import ModelConfig
from model.errors import CheckpointError, ConfigError
from model.network.network import build_network
from service import cli

Named = tuple[Path, Checkpoint]


@pytest.fixture
def named(tiny_config: ModelConfig) -> list[Named]:
    """Three of one network, as files have them: of 16 and of 32 bits."""
    made = []
    for number in range(3):
        torch.manual_seed(number)
        state_dict = dict(build_network(tiny_config).state_dict())
        if number == 0:
            state_dict = {n: t.half() if t.is_floating_point() else t for n, t in state_dict.items()}
        metrics, provenance = {"val": {"AR@100": 0.5}}, {"command": f"rpn train {number}", "released_by": "rpn"}
        checkpoint = Checkpoint(f"tiny{number}", "3", tiny_config, state_dict, provenance, metrics, f"sha256:{number}")
        made.append((Path(f"{number}.safetensors"), checkpoint))
    return made


def test_every_weight_is_the_mean(named: list[Named]):
    made = average(named, [1, 2, 5])
    for name, tensor in made.state_dict.items():
        parts = [one.state_dict[name] for _, one in named]
        if not tensor.is_floating_point():
            assert torch.equal(tensor, parts[-1])
            continue
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, (parts[0].float() + 2 * parts[1] + 5 * parts[2]) / 8)


def test_of_alike_ones_it_is_themselves(named: list[Named]):
    _, last = named[-1]
    made = average([named[-1]] * 3)
    assert all(torch.equal(tensor, last.state_dict[name]) for name, tensor in made.state_dict.items())


def test_shares_are_in_any_unit_and_equal_by_default(named: list[Named]):
    first, second = average(named[:2]), average(named[:2], [30.0, 30.0])
    assert all(torch.equal(tensor, second.state_dict[name]) for name, tensor in first.state_dict.items())


def test_what_was_measured_of_one_is_not_said_of_the_mean(named: list[Named]):
    made = average(named)
    assert (made.name, made.version, made.metrics, made.calibration, made.quantization, made.digest) == (
        "tiny2", "0", {}, None, None, "",
    )  # fmt: skip
    assert made.provenance["command"] == "rpn train 2"
    assert "released_by" not in made.provenance
    assert [one["digest"] for one in made.provenance["averaged"]] == ["sha256:0", "sha256:1", "sha256:2"]


def test_shares_may_be_as_large_as_numbers_are(named: list[Named]):
    first, second = average(named[:2], [1e308, 1e308]), average(named[:2])
    assert all(torch.equal(tensor, second.state_dict[name]) for name, tensor in first.state_dict.items())


def test_the_mean_of_a_mean_knows_what_that_was_made_of(named: list[Named]):
    (_, first), *_ = named
    mean = replace(average(named[1:]), digest="sha256:mean")
    made = average([(Path("0"), first), (Path("mean"), mean)], [3, 1])
    text = write_card(made, "x", "", 0)
    inner = "0.5 of tiny1 `sha256:1`, 0.5 of tiny2 `sha256:2`"
    assert f"0.75 of tiny0 `sha256:0`, 0.25 of tiny2 `sha256:mean` (itself the mean of {inner})." in text


def test_the_mean_of_what_was_imported_is_told(named: list[Named]):
    imported = {"imported": {"network": "torchvision's", "sha256": "0"}}
    made = average([(path, replace(one, provenance=imported)) for path, one in named[:2]])
    assert "SHA-256 `0`. Then the mean of weights, `rpn weights average`: 0.5 of tiny0" in write_card(made, "x", "", 0)


def test_sizes_of_pictures_and_numbers_of_boxes_may_differ(named: list[Named], tiny_config: ModelConfig):
    (path, first), (_, second), _ = named
    selection = replace(tiny_config.selection, nms_iou=0.9)
    made = average([(path, replace(first, config=replace(tiny_config, selection=selection))), (path, second)])
    assert made.config == tiny_config


def test_another_network_is_named(named: list[Named], tiny_config: ModelConfig):
    (path, first), second, _ = named
    anchors = replace(tiny_config.anchors, aspect_ratios=(1.0, 2.0, 4.0))
    for changed, reason in (
        (replace(first, config=replace(tiny_config, anchors=anchors)), "with other settings"),
        (replace(first, config=replace(tiny_config, architecture="rpn_other")), "rpn_other, not "),
        (replace(first, state_dict=dict(list(first.state_dict.items())[1:])), "does not fit"),
    ):
        with pytest.raises(CheckpointError, match=f"0.safetensors: another network than 1.safetensors: .*{reason}"):
            average([(path, changed), second])


@pytest.mark.parametrize(
    ("count", "shares", "reason"),
    [
        (1, [], "two checkpoints or more"),
        (2, [1.0], "2 checkpoints want as many shares, not 1"),
        (2, [1.0, 0.0], "above 0 and finite, not 0"),
        (2, [float("nan"), 1.0], "above 0 and finite, not nan"),
    ],
)
def test_shares_that_do_not_fit_are_refused(named: list[Named], count: int, shares: list[float], reason: str):
    with pytest.raises(ConfigError, match=reason):
        average(named[:count], shares)


def test_the_command_writes_it_and_its_card_can_say_so(named: list[Named], tmp_path: Path, capsys):
    files = [tmp_path / path for path, _ in named]
    digests = [save_checkpoint(checkpoint, file) for file, (_, checkpoint) in zip(files, named, strict=True)]
    out = tmp_path / "mean.safetensors"
    command = ["weights", "average", *map(str, files), "--out", str(out), "--shares", "1", "1", "2"]
    assert cli.main(command) == 0
    made = load_checkpoint(out)
    assert made.digest in capsys.readouterr().out
    assert all(torch.equal(t, made.state_dict[n]) for n, t in average(named, [1, 1, 2]).state_dict.items())
    card = write_card(made, out.name, "", 0)
    assert f"Then the mean of weights, `{made.provenance['averaged_by']}`: 0.25 of tiny0 " in card
    assert f"0.25 of tiny1 `{digests[1]}`, 0.5 of tiny2 `{digests[2]}`." in card


def test_the_command_says_what_is_wrong_in_one_line(named: list[Named], tmp_path: Path, capsys):
    path, checkpoint = named[0]
    save_checkpoint(checkpoint, tmp_path / path)
    for out in ("mean.pth", "mean.safetensors"):
        assert cli.main(["weights", "average", str(tmp_path / path), "--out", str(tmp_path / out)]) != 0
    said = capsys.readouterr().err.splitlines()
    assert [line.startswith("rpn: ") for line in said] == [True, True]
    assert "must end in .safetensors" in said[0]
    assert "two checkpoints or more" in said[1]
    assert not (tmp_path / "mean.safetensors").exists()
