"""What an exported machine proposes: only what its descriptor says and the site has a value for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from imsprep.cloud.sites import SITES, Site
from imsprep.image.archive.ovf import Machine, OvfDisk
from imsprep.image.file import RawImage
from imsprep.ims.request import RequestFields
from imsprep.pipeline.ova.proposal import (
    Proposal,
    propose,
    proposed_fields,
    proposed_version,
    summarize_exported,
)
from imsprep.units import GIB, MIB
from imsprep.zvhd2.source import OpenImage
from tests.support.image.ova import OVF, archive

HUAWEI, OTC = SITES["huawei-intl"], SITES["otc"]
SYSTEM = OvfDisk("system", "a.vmdk", 9, 60 * GIB, "", "", needs_parent=False)
EMPTY, DATA = SYSTEM._replace(id="empty", file=None), SYSTEM._replace(id="data", file="b.vmdk")
WEB = Machine("web server 01", "Debian GNU/Linux 10 (64-bit)", "debian10_64Guest", "uefi", 2,
              2048 * MIB, (EMPTY, SYSTEM, DATA))  # fmt: skip
DEBIAN = "Debian GNU/Linux 10.0.0 64bit"
FILES = {
    "web.ovf": OVF.format(size1=4, size2=4, capacity=16 * MIB).encode(),
    "web-disk1.vmdk": b"one.", "web-disk2.vmdk": b"two.",
}  # fmt: skip


def test_a_machine_proposes_its_name_system_firmware_and_the_size_of_its_disk() -> None:
    assert propose(WEB, HUAWEI) == Proposal("web-server-01", DEBIAN, "uefi", 61)


def test_what_the_descriptor_does_not_say_is_left_open() -> None:
    machine = WEB._replace(name="ö (..)", system="", system_id="", firmware="bios", disks=(EMPTY,))
    assert propose(machine, HUAWEI) == Proposal(None, None, None, None)


def test_a_system_disk_of_windows_has_the_size_that_windows_needs() -> None:
    small = SYSTEM._replace(capacity=GIB)
    linux = WEB._replace(disks=(small,))
    windows = linux._replace(system="", system_id="windows2019srv_64Guest")
    assert propose(linux, HUAWEI).min_disk == 10
    assert propose(windows, HUAWEI).min_disk == 20


@pytest.mark.parametrize(("token", "said", "version"), [
    ("debian10_64Guest", "", "Debian GNU/Linux 10"),
    ("centos7_64Guest", "", "CentOS 7"),
    ("windows9Server64Guest", "", "Windows Server 2016"),
    ("windows2019srv_64Guest", "", "Windows Server 2019"),
    ("", "Debian GNU/Linux 10 (64-bit)", "Debian GNU/Linux 10"),
    ("otherGuest", "Ubuntu 18.04 (64-bit)", "Ubuntu 18.04"),
    ("centos7_64Guest", "Debian GNU/Linux 10 (64-bit)", "CentOS 7"),
])  # fmt: skip
def test_a_release_is_told_by_the_token_and_else_by_the_words(
    token: str, said: str, version: str
) -> None:
    found = proposed_version(WEB._replace(system_id=token, system=said), HUAWEI)
    assert found is not None
    assert found.startswith(version)
    assert found in HUAWEI.listed


@pytest.mark.parametrize(("token", "said"), [
    ("debian3_64Guest", ""), ("", "Debian GNU/Linux (64-bit)"), ("", "Plan 9"), ("", ""), ("", "Ubuntu 20.04 (64-bit)"),
    ("xdebian10_64Guest", ""),
])  # fmt: skip
def test_a_release_that_is_not_named_or_not_listed_is_not_invented(token: str, said: str) -> None:
    assert proposed_version(WEB._replace(system_id=token, system=said), HUAWEI) is None


def proposed(path: Path, fields: RequestFields, site: Site = HUAWEI) -> RequestFields:
    with OpenImage.open(path) as image:
        return proposed_fields(image, fields, site)[0]


@pytest.fixture
def ova(tmp_path: Path) -> Path:
    return archive(tmp_path / "web.ova", FILES)


def test_what_is_open_in_a_request_is_proposed_and_said(ova: Path) -> None:
    with OpenImage.open(ova) as image:
        fields, news = proposed_fields(image, RequestFields(min_disk=77), HUAWEI)
    assert fields == RequestFields(
        name="web-server-01", os_version=DEBIAN, hw_firmware_type="uefi", min_disk=77
    )
    assert news == [
        "proposed from the descriptor: name web-server-01",
        f"proposed from the descriptor: os_version {DEBIAN}",
        "proposed from the descriptor: hw_firmware_type uefi",
        "only the system disk is imported, not web-disk2.vmdk",
    ]


def test_a_firmware_is_proposed_only_to_a_site_that_documents_the_field(ova: Path) -> None:
    assert HUAWEI.takes("hw_firmware_type")
    other = replace(HUAWEI, fields=frozenset(), client_fields=frozenset())
    fields = proposed(ova, RequestFields(), other)
    assert (fields.os_version, fields.hw_firmware_type) == (DEBIAN, None)


def test_a_data_disk_gets_neither_system_nor_firmware(ova: Path) -> None:
    fields = proposed(ova, RequestFields(type="DataImage"))
    assert (fields.os_version, fields.hw_firmware_type) == (None, None)
    assert fields.name == "web-server-01"


def test_an_image_that_is_no_exported_machine_proposes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"x" * 4096)
    with OpenImage.open(path) as image:
        assert proposed_fields(image, RequestFields(), HUAWEI) == (RequestFields(), [])


def test_a_summary_has_the_machine_and_the_role_of_each_disk(ova: Path) -> None:
    with RawImage.open(ova) as image:
        found = summarize_exported(image, HUAWEI)
    told = found.as_dict()
    assert (told["format"], told["file_size"]) == ("ova", ova.stat().st_size)
    assert (told["name"], told["cpus"], told["manifest"]) == ("web server 01", 2, False)
    assert told["disks"] == [
        {"file": "web-disk1.vmdk", "role": "system disk", "capacity": 16 * MIB, "file_size": 4},
        {"file": "web-disk2.vmdk", "role": "data disk", "capacity": 8 * MIB, "file_size": 4},
    ]
    assert told["proposal"] == {
        "name": "web-server-01", "os_version": DEBIAN, "firmware": "uefi", "min_disk": 10,
    }  # fmt: skip
    lines = str(found).splitlines()
    assert "processors    2, memory 2 GiB (2147483648 bytes)" in lines
    assert "data disk     web-disk2.vmdk, 8 MiB (8388608 bytes)" in lines
    assert f"os_version    {DEBIAN} (proposed)" in lines


def test_a_summary_says_what_is_not_said(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    with RawImage.open(tmp_path / "web.ovf") as image:
        found = summarize_exported(image, OTC)
    assert found.format == "ovf"
    bare = WEB._replace(name="", system="", system_id="", cpus=None, memory=None, disks=(EMPTY,))
    text = str(found.__class__("a", "ova", 9, bare, propose(bare, OTC), has_manifest=True))
    assert "machine       not named" in text
    assert "processors    not said, memory not said" in text
    assert "data disk     no file, empty, 60 GiB" in text
    assert "manifest      has sums" in text
