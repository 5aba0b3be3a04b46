"""The format that the content says is the one that another reader of signatures finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from oslo_utils.imageutils.format_inspector import detect_file_format

from imsprep.image.formats import HEAD_SIZE, TAIL_SIZE, identify, primary
from tests.support.image.damage import KINDS, make, write_disk
from tests.support.running import need

# What OpenStack's inspector calls what is called otherwise here; it knows a fixed VHD for RAW.
OTHER_NAMES = {"vhd-dynamic": "vhd", "vhd-fixed": "raw"}
KNOWN_TO_BOTH = [name for name in KINDS if name not in ("qcow", "Parallels")]
pytestmark = need("qemu-img")


@pytest.mark.parametrize("name", KNOWN_TO_BOTH)
def test_openstack_finds_the_same_format(name: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    write_disk(tmp_path / "disk.raw")
    make(KINDS[name], tmp_path / "disk.raw", image)
    data = image.read_bytes()
    ours = primary(identify(data[:HEAD_SIZE], data[-TAIL_SIZE:], len(data)))
    assert str(detect_file_format(str(image))) == OTHER_NAMES.get(ours, ours)
