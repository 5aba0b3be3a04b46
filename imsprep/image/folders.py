"""Folders that hold the image of a disk in another program's way: what they are, and what helps."""

from __future__ import annotations

import os
from pathlib import Path

from imsprep.errors import show_path
from imsprep.image.formats import SUFFIXES

_RESTORE = "restore the whole disk with it into a virtual machine, and take that disk"

# By which entry a folder is known, what it is, and what helps. An entry that begins with "*" is
# the end of a name.
KNOWN = (
    ("clonezilla-img", "a Clonezilla image", _RESTORE),
    ("*-ptcl-img", "a Clonezilla image", _RESTORE),
    ("DiskDescriptor.xml", "a Parallels disk", "name the .hds file in it, if there is only one"),
    ("oci-layout", "a container image (OCI)", "it has no kernel and no boot loader; build a disk"
     " with a system in it"),
    ("config.pvs", "a virtual machine of Parallels", "name the .hds file in its .hdd folder"),
    ("*.avhdx", "a virtual machine of Hyper-V with snapshots", "delete its snapshots, which merges"
     " them, and name its .vhdx"),
    ("bands", "a sparse bundle of macOS", "on a Mac: hdiutil convert it to UDTO"),
    ("Vagrantfile", "a box of Vagrant", "name the disk image in it"),
    ("*.ovf", "an OVF with its disks", "name the disk in it"),
    ("*.vmx", "a VMware virtual machine", "name its .vmdk: the descriptor, not a piece"),
    ("*.vbox", "a VirtualBox virtual machine", "name its .vdi or .vmdk"),
    ("Virtual Hard Disks", "a Hyper-V virtual machine", "name the .vhdx in Virtual Hard Disks"),
)  # fmt: skip
_MOST = 10_000  # entries that are looked at


def what_folder(path: Path) -> str:
    """Return in a sentence what a folder is that was named as an image."""
    name = show_path(path)
    try:
        with os.scandir(path) as entries:
            names = [entry.name for _, entry in zip(range(_MOST), entries, strict=False)]
    except OSError:
        return f"cannot read {name}: it is a folder, not an image"
    for entry, what, advice in KNOWN:
        found = (n for n in names if n == entry or (entry[0] == "*" and entry[1:] in n))
        if next(found, None) is not None:
            return f"cannot read {name}: it is a folder, {what}; {advice}"
    if not names:
        return f"cannot read {name}: it is a folder that holds no images"
    if not any(os.path.splitext(entry)[1].lower() in SUFFIXES for entry in names):
        return (
            f"cannot read {name}: it is a folder, and no name in it ends as that of a disk image"
            " (.raw, .qcow2, .vmdk and others); name the image itself"
        )
    return f"cannot read {name}: it is a folder, not an image; name a file in it"
