"""Learn: find the layout that reproduces the bitmap file of another tool, byte for byte.

Each sample is an image's block map and the file that the tool wrote for it. Every layout that makes
exactly these files is a candidate; candidates that no image distinguishes count as one.
If several are left, the size of a second probe is named that tells them apart.

A match is a match with these files and proves nothing about others: `matched` names them, and
`layout.unseen` refuses disks that are larger, smaller, or of another shape than all of them. One
pair proves nothing at all: each byte of a header may be a constant, or a checksum, or a name.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from imsprep.bitmap.codec import encode, encode_body
from imsprep.bitmap.layout import BitmapLayout, Body, Match, describe_body, shape_of
from imsprep.bitmap.learn.bodies import BodyMatch, all_bits, distinctive_maps, find_bodies
from imsprep.bitmap.learn.fields import MAX_FIELDS, layouts_around
from imsprep.bitmap.learn.probe import SECOND_SIZE, probe_map
from imsprep.errors import FormatError
from imsprep.image.blockmap import BlockMap
from imsprep.units import GIB, KIB, MIB, SECTOR, format_size

MAX_CANDIDATES = 64  # beyond this many nothing was learned
_CONTROLS = (1, 3, 8, 64, 200, 1031)  # blocks of the maps by which candidates are compared
# Larger ones too: lengths that led to one multiple then lead to different ones.
_STEP = 4 * GIB + 61 * MIB + 7 * SECTOR
_PROBE_SIZES = (
    SECOND_SIZE, 16 * GIB + 5 * SECTOR, *(SECOND_SIZE + n * _STEP for n in range(1, 9)),
)  # fmt: skip
_SMALLEST_BLOCK = 4 * KIB  # of which the map of such a probe is made in memory
_ANCHOR = 8  # bytes by which the beginning of a body is looked for


class Sample(NamedTuple):
    """An image's block map, in the smallest blocks that are wanted, and its bitmap file."""

    block_map: BlockMap
    data: bytes


@dataclass(frozen=True)
class Learned:
    """The layouts that fit all samples: one is what was hoped for."""

    layouts: tuple[BitmapLayout, ...]
    reached: str  # how far it got, where none fits
    second_probe: int | None = None  # bytes; the size of the probe that is needed
    proved: bool = True  # by files of images of two sizes

    @property
    def outcome(self) -> str:
        """Return in a word how many fit: `one` is what was hoped for, and proved."""
        if len(self.layouts) == 1 and not self.proved:
            return "unproved"
        return {0: "none", 1: "one"}.get(len(self.layouts), "several")


def learn(samples: Sequence[Sample]) -> Learned:
    """Return the layouts that reproduce the file of every sample."""
    first = max(samples, key=lambda sample: sample.block_map.size)  # it says the most
    seen = {sample.block_map.size for sample in samples}
    sizes = [size for size in _PROBE_SIZES if size not in seen] or [*_PROBE_SIZES]
    proved = len(seen) > 1
    matches = list(find_bodies(*first))
    candidates = [made for made in _candidates(matches, first) if _fits(made, first)]
    fitting = candidates
    for number, sample in enumerate(samples, 1):
        fitting = [layout for layout in fitting if _fits(layout, sample)]
        if candidates and not fitting:
            fit = f"{len(candidates)} layouts fit the file of the largest image"
            return Learned((), f"{fit}, and none of them file number {number}")
    if not fitting:
        # A small image alone cannot say much.
        return Learned((), _nearest(matches, first), None if proved else sizes[0], proved)
    different = _different(fitting, samples)
    layouts = tuple(
        replace(layout, matched=tuple(_match(sample, layout) for sample in samples))
        for layout in different
    )
    second = _second_probe(different, sizes) if len(different) > 1 else sizes[0]
    wanted = len(different) > 1 or not proved
    return Learned(layouts, "", second if wanted else None, proved)


def _candidates(matches: list[BodyMatch], sample: Sample) -> Iterator[BitmapLayout]:
    layouts = (made for match in matches for made in layouts_around(sample.data, match))
    return itertools.islice(layouts, MAX_CANDIDATES)


def _fits(layout: BitmapLayout, sample: Sample) -> bool:
    try:
        return encode(sample.block_map, layout) == sample.data
    except (FormatError, ValueError):  # ValueError: its blocks are smaller than the map's
        return False


def _match(sample: Sample, layout: BitmapLayout) -> Match:
    digest = hashlib.sha256(sample.data).hexdigest()
    coarse = sample.block_map.coarsened(layout.block_size)
    shape = shape_of(coarse, layout.body)
    return Match(digest, len(sample.data), sample.block_map.size, shape)


def _different(layouts: list[BitmapLayout], samples: Sequence[Sample]) -> list[BitmapLayout]:
    """Keep the first of those layouts that make the same file of every map.

    A disk that ends in a short block of data does not count if no sample does: what is learned is
    not used for such a one.
    """
    kept: dict[tuple[object, ...], BitmapLayout] = {}
    for layout in layouts:
        shapes = [_match(sample, layout).shape for sample in samples]
        seen = any(shape.last and not shape.whole for shape in shapes)
        files = (
            _encoded(made, layout)
            for made in _controls(layout.block_size)
            if seen or not (made.size % layout.block_size and made[-1])
        )
        kept.setdefault((layout.block_size, *files), layout)
    return list(kept.values())


def _encoded(block_map: BlockMap, layout: BitmapLayout) -> bytes | None:
    try:
        return encode(block_map, layout)
    except FormatError:
        return None


def _controls(block_size: int) -> Iterator[BlockMap]:
    """Yield maps of many lengths, with data and without at their ends."""
    for blocks in _CONTROLS:
        noise = hashlib.shake_128(b"control %d" % blocks).digest(blocks)
        some = np.frombuffer(noise, dtype=np.uint8) < 100
        for flags in (
            some,
            ~some,
            np.arange(blocks) < blocks // 2,
            np.ones(blocks, dtype=np.bool_),
        ):
            for short in (0, SECTOR):
                if flags.any() and blocks * block_size > short < block_size:
                    yield BlockMap.from_flags(blocks * block_size - short, block_size, flags)


def _second_probe(layouts: list[BitmapLayout], sizes: list[int]) -> int:
    """Return the size of a probe for which these layouts make the most different files."""

    def kinds(size: int) -> int:
        if min(made.block_size for made in layouts) < _SMALLEST_BLOCK and size > 16 * _STEP:
            return 0
        return len({_encoded(probe_map(size, made.block_size), made) for made in layouts})

    best = sizes[0]
    most = kinds(best)
    for size in sizes[1:]:
        if most == len(layouts):
            break
        if (found := kinds(size)) > most:
            best, most = size, found
    return best


def _nearest(matches: list[BodyMatch], sample: Sample) -> str:
    """Return which body came closest, and what spoke against it."""
    if matches:
        whole = matches[0]
        return (
            f"{_named(whole.body, whole.block_map)} is found whole at byte {whole.start}, but"
            f" with more than {MAX_FIELDS} bytes around it"
        )
    if next(distinctive_maps(sample.block_map), None) is None:
        return "the image has so few extents that any file might fit; use imsprep bitmap probe"
    best, score = "the file contains no body of a known kind", 0
    for coarse in distinctive_maps(sample.block_map):
        if len(coarse) > 64 * len(sample.data):
            continue
        for body in all_bits(len(coarse), 2 * len(sample.data)):
            packed = encode_body(coarse, body).data
            run = _longest_run(packed, sample.data)
            if run is not None and run.telling > score:
                score = run.telling
                best = (
                    f"{_named(body, coarse)} comes closest: from byte {run.start} on the file"
                    f" equals its bytes {run.first} to {run.first + run.length - 1} of"
                    f" {len(packed)}, and no further"
                )
    return best


def _named(body: Body, block_map: BlockMap) -> str:
    return f"{describe_body(body)} (blocks of {format_size(block_map.block_size)})"


class _Run(NamedTuple):
    """A part of a body that stands in a file."""

    start: int  # in the file
    first: int  # in the body
    length: int  # bytes
    telling: int  # bytes that differ from the one before them; the others tell nothing


def _longest_run(wanted: bytes, data: bytes) -> _Run | None:
    """Look for the first bytes of `wanted` that tell anything, and see how far they go on."""
    plain = len(wanted) - len(wanted.lstrip(wanted[:1]))
    start = data.find(wanted[plain : plain + _ANCHOR]) if plain < len(wanted) else -1
    if start < 0:
        return None
    a = np.frombuffer(wanted, dtype=np.uint8)[plain:]
    b = np.frombuffer(data, dtype=np.uint8)[start : start + len(a)]
    differing = np.flatnonzero(a[: len(b)] != b)
    length = int(differing[0]) if len(differing) else len(b)
    before = 0
    while before < min(plain, start) and data[start - before - 1] == wanted[0]:
        before += 1
    telling = int(np.count_nonzero(np.diff(a[:length])))
    return _Run(start - before, plain - before, length + before, telling)
