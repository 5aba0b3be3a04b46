"""Foreign formats: what QEMU calls them, and how an image is described to it.

An image names its format and the other files that it needs, and QEMU would follow: the name may
lead anywhere, /etc/shadow is a fine RAW disk. So QEMU never guesses a format here, and it is given
the one file that it may open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from imsprep.image import formats
from imsprep.image.not_a_disk import STREAMS

# Of each format that is read through QEMU, the name of QEMU's driver.
DRIVERS = {
    "qcow": "qcow",
    "qcow2": "qcow2",
    "qed": "qed",
    "vdi": "vdi",
    "vhdx": "vhdx",
    "parallels": "parallels",
    "bochs": "bochs",
    "cloop": "cloop",
    "dmg": "dmg",
    formats.VMDK: "vmdk",
    formats.VHD_DYNAMIC: "vpc",
    formats.VHD_FIXED: "vpc",
}

# Of what the disk is inside, so that a ZVHD2 is made of it on the way of an import.
INSIDE = (*DRIVERS, formats.OVA, formats.OVF, *STREAMS)

_WITH_BACKING = ("qcow", "qcow2", "qed", "vmdk")


def description(file: Mapping[str, object], format_: str, options: Mapping[str, object]) -> str:
    """Return an image as QEMU's programs take it: this file, this format, and no other file.

    `options` are those of the format's driver.
    """
    driver = DRIVERS[format_]
    node: dict[str, object] = {"driver": driver, "read-only": True, "file": file, **options}
    if driver in _WITH_BACKING:
        node["backing"] = None
    return "json:" + json.dumps(node)
