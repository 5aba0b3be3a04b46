"""The pure core, and a watch over it: what its code does while the tests run.

A pure module takes bytes and values and returns values. `watch` looks at every event that Python
reports to an audit hook (files, sockets, processes, environment) and finds out whether a pure
module caused it, however the call was spelt.
"""

from __future__ import annotations

import sys

_PURE = """
    units errors report
    cloud.endpoints cloud.os_names
    image.blockmap image.digest image.formats image.not_a_disk image.archive.ovf image.volumes.partitions image.volumes.signatures image.volumes.superblocks image.volumes.labels image.qemu.foreign
    image.crc32c image.tables.survey image.tables.bochs image.tables.cloop image.tables.descriptor
    image.tables.dmg image.tables.parallels image.tables.qcow image.tables.qcow2 image.tables.qed
    image.tables.vdi image.tables.vhd image.tables.vhdx image.tables.vmdk
    scan.protocol
    store.contract store.md5_of_zeros
    bitmap.export_formats bitmap.facts bitmap.layout bitmap.bits bitmap.codec
    bitmap.learn.probe bitmap.learn.constants bitmap.learn.bodies bitmap.learn.fields bitmap.learn.search
    zvhd2.records zvhd2.codec zvhd2.faults
    ims.error_codes ims.job ims.listed ims.request
    upload.plan
    trial.plan trial.screen trial.verdict trial.metadata
    pipeline.batch.plan pipeline.batch.entries
"""
PURE = {f"imsprep.{name}" for name in _PURE.split()}

_OUTSIDE = ("open", "os.", "socket.", "subprocess.", "shutil.", "tempfile.", "urllib.", "ctypes.dlopen", "mmap.", "fcntl.", "glob.")  # fmt: skip
_INNOCENT = ("os.fspath",)


class NotPureError(AssertionError):
    """A pure module reached outside."""


def watch() -> None:
    """Make every reach outside by a pure module an error, from now to the end of the process."""
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if not event.startswith(_OUTSIDE) or event in _INNOCENT:
        return
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith(("importlib", "_frozen_importlib")):
            return  # a module is being loaded
        if name in PURE:
            raise NotPureError(f"{name} caused {event} {arguments!r}")
        if name.startswith(("imsprep.", "tests.")):
            return  # called from there: what it passed in may do what it likes
        frame = frame.f_back  # a library's: who called it?
