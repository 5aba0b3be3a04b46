"""Which mount options belong to which file system, and which a kernel no longer has.

A file system refuses a mount with an option that it does not know. No list of all options of all
kernels can be complete, so an option is called foreign only where another file system here has it,
and misspelt only where one letter makes it one that is known. Sources: mount(8), ext4(5), xfs(5),
btrfs(5); the Linux kernel's Documentation/filesystems/ext4,
Documentation/admin-guide/xfs.rst ("Removed Mount Options"), fs/fat, mm/shmem.c.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

EXT, XFS, BTRFS, FAT = "ext", "XFS", "btrfs", "FAT"  # families of file systems, by their driver

_OF = {
    EXT: """abort acl auto_da_alloc barrier bh block_validity bsddf bsdgroups check
        commit data data_err dax debug delalloc dioread_lock dioread_nolock discard
        errors extents grpid grpjquota grpquota i_version init_itable inlinecrypt
        inode_readahead_blks journal journal_async_commit journal_checksum journal_dev
        journal_ioprio journal_path jqfmt lazytime max_batch_time max_dir_size_kb
        mb_optimize_scan mblk_io_submit min_batch_time minixdf noacl noauto_da_alloc
        nobarrier nobh noblock_validity nocheck nodelalloc nodiscard noextents nogrpid
        noinit_itable nojournal_checksum nolazytime noload nombcache no_mbcache
        nomblk_io_submit no_prefetch_block_bitmaps noquota norecovery noreservation
        nouid32 nouser_xattr nowarn_on_error oldalloc orlov prefetch_block_bitmaps
        prjquota quota reservation resgid resize resuid sb stripe sysvgroups
        test_dummy_encryption user_xattr usrjquota usrquota warn_on_error xip""",
    XFS: """allocsize attr2 barrier biosize bsdgroups dax delaylog discard dmapi dmi
        filestreams gqnoenforce gquota grpid grpquota ihashsize ikeep inode32 inode64
        irixsgid largeio lazytime lifetime logbsize logbufs logdev max_atomic_write
        max_open_zones mtpt noalign noattr2 nobarrier nodelaylog nodiscard nogrpid
        noikeep nolargeio nolazytime nolifetime noquota norecovery nouuid osyncisdsync
        osyncisosync pqnoenforce pquota prjquota qnoenforce quota rtdev sunit swalloc
        swidth sysvgroups uqnoenforce uquota usrquota wsync xdsm""",
    BTRFS: """acl alloc_start autodefrag barrier check_int check_int_data
        check_int_print_mask clear_cache commit compress compress-force datacow datasum
        degraded device discard enospc_debug fatal_errors flushoncommit fragment
        ignorebadroots ignoredatacsums ignoremetacsums ignoresuperflags inode_cache
        lazytime max_inline metadata_ratio noacl noautodefrag nobarrier noclear_cache
        nodatacow nodatasum nodiscard noenospc_debug noflushoncommit noinode_cache
        nolazytime nologreplay norecovery nospace_cache nossd nossd_spread notreelog
        nouser_subvol_rm_allowed recovery ref_verify ref_tracker rescan_uuid_tree rescue
        skip_balance space_cache ssd ssd_spread subvol subvolid subvolrootid thread_pool
        treelog usebackuproot user_subvol_rm_allowed""",
    FAT: """allow_utime blocksize check codepage conv cvf_format cvf_options debug
        discard dmask dos1xfloppy dots dotsOK errors fat flush fmask gid iocharset
        lazytime nfs nocase nodiscard nodots nolazytime nonumtail posix quiet rodir
        shortname showexec sys_immutable time_offset tz uid umask uni_xlate usefree utf8""",
}  # fmt: skip
# Of every file system, and of mount(8) itself.
_GENERAL_TEXT = """
    async atime auto bind comment context defaults defcontext dev diratime dirsync encryption
    exec fscontext group helper iversion lazytime loop loud mand move noatime noauto nodev
    nodiratime noexec nofail nogroup noiversion nolazytime noloop nomand noowner norelatime
    nostrictatime nosuid nosymfollow nouser nousers offset owner private rbind relatime
    remount rootcontext seclabel shared silent sizelimit slave strictatime suid symfollow sync
    uhelper unbindable user users
"""
_GENERAL = frozenset(_GENERAL_TEXT.split())
_KNOWN = {family: frozenset(text.split()) for family, text in _OF.items()}
# The first kernel without the option.
_REMOVED = {
    XFS: {**dict.fromkeys(("delaylog", "nodelaylog", "ihashsize", "irixsgid", "osyncisdsync",
                           "osyncisosync"), (4, 0)),
          **dict.fromkeys(("barrier", "nobarrier"), (4, 19)),
          **dict.fromkeys(("attr2", "noattr2", "ikeep", "noikeep"), (6, 18))},
}  # fmt: skip
_SIZES = ("size", "nr_inodes", "nr_blocks")
_SIZE = re.compile(r"(?:0x[0-9a-f]+|\d+)[kmgtpe]?%?$", re.IGNORECASE)


def refused(
    options: Iterable[str], family: str, kernel: tuple[int, ...]
) -> Iterator[tuple[str, str]]:
    """Yield each option that the file system refuses, with the reason as a clause.

    `kernel` is its version, () where that is not known.
    """
    for option in options:
        name = option.partition("=")[0]
        removed = _REMOVED.get(family, {}).get(name)
        if removed is not None and kernel and kernel >= removed:
            yield option, f"Linux has no such option of {family} since {removed[0]}.{removed[1]}"
        elif name not in _KNOWN[family] | _GENERAL:
            owner = next((other for other, known in _KNOWN.items() if name in known), None)
            if owner is not None:
                yield (
                    option,
                    f"it is an option of {_TITLES.get(owner, owner)}, and not of "
                    + (_TITLES.get(family, family)),
                )
            elif (meant := _misspelt(name, family)) is not None:
                yield option, f"no such option is known, and {meant} is one letter apart"


_TITLES = {EXT: "ext4"}
_SHORTEST = 5  # of the names that are compared: there are too many words of four letters


def _misspelt(name: str, family: str) -> str | None:
    """Return the option that one letter more, less, changed or swapped with the next makes of it.

    `defaults` is left to the check of fstab, which corrects it.
    """
    known = sorted(word for word in _KNOWN[family] | _GENERAL if len(word) >= _SHORTEST)
    return next((word for word in known if word != "defaults" and _is_a_slip(name, word)), None)


def _is_a_slip(name: str, word: str) -> bool:
    pairs = enumerate(itertools.zip_longest(name, word))
    same = next(place for place, (one, other) in pairs if one != other)
    left, right = name[same:], word[same:]
    swapped = left[:2] == right[1::-1] and left[2:] == right[2:]
    return swapped or left[1:] in (right, right[1:]) or left == right[1:]


def no_size(options: Iterable[str]) -> str | None:
    """Return the option of a tmpfs whose value is no number that the kernel reads, or None.

    It takes one letter behind a number (`size=2g`), or a percent sign.
    """
    for option in options:
        name, equals, value = option.partition("=")
        if equals and name in _SIZES and not _SIZE.match(value):
            return option
    return None
