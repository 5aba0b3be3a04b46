"""Mounts: which file system does an open file lie on? Linux only; elsewhere it is not known.

The kernel tells the mount of a file descriptor (/proc/self/fdinfo) and the type of each mount
(/proc/self/mountinfo, see proc(5)). Device numbers would not do: btrfs and overlay show other ones
in `stat` than there, and statfs(2) numbers tell neither a FUSE driver nor what an overlay lies on.
"""

from __future__ import annotations

# These report holes rightly. ZFS, FUSE and network file systems have called data a hole, an overlay
# answers for whatever lies below it, and of any other nothing is known.
TRUSTED = frozenset({"ext4", "xfs", "btrfs", "tmpfs"})


def file_system(file: int) -> str:
    """Return the type of the file system of an open file, as mount(8) names it; "" if unknown."""
    try:
        with open(f"/proc/self/fdinfo/{file}", encoding="utf-8") as info:
            fields = dict(line.split(":", 1) for line in info if ":" in line)
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            return type_of(int(fields["mnt_id"]), mounts.read())
    except (OSError, ValueError, LookupError):
        return ""


def type_of(mount: int, mountinfo: str) -> str:
    """Find the type of a mount: the first word behind the dash that ends the optional fields."""
    for line in mountinfo.splitlines():
        before, _, behind = line.partition(" - ")
        if before.split()[0] == str(mount):
            return behind.split()[0]
    return ""
