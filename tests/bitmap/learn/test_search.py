"""Learning a layout from another tool's file: found, not found, or not to be told apart."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imsprep.bitmap.codec import counts, encode, encode_body
from imsprep.bitmap.layout import Bits, Cells, Entries, Number
from imsprep.bitmap.layout_json import from_plain
from imsprep.bitmap.learn.bodies import all_bits
from imsprep.bitmap.learn.files import learn_files, write_probe
from imsprep.bitmap.learn.probe import FIRST_SIZE, SECOND_SIZE, probe_map
from imsprep.bitmap.learn.search import Sample, learn
from imsprep.errors import FormatError
from imsprep.image.blockmap import BlockMap
from imsprep.image.file import RawImage
from imsprep.options import ScanOptions
from imsprep.scan.scan import scan
from imsprep.units import GIB, KIB, MIB
from tests.support.bitmap import vendors
from tests.support.running import Outcome

# Each test looks for a layout among thousands of hypotheses, on probes of 16 GiB and more.
pytestmark = pytest.mark.slow

DEFAULT_SIZE = 16 * GIB + 5 * 512  # enough to learn from, and soon read by the tools here
SECOND_DEFAULT = 33_003 * MIB + 11 * 512
EMPTY_END = 33_003 * MIB + 5 * 512
Run = Callable[..., Outcome]
Tool = Callable[[Path], bytes]


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("probe") / "probe.raw"
    write_probe(path, size=DEFAULT_SIZE)
    return path


@pytest.fixture(scope="module")
def second_probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("second") / "second.raw"
    write_probe(path, size=SECOND_DEFAULT)
    return path


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Disks that no learner saw: one ends in data, one does not, one is long."""
    folder = tmp_path_factory.mktemp("disks")
    choice = random.Random(11)
    made = []
    for size, count in ((200 * MIB + 1536, 40), (512 * MIB, 9), (6 << 30, 300)):
        path = folder / f"{size}.raw"
        with path.open("wb") as file:
            file.truncate(size)
            for _ in range(count):
                os.pwrite(file.fileno(), b"\x01", choice.randrange(size))
            if size % MIB:
                os.pwrite(file.fileno(), b"\x01", size - 1)
        made.append(path)
    return made


@functools.cache
def map_of(image: Path, block_size: int) -> BlockMap:
    """Return the map of a disk, which many tools are asked about and no test changes."""
    with RawImage.open(image) as opened:
        return scan(opened, ScanOptions(block_size=block_size)).block_map


def sample(image: Path, tool: Tool) -> Sample:
    return Sample(map_of(image, 512), tool(image))


@pytest.mark.parametrize("tool", vendors.FITTING, ids=lambda t: t.__name__)
def test_a_layout_is_found_and_holds_for_disks_that_were_not_seen(
    probe: Path, second_probe: Path, disks: list[Path], tool: Tool
) -> None:
    samples = [sample(probe, tool)]
    learned = learn(samples)
    assert learned.outcome in ("several", "unproved")
    assert learned.second_probe is not None
    samples.append(sample(second_probe, tool))
    learned = learn(samples)
    assert learned.outcome == "one", learned
    (layout,) = learned.layouts
    assert [m.sha256 for m in layout.matched] == [
        hashlib.sha256(s.data).hexdigest() for s in samples
    ]
    layout = replace(layout, matched=())  # which would refuse disks smaller than the probes
    for disk in disks:
        assert encode(map_of(disk, layout.block_size), layout) == tool(disk), disk.name


@pytest.mark.parametrize("tool", vendors.STRANGE, ids=lambda t: t.__name__)
def test_a_file_of_no_known_kind_fits_nothing_and_how_far_it_got_is_told(
    probe: Path, tool: Tool
) -> None:
    learned = learn([sample(probe, tool)])
    assert learned.outcome == "none"
    assert learned.reached
    if tool is vendors.nearly:
        assert "equals its bytes 0 to 511 of 1025" in learned.reached


def test_a_bitmap_of_another_image_fits_nothing(probe: Path, disks: list[Path]) -> None:
    other = vendors.plain_2m(disks[2])
    assert learn([Sample(probe_map(DEFAULT_SIZE, 512), other)]).outcome == "none"


def test_an_image_without_spare_bits_leaves_several_layouts_and_a_second_pair_decides(
    probe: Path, disks: list[Path]
) -> None:
    first = sample(disks[2], vendors.plain_2m)
    learned = learn([first])
    assert learned.outcome == "several"
    assert {
        layout.body.spare_bit for layout in learned.layouts if isinstance(layout.body, Bits)
    } == {0, 1}
    assert learned.second_probe == SECOND_SIZE
    anywhere = [replace(layout, matched=()) for layout in learned.layouts]
    files = {encode(probe_map(SECOND_SIZE, 2 * MIB), layout) for layout in anywhere}
    assert len(files) == len(learned.layouts)
    assert learn([first, sample(probe, vendors.plain_2m)]).outcome == "one"


def test_an_image_that_is_too_plain_is_not_taken_for_evidence(tmp_path: Path) -> None:
    path = tmp_path / "plain.raw"
    path.write_bytes(b"\x01" * 32 * MIB)
    learned = learn([sample(path, vendors.plain_2m)])
    assert learned.outcome == "none"
    assert "use imsprep bitmap probe" in learned.reached


def test_padding_that_two_multiples_explain_is_not_guessed(probe: Path, second_probe: Path) -> None:
    """1025 bytes up to 2048 may be a multiple of 1024 or of 2048."""

    def padded(image: Path) -> bytes:
        body = vendors.plain_2m(image)
        return body + bytes(-len(body) % 1024)

    first = sample(probe, padded)
    learned = learn([first])
    assert [layout.padding.multiple for layout in learned.layouts] == [1, 1024, 2048]
    again = learn([first, sample(second_probe, padded)])
    assert [layout.padding.multiple for layout in again.layouts] == [1024]


def test_bytes_that_differ_from_image_to_image_are_found_out_by_a_second_pair(
    probe: Path, tmp_path: Path
) -> None:
    def stamped(image: Path) -> bytes:
        return hashlib.md5(image.name.encode()).digest() + vendors.plain_2m(image)

    first = sample(probe, stamped)
    assert learn([first]).outcome == "unproved"  # with the digest as a constant
    other = tmp_path / "other.raw"
    write_probe(other, size=DEFAULT_SIZE - MIB)
    learned = learn([first, sample(other, stamped)])
    assert learned.outcome == "none"
    assert "and none of them file number 2" in learned.reached


def block_sizes() -> Iterator[int]:
    return (4 * KIB << n for n in range(14))


def test_every_hypothesis_makes_another_bitmap_of_the_probe() -> None:
    """4 KiB to 32 MiB, every order and polarity, cells and lists: no two files are equal."""
    seen: dict[bytes, str] = {}
    fine = probe_map(DEFAULT_SIZE, 4 * KIB)
    for size in block_sizes():
        coarse = fine.coarsened(size)
        bodies = [*all_bits(len(coarse), 1 << 20), Cells(), Cells(b"\0", b"\1"), *lists(size)]
        for body in bodies:
            digest = hashlib.sha256(encode_body(coarse, body).data).digest()
            assert digest not in seen, (size, body, seen[digest])
            seen[digest] = f"{size} {body}"
    assert len(seen) > 14 * 30


def lists(block_size: int) -> Iterator[Entries]:
    units = ("block", "sector", "byte")
    for unit, what, form in itertools.product(units, ("length", "end", "last"), ("le", "be")):
        yield Entries((Number("start", form, 8, unit), Number(what, form, 8, unit)))
        if what == "end":
            yield Entries((Number("start", form, 8, unit),), "block")


def test_what_a_header_may_count_is_told_apart_on_the_probe() -> None:
    for size in block_sizes():
        coarse = probe_map(DEFAULT_SIZE, size)
        numbers = counts(coarse, encode_body(coarse, Entries((Number("start"), Number("length")))))
        del numbers["block_size"], numbers["block_sectors"], numbers["body_size"]
        assert len(set(numbers.values())) == len(numbers)
        assert min(numbers[n] for n in ("blocks", "data_blocks")) > 255
        assert all(n % 256 for name, n in numbers.items() if name != "image_size")


def test_the_probe_is_sparse_and_reads_as_planned(probe: Path) -> None:
    assert probe.stat().st_size == DEFAULT_SIZE
    assert probe.stat().st_blocks * 512 < 8 * MIB
    with RawImage.open(probe) as image:
        assert scan(image, ScanOptions(block_size=512)).block_map == probe_map(DEFAULT_SIZE, 512)


def test_the_command_line_goes_all_the_way(imsprep: Run, tmp_path: Path, disks: list[Path]) -> None:
    raw, mf = tmp_path / "probe.raw", tmp_path / "probe.mf"
    made = imsprep("bitmap", "probe", raw, "--json")
    assert made.code == 0, made.err
    assert made.json["size"] == FIRST_SIZE
    mf.write_bytes(vendors.big_header_64k(raw))
    learned = imsprep("bitmap", "learn", raw, mf)
    assert learned.code == 1, learned.err
    assert f"imsprep bitmap probe second.raw --size {SECOND_SIZE}" in learned.out
    raw2, mf2 = tmp_path / "second.raw", tmp_path / "second.mf"
    imsprep("bitmap", "probe", raw2, "--size", SECOND_SIZE)
    mf2.write_bytes(vendors.big_header_64k(raw2))
    learned = imsprep("bitmap", "learn", raw, mf, raw2, mf2)
    assert learned.code == 0, learned.out
    assert "reproduced byte for byte" in learned.out
    assert "matched against 2 files, and nothing is known of others" in learned.out
    assert "--kind none" in learned.out
    saved = tmp_path / "probe.layout.json"
    value = json.loads(saved.read_text())
    assert value["name"] == "learned from probe.mf"
    assert value["matched"][0]["length"] == mf.stat().st_size
    assert from_plain(value).header
    disk = tmp_path / "disk.raw"
    os.link(disks[1], disk)
    assert imsprep("bitmap", disk, "--layout", saved).code == 0
    assert disk.with_suffix(".mf").read_bytes() == vendors.big_header_64k(disks[1])
    assert imsprep("verify", disk).code == 0


def test_the_command_line_says_what_to_do_when_several_fit(imsprep: Run, tmp_path: Path) -> None:
    raw, mf = tmp_path / "probe.raw", tmp_path / "probe.mf"
    imsprep("bitmap", "probe", raw)
    mf.write_bytes(vendors.java_longs(raw))
    learned = imsprep("bitmap", "learn", raw, mf)
    assert learned.code == 1
    assert "nothing was saved" in learned.out
    assert "imsprep bitmap probe second.raw --size" in learned.out
    size = EMPTY_END
    raw2, mf2 = tmp_path / "second.raw", tmp_path / "second.mf"
    imsprep("bitmap", "probe", raw2, "--size", size)
    mf2.write_bytes(vendors.java_longs(raw2))
    done = imsprep("bitmap", "learn", raw, mf, raw2, mf2, "-o", tmp_path / "found.json", "--json")
    assert (done.code, done.json["outcome"]) == (0, "one")
    assert len(done.json["layouts"][0]["matched"]) == 2


def test_the_command_line_says_when_none_fits(imsprep: Run, tmp_path: Path) -> None:
    raw, mf = tmp_path / "probe.raw", tmp_path / "probe.mf"
    imsprep("bitmap", "probe", raw, "--size", "64m")
    mf.write_bytes(b"something else")
    done = imsprep("bitmap", "learn", raw, mf)
    assert done.code == 1
    assert "no layout of a known kind fits" in done.out
    assert not (tmp_path / "probe.layout.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("learn", "one.raw"), 2, "pairs"),
        (("learn", "probe.raw", "no.mf"), 3, "no.mf"),
        (("learn", "no.raw", "probe.raw"), 3, "no.raw"),
        (("probe", "probe.raw"), 2, "--force"),
        (("probe", "new.raw", "--size", "1m"), 2, "32 MiB"),
        (("probe", "new.raw", "--size", "100000001"), 2, "whole sectors"),
        (("probe", "no/new.raw"), 3, "cannot write"),
    ],
)
def test_wrong_usage_says_so(
    imsprep: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("probe.raw").write_bytes(b"x" * 4096)
    done = imsprep("bitmap", *arguments)
    assert done.code == code, done.err
    assert words in done.err


def test_a_file_that_is_no_layout_is_not_replaced(imsprep: Run, tmp_path: Path) -> None:
    saved, pairs = tmp_path / "notes.txt", []
    for name, size in (("first", FIRST_SIZE), ("second", EMPTY_END)):
        raw, mf = tmp_path / f"{name}.raw", tmp_path / f"{name}.mf"
        imsprep("bitmap", "probe", raw, "--size", size)
        mf.write_bytes(vendors.plain_2m(raw))
        pairs += [raw, mf]
    saved.write_text("mine")
    done = imsprep("bitmap", "learn", *pairs, "-o", saved)
    assert done.code == 2
    assert saved.read_text() == "mine"


@given(st.binary(max_size=300), st.sampled_from([64 * MIB, 200 * MIB + 512, DEFAULT_SIZE]))
@settings(max_examples=20)
def test_garbage_fits_nothing(garbage: bytes, size: int) -> None:
    assert learn([Sample(probe_map(size, 64 * KIB), garbage)]).outcome == "none"


def test_an_empty_map_is_learned_without_an_error() -> None:
    empty = BlockMap.from_flags(64 * MIB, 2 * MIB, probe_map(64 * MIB, 2 * MIB).flags() & False)
    for data in (b"", bytes(4)):
        assert learn([Sample(empty, data)]).outcome == "none"


# What is learned is never wrong for another disk: it is right, or refused.


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The first and the second probe, and the boundary cases."""
    folder = tmp_path_factory.mktemp("probes")
    made = {
        "probe": (FIRST_SIZE, "data"), "second": (SECOND_SIZE, "data"), "nothing": (64 * MIB, "none"),
        "full": (64 * MIB, "all"), "single": (64 * MIB, "one"),
    }  # fmt: skip
    for name, (size, kind) in made.items():
        write_probe(folder / f"{name}.raw", size=size, kind=kind)
    return [folder / f"{name}.raw" for name in made]


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Disks of every kind: small, large, full, without data, with data in one block, at the end."""
    folder, choice = tmp_path_factory.mktemp("elsewhere"), random.Random(7)
    sizes = (2 * MIB, 64 * MIB, 64 * MIB + 512, 6 * GIB, 70 * GIB, 132 * GIB, 172 * GIB, 300 * GIB)
    made = []
    for number, size in enumerate(sizes):
        for kind in ("some", "none", "one", "end"):
            path = folder / f"{number}-{kind}.raw"
            with path.open("wb") as file:
                file.truncate(size)
                places = {
                    "some": [choice.randrange(size) for _ in range(40)],
                    "none": [], "one": [size // 3], "end": [0, size - 1],
                }[kind]  # fmt: skip
                for place in places:
                    os.pwrite(file.fileno(), b"\x01", place)
            os.utime(path, (number * 10**8, number * 10**8))
            made.append(path)
    (folder / "full.raw").write_bytes(b"\x01" * 64 * MIB)
    return [*made, folder / "full.raw"]


LIKE_2M = [tool for tool in vendors.FITTING if tool.__name__ in ("plain_2m", "java_bit_set", "footer_with_sum", "block_numbers_with_an_end", "little_header_8m", "shorts_per_block_16m", "padded_to_512")]  # fmt: skip


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("tool", [*vendors.CHANGING, *LIKE_2M], ids=lambda t: t.__name__)
def test_a_learned_layout_is_right_or_refused_for_every_other_disk(
    tool: Tool, count: int, probes: list[Path], others: list[Path], tmp_path: Path
) -> None:
    pairs = []
    for probe in probes[:count]:
        (tmp_path / f"{probe.stem}.mf").write_bytes(tool(probe))
        pairs.append((probe, tmp_path / f"{probe.stem}.mf"))
    learned = learn_files(pairs)
    assert learn_files(pairs[:1]).outcome != "one"
    if tool in LIKE_2M or tool is vendors.as_zvhd2:
        assert learned.outcome == "one", learned
    if learned.outcome != "one":
        return
    (layout,) = learned.layouts
    right = 0
    for disk in others:
        try:
            made = encode(map_of(disk, layout.block_size), layout)
        except FormatError:
            continue  # it may not hold here
        assert made == tool(disk), disk.name
        right += 1
    assert right >= (7 if count == 2 else 15)


def test_the_command_line_refuses_a_disk_that_a_layout_was_not_seen_for(
    imsprep: Run, probes: list[Path], tmp_path: Path
) -> None:
    pairs = []
    for probe in probes[:2]:
        (tmp_path / f"{probe.stem}.mf").write_bytes(vendors.plain_2m(probe))
        pairs += [probe, tmp_path / f"{probe.stem}.mf"]
    saved = tmp_path / "found.json"
    assert imsprep("bitmap", "learn", *pairs, "-o", saved).code == 0
    disk = tmp_path / "disk.raw"
    for size, data, code, words in (
        (64 * MIB, [5, 40 * MIB], 0, ""),
        (64 * MIB, [], 1, "no disk with no data"),
        (64 * MIB, [5], 1, "data in one block only"),
        (32 * MIB, [5, 20 * MIB], 1, "from 64"),
        (200 * GIB, [5, 40 * MIB], 1, "to 173 GiB"),
    ):
        disk.unlink(missing_ok=True)
        with disk.open("wb") as file:
            file.truncate(size)
            for place in data:
                os.pwrite(file.fileno(), b"\x01", place)
        done = imsprep("bitmap", disk, "--layout", saved, "--force")
        assert (done.code, words in done.err) == (code, True), done.err
