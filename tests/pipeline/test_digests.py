"""The digest of a disk in a file: the same in every format, and what is said on the way."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from imsprep.errors import ImageInUseError
from imsprep.options import DigestOptions
from imsprep.pipeline.digests import differ_in_size_alone, digest_file
from imsprep.progress import DIGEST, Event
from imsprep.units import MIB
from tests.support.image.treedigest import tree_digest
from tests.support.zvhd2.files import of_disk


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"data".ljust(3 * MIB, b"\0") + b"end!" * 128)
    return path


def test_a_disk_has_one_digest_in_every_format(raw: Path, tmp_path: Path) -> None:
    packed = tmp_path / "disk.zvhd2"
    packed.write_bytes(of_disk(raw.read_bytes()))
    wanted = tree_digest(raw.read_bytes())
    assert [digest_file(path, DigestOptions()).text for path in (raw, packed)] == [wanted] * 2
    read = DigestOptions(holes="verify", jobs=2)
    assert digest_file(raw, read).text == wanted


def test_a_plain_sha256_is_that_of_the_disk(raw: Path) -> None:
    found = digest_file(raw, DigestOptions(sha256=True))
    assert found.text.endswith(hashlib.sha256(raw.read_bytes()).hexdigest())


def test_zeros_behind_a_disk_are_a_difference_in_size_alone(raw: Path, tmp_path: Path) -> None:
    larger, other, less = (tmp_path / name for name in ("larger", "other", "less"))
    larger.write_bytes(raw.read_bytes() + bytes(70 * MIB))  # a level more
    other.write_bytes(raw.read_bytes() + bytes(MIB) + b"x")
    less.write_bytes(raw.read_bytes()[: 3 * MIB])
    found = {p: digest_file(p, DigestOptions()) for p in (raw, larger, other, less)}
    assert differ_in_size_alone([found[raw], found[larger]])
    assert differ_in_size_alone([found[larger], found[raw]])
    for files in ((raw, other), (raw, less), (raw, larger, other), (raw, raw)):
        assert not differ_in_size_alone([found[path] for path in files])
    plain = [digest_file(path, DigestOptions(sha256=True)) for path in (raw, larger)]
    assert not differ_in_size_alone(plain)


def test_progress_adds_up_to_the_disk(raw: Path) -> None:
    seen: list[Event] = []
    digest_file(raw, DigestOptions(progress=seen.append))
    assert {event.step for event in seen} == {DIGEST}
    assert sum(event.count for event in seen) == raw.stat().st_size


@pytest.mark.slow
def test_a_writer_is_refused_or_noted(raw: Path) -> None:
    seen: list[Event] = []
    with raw.open("r+b"):
        with pytest.raises(ImageInUseError):
            digest_file(raw, DigestOptions())
        digest_file(raw, DigestOptions(force_share=True, progress=seen.append))
    assert [event for event in seen if "open for writing" in event.text]
