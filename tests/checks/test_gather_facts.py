"""Gather: the disk in an image of any format gives the facts, and the findings, of the RAW disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import imsprep
from imsprep.checks import registry
from imsprep.checks.facts import Facts
from imsprep.checks.gather_facts import Look, gather_file
from imsprep.checks.rule import DISK, TO_BE_PACKED
from imsprep.cloud.sites import SITES
from imsprep.errors import MissingExtraError
from imsprep.ims.request import RequestFields
from imsprep.report import Report
from imsprep.units import GIB, MIB
from tests.support.guest.disks import make_filesystem, write_tree
from tests.support.guest.trees import debian
from tests.support.running import Outcome, need

pytestmark = need("qemu-img", "qemu-nbd", "mkfs.ext4", "sfdisk")

KINDS = {
    "qcow2": ["-O", "qcow2", "-c"],
    "vmdk": ["-O", "vmdk", "-o", "subformat=streamOptimized"],
    "vhdx": ["-O", "vhdx"],
    "vdi": ["-O", "vdi"],
    "vhd": ["-O", "vpc", "-o", "subformat=fixed,force_size=on"],
}
REQUEST = RequestFields(name="web01", min_disk=40, os_version="Debian GNU/Linux 10.0.0 64bit")
# What the RAW image is told apart by: its own size against the whole GiB of a container.
OF_SIZE = {"IMS511", "IMS114", "IMS111"}


def partitioned(folder: Path, system: bool) -> Path:
    """A disk of one partition with a Debian, or with one whose root is another disk's."""
    files = debian()
    if not system:
        files["/etc/fstab"] = "UUID=5e8ffc1d-aaaa-bbbb-cccc-4a3a4f2e3d11 / ext4 defaults 0 1\n"
    make_filesystem("ext4", write_tree(folder / "tree", files), folder / "fs.img")
    disk = folder / "disk.raw"
    with disk.open("wb") as file:
        file.write(b"\xeb\x63\x90GRUB boot code")
        file.truncate(GIB)
    table = "label: dos\nstart=2048, size=262144, type=83, bootable\n"
    subprocess.run(["sfdisk", "-q", disk], input=table.encode(), check=True, capture_output=True)
    command = [
        "dd",
        f"if={folder / 'fs.img'}",
        f"of={disk}",
        "bs=1M",
        "seek=1",
        "conv=notrunc,sparse",
    ]
    subprocess.run(command, check=True, capture_output=True)
    return disk


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return partitioned(tmp_path_factory.mktemp("good"), system=True)


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return partitioned(tmp_path_factory.mktemp("bad"), system=False)


def converted(raw: Path, folder: Path, kind: str) -> Path:
    target = folder / f"disk.{kind}"
    subprocess.run(["qemu-img", "convert", "-f", "raw", *KINDS[kind], raw, target], check=True)
    return target


def judged(path: Path) -> tuple[Facts, Report]:
    look = Look(guest=True, scan=True)
    facts = gather_file(path, request=REQUEST, site=SITES["huawei-intl"], look=look)
    return facts, registry.run(facts)


def of_disk(report: Report) -> tuple[set[tuple[str, str]], set[str]]:
    """Return what rules of the disk found, and which passed."""
    rules = {rule.id for rule in registry.all_rules() if rule.of == DISK} - OF_SIZE
    found = {(f.rule, f.message) for f in report.findings if f.rule in rules}
    return found, set(report.passed) & rules


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_disk_inside_is_judged_as_the_raw_disk(
    good: Path, bad: Path, tmp_path: Path, kind: str
) -> None:
    for raw in (good, bad):
        facts, report = judged(converted(raw, tmp_path, kind))
        raw_facts, raw_report = judged(raw)
        assert facts.to_be_packed
        assert (facts.disk, facts.guest) == (raw_facts.disk, raw_facts.guest)
        assert facts.block_map == raw_facts.block_map
        assert of_disk(report) == of_disk(raw_report)
        assert {s.reason for s in report.skipped if s.rule.startswith("IMS3")} == {TO_BE_PACKED}


@pytest.mark.slow
def test_the_command_passes_a_good_one_and_fails_a_bad_one(
    good: Path, bad: Path, tmp_path: Path, imsprep: Callable[..., Outcome]
) -> None:
    for raw, code in ((good, 0), (bad, 1)):
        image = converted(raw, tmp_path, "qcow2")
        done = imsprep("check", image, "--guest", "--json", "--min-disk", "40")
        (report,) = done.json["images"]
        assert done.code == code, report["findings"]
        assert len(report["passed"]) > 60
        info = imsprep("info", image, "--json").json
        assert (info["format"], info["virtual_size"]) == ("qcow2", GIB)


def test_an_image_that_needs_another_file_is_not_read_and_says_why(
    good: Path, tmp_path: Path, imsprep: Callable[..., Outcome]
) -> None:
    shutil.copy(converted(good, tmp_path, "qcow2"), tmp_path / "base.qcow2")
    image = tmp_path / "top.qcow2"
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", image]
    subprocess.run(command, check=True)
    facts, report = judged(image)
    assert (facts.to_be_packed, facts.disk) == (False, None)
    assert "backing file" in (facts.unread or "")
    assert {f.rule for f in report.findings if "backing file" in f.message} == {"IMS101"}
    assert imsprep("check", image).code == 1


@pytest.mark.slow
def test_a_disk_of_zeros_inside_is_found(tmp_path: Path) -> None:
    image = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "100M"], check=True)
    facts, report = judged(image)
    assert "IMS110" in {f.rule for f in report.findings}
    assert facts.virtual_size == GIB
    assert facts.block_map is not None
    assert facts.block_map.size == 100 * MIB


def test_a_disk_that_is_packed_is_named_by_its_own_size(tmp_path: Path) -> None:
    facts = Facts("disk.qcow2", 1000, virtual_size=(1 << 40) + 512)
    packed = facts.packed()
    assert packed.packed() == packed  # its size is that of the container already
    assert (packed.source_size, packed.virtual_size) == ((1 << 40) + 512, (1 << 40) + (1 << 30))
    report = registry.run(packed)
    (large,) = [finding for finding in report.findings if finding.rule == "IMS108"]
    assert "512 bytes above the limit" in large.message
    assert "IMS511" not in {finding.rule for finding in report.findings}


def test_without_its_readers_a_look_inside_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyfsxfs", None)  # as if it were not installed
    (tmp_path / "disk.raw").write_bytes(bytes(1 << 20))
    with pytest.raises(MissingExtraError, match=r"pyfsxfs.*imsprep\[guest\]") as caught:
        imsprep.check(tmp_path / "disk.raw", guest=True)
    assert caught.value.exit_code == 2
