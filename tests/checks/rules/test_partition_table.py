"""Images made by the tools that people use, whole and broken on purpose: what `check` says of them."""

from __future__ import annotations

import random
import re
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imsprep.checks import registry
from imsprep.checks.gather_facts import gather_file
from imsprep.checks.rule import TO_BE_PACKED
from imsprep.cloud.sites import SITES
from imsprep.image.formats import identify, primary
from imsprep.image.not_a_disk import STREAMS
from imsprep.image.volumes.partitions import read_disk
from imsprep.image.volumes.signatures import identify_volume
from imsprep.ims.request import RequestFields
from imsprep.report import Finding, Severity
from imsprep.units import MIB
from tests.support.running import need
from tests.support.zvhd2.goldens import FACTS, NAMES, disk_bytes

SIZE = 64 * MIB
LAST = SIZE - 512


def shell(folder: Path, command: str) -> None:
    subprocess.run(["bash", "-ec", command], cwd=folder, check=True, capture_output=True)


def found(path: Path, **fields: str) -> set[str]:
    """Return the rules that fired as error or warning."""
    facts = gather_file(path, request=RequestFields(**fields), site=SITES["otc"])
    report = registry.run(facts)
    notes = {"IMS212", "IMS216", "IMS218"}
    return {f.rule for f in report.findings if f.severity > Severity.NOTE or f.rule in notes} - {
        "IMS603",
    }


def poke(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


GPT = "truncate -s 64M disk.raw; sgdisk -n1:0:+20M -t1:ef00 -n2:0:0 disk.raw; "
BIOS = "printf '\\353\\143\\220boot' | dd of=disk.raw conv=notrunc status=none; "


@pytest.fixture(scope="session")
def whole_gpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT disk with an ESP and some BIOS boot code, in which all is well."""
    folder = tmp_path_factory.mktemp("gpt")
    shell(folder, GPT + BIOS)
    return folder / "disk.raw"


@pytest.fixture
def gpt(whole_gpt: Path, tmp_path: Path) -> Path:
    """A copy of that disk, to be broken."""
    shell(tmp_path, f"cp --sparse=always {whole_gpt} disk.raw")
    return tmp_path / "disk.raw"


def cut(path: Path) -> None:
    subprocess.run(["truncate", "-s", "50M", path], check=True)


def grow(path: Path) -> None:
    subprocess.run(["truncate", "-s", "80M", path], check=True)


DAMAGE: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "nothing": (lambda p: None, set()),
    "a flipped bit in the primary header": (lambda p: poke(p, 512 + 40, b"X"), {"IMS202"}),
    "a flipped bit in the primary entries": (lambda p: poke(p, 1024 + 60, b"X"), {"IMS202"}),
    "no primary header": (lambda p: poke(p, 512, bytes(512)), {"IMS202"}),
    "no backup header": (lambda p: poke(p, LAST, bytes(512)), {"IMS203"}),
    "a flipped bit in the backup entries": (lambda p: poke(p, LAST - 32 * 512, b"X"), {"IMS203"}),
    "no header": (lambda p: (poke(p, LAST, bytes(512)), poke(p, 512, bytes(512)))[0], {"IMS201"}),
    "cut short": (cut, {"IMS204", "IMS206"}),
    "grown": (grow, {"IMS205"}),
    "a VHD footer behind it": (lambda p: poke(p, SIZE, b"conectix" + bytes(504)), {"IMS103", "IMS104"}),
    "a LUKS header in front of the table": (lambda p: poke(p, 0, b"LUKS\xba\xbe\0\1"), {"IMS105"}),
    "a protective MBR that is too short": (lambda p: poke(p, 458, b"\xff\x0f\0\0"), {"IMS218"}),
    "a protective MBR that starts elsewhere": (lambda p: poke(p, 454, b"\2\0\0\0"), {"IMS218"}),
    "a tail of 100 bytes": (lambda p: poke(p, SIZE, b"x" * 100), {"IMS109"}),
    "no protective MBR": (lambda p: poke(p, 0, bytes(512)), {"IMS214"}),
}  # fmt: skip


@need("sgdisk")
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_to_a_gpt_is_found_and_nothing_else(gpt: Path, damage: str) -> None:
    break_it, expected = DAMAGE[damage]
    break_it(gpt)
    assert found(gpt) == expected


@need("sgdisk")
@pytest.mark.parametrize(("fields", "severity"), [
    ({}, Severity.ERROR), ({"hw_firmware_type": "bios"}, Severity.ERROR),
    ({"hw_firmware_type": "uefi"}, Severity.WARNING), ({"architecture": "arm"}, Severity.WARNING),
])  # fmt: skip
def test_uefi_writes_a_primary_header_again(
    gpt: Path, fields: dict[str, str], severity: Severity
) -> None:
    poke(gpt, 512, bytes(512))
    facts = gather_file(gpt, request=RequestFields(**fields), site=SITES["otc"])
    (finding,) = (f for f in registry.run(facts).findings if f.rule == "IMS202")
    assert finding.severity is severity


MADE = {
    "mbr": ("sfdisk", "truncate -s 64M disk.raw; printf 'label: dos\\nsize=10M,type=83,bootable\\nsize=40M,type=5\\nsize=5M,type=83\\nsize=3M,type=8e' | sfdisk -q disk.raw;" + BIOS, set()),
    "mbr cut short": ("sfdisk", "truncate -s 64M disk.raw; printf 'label: dos\\nsize=10M,type=83\\nsize=40M,type=83' | sfdisk -q disk.raw; truncate -s 12M disk.raw;" + BIOS, {"IMS206"}),
    "mbr whose chain is cut": ("sfdisk", "truncate -s 64M disk.raw; printf 'label: dos\\nsize=10M,type=83\\nsize=40M,type=5\\nsize=3M,type=83' | sfdisk -q disk.raw; dd if=/dev/zero of=disk.raw bs=512 seek=22528 count=1 conv=notrunc;" + BIOS, {"IMS215"}),
    "sectors of 4096": ("fdisk", "truncate -s 64M disk.raw; printf 'g\\nn\\n\\n\\n\\nw\\n' | fdisk -b 4096 disk.raw;" + BIOS, {"IMS208"}),
    "mbr for sectors of 4096": ("fdisk", "truncate -s 64M disk.raw; printf 'o\\nn\\np\\n1\\n\\n\\nw\\n' | fdisk -b 4096 disk.raw; truncate -s 60M r; mkfs.ext4 -q r; dd if=r of=disk.raw bs=1M seek=1 conv=notrunc,sparse;" + BIOS, {"IMS208"}),
    "mbr whose extended partition is cut": ("sfdisk", "truncate -s 64M disk.raw; printf 'label: dos\\nsize=10M,type=83\\nsize=40M,type=5\\nsize=3M,type=83' | sfdisk -q disk.raw; truncate -s 40M disk.raw;" + BIOS, {"IMS206"}),
    "mbr whose partitions overlap": ("sfdisk", "truncate -s 64M disk.raw; printf 'label: dos\\nstart=2048,size=20000,type=83\\nstart=40960,size=20000,type=83' | sfdisk -q disk.raw; printf '\\0\\20' | dd of=disk.raw bs=1 seek=470 conv=notrunc;" + BIOS, {"IMS207"}),
    "luks2 whose first header is lost": ("cryptsetup", "truncate -s 64M disk.raw; echo -n pass | cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 disk.raw -; dd if=/dev/zero of=disk.raw bs=4096 count=1 conv=notrunc", {"IMS209", "IMS211"}),
    "hybrid": ("sgdisk", "truncate -s 64M disk.raw; sgdisk -n1:0:+20M -n2:0:0 -h1 disk.raw;" + BIOS, {"IMS214"}),
    "unaligned": ("parted", "truncate -s 64M disk.raw; parted -s disk.raw mklabel gpt mkpart a 34s 20000s;" + BIOS, {"IMS216"}),
    "nothing to boot": ("sgdisk", "truncate -s 64M disk.raw; sgdisk -n1:0:0 disk.raw", {"IMS209"}),
    "only an ESP": ("sgdisk", GPT, set()),
    "luks2": ("cryptsetup", "truncate -s 64M disk.raw; echo -n pass | cryptsetup -q luksFormat --pbkdf pbkdf2 --pbkdf-force-iterations 1000 disk.raw -", {"IMS209", "IMS211"}),
    "luks1": ("cryptsetup", "truncate -s 64M disk.raw; echo -n pass | cryptsetup -q luksFormat --type luks1 --pbkdf-force-iterations 1000 disk.raw -", {"IMS209", "IMS211"}),
    "luks in a partition": ("cryptsetup", GPT + BIOS + "truncate -s 30M l; echo -n pass | cryptsetup -q luksFormat --pbkdf pbkdf2 --pbkdf-force-iterations 1000 l -; dd if=l of=disk.raw bs=1M seek=21 conv=notrunc", {"IMS211"}),
    "bare ext4": ("mkfs.ext4", "truncate -s 64M disk.raw; mkfs.ext4 -q disk.raw", {"IMS209"}),
    "bare fat": ("mkfs.vfat", "truncate -s 64M disk.raw; mkfs.vfat disk.raw", {"IMS209"}),
    "iso": ("xorriso", "mkdir d; echo hi > d/x; xorriso -as mkisofs -o disk.raw d", {"IMS104", "IMS112"}),
    "iso that boots from a stick": ("xorriso", "mkdir d; echo hi > d/x; xorriso -as mkisofs -o disk.raw -partition_offset 16 d", {"IMS104", "IMS112"}),
    "only zeros": ("truncate", "truncate -s 64M disk.raw", {"IMS110", "IMS209"}),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", MADE)
def test_a_disk_made_by_a_tool_is_told(tmp_path: Path, kind: str) -> None:
    tool, command, expected = MADE[kind]
    mark = need(tool)
    if mark.args[0]:
        pytest.skip(mark.kwargs["reason"])
    shell(tmp_path, command)
    assert found(tmp_path / "disk.raw") == expected


@pytest.mark.slow
@need("qemu-img")
@pytest.mark.parametrize(
    "options",
    [
        "qcow2",
        "qcow2 -o compat=0.10",
        "qcow",
        "qed",
        "vdi",
        "vhdx",
        "parallels",
        "vpc",
        "vmdk",
        "vmdk -o subformat=streamOptimized",
        "vmdk -o subformat=monolithicFlat",
    ],
)
def test_every_format_that_qemu_writes_is_named_and_its_disk_is_checked(
    tmp_path: Path, options: str
) -> None:
    shell(
        tmp_path, f"head -c 3M /dev/urandom > in; qemu-img convert -f raw -O {options} in disk.raw"
    )
    facts = gather_file(tmp_path / "disk.raw", request=RequestFields(), site=SITES["otc"])
    report = registry.run(facts)
    found_out = {f.rule: f.severity for f in report.findings}
    assert found_out["IMS114"] is Severity.NOTE
    assert "IMS101" not in found_out
    assert {"IMS104", "IMS209"} <= set(found_out)  # its name, and nothing to boot on the disk
    assert facts.virtual_size == 1 << 30  # of the ZVHD2 that will be made


@need("qemu-img")
@pytest.mark.parametrize("kind", ["qcow2", "qcow", "qed", "vdi", "vmdk"])
def test_the_virtual_size_is_what_qemu_says(tmp_path: Path, kind: str) -> None:
    shell(tmp_path, f"qemu-img create -q -f {kind} disk.{kind} 7G")
    facts = gather_file(tmp_path / f"disk.{kind}", request=RequestFields(), site=SITES["otc"])
    assert facts.virtual_size == 7 << 30


@need("qemu-img", "sgdisk")
def test_the_footer_of_a_fixed_vhd_is_no_part_of_its_disk(gpt: Path) -> None:
    shell(
        gpt.parent, "qemu-img convert -f raw -O vpc -o subformat=fixed,force_size=on disk.raw d.vhd"
    )
    assert found(gpt.with_name("d.vhd")) == set()
    facts = gather_file(gpt.with_name("d.vhd"), request=RequestFields(), site=SITES["otc"])
    assert facts.disk is not None
    assert facts.disk.size == SIZE
    (note,) = [f for f in registry.run(facts).findings if f.rule == "IMS114"]
    assert note.severity is Severity.NOTE


@need("qemu-img")
@pytest.mark.parametrize("force", ["on", "off"])
def test_a_fixed_vhd_is_told_from_raw(tmp_path: Path, force: str) -> None:
    shell(
        tmp_path,
        f"head -c 3M /dev/urandom > in; qemu-img convert -f raw -O vpc -o subformat=fixed,force_size={force} in disk.raw",
    )
    facts = gather_file(tmp_path / "disk.raw", request=RequestFields(), site=SITES["otc"])
    assert "IMS114" in {f.rule for f in registry.run(facts).findings}


ZLIB = (
    'python3 -c \'import sys, zlib; c = zlib.compress(open("in", "rb").read(), int(sys.argv[1]));'
    " sys.stdout.buffer.write(c)'"
)
MAKE_DEB = (
    "mkdir -p d/DEBIAN; printf 'Package: d\\nVersion: 1\\nArchitecture: all\\nMaintainer: M <m@e.org>\\n"
    "Description: d\\n' > d/DEBIAN/control; dpkg-deb -b d d.deb >&2"
)
PACKERS = {
    "gzip": "gzip -c in", "bzip2": "bzip2 -c in", "xz": "xz -c in", "lzma": "lzma -c in",
    "zstd": "zstd -qc in", "lz4": "lz4 -qc in", "zip": "zip -q - in", "tar": "tar -c in",
    "cpio": "echo in | cpio -o -H newc", "7z": "7z a -so -txz x in",
    "tar --format=v7": "tar --format=v7 -c in", "cpio -H bin": "echo in | cpio -o -H bin",
    "cpio --swap": "echo in | cpio -o -H bin > x;"
    " { head -c 26 x | dd conv=swab status=none; tail -c +27 x; }",
    "cpio -H odc": "echo in | cpio -o -H odc", "cpio -H crc": "echo in | cpio -o -H crc",
    "ar": "ar rc x in; cat x", "ar, thin": "ar rcT x in; cat x", "dpkg-deb": MAKE_DEB + "; cat d.deb",
    "python3, zlib": f"{ZLIB} 6", "python3, zlib 1": f"{ZLIB} 1", "python3, zlib 0": f"{ZLIB} 0",
    "python3, zlib of zeros": f"head -c 9M /dev/zero > in; {ZLIB} 9",
    "python3, zlib of a word": f"echo word > in; {ZLIB} 9",
}  # fmt: skip


@pytest.mark.parametrize("packer", PACKERS)
def test_what_is_packed_is_refused(tmp_path: Path, packer: str) -> None:
    mark = need(re.split("[ ,]", packer)[0])
    if mark.args[0]:
        pytest.skip(mark.kwargs["reason"])
    shell(tmp_path, f"head -c 300000 /dev/urandom > in; {PACKERS[packer]} > disk.raw")
    image = tmp_path / "disk.raw"
    if primary(identify(*(image.read_bytes(),) * 2, image.stat().st_size)) in STREAMS:
        facts = gather_file(image, request=RequestFields(), site=SITES["otc"])
        severity = {f.rule: f.severity for f in registry.run(facts).findings}
        assert severity["IMS102"] is Severity.ERROR  # the service does not unpack it
        assert "IMS209" in severity
    else:
        assert {"IMS102", "IMS104"} <= found(image)


@pytest.mark.parametrize(
    "start",
    [b"", b"\x78\x9c", b"\x78\1", b"\x18\x19", b"\xc7\x71", b"\x71\xc7", b"\xeb\x63\x90"],
    ids=bytes.hex,
)
def test_random_bytes_are_neither_packed_nor_an_archive(start: bytes) -> None:
    numbers = random.Random(start)
    for _ in range(3000):
        head = start + numbers.randbytes(2048)
        assert identify(head, head, len(head)) == ()
    long = start + numbers.randbytes(200_000)
    assert identify(long[:131072], long[-65536:], len(long)) == ()


@pytest.mark.parametrize("name", NAMES)
def test_the_disk_in_a_golden_container_is_raw(name: str) -> None:
    size = FACTS[name]["raw_size"]
    head, tail = (
        disk_bytes(name, 0, min(size, 131072)),
        disk_bytes(name, max(0, size - 65536), 65536),
    )
    assert identify(head, tail, size) == ()


def test_a_header_of_tar_whose_sum_is_wrong_is_no_archive(tmp_path: Path) -> None:
    shell(tmp_path, "head -c 9000 /dev/urandom > in; tar --format=v7 -c in > disk.raw")
    for at in (0, 100, 148, 511):
        head = bytearray((tmp_path / "disk.raw").read_bytes())
        head[at] ^= 1
        assert identify(bytes(head), bytes(head), len(head)) == ()


@pytest.mark.slow
@need("sgdisk")
def test_the_firmware_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    shell(tmp_path, GPT)
    assert "IMS210" in found(tmp_path / "disk.raw", hw_firmware_type="bios")
    assert "IMS210" not in found(tmp_path / "disk.raw", hw_firmware_type="uefi")
    assert "IMS209" not in found(tmp_path / "disk.raw", type="DataImage")


@need("sgdisk")
def test_lvm_is_a_note(tmp_path: Path, gpt: Path) -> None:
    label = bytearray(512)
    label[:32] = b"LABELONE" + bytes(16) + b"LVM2 001"
    poke(gpt, 21 * MIB + 512, bytes(label))
    assert found(gpt) == {"IMS212"}


def test_a_chain_of_logical_partitions_that_loops_ends() -> None:
    image = bytearray(64 * 512)
    entry = bytes([0, 0, 0, 0, 5, 0, 0, 0]) + (8).to_bytes(4, "little") + (40).to_bytes(4, "little")
    image[446:462], image[510:512] = entry, b"\x55\xaa"
    link = bytes([0, 0, 0, 0, 5, 0, 0, 0]) + (4).to_bytes(4, "little") + (9).to_bytes(4, "little")
    back = bytes([0, 0, 0, 0, 5, 0, 0, 0]) + (4).to_bytes(4, "little") + (9).to_bytes(4, "little")
    for at, following in ((8, link), (12, back)):
        image[at * 512 + 462 : at * 512 + 478] = following
        image[at * 512 + 510 : at * 512 + 512] = b"\x55\xaa"
    disk = read_disk(lambda o, n: bytes(image[o : o + n]), len(image))
    assert disk.broken_chain is not None
    assert "returns to" in disk.broken_chain


@given(
    st.binary(max_size=3000),
    st.integers(0, 5000),
    st.sampled_from([0, 440, 446, 510, 512, 1024, 2048, 4096]),
)
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_the_parsers_fail(noise: bytes, size: int, at: int) -> None:
    image = bytearray(size)
    image[510:512] = b"\x55\xaa"[: max(0, len(image) - 510)]
    image[512:520] = b"EFI PART"[: max(0, len(image) - 512)]
    image[at : at + len(noise)] = noise
    data = bytes(image)
    disk = read_disk(lambda o, n: data[o : o + n], len(data))
    assert all(p.length >= 0 and p.start >= 0 for p in disk.partitions)
    identify(data, data[-65536:], len(data))
    identify_volume(data)


@pytest.mark.slow
@need("sgdisk")
@given(
    offset=st.one_of(st.integers(512, 512 + 91), st.integers(1024, 1024 + 255)),
    bit=st.integers(0, 7),
)
@settings(max_examples=60, deadline=None)
def test_any_flipped_bit_in_the_primary_table_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, offset: int, bit: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "flips"
    if not folder.exists():
        folder.mkdir()
        shell(folder, GPT)
    with (folder / "disk.raw").open("rb") as file:

        def read(at: int, length: int) -> bytes:
            file.seek(at)
            piece = bytearray(file.read(length))
            if at <= offset < at + length:
                piece[offset - at] ^= 1 << bit
            return bytes(piece)

        disk = read_disk(read, SIZE)
    assert disk.primary is None or not disk.primary.valid
    assert [p.number for p in disk.partitions] == [1, 2]


@pytest.mark.slow
@need("sgdisk", "qemu-img")
@pytest.mark.parametrize("options", ["vdi", "vpc", "qcow2", "vmdk", "vhdx", "parallels", "qed"])
def test_a_partitioned_disk_in_another_format_is_one_format_and_its_disk_is_checked(
    gpt: Path, tmp_path: Path, options: str
) -> None:
    # So large that VDI and VHD begin the disk at byte 3584, and its GPT header comes to byte 4096.
    shell(
        gpt.parent,
        f"truncate -s 700M disk.raw; sgdisk -e disk.raw; qemu-img convert -f raw -O {options} disk.raw other.raw",
    )
    facts = gather_file(gpt.parent / "other.raw", request=RequestFields(), site=SITES["otc"])
    assert facts.disk is not None
    assert (facts.disk.table, facts.to_be_packed) == ("gpt", True)
    assert [p.number for p in facts.disk.partitions] == [1, 2]
    report = registry.run(facts)
    assert {f.rule for f in report.findings} & {"IMS101", "IMS105", "IMS114"} == {"IMS114"}
    (note,) = [f for f in report.findings if f.rule == "IMS114"]
    assert note.severity is Severity.NOTE
    assert {"IMS201", "IMS202", "IMS208"} <= set(report.passed)
    reasons = {s.rule: s.reason for s in report.skipped}
    assert reasons["IMS107"] == reasons["IMS301"] == TO_BE_PACKED


def findings(path: Path, rule: str) -> list[Finding]:
    facts = gather_file(path, request=RequestFields(), site=SITES["otc"])
    return [f for f in registry.run(facts).findings if f.rule == rule]


@pytest.mark.slow
@need("sgdisk")
def test_a_backup_header_without_a_table_of_its_own_is_no_spare(gpt: Path) -> None:
    with gpt.open("r+b") as file:
        file.seek(LAST)
        header = bytearray(file.read(92))
        struct.pack_into("<Q", header, 72, 2)  # the first sector of the primary's table
        header[16:20] = bytes(4)
        struct.pack_into("<I", header, 16, zlib.crc32(bytes(header)))
        file.seek(LAST)
        file.write(header)
    (finding,) = findings(gpt, "IMS203")
    assert finding.severity is Severity.WARNING
    assert f"the backup header at byte {LAST} names the primary's table" in finding.message
    shell(gpt.parent, "sgdisk -e disk.raw")
    assert not findings(gpt, "IMS203")


@pytest.mark.slow
@need("sgdisk")
@pytest.mark.parametrize("lost", [512, 33 * 512, MIB])
def test_a_cut_that_took_the_backup_alone_is_mended_by_truncate_and_sgdisk(
    gpt: Path, lost: int
) -> None:
    shell(gpt.parent, f"sgdisk -d2 -n2:0:+20M disk.raw; truncate -s -{lost} disk.raw")
    (finding,) = findings(gpt, "IMS204")
    assert "the backup GPT and no part of any partition" in finding.message
    assert finding.fix is not None
    words = finding.fix.partition(", which")[0].removeprefix("Run ")
    command = words.replace("IMAGE", "disk.raw").replace(", then", ";")
    shell(gpt.parent, command)
    assert "IMS204" not in found(gpt)
    assert "IMS203" not in found(gpt)


@need("sgdisk")
def test_a_cut_that_took_a_part_of_a_partition_wants_another_copy(gpt: Path) -> None:
    shell(gpt.parent, "truncate -s -1M disk.raw")
    (finding,) = findings(gpt, "IMS204")
    assert "no part of any partition" not in finding.message
    assert finding.fix is not None
    assert "Copy the image again" in finding.fix


@pytest.mark.slow
@need("sgdisk", "mkfs.vfat")
@pytest.mark.parametrize(
    ("last", "severity", "said"),
    [
        ("0", Severity.ERROR, "the backup GPT lies there"),
        ("+40M", Severity.WARNING, "are missing"),
        ("+40M -n2:0:0", Severity.ERROR, "partition 2 lies there"),
    ],
)
def test_a_fat_that_is_larger_than_its_partition_is_an_error_where_something_lies_behind(
    tmp_path: Path, last: str, severity: Severity, said: str
) -> None:
    sizes = {"0": "63M"}
    shell(tmp_path, f"truncate -s 64M disk.raw; sgdisk -n1:2048:{last} -t1:ef00 disk.raw;"
          f" truncate -s {sizes.get(last, '50M')} fat.img; mkfs.vfat fat.img;"
          " dd if=fat.img of=disk.raw bs=1M count=1 seek=1 conv=notrunc")  # fmt: skip
    (finding,) = findings(tmp_path / "disk.raw", "IMS220")
    assert finding.severity is severity
    assert said in finding.message
    assert "partition 1" in finding.message
    assert "mkfs.vfat" in (finding.fix or "")
