from pathlib import Path

import pytest
import torch

from model.errors import DeviceError
from model.precision import (
    choose_precision,
    gains_by_bf16,
    has_avx2,
    has_vnni,
    multiplies_bf16,
    multiplies_int8,
)


@pytest.mark.parametrize(
    ("flags", "multiplies"), [("avx2 avx512f", False), ("avx512f avx512_bf16", True), ("amx_bf16 amx_tile", True)]
)
def test_the_processor_says_what_it_multiplies(tmp_path: Path, flags: str, multiplies: bool):
    told = tmp_path / "cpuinfo"
    told.write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\nbugs\t\t: none\n")
    assert multiplies_bf16("cpu", told) is multiplies
    assert multiplies_int8(told) is has_avx2(told) is ("avx2" in flags)


@pytest.mark.parametrize(
    ("vendor", "flags", "gains"),
    [
        ("AuthenticAMD", "avx512f avx512_bf16", True),
        ("AuthenticAMD", "avx512f", False),
        ("GenuineIntel", "avx512f avx512_bf16", False),
        ("GenuineIntel", "avx512_bf16 amx_bf16", True),
    ],
)
def test_bf16_is_taken_where_it_was_measured_to_be_the_faster(tmp_path: Path, vendor: str, flags: str, gains: bool):
    told = tmp_path / "cpuinfo"
    told.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: fpu {flags}\nbugs\t\t: none\n")
    assert gains_by_bf16("cpu", told) is gains
    assert not gains or multiplies_bf16("cpu", told)


@pytest.mark.parametrize(
    ("flags", "exactly"), [("avx2 avx512f", False), ("avx512_vnni", True), ("avx2 avx_vnni", True)]
)
def test_the_processor_says_how_it_adds_products_of_bytes(tmp_path: Path, flags: str, exactly: bool):
    told = tmp_path / "cpuinfo"
    told.write_text(f"flags\t\t: fpu {flags}\n")
    assert has_vnni(told) is exactly
    assert not has_vnni(tmp_path / "missing")


def test_one_that_says_nothing_does_not(tmp_path: Path):
    assert not multiplies_bf16("cpu", tmp_path / "missing")
    assert not multiplies_int8(tmp_path / "missing")
    (tmp_path / "cpuinfo").write_text("Features : fp asimd bf16\n")
    assert not multiplies_bf16("cpu", tmp_path / "cpuinfo")


def test_torch_says_the_same_of_this_one():
    capabilities = torch.cpu.get_capabilities()
    assert multiplies_bf16("cpu") is bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def test_by_name():
    assert (choose_precision("fp32", "cpu"), choose_precision("bf16", "cpu")) == ("fp32", "bf16")
    assert choose_precision("auto", "cpu") == ("bf16" if gains_by_bf16("cpu") else "fp32")
    with pytest.raises(DeviceError, match="precision 'fp8' is none of auto, fp32, bf16, int8"):
        choose_precision("fp8", "cpu")
    with pytest.raises(DeviceError, match="precision 'int8' is computed by OpenVINO alone"):
        choose_precision("int8", "cpu")
