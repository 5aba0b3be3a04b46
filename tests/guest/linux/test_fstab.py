"""fstab: its lines, and the volumes that they mean."""

from __future__ import annotations

import pytest

from imsprep.guest.linux.fstab import (
    find_volume,
    guess_volume,
    means,
    named_subvolume,
    read_fstab,
    written_otherwise,
)
from imsprep.guest.model import Volume

ROOT = Volume("partition 1", 1, 1, "ext4", "AB-01", "my root", part_uuid="CC-01", part_label="p")
LOGICAL = Volume("LVM vg-a/lv-b", 1, 1, "XFS", "u2")

TEXT = r"""# a comment
UUID=ab-01 / ext4 defaults,errors=remount-ro 0 1
LABEL=my\040root /srv auto nofail
/swapfile none swap sw 0 0
tmpfs /tmp tmpfs
alone
//host/share /mnt cifs _netdev
"""


def test_lines_are_numbered_and_what_is_no_entry_is_left_out() -> None:
    mounts = read_fstab(TEXT)
    assert [(m.line, m.path) for m in mounts] == [
        (2, "/"), (3, "/srv"), (4, "none"), (5, "/tmp"), (7, "/mnt"),
    ]  # fmt: skip
    root, srv, swap, tmp, share = mounts
    assert (root.options, root.required, root.on_disk) == (
        ("defaults", "errors=remount-ro"), True, True,
    )  # fmt: skip
    assert (srv.spec, srv.required) == ("LABEL=my root", False)
    assert (swap.is_swap, swap.inside) == (True, "/swapfile")
    assert (tmp.options, tmp.on_disk, tmp.inside) == ((), False, None)
    assert (share.required, share.on_disk) == (False, False)


@pytest.mark.parametrize(
    ("spec", "volume"),
    [
        ("UUID=ab-01", ROOT),
        ('UUID="AB-01"', ROOT),
        ("LABEL=my root", ROOT),
        (r"/dev/disk/by-label/my\x20root", ROOT),
        ("PARTUUID=cc-01", ROOT),
        ("PARTLABEL=p", ROOT),
        ("/dev/vg-a/lv-b", LOGICAL),
        ("/dev/mapper/vg--a-lv--b", LOGICAL),
        ("/dev/mapper/vg-a-lv-b", None),
        ("LABEL=My root", None),
        ("/dev/sda1", None),
    ],
)
def test_a_specification_means_the_volume_that_udev_would_name_so(
    spec: str, volume: Volume | None
) -> None:
    assert find_volume(spec, (ROOT, LOGICAL)) is volume
    assert volume is None or means(spec, volume)


def test_a_kernel_name_is_a_guess_of_the_first_disk() -> None:
    assert guess_volume("/dev/vda1", (ROOT,)) is ROOT
    assert guess_volume("/dev/nvme0n1p1", (ROOT,)) is ROOT
    assert guess_volume("/dev/sdb1", (ROOT,)) is None
    assert guess_volume("/dev/sda2", (ROOT,)) is None


def test_letters_of_another_case_are_a_device_that_is_never_made() -> None:
    assert written_otherwise("UUID=ab-01", ROOT) == "AB-01"
    assert written_otherwise("UUID=AB-01", ROOT) is None
    assert written_otherwise("PARTUUID=CC-01", ROOT) == "cc-01"
    assert written_otherwise("UUID=other", ROOT) is None


@pytest.mark.parametrize(
    ("options", "name"),
    [("subvol=/@home,noatime", "@home"), ("subvolid=256", "256"), ("rw", None), ("subvol=/", None)],
)
def test_a_subvolume_is_named_by_path_or_number(options: str, name: str | None) -> None:
    assert named_subvolume(options) == name
