"""Which file system a file lies on."""

from __future__ import annotations

import builtins
from pathlib import Path

import pytest

from imsprep.system.mounts import TRUSTED, file_system, type_of

# Lines of proc(5), of a container and of a desktop.
MOUNTINFO = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,resv_strict
36 27 0:32 / /mnt/my\\040disk rw,relatime shared:12 master:4 - fuse.sshfs host:/ rw,user_id=0
98 27 0:41 /sub /data rw,noatime shared:49 - btrfs /dev/sdb1 rw,subvolid=256,subvol=/sub
365 300 0:60 / / rw,relatime - overlay overlay rw,lowerdir=/l/A:/l/B,upperdir=/u,workdir=/w
9 27 0:99 / /net rw - nfs4 server:/export rw,vers=4.2
700 27 0:61 / /tank rw,noatime shared:2 - zfs tank rw,xattr,posixacl
"""


@pytest.mark.parametrize(
    ("mount", "kind"),
    [
        (27, "ext4"),
        (36, "fuse.sshfs"),
        (98, "btrfs"),
        (365, "overlay"),
        (9, "nfs4"),
        (700, "zfs"),
        (2, ""),
        (6, ""),
    ],
)
def test_the_type_is_that_of_the_mount_with_this_number(mount: int, kind: str) -> None:
    assert type_of(mount, MOUNTINFO) == kind


def test_what_answers_for_others_or_has_lied_is_not_trusted() -> None:
    for kind in ("zfs", "fuse", "fuse.sshfs", "nfs", "nfs4", "cifs", "smb3", "overlay", "9p", ""):
        assert kind not in TRUSTED


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="needs /proc")
def test_a_file_of_proc_lies_on_proc() -> None:
    with open("/proc/self/status") as file:
        assert file_system(file.fileno()) == "proc"


def test_without_proc_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, **options: object) -> None:
        raise FileNotFoundError(name)

    with (tmp_path / "x").open("w") as file:
        monkeypatch.setattr(builtins, "open", refuse)
        assert file_system(file.fileno()) == ""
