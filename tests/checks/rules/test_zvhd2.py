"""Rules IMS3xx: every fault of a ZVHD2 file is one finding, and `check` looks into the disk."""

from __future__ import annotations

import dataclasses
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imsprep.checks import registry
from imsprep.checks.gather_facts import QUICK, Look, gather_file
from imsprep.cloud.sites import SITES
from imsprep.ims.request import RequestFields
from imsprep.options import DEFAULT_SITE
from imsprep.report import Report, Severity
from imsprep.units import GIB, MIB
from imsprep.zvhd2 import records
from tests.support.running import Outcome
from tests.support.zvhd2.files import build
from tests.support.zvhd2.goldens import NAMES, golden

Run = Callable[..., Outcome]
RULES = [rule for rule in registry.all_rules() if rule.id.startswith("IMS3")]
DEEP = Look(deep=True)
BLOCK = records.BLOCK_SIZE

PLAIN = build({0: b"zero", 2: b"two", 5: b"five"}, 6 * BLOCK)
SHUFFLED = build({0: b"zero", 2: b"two"}, 6 * BLOCK, order=[2, 0])
SMALL_BLOCKS = build({0: b"zero"}, 6 * MIB, block_size=MIB)
NO_INDEX = records.pack_footer(PLAIN.header._replace(zvhd2_version=0)).ljust(4096, b"\0")


def finished_zlib() -> bytes:
    """A container of one block, packed as zlib packs by itself."""
    built = build({0: b""}, BLOCK, method=records.ZLIB)
    payload = zlib.compress(b"zero".ljust(BLOCK, b"\0"), 1)
    head = built.with_bytes(4096 + 12, len(payload).to_bytes(4, "little"))
    return head[: 4096 + 48] + payload + head[4096 + 48 + len(payload) :]


# id -> a file in which it fires
CASES: dict[str, bytes] = {
    "IMS301": PLAIN.with_bytes(200, b"x"),
    "IMS302": NO_INDEX + PLAIN.data[4096:],
    "IMS303": PLAIN.data[:-4096],
    "IMS304": PLAIN.with_footer(compress_method=2),
    "IMS305": PLAIN.with_footer(uuid=b"another disk" + bytes(4)),
    "IMS306": PLAIN.with_footer(bitmap_lba=len(PLAIN.data)),
    "IMS307": PLAIN.with_entry(1, offset=4),
    "IMS308": PLAIN.with_entry(1, block=0),
    "IMS309": PLAIN.with_entry(1, offset=4096),
    "IMS310": PLAIN.with_bytes(PLAIN.footer.bitmap_lba, b"\1"),
    "IMS311": PLAIN.with_bytes(8192, b"X"),
    "IMS312": PLAIN.with_bytes(8192 + 48, b"XXXX"),
    "IMS313": SHUFFLED.data,
    "IMS314": SMALL_BLOCKS.data,
    "IMS316": finished_zlib(),
    "IMS315": PLAIN.with_footer(features=3),
}


def check(data: bytes, folder: Path, look: Look = QUICK, **request: Any) -> Report:
    path = folder / "disk.zvhd2"
    path.write_bytes(data)
    fields = RequestFields(**request)
    return registry.run(gather_file(path, request=fields, site=SITES[DEFAULT_SITE], look=look))


def fired(report: Report) -> list[str]:
    return [f.rule for f in report.findings if f.subject == "container"]


def test_every_rule_has_a_case_and_a_source_that_a_reader_can_open() -> None:
    assert sorted(CASES) == [rule.id for rule in RULES]
    assert all("docs/zvhd2.md" in rule.source for rule in RULES)


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_fires_alone_and_says_where(rule: str, tmp_path: Path) -> None:
    report = check(CASES[rule], tmp_path, DEEP)
    assert fired(report) == [rule]
    (finding,) = [f for f in report.findings if f.rule == rule]
    if finding.region is not None:
        assert 0 <= finding.region.offset <= len(CASES[rule])
    if finding.severity is Severity.ERROR:
        assert re.search(r"at byte \d+$", finding.message)


@pytest.mark.parametrize(
    ("rule", "at"),
    [
        ("IMS301", records.field_offset("checksum")),
        ("IMS304", len(PLAIN.data) - 4096 + records.field_offset("compress_method")),
        ("IMS308", 8192),  # of the second record
        ("IMS309", 4096),
        ("IMS310", PLAIN.footer.bitmap_lba),
        ("IMS311", 8192),
    ],
)
def test_a_finding_points_to_the_bytes_that_are_wrong(rule: str, at: int, tmp_path: Path) -> None:
    (finding,) = [f for f in check(CASES[rule], tmp_path, DEEP).findings if f.rule == rule]
    assert finding.region is not None
    assert finding.region.offset == at


@pytest.mark.parametrize("look", [QUICK, DEEP], ids=["fast", "deep"])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wrong_with_what_the_driver_wrote(name: str, look: Look, tmp_path: Path) -> None:
    report = check(golden(name), tmp_path, look)
    assert fired(report) == []
    skipped = [s.rule for s in report.skipped if s.rule.startswith("IMS3")]
    assert skipped == ([] if look.deep else ["IMS312", "IMS316"])
    facts = report.facts["container"]
    assert facts["middle_footer"] == ("valid" if name == "all_zero" else "stale")
    assert facts["unpacked"] is look.deep
    assert facts["compression"] == ("zlib" if "zlib" in name else "zstd")
    assert not report.fails(Severity.ERROR)


def test_a_rule_whose_part_was_not_reached_is_skipped_with_the_reason(tmp_path: Path) -> None:
    report = check(PLAIN.data[:-4096], tmp_path)
    reasons = {s.rule: s.reason for s in report.skipped}
    assert {"IMS306", "IMS311", "IMS312", "IMS313", "IMS314", "IMS204"} <= set(reasons)
    assert "does not end with a footer" in reasons["IMS306"]
    assert not set(reasons) & set(report.passed)
    assert "virtual_size" not in report.facts


def test_the_size_of_the_disk_is_that_of_the_container(tmp_path: Path) -> None:
    report = check(PLAIN.data, tmp_path, min_disk=1)
    assert report.facts["virtual_size"] == GIB
    assert report.facts["container"]["original_size"] == 6 * BLOCK
    assert report.facts["container"]["data_bytes"] == 3 * BLOCK
    assert "data_bytes" not in report.facts  # that is what a RAW image uploads


def gpt_disk(folder: Path) -> dict[int, bytes]:
    """Return the blocks of a disk with a GPT, written at its very end too."""
    size = 6 * BLOCK
    last = size // 512 - 1

    def header(own: int, other: int, table: int) -> bytes:
        entries = bytes(128 * 128)
        fields = (
            b"EFI PART", b"\0\0\1\0", 92, 0, 0, own, other, 34, last - 33, b"g" * 16, table, 128,
            128, zlib.crc32(entries),
        )  # fmt: skip
        packed = struct.pack("<8s4sIIIQQQQ16sQIII", *fields)
        return struct.pack("<8s4sIIIQQQQ16sQIII", *fields[:3], zlib.crc32(packed), *fields[4:])

    disk = bytearray(size)
    disk[446:462] = struct.pack("<B3xB3xII", 0, 0xEE, 1, last)
    disk[510:512] = b"\x55\xaa"
    disk[512:604] = header(1, last, 2)
    disk[last * 512 : last * 512 + 92] = header(last, 1, last - 32)
    return {n: bytes(disk[n * BLOCK : (n + 1) * BLOCK]) for n in (0, 5)}


def test_the_partition_rules_see_the_disk_inside_and_not_what_was_added_to_a_gib(
    tmp_path: Path,
) -> None:
    blocks = gpt_disk(tmp_path)
    report = check(build(blocks, 6 * BLOCK).data, tmp_path)
    assert report.facts["partition_table"] == "gpt"
    assert not {"IMS201", "IMS202", "IMS203", "IMS204", "IMS205"} & {
        f.rule for f in report.findings
    }
    cut = check(build({0: blocks[0]}, 5 * BLOCK).data, tmp_path)
    assert "IMS204" in {f.rule for f in cut.findings}


def test_a_block_that_holds_the_partition_table_and_cannot_be_read_is_a_finding(
    tmp_path: Path,
) -> None:
    report = check(PLAIN.with_bytes(4096 + 48, b"XXXX"), tmp_path)
    assert fired(report) == ["IMS312"]
    reasons = {s.rule: s.reason for s in report.skipped}
    assert "cannot be read" in reasons["IMS204"]


def test_every_bad_block_is_counted(tmp_path: Path) -> None:
    data = bytearray(PLAIN.data)
    for at in (4096, 8192, 12288):
        data[at + 48 : at + 52] = b"XXXX"
    (finding,) = [f for f in check(bytes(data), tmp_path, DEEP).findings if f.rule == "IMS312"]
    assert "block 0 cannot be unpacked" in finding.message
    assert "and 2 more blocks" in finding.message


def test_a_damaged_container_shows_in_the_exit_code(imsprep: Run, tmp_path: Path) -> None:
    path = tmp_path / "disk.zvhd2"
    path.write_bytes(PLAIN.data)
    assert imsprep("check", "--deep", path).code == 0
    path.write_bytes(CASES["IMS312"])
    assert imsprep("check", path).code == 0
    outcome = imsprep("check", "--deep", "--json", path)
    assert outcome.code == 1
    finding = next(f for f in outcome.json["images"][0]["findings"] if f["rule"] == "IMS312")
    assert finding["region"]["offset"] == 8192


def test_a_raw_image_is_asked_nothing_of_a_container(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"data".ljust(8192, b"\0"))
    facts = gather_file(path, request=RequestFields(), site=SITES[DEFAULT_SITE], look=DEEP)
    report = registry.run(facts)
    assert "container" not in report.facts
    assert not [rule for rule in report.passed if rule.startswith("IMS3")]
    reasons = {s.reason for s in report.skipped if s.rule.startswith("IMS3")}
    assert reasons == {"only a ZVHD2 file is a container"}
    unseen = dataclasses.replace(facts, matches=check_matches())
    assert all(rule.run(unseen)[1] for rule in RULES)


def check_matches() -> tuple[Any, ...]:
    from imsprep.image import formats

    return formats.identify(PLAIN.data[:4096], PLAIN.data[-4096:], len(PLAIN.data))


def test_an_empty_disk_is_a_warning(tmp_path: Path) -> None:
    report = check(golden("all_zero"), tmp_path)
    (finding,) = [f for f in report.findings if f.rule == "IMS110"]
    assert finding.severity is Severity.WARNING
    assert "IMS110" in {s.rule for s in check(PLAIN.data[:-1], tmp_path).skipped}
