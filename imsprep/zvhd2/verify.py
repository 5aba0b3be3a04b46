"""Unpack every block of a container, on all cores, to prove that each one is whole.

The heads of the records were compared with the index before (`examine.check_records`). Unpacking
runs outside the interpreter's lock, so that threads are enough.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from imsprep.errors import FormatError
from imsprep.image.digest import DigestTree
from imsprep.system.threads import Workers, usable_cpus
from imsprep.zvhd2 import records
from imsprep.zvhd2.codec import Unpacker, unpacking_threads
from imsprep.zvhd2.examine import Container, Read
from imsprep.zvhd2.faults import Fault, Kind
from imsprep.zvhd2.records import Entries

_BATCH = 32  # blocks that a thread takes at once


def check_payloads(
    container: Container,
    read: Read,
    *,
    jobs: int = 0,
    tree: DigestTree | None = None,
    progress: Callable[[int], None] = lambda count: None,
) -> list[Fault]:
    """Unpack every block; return what is wrong, each kind once with the number of blocks.

    `read` is called by `jobs` threads (0: one for each usable CPU, and never more than there is
    memory for). `tree` is given the blocks. `progress` is called with the bytes of the records that
    are done, in this thread; whatever it raises ends the check.
    """
    by_offset = container.entries[np.argsort(container.entries["offset"])]
    batches = [by_offset[at : at + _BATCH] for at in range(0, len(by_offset), _BATCH)]
    footer = container.footer

    def unpack_batch(entries: Entries) -> list[Fault]:
        unpack = Unpacker(footer.compress_method, footer.block_size)
        found = (_fault_of(entry, unpack, read, tree) for entry in entries.tolist())
        return [fault for fault in found if fault is not None]

    faults: list[Fault] = []
    threads = unpacking_threads(footer.block_size, jobs or usable_cpus())
    with Workers(threads) as workers:
        for batch, found in zip(batches, workers.map(unpack_batch, batches), strict=True):
            faults += found
            progress(int(batch["length"].sum()))
    return [*_summed(faults, Kind.PAYLOAD), *_summed(faults, Kind.FINISHED)]


def _summed(faults: list[Fault], kind: Kind) -> list[Fault]:
    """Return the first fault of a kind, with the number of the others."""
    ours = [fault for fault in faults if fault.kind is kind]
    more = f", and {len(ours) - 1} more blocks" if ours[1:] else ""
    return [fault._replace(message=fault.message + more) for fault in ours[:1]]


def _fault_of(
    entry: tuple[int, int, int], unpack: Unpacker, read: Read, tree: DigestTree | None
) -> Fault | None:
    offset, block, length = entry
    record = read(offset, length)
    size = records.unpack_block_header(record, offset).size
    try:
        data = unpack(memoryview(record)[records.BLOCK_HEADER_SIZE :][:size])
    except FormatError as error:
        return Fault(Kind.PAYLOAD, f"block {block} cannot be unpacked: {error}", offset, length)
    if tree is not None:
        tree.add(block * len(data), data)
    if not unpack.finished:
        return None
    message = f"the zlib stream of block {block} has an end marker"
    return Fault(Kind.FINISHED, message, offset, length, "a sync flush as the end")
