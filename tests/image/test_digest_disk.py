"""Hashing a disk: what is data is read, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from imsprep.errors import ImageChangedError
from imsprep.image.digest import LEAF, UNIT, DigestTree
from imsprep.image.digest_disk import digest_disk, sha256_disk
from imsprep.image.file import RawImage
from tests.support.image.treedigest import tree_digest


def disk_of(size: int, places: list[int]) -> bytes:
    disk = bytearray(size)
    for place in places:
        disk[place % size : place % size + 7] = b"content"[: size - place % size]
    return bytes(disk)


def test_a_file_is_hashed_by_its_data_alone(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(1 << 40)
        for place in (0, 5 << 20, (1 << 39) + 4097, (1 << 40) - 1):
            file.seek(place)
            file.write(b"x")
    with RawImage.open(path) as image:
        read = []
        image.pread_into = lambda offset, buffer, real=image.pread_into: (  # type: ignore[method-assign,misc]  # counts what is read
            read.append(len(buffer)), real(offset, buffer))[1]  # fmt: skip
        told: list[int] = []
        digest = digest_disk(image, jobs=2, progress=told.append)
    assert sum(read) <= 4 * 2 * LEAF
    assert sum(told) == 1 << 40
    tree = DigestTree(1 << 40)
    for place in (0, 5 << 20, (1 << 39) + 4097, (1 << 40) - 1):
        leaf = bytearray(LEAF)
        leaf[place % LEAF] = ord("x")
        tree.add(place // LEAF * LEAF, leaf)
    assert digest.digest() == tree.digest()


def test_holes_and_written_zeros_are_the_same(tmp_path: Path) -> None:
    disk = disk_of(9 * UNIT + 700, [3, 4 * UNIT, 9 * UNIT])
    plain, sparse = tmp_path / "plain.raw", tmp_path / "sparse.raw"
    plain.write_bytes(disk)
    with sparse.open("wb") as file:
        file.truncate(len(disk))
        for place in (3, 4 * UNIT, 9 * UNIT):
            file.seek(place)
            file.write(disk[place : place + 7])
    with RawImage.open(plain) as one, RawImage.open(sparse) as other:
        found = [digest_disk(image, jobs=2).digest() for image in (one, other)]
        assert found == [tree_digest(disk)] * 2
        assert sha256_disk(one) == sha256_disk(other)


@pytest.mark.parametrize("size", [16**3 * LEAF, 16**3 * LEAF + LEAF, 3 * 16**3 * LEAF])
def test_far_leaves_of_a_large_disk_count_at_their_places(size: int) -> None:
    """Across the nodes of several levels, computed here by the definition from the zeros up."""
    leaf = b"x" * LEAF
    places = {0, 1, 15, 16, 255, 256, 4095, size // LEAF - 1}
    tree = DigestTree(size)
    for place in sorted(places, key=lambda n: n * 7 % 5):
        tree.add(place * LEAF, leaf)
    row = {place: sha256(leaf).digest() for place in places}
    zeros, levels = sha256(bytes(LEAF)).digest(), 0
    while levels < 2 or 16**levels < size // LEAF:
        nodes: dict[int, list[bytes]] = {}
        for place, digest in row.items():
            nodes.setdefault(place // 16, [zeros] * 16)[place % 16] = digest
        row = {place: sha256(b"".join(children)).digest() for place, children in nodes.items()}
        zeros, levels = sha256(zeros * 16).digest(), levels + 1
    whole = sha256(b"imsprep tree1\0" + size.to_bytes(8, "little") + row[0]).hexdigest()
    assert tree.digest() == f"tree1:{whole}"


@pytest.mark.parametrize("way", [lambda image: digest_disk(image, jobs=2), sha256_disk])
def test_a_disk_that_changes_while_it_is_hashed_has_no_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[[RawImage], object]
) -> None:
    """Also if it changes behind the last byte that is read."""
    path = tmp_path / "disk.raw"
    path.write_bytes(disk_of(2 * UNIT, [0, UNIT]))
    real = RawImage.pread_into

    def change(image: RawImage, offset: int, buffer: memoryview) -> None:
        real(image, offset, buffer)
        os.utime(path, (1, 1))

    with RawImage.open(path) as image:
        assert way(image)
        monkeypatch.setattr(RawImage, "pread_into", change)
        with pytest.raises(ImageChangedError):
            way(image)
