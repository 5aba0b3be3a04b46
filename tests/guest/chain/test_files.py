"""Where a file lies that an entry names."""

from __future__ import annotations

import pytest

from imsprep.guest.chain.devices import Devices, UnknownStepError
from imsprep.guest.chain.files import locate
from imsprep.guest.model import Volume
from imsprep.guest.tree import Tree
from tests.support.guest.trees import MemoryFileSystem

ROOT, BOOT = Volume("partition 1", 1, 1, "ext4"), Volume("partition 2", 2, 1, "btrfs")
CLOSED = Volume("partition 3", 3, 1, "LUKS")
TREES = {
    "partition 1": [Tree({"/": MemoryFileSystem({"/boot/one": "", "/two": ""})})],
    "partition 2": [Tree({"/": MemoryFileSystem({"/@/boot/three": ""})})],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/boot/one", "partition 1:/boot/one"),
        ("/one", "partition 1:/boot/one"),
        ("/boot/two", "partition 1:/two"),
        ("/boot/three", "partition 2:/@/boot/three"),
        ("/four", None),
    ],
)
def test_a_file_is_looked_for_with_and_without_boot_and_in_usual_subvolumes(
    path: str, found: str | None
) -> None:
    assert locate(Devices((ROOT, BOOT), TREES), "partition 1", path) == found


def test_a_file_may_lie_on_a_volume_that_is_not_read() -> None:
    with pytest.raises(UnknownStepError, match="partition 3"):
        locate(Devices((ROOT, BOOT, CLOSED), TREES), "partition 1", "/four")
