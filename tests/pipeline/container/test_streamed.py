"""Pack while sending: the object is the container's file, whatever ends a run early."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imsprep.errors import ImageChangedError
from imsprep.image.file import RawImage
from imsprep.options import ConvertOptions
from imsprep.pipeline.container import streamed
from imsprep.pipeline.container.streamed import StreamTask, maker_of
from imsprep.store.directory import DirectoryStore
from imsprep.store.retry import RetryPolicy
from imsprep.system.buffers import Buffers
from imsprep.upload.journal import Journal
from imsprep.upload.partlog import Line, PartLog
from imsprep.upload.stream import stream
from imsprep.upload.values import Destination, TransferPolicy, Uploaded
from imsprep.zvhd2.source import OpenImage
from imsprep.zvhd2.writer import PackTask, WriteTask, write_container
from tests.support.image.treedigest import tree_digest
from tests.support.running import slow

MIB = 1 << 20
PACKING = PackTask(timestamp=5, jobs=2)
KEY = "disk.zvhd2"


def fill(path: Path, layout: list[int], seed: int = 1) -> None:
    """Write a disk: for each block of 2 MiB 0 a hole, 1 random data, 2 zeros, 3 what packs well."""
    rng = random.Random(seed)
    with path.open("wb") as file:
        file.truncate(len(layout) * 2 * MIB)
        for number, kind in enumerate(layout):
            file.seek(number * 2 * MIB)
            data = {1: rng.randbytes(2 * MIB), 2: bytes(2 * MIB)}
            file.write(data.get(kind, b"" if kind == 0 else rng.randbytes(4096) * 512))


def container(path: Path) -> bytes:
    """The file that `writer` makes of the disk."""
    place = path.with_suffix(".whole")
    with RawImage.open(path) as image, place.open("w+b") as file:
        write_container(image, image.extents(), file.fileno(), WriteTask(PACKING))
    return place.read_bytes()


class BrokenError(BaseException):
    """The process is gone."""


@dataclass
class Case:
    """A disk, a bucket, and what happened."""

    path: Path
    store: Any
    blocks: list[int] = field(default_factory=list)  # packed, by run

    def send(self, store: Any = None, **options: Any) -> Uploaded:
        told = StreamTask(PACKING, ConvertOptions(part_size=10 * MIB))
        options = {"retry": RetryPolicy(limit_s=5, first_wait_s=0.0), "jobs": 2, **options}
        with OpenImage.open(self.path, jobs=PACKING.jobs) as image:
            maker = maker_of(image, told)
            try:
                return stream(
                    maker, Destination(store or self.store, "a bucket", KEY,
                                       Journal.for_file(self.path), self.path),
                    TransferPolicy(**options), lambda **_: None,
                )  # fmt: skip
            finally:
                self.blocks.append(maker.packed)

    @property
    def object(self) -> bytes:
        return bytes(self.store.read(KEY, 0, 1 << 28))

    def check_tidy(self) -> None:
        left = {path.name for path in self.path.parent.iterdir()}
        assert not {name for name in left if ".upload." in name and not name.endswith(".lock")}
        assert self.store.list_uploads() == []


@pytest.fixture
def case(tmp_path: Path) -> Case:
    path = tmp_path / "disk.raw"
    fill(path, [0, 1, 1, 2, 3, 1, 0, 0, *[1] * 14, 2, 3, 3, 1, 0])
    return Case(path, DirectoryStore(tmp_path / "bucket"))


class Ending:
    """A store that lets a process end, before or behind its nth call of a method."""

    def __init__(self, store: Any, method: str, number: int, acted: bool) -> None:
        self._store, self._method, self._left, self._acted = store, method, number, acted

    def __getattr__(self, name: str) -> Any:
        original = getattr(self._store, name)
        if name != self._method:
            return original

        def call(*arguments: Any) -> Any:
            self._left -= 1
            if self._left > 0:
                return original(*arguments)
            if self._acted and self._left == 0:
                original(*arguments)
            raise BrokenError

        return call


@pytest.mark.slow
def test_the_object_is_the_container_that_is_written_to_a_file(case: Case) -> None:
    done = case.send()
    assert case.object == container(case.path)
    assert done.sent == done.size == len(case.object)
    assert done.parts > 3
    case.check_tidy()


@pytest.mark.parametrize("layout", [[0], [2, 2], [3], [1] * 2, [1] * 3, [0, 1, 0, 0], [1] * 9])
def test_small_disks_and_ends_that_fall_together(tmp_path: Path, layout: list[int]) -> None:
    path = tmp_path / "disk.raw"
    fill(path, layout)
    os.truncate(path, len(layout) * 2 * MIB - 512)
    case = Case(path, DirectoryStore(tmp_path / "bucket"))
    case.send()
    assert case.object == container(path)


def test_the_tables_of_a_large_disk_have_room_in_its_last_part(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    fill(path, [1, 1, 1, 1])
    os.truncate(path, 1 << 40)
    case = Case(path, DirectoryStore(tmp_path / "bucket"))
    done = case.send()
    assert case.object == container(path)
    assert done.size > 8 * MIB  # of tables


@pytest.mark.slow
@pytest.mark.parametrize("acted", [False, True])
@pytest.mark.parametrize("number", [1, slow(2), 3, slow(4), 5])
def test_broken_off_at_any_part_it_continues_with_the_same_object(
    case: Case, number: int, acted: bool
) -> None:
    with pytest.raises(BrokenError):
        case.send(Ending(case.store, "upload_part", number, acted), jobs=1)
    done = case.send()
    assert case.object == container(case.path)
    assert done.restarted is None
    assert done.sent + done.reused == done.size
    case.check_tidy()


@pytest.mark.slow
@pytest.mark.parametrize("acted", [False, True])
def test_broken_off_at_the_completion_it_is_completed_or_known(case: Case, acted: bool) -> None:
    with pytest.raises(BrokenError):
        case.send(Ending(case.store, "complete", 1, acted))
    done = case.send()
    assert case.object == container(case.path)
    assert done.skipped == acted
    # Only the first part is made again, of which the header is part.
    assert case.blocks[1] <= (0 if acted else 4)
    case.check_tidy()


@pytest.mark.slow
def test_what_a_part_holds_is_not_packed_again(case: Case) -> None:
    with pytest.raises(BrokenError):
        case.send(Ending(case.store, "upload_part", 4, False), jobs=1)
    done = case.send()
    blocks = 21  # that are not zeros
    assert done.reused > 15 * MIB
    # The first part, and the one that was on its way.
    assert case.blocks[0] + case.blocks[1] <= blocks + 2 * 6


@pytest.mark.slow
def test_a_changed_image_starts_over_and_says_so(case: Case) -> None:
    with pytest.raises(BrokenError):
        case.send(Ending(case.store, "upload_part", 4, False), jobs=1)
    with case.path.open("r+b") as file:
        file.seek(20 * MIB)
        file.write(b"changed")
    done = case.send()
    assert done.restarted is not None
    assert "changed" in done.restarted
    assert case.object == container(case.path)
    case.check_tidy()


@pytest.mark.slow
def test_a_block_that_changed_behind_the_file_s_times_starts_over(case: Case) -> None:
    with pytest.raises(BrokenError):
        case.send(Ending(case.store, "upload_part", 4, False), jobs=1)
    journal = Journal.for_file(case.path)
    noted = journal.load()
    assert noted is not None
    with case.path.open("r+b") as file:
        file.seek(20 * MIB)
        file.write(b"changed")
    with RawImage.open(case.path) as image:
        journal.save(replace(noted, identity=image.identity))
    done = case.send()
    assert done.restarted is not None
    assert "does not fit the image" in done.restarted
    assert case.object == container(case.path)
    case.check_tidy()


@pytest.mark.slow
@given(st.data())
@settings(max_examples=15)
def test_a_damaged_log_costs_parts_and_never_the_object(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("log") / "disk.raw"
    fill(path, [1] * 12 + [0, 3, 2] + [1] * 4)
    case = Case(path, DirectoryStore(path.parent / "bucket"))
    number = data.draw(st.integers(2, 5))
    with pytest.raises(BrokenError):
        case.send(Ending(case.store, "upload_part", number, data.draw(st.booleans())), jobs=1)
    log = path.with_name("disk.raw.upload.parts")
    if log.exists():
        text = log.read_bytes()
        kind = data.draw(st.sampled_from(["flip", "cut", "twice", "none", "swap", "noise"]))
        place = data.draw(st.integers(0, max(0, len(text) - 1)))
        bit = 1 << data.draw(st.integers(0, 7))
        text = {
            "flip": text[:place]
            + bytes(b ^ bit for b in text[place : place + 1])
            + text[place + 1 :],
            "cut": text[:place],
            "twice": text * 2,
            "none": text,
            "swap": b"\n".join(reversed(text.split(b"\n"))),
            "noise": text[:place] + data.draw(st.binary(max_size=50)) + text[place:],
        }[kind]
        log.write_bytes(text)
    case.send()
    assert case.object == container(path)
    case.check_tidy()


@pytest.mark.slow
@pytest.mark.parametrize("note", [{}, {"start": 0, "length": 1, "rows": "", "digest": "", "uuid": ""},
                                  {"start": 4, "length": 1, "rows": "!", "digest": "", "uuid": ""},
                                  {"start": 1, "length": 2, "rows": "AAAA", "digest": [], "uuid": 1}])  # fmt: skip
def test_a_line_that_is_sealed_and_wrong_is_found_out(case: Case, note: dict[str, Any]) -> None:
    """Whoever wrote it: what it says is compared with the store and the image."""
    with pytest.raises(BrokenError):
        case.send(Ending(case.store, "upload_part", 4, False), jobs=1)
    entry = Journal.for_file(case.path).load()
    assert entry is not None
    log = PartLog.for_upload(case.path, entry.upload_id)
    lines = log.read()
    for line in lines.values():
        log.add(Line(line.number, line.length, line.md5, line.etag, note))
    case.send()
    assert case.object == container(case.path)
    case.check_tidy()


def test_an_image_that_changes_meanwhile_makes_no_object(case: Case) -> None:
    class Changing(Ending):
        def __getattr__(self, name: str) -> Any:
            if name == "upload_part":
                os.utime(case.path, ns=(1, 1))
            return getattr(self._store, name)

    with pytest.raises(ImageChangedError):
        case.send(Changing(case.store, "", 0, False))
    assert case.store.head(KEY) is None
    case.check_tidy()


@pytest.mark.slow
@pytest.mark.parametrize("noted", [True, False])
def test_an_image_that_changes_while_its_object_is_compared_is_not_called_the_same(
    case: Case, noted: bool
) -> None:
    """Whether the upload that made the object is still noted, or the object is made again."""

    class Changing(Ending):
        def __getattr__(self, name: str) -> Any:
            if name == "head":
                os.utime(case.path, ns=(1, 1))
            return getattr(self._store, name)

    if noted:
        with pytest.raises(BrokenError):
            case.send(Ending(case.store, "complete", 1, True))
    else:
        case.send()
    with pytest.raises(ImageChangedError):
        case.send(Changing(case.store, "", 0, False))


class Encrypting:
    """A store whose ETags are no MD5s: its own for each part, and the same when they are listed."""

    etags_are_md5 = False

    def __init__(self, store: Any) -> None:
        self._store = store
        self._real: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def _hidden(self, etag: str) -> str:
        hidden = etag[::-1]
        self._real[hidden] = etag
        return hidden

    def upload_part(self, *arguments: Any) -> str:
        return self._hidden(self._store.upload_part(*arguments))

    def list_parts(self, *arguments: Any) -> Any:
        return [p._replace(etag=self._hidden(p.etag)) for p in self._store.list_parts(*arguments)]

    def complete(self, key: str, upload_id: str, parts: Any) -> str:
        real = [part._replace(etag=self._real[part.etag]) for part in parts]
        return self._hidden(self._store.complete(key, upload_id, real))

    def head(self, key: str) -> Any:
        found = self._store.head(key)
        return found and found._replace(etag=self._hidden(found.etag))


@pytest.mark.slow
def test_in_a_store_that_encrypts_it_continues_too_and_says_what_was_not_compared(
    case: Case,
) -> None:
    with pytest.raises(BrokenError):
        case.send(Ending(Encrypting(case.store), "upload_part", 4, False), jobs=1)
    done = case.send(Encrypting(case.store))
    assert case.object == container(case.path)
    assert (done.restarted, done.etags_compared) == (None, False)
    assert done.reused > 15 * MIB
    case.check_tidy()


def test_the_digest_is_the_disk_s(case: Case) -> None:
    told = StreamTask(PACKING, ConvertOptions(part_size=10 * MIB))
    with OpenImage.open(case.path) as image:
        maker = maker_of(image, told)
        for _ in maker.parts({}):
            pass
        assert maker.facts()["digest"] == tree_digest(case.path.read_bytes())


@dataclass
class Changing:
    """An image of a TiB, or the disk in it, that may have changed; nothing is read of it."""

    changed: bool = False
    size: int = 1 << 40
    path: Path = Path("x")

    def check_unchanged(self) -> None:
        if self.changed:
            raise ImageChangedError("it changed")


UNCHANGED = Changing()


def maker(
    packing: PackTask = PACKING,
    image: Changing = UNCHANGED,
    disk: Changing = UNCHANGED,
    part_size: int = 32 * MIB,
) -> streamed.DiskMaker:
    told = StreamTask(packing, ConvertOptions(part_size=part_size))
    return streamed.DiskMaker(image, disk, iter, told)  # type: ignore[arg-type]  # see `Changing`


def test_whatever_changes_the_bytes_is_another_plan() -> None:
    """What was sent by another plan is not taken up, and its object is not taken for this one."""
    plans = [
        maker().plan,
        maker(disk=Changing(size=1 << 39)).plan,
        maker(part_size=256 * MIB).plan,
        *(
            maker(replace(PACKING, **{name: value})).plan
            for name, value in {
                "method": 0, "level": 4, "block_size": MIB, "timestamp": 6, "uuid": b"u" * 16,
            }.items()
        ),
    ]  # fmt: skip
    assert len(set(plans)) == len(plans)
    assert maker(replace(PACKING, jobs=7)).plan == plans[0]


@pytest.mark.parametrize("changed", ["image", "disk"])
def test_the_image_and_the_files_of_its_disk_are_asked_whether_they_changed(changed: str) -> None:
    maker().check_unchanged()
    with pytest.raises(ImageChangedError):
        maker(**{changed: Changing(changed=True)}).check_unchanged()


def test_parts_are_enough_for_a_tebibyte_that_does_not_pack() -> None:
    made = maker()
    least = [made.least(number) for number in range(1, 10_001)]
    assert sum(least) > (1 << 40) * 1.011
    assert min(least) >= 5 * MIB
    assert max(least) * 3 < 400 * MIB


@pytest.mark.slow
def test_memory_is_given_back_when_the_store_has_the_part_and_not_before(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, real = list[object](), Buffers.release

    def release(self: Buffers, memory: Any) -> None:
        released.append(memory)
        real(self, memory)

    class Watching(Ending):
        def __getattr__(self, name: str) -> Any:
            original = getattr(self._store, name)
            if name != "upload_part":
                return original

            def send(*arguments: Any) -> Any:
                before = len(released)
                etag = original(*arguments)
                assert before == len(released)  # one part at a time is on its way
                return etag

            return send

    monkeypatch.setattr(Buffers, "release", release)
    done = case.send(Watching(case.store, "", 0, False), jobs=1)
    assert len(released) == done.parts - 1  # the first is made of all others, and held till the end
