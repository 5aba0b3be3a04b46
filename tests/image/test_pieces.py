"""Which files an image names as pieces of its disk, and that they are part of its identity."""

from __future__ import annotations

from pathlib import Path

import pytest

from imsprep.image.identity import Identity
from imsprep.image.pieces import pieces_of
from tests.support.image.ova import OVF

HEAD = "# Disk DescriptorFile\n"


def test_a_descriptor_names_each_of_its_files_once(tmp_path: Path) -> None:
    disk = tmp_path / "disk.vmdk"
    disk.write_text(HEAD + 'RW 1 FLAT "a" 0\nRW 1 FLAT "b" 0\nRW 1 FLAT "a" 1\nRW 1 ZERO\n')
    assert pieces_of(disk) == [tmp_path / "a", tmp_path / "b"]


def test_a_machine_names_the_files_of_its_disks(tmp_path: Path) -> None:
    machine = tmp_path / "web.ovf"
    machine.write_bytes(OVF.format(size1=1, size2=1, capacity=512).encode())
    assert pieces_of(machine) == [tmp_path / "web-disk1.vmdk", tmp_path / "web-disk2.vmdk"]


@pytest.mark.parametrize(
    "text", ["", "<", "<html/>", "# other text\n", HEAD, HEAD + "RW one\n", "KDMV" + HEAD]
)
def test_whatever_else_names_none(text: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk.vmdk"
    assert pieces_of(disk) == []
    disk.write_text(text)
    assert pieces_of(disk) == []
    assert Identity.of_image(disk) == Identity.of(disk)
