"""Options of mounts: which a file system refuses, and what no size of a tmpfs is."""

from __future__ import annotations

import pytest

from imsprep.guest.linux.mount_options import BTRFS, EXT, FAT, XFS, no_size, refused


@pytest.mark.parametrize(
    ("family", "kernel", "options", "wrong"),
    [
        (XFS, (6, 1), "acl,user_xattr,errors=remount-ro,data=journal", 4),
        (XFS, (6, 1), "nobarrier", 1), (XFS, (3, 10), "nobarrier", 0), (XFS, (), "nobarrier", 0),
        (XFS, (6, 17), "attr2", 0), (XFS, (6, 18), "attr2", 1), (XFS, (4, 0), "delaylog", 1),
        (XFS, (), "defaults,noatime,discard,uquota,inode64,nofail,x-gvfs-show,context=a", 0),
        (EXT, (), "acl,nobarrier,data=ordered,errors=remount-ro,usrjquota=a,jqfmt=vfsv0", 0),
        (EXT, (), "inode64", 1), (EXT, (), "nouuid", 1), (EXT, (), "subvol=@", 1), (EXT, (), "compress=zstd", 1),
        (BTRFS, (), "compress=zstd:1,subvol=@,ssd,commit=9,degraded", 0), (BTRFS, (), "data=ordered", 1),
        (FAT, (), "umask=0077,shortname=winnt,errors=remount-ro,utf8", 0), (FAT, (), "acl", 1),
        (XFS, (), "of-no-file-system,defaults=1", 0),
        (EXT, (), "discards,disard,discadr,discerd,noatme,nofial,comit=5", 7),
        (EXT, (), "discarded,acls,iversion,x-noatime,defualts,silent,x_acl,ro,usr", 0),
    ],
)  # fmt: skip
def test_an_option_of_another_file_system_or_kernel_is_refused(
    family: str, kernel: tuple[int, ...], options: str, wrong: int
) -> None:
    assert len(list(refused(options.split(","), family, kernel))) == wrong


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("size=2g", False), ("size=50%", False), ("size=1048576k", False), ("size=0x100", False),
        ("size=512M", False), ("nr_inodes=1m", False), ("mode=1777", False), ("huge=never", False),
        ("size=2GB", True), ("size=512MB", True), ("size=1.5G", True), ("size=half", True),
        ("nr_inodes=1kk", True),
    ],
)  # fmt: skip
def test_a_size_has_one_letter_behind_its_number(option: str, wrong: bool) -> None:
    assert no_size(["defaults", option]) == (option if wrong else None)
