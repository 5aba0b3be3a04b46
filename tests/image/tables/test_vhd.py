"""A VHD's two sizes, and a differencing one."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imsprep.units import MIB
from tests.support.running import Outcome, need

Imsprep = Callable[..., Outcome]
pytestmark = need("qemu-img", "qemu-nbd")

SIZE = 64 * MIB


def footer(creator: bytes, cylinders: int) -> bytes:
    """A fixed VHD's footer as the specification lays it out; heads and sectors are 16 and 17."""
    record = bytearray(512)
    struct.pack_into(
        ">8sIIQI4sI4sQQHBBI", record, 0, b"conectix", 2, 0x10000, 2**64 - 1, 7, creator, 0x40003,
        b"Wi2k", SIZE, SIZE, cylinders, 16, 17, 2,
    )  # fmt: skip
    struct.pack_into(">I", record, 64, ~sum(record) & 0xFFFFFFFF)
    return bytes(record)


@pytest.mark.parametrize("creator", [b"vbox", b"vpc ", b"qemu", b"win ", b"wa\0\0", b"\0\0\0\0"])
def test_the_current_size_counts_whoever_wrote_it(
    creator: bytes, imsprep: Imsprep, tmp_path: Path
) -> None:
    disk = np.random.default_rng(5).bytes(MIB).ljust(SIZE - 512, b"\0") + b"end!" * 128
    image, target = tmp_path / "disk.vhd", tmp_path / "disk.raw"
    image.write_bytes(disk + footer(creator, 481))
    outcome = imsprep("convert", image, target)
    assert outcome.code == 0, outcome.err
    assert target.read_bytes() == disk
    assert f"{SIZE} bytes (current size) and {481 * 16 * 17 * 512}" in outcome.err


def test_of_one_size_nothing_is_said(imsprep: Imsprep, tmp_path: Path) -> None:
    image = tmp_path / "disk.vhd"
    words = ["-f", "vpc", "-o", "subformat=fixed,force_size=on", str(image), "8M"]
    subprocess.run(["qemu-img", "create", "-q", *words], check=True)
    outcome = imsprep("convert", image, tmp_path / "disk.raw")
    assert (outcome.code, outcome.err) == (0, "")


def test_a_differencing_disk_names_its_parent_and_no_way_to_a_disk_of_zeros(
    imsprep: Imsprep, tmp_path: Path
) -> None:
    image = tmp_path / "child.vhd"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vpc", str(image), "8M"], check=True)
    data = bytearray(image.read_bytes())
    for at in (0, len(data) - 512):
        struct.pack_into(">II", data, at + 60, 4, 0)
        struct.pack_into(">I", data, at + 64, ~sum(data[at : at + 512]) & 0xFFFFFFFF)
    name = "base disk.vhd".encode("utf-16-be")
    data[512 + 64 : 512 + 64 + len(name)] = name
    struct.pack_into(">I", data, 512 + 36, 0)
    struct.pack_into(">I", data, 512 + 36, ~sum(data[512:1536]) & 0xFFFFFFFF)
    image.write_bytes(data)
    outcome = imsprep("convert", image, tmp_path / "disk.raw")
    assert outcome.code == 1
    assert "base disk.vhd" in outcome.err
    assert "qemu-img" not in outcome.err
    (found,) = [f for f in imsprep("check", image, "--json").json["images"][0]["findings"]
                if f["rule"] == "IMS101"]  # fmt: skip
    assert "base disk.vhd" in found["message"]
    assert "imsprep convert" not in found["fix"]
    assert "qemu-img" not in found["fix"]
