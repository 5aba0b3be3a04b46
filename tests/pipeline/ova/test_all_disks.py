"""All disks of an exported machine: a container of each, and a plan in which all is text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imsprep.cloud.sites import SITES
from imsprep.errors import FormatError, UsageError
from imsprep.pipeline.ova.all_disks import Planned, plan_all_disks
from imsprep.units import MIB
from imsprep.zvhd2.convert import ConvertTask
from imsprep.zvhd2.reader import Zvhd2Reader
from imsprep.zvhd2.source import OpenImage
from imsprep.zvhd2.writer import PackTask
from tests.support.image.ova import OVF, archive

DISKS = {
    "web-disk1.vmdk": b"system".ljust(2 * MIB, b"\0"),
    "web-disk2.vmdk": bytes(MIB - 512) + b"d" * 512,
}
TEXT = OVF.format(size1=2 * MIB, size2=MIB, capacity=2 * MIB).replace(
    'capacity="8"', 'capacity="1"'
)
DEFAULTS = {"to": "local:cloud", "via": 'zvhd2: "x"\n'}


def planned(folder: Path, text: str = TEXT, site: str = "huawei-intl") -> Planned:
    path = archive(folder / "web.ova", {"web.ovf": text.encode(), **DISKS})
    with OpenImage.open(path) as image:
        return plan_all_disks(
            image, folder, DEFAULTS, SITES[site], ConvertTask(PackTask(timestamp=5))
        )


def test_each_disk_becomes_a_container_and_a_line_of_the_plan(tmp_path: Path) -> None:
    done = planned(tmp_path)
    assert done.disks == (tmp_path / "web-disk1.zvhd2", tmp_path / "web-disk2.zvhd2")
    for made, disk in zip(done.disks, DISKS.values(), strict=True):
        with Zvhd2Reader.open(made) as reader:
            assert reader.read(len(disk)) == disk
    lines = done.plan.read_text().splitlines()
    assert done.plan == tmp_path / "web.batch.yaml"
    assert lines[1:] == [
        "defaults:",
        '  to: "local:cloud"',
        f"  via: {json.dumps(DEFAULTS['via'])}",
        "images:",
        '  - image: "web-disk1.zvhd2"',
        '    name: "web-server-01"',
        "    min-disk: 10",
        '    os-version: "Debian GNU/Linux 10.0.0 64bit"',
        '    firmware: "uefi"',
        '  - image: "web-disk2.zvhd2"',
        '    name: "web-server-01-data1"',
        "    min-disk: 10",
        '    type: "DataImage"',
        '    os-type: "Linux"',
    ]


def test_what_was_written_is_told_with_the_command_that_imports_it(tmp_path: Path) -> None:
    done = planned(tmp_path)
    assert str(done).splitlines() == [
        f"{tmp_path}/web-disk1.zvhd2 was made",
        f"{tmp_path}/web-disk2.zvhd2 was made",
        f"import them with: imsprep batch {tmp_path}/web.batch.yaml",
    ]
    assert done.as_dict() == {
        "plan": f"{tmp_path}/web.batch.yaml",
        "disks": [str(disk) for disk in done.disks],
        "warnings": list(done.warnings),
    }


def test_a_data_disk_of_windows_is_one_of_windows(tmp_path: Path) -> None:
    text = TEXT.replace("debian10_64Guest", "windows2019srv_64Guest").replace("efi", "bios")
    plan = planned(tmp_path, text).plan.read_text()
    assert '    os-type: "Windows"\n' in plan
    assert "firmware" not in plan
    assert plan.count("min-disk: 20") == 2


def test_a_plan_that_is_there_is_not_replaced_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "web.batch.yaml").write_text("mine")
    with pytest.raises(UsageError, match="exists; remove it"):
        planned(tmp_path)
    assert not list(tmp_path.glob("*.zvhd2"))


def test_a_machine_without_a_file_of_a_disk_is_refused(tmp_path: Path) -> None:
    text = TEXT.replace(' ovf:fileRef="file1"', "").replace(' ovf:fileRef="file2"', "")
    with pytest.raises(FormatError, match="has no disk with a file"):
        planned(tmp_path, text)
