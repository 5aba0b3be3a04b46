"""Rules IMS4xx: the bitmap beside a RAW image, in `check` and on the way of an import."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imsprep.bitmap.facts import BitmapFacts
from imsprep.bitmap.layout import DEFAULT_LAYOUT, BitmapLayout, Match, Shape
from imsprep.bitmap.layout_json import save_layout
from imsprep.checks import registry
from imsprep.checks.facts import Facts
from imsprep.image.blockmap import BlockMap
from imsprep.report import Severity
from imsprep.units import MIB
from tests.support.bitmap import vendors
from tests.support.running import Outcome

Run = Callable[..., Outcome]
BLOCK = 2 * MIB
SIZE = 9 * BLOCK
REQUEST = ("--via", "raw", "--name", "web01", "--os-version", "Debian GNU/Linux 10.0.0 64bit", "--min-disk", "40", "--poll", "0.05")  # fmt: skip


def block_map(*data: int) -> BlockMap:
    flags = np.zeros(9, dtype=bool)
    flags[list(data)] = True
    return BlockMap.from_flags(SIZE, BLOCK, flags)


def bitmap(**changes: Any) -> Facts:
    made = BitmapFacts("disk.mf", 2, DEFAULT_LAYOUT, claimed=block_map(1, 2), found=block_map(1, 2))
    return Facts(name="disk.raw", file_size=SIZE, bitmap=made._replace(**changes))


GOOD = bitmap()
ELSEWHERE = bitmap(layout=None, claimed=None)
SEEN = (Shape(), Shape(most=True, first=True, last=True))  # disks of whole blocks
MATCHED = dataclasses.replace(
    DEFAULT_LAYOUT, matched=tuple(Match("0" * 64, 2, SIZE, shape) for shape in SEEN)
)

# id -> facts in which it fires, facts in which it does not
CASES: dict[str, tuple[Facts, Facts]] = {
    "IMS401": (bitmap(length=None), bitmap(length=None, to_be_made=True)),
    "IMS402": (bitmap(stale="was made of another"), bitmap(stale="is old", to_be_made=True)),
    "IMS403": (bitmap(misfit="has 3 bytes", claimed=None), GOOD),
    "IMS404": (bitmap(claimed=block_map(1)), bitmap(claimed=block_map(1, 2, 3))),
    "IMS405": (GOOD, ELSEWHERE),
    "IMS406": (bitmap(claimed=block_map(1, 2, 3)), bitmap(claimed=block_map(1))),
}
RULES = {rule.id: rule for rule in registry.all_rules() if rule.id.startswith("IMS4")}


def test_every_rule_has_a_case() -> None:
    assert sorted(CASES) == sorted(RULES)


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_fires_where_it_should_and_only_there(rule: str) -> None:
    bad, good = CASES[rule]
    assert RULES[rule].run(bad)[0]
    assert not RULES[rule].run(good)[0]


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda r: r.id)
def test_a_source_has_a_date_or_says_that_it_is_inferred(rule: Any) -> None:
    assert re.search(r"\b20\d\d-\d\d", rule.source) or "inferred" in rule.source


@pytest.mark.parametrize("rule", RULES)
def test_an_image_that_needs_no_bitmap_is_skipped_and_not_passed(rule: str) -> None:
    _, skipped = RULES[rule].run(Facts(name="disk.zvhd2", file_size=SIZE))
    assert skipped is not None
    assert "only a RAW image" in skipped.reason


@pytest.mark.parametrize(
    ("rule", "facts", "reason"),
    [
        ("IMS403", ELSEWHERE, "layout is not known"),
        ("IMS404", ELSEWHERE, "layout is not known"),
        ("IMS405", ELSEWHERE, "layout is not known"),
        ("IMS405", bitmap(length=None), "an import packs the disk"),
        ("IMS404", bitmap(found=None), "not scanned"),
        ("IMS406", bitmap(found=None), "not scanned"),
        ("IMS402", bitmap(length=None), "there is no disk.mf"),
        ("IMS404", bitmap(to_be_made=True), "will be made"),
    ],
)
def test_a_rule_that_cannot_tell_says_why(rule: str, facts: Facts, reason: str) -> None:
    findings, skipped = RULES[rule].run(facts)
    assert not findings
    assert skipped is not None
    assert reason in skipped.reason


def test_the_unproven_layout_explains_itself_in_two_sentences() -> None:
    (finding,) = RULES["IMS405"].run(GOOD)[0]
    assert finding.severity is Severity.NOTE
    assert finding.message.count(". ") == 1
    assert "has not published" in finding.message
    assert "that of ZVHD2" in finding.message
    assert "ZVHD2 needs no bitmap" in finding.message


def test_the_default_layout_is_a_note_where_a_bitmap_is_there_or_is_going_to_be_made() -> None:
    for facts in (GOOD, bitmap(length=None, to_be_made=True)):
        (finding,) = RULES["IMS405"].run(facts)[0]
        assert finding.severity is Severity.NOTE


def test_a_good_raw_image_passes_a_strict_check(imsprep: Run, disk: Path) -> None:
    assert imsprep("check", disk, "--strict", "--type", "DataImage").code == 0


def test_a_layout_that_somebody_chose_is_not_called_the_published_one() -> None:
    (finding,) = RULES["IMS405"].run(bitmap(layout=BitmapLayout(4 * MIB)))[0]
    assert finding.severity is Severity.WARNING
    assert "the user chose" in finding.message


def test_a_matched_layout_is_only_noted_and_claims_no_more_than_its_files() -> None:
    (finding,) = RULES["IMS405"].run(bitmap(layout=MATCHED))[0]
    assert finding.severity is Severity.NOTE
    assert "reproduced 2 files of" in finding.message
    assert "nothing is known of others" in finding.message


def test_the_first_lost_block_is_pointed_at() -> None:
    (finding,) = RULES["IMS404"].run(bitmap(claimed=block_map(), found=block_map(3, 4, 7)))[0]
    assert finding.message.startswith("3 blocks of 2 MiB with data marked empty")
    assert finding.region is not None
    assert (finding.region.offset, finding.region.length) == (3 * BLOCK, 2 * BLOCK)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(SIZE)
        file.write(b"\xeb" + bytes(509) + b"\x55\xaa")
        os.pwrite(file.fileno(), b"x", 5 * BLOCK)
    return path


def found(done: Outcome) -> dict[str, str]:
    (report,) = done.json["images"]
    return {f["rule"]: f["severity"] for f in report["findings"] if f["rule"].startswith("IMS4")}


def check(imsprep: Run, disk: Path, *options: str) -> dict[str, str]:
    return found(imsprep("check", disk, "--json", "--select", "IMS4", *options))


def test_check_follows_the_bitmap_through_its_life(imsprep: Run, disk: Path) -> None:
    unproven = {"IMS405": "note"}
    assert check(imsprep, disk) == {"IMS401": "note"}
    imsprep("bitmap", disk)
    assert check(imsprep, disk) == unproven
    assert check(imsprep, disk, "--scan") == unproven
    packed = disk.with_suffix(".mf").read_bytes()
    disk.with_suffix(".mf").write_bytes(b"\x01" + packed[1:])
    assert check(imsprep, disk, "--scan")["IMS402"] == "error"
    disk.with_suffix(".mf").write_bytes(packed)
    os.pwrite(fd := os.open(disk, os.O_WRONLY), b"y", 7 * BLOCK)
    os.close(fd)
    assert check(imsprep, disk, "--scan") == {**unproven, "IMS402": "error", "IMS404": "error"}
    disk.with_suffix(".mf").write_bytes(b"from elsewhere")
    disk.with_name("disk.mf.json").unlink()
    assert check(imsprep, disk, "--scan") == {}


def test_a_bitmap_of_small_blocks_is_compared_in_its_own_blocks(imsprep: Run, disk: Path) -> None:
    imsprep("bitmap", disk, "--block-size", "4k")
    assert check(imsprep, disk, "--scan") == {"IMS405": "warning"}
    noted = json.loads(disk.with_name("disk.mf.json").read_text())
    assert noted["allocated"] == 2


def test_an_unreadable_bitmap_is_a_finding_and_no_failure(imsprep: Run, disk: Path) -> None:
    disk.with_suffix(".mf").mkdir()
    assert check(imsprep, disk)["IMS403"] == "error"


# On the way of an import.


def imports(imsprep: Run, disk: Path, *options: object) -> Outcome:
    cloud = f"local:{disk.parent}/cloud"
    return imsprep("import", disk, *REQUEST, "--to", cloud, "--json", *options)


def uploaded(disk: Path) -> bytes:
    return (disk.parent / "cloud" / "images" / "disk.mf").read_bytes()


def test_an_import_warns_and_does_not_stop(imsprep: Run, disk: Path) -> None:
    done = imports(imsprep, disk)
    assert done.code == 0, done.err
    assert re.search(r"^(note|warning) .*IMS405$", done.err, re.MULTILINE)
    assert "IMS401" not in done.err


def test_a_stale_bitmap_of_ours_is_made_anew_by_an_import(imsprep: Run, disk: Path) -> None:
    imsprep("bitmap", disk)
    os.pwrite(fd := os.open(disk, os.O_WRONLY), b"y", 7 * BLOCK)
    os.close(fd)
    assert imports(imsprep, disk).code == 0
    assert uploaded(disk) == bytes([0b10100001, 0])
    assert imsprep("verify", disk).code == 0


def test_a_bitmap_made_elsewhere_goes_up_as_it_is(imsprep: Run, disk: Path) -> None:
    other = disk.with_name("vendor.mf")
    other.write_bytes(bytes([0b11100001, 1]))  # empty blocks marked as data are no harm
    done = imports(imsprep, disk, "--bitmap", other)
    assert done.code == 0, done.err
    assert uploaded(disk) == other.read_bytes()
    assert not disk.with_name("vendor.mf.json").exists()
    assert not disk.with_suffix(".mf").exists()


def test_a_bitmap_made_elsewhere_is_checked_as_far_as_its_layout_is_known(
    imsprep: Run, disk: Path
) -> None:
    other = disk.with_name("vendor.mf")
    other.write_bytes(bytes([0b00000001, 0]))
    done = imports(imsprep, disk, "--bitmap", other, "--layout", "zvhd2")
    assert done.code == 1
    assert re.search(r"^error .* IMS404\n +1 block of 2 MiB with data", done.err, re.MULTILINE)
    other.write_bytes(b"\x01")
    done = imports(imsprep, disk, "--bitmap", other, "--layout", "zvhd2")
    assert done.code == 1
    assert "IMS403" in done.err
    assert not (disk.parent / "cloud").exists()
    other.unlink()
    assert imports(imsprep, disk, "--bitmap", other).code == 3


def test_the_emulator_loses_no_data_to_a_bitmap_that_nobody_could_check(
    imsprep: Run, disk: Path
) -> None:
    other = disk.with_name("vendor.mf")
    other.write_bytes(bytes([0b00000001, 0]))
    done = imports(imsprep, disk, "--bitmap", other)
    assert done.code == 6
    assert "IMG.0158" in done.err
    assert str(5 * BLOCK) in done.err


def learned(folder: Path) -> Path:
    from imsprep.bitmap.layout import Constant, Number

    path = folder / "learned.json"
    layout = BitmapLayout(
        64 << 10, header=(Constant(b"MF"), Number("image_size", "be", 8)), matched=MATCHED.matched
    )
    save_layout(path, layout)
    return path


def test_an_import_writes_a_learned_layout_and_the_emulator_reads_it(
    imsprep: Run, disk: Path
) -> None:
    layout = learned(disk.parent)
    done = imports(imsprep, disk, "--layout", layout)
    assert done.code == 0, done.err
    assert uploaded(disk) == b"MF" + SIZE.to_bytes(8, "big") + vendors.pack(
        vendors.blocks_of(disk, 64 << 10)
    )
    assert re.search(r"^note .* IMS405$", done.err, re.MULTILINE)
    made = next((disk.parent / "cloud" / ".emulator" / "disks").glob("*.raw"))
    assert made.read_bytes() == disk.read_bytes()


@pytest.mark.slow
def test_an_import_keeps_the_layout_that_the_bitmap_beside_the_image_has(
    imsprep: Run, disk: Path
) -> None:
    imsprep("bitmap", disk, "--layout", learned(disk.parent))
    before = disk.with_suffix(".mf").read_bytes()
    assert imports(imsprep, disk).code == 0
    assert uploaded(disk) == before
    assert imports(imsprep, disk, "--layout", "zvhd2").code == 0
    assert uploaded(disk) == bytes([0b00100001, 0])
