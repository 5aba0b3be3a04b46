"""Tree: links stay inside the image and every walk ends."""

from __future__ import annotations

import stat

import pytest

from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.model import LINK, matches
from imsprep.guest.tree import DIRECTORY_LIMIT, Budget, Tree
from tests.support.guest.trees import Link, MemoryFileSystem, MemoryNode


def tree(files: dict[str, str | bytes | Link | None]) -> Tree:
    return Tree({"/": MemoryFileSystem(files)})


LINKS: dict[str, str | bytes | Link | None] = {
    "/usr/lib/os-release": "ID=debian\n",
    "/etc/os-release": Link("../usr/lib/os-release"),
    "/lib": Link("usr/lib"),
    "/absolute": Link("/usr/lib/os-release"),
    "/etc/absolute": Link("/usr/lib/os-release"),
    "/var/run": Link("/usr/lib"),
    "/outside": Link("../../../../../usr/lib/os-release"),
    "/etc/outside": Link("../../../../../usr/lib/os-release"),
    "/chain": Link("absolute"),
    "/loop": Link("loop"),
    "/ping": Link("pong"),
    "/pong": Link("ping"),
    "/dead": Link("/nowhere/at/all"),
    "/empty": Link(""),
}


@pytest.mark.parametrize(
    "path",
    [
        "/etc/os-release",
        "/lib/os-release",
        "/absolute",
        "/etc/absolute",
        "/var/run/os-release",
        "/outside",
        "/etc/outside",
        "/chain",
        "/etc/../lib/./os-release",
    ],
)
def test_links_are_followed_inside_the_image(path: str) -> None:
    assert tree(LINKS).read(path, limit=100) == b"ID=debian\n"


def test_an_absolute_link_does_not_reach_this_machine() -> None:
    assert tree({"/secrets": Link("/etc/passwd")}).read("/secrets", limit=100) == b""


@pytest.mark.parametrize("path", ["/loop", "/ping", "/ping/further"])
def test_a_loop_of_links_ends_with_the_reason(path: str) -> None:
    with pytest.raises(UnreadableError, match="40 symbolic links"):
        tree(LINKS).read(path, limit=100)


def test_a_dead_link_is_an_entry_but_no_file() -> None:
    found = tree(LINKS).entry("/dead", text_limit=10)
    assert found is not None
    assert (found.kind, found.target, found.text) == (LINK, "/nowhere/at/all", None)
    assert not tree(LINKS).exists("/dead")


def test_mounts_hide_what_is_below_them() -> None:
    both = tree({"/boot/old": "", "/etc/fstab": ""})
    both.mount("/boot", MemoryFileSystem({"/grub/grub.cfg": "menu"}))
    both.mount("/boot/efi", MemoryFileSystem({"/EFI/BOOT/BOOTX64.EFI": "MZ"}))
    assert both.read("/boot/grub/grub.cfg", limit=10) == b"menu"
    assert both.names("/boot/efi") == ["EFI"]
    assert not both.exists("/boot/old")


def test_glob_goes_through_links_and_lists_dead_ones() -> None:
    files = {**LINKS, "/home/ann/.bash_history": "x", "/home/bob/.bash_history": Link("/dev/null")}
    assert list(tree(files).glob("/home/*/.bash_history")) == [
        "/home/ann/.bash_history", "/home/bob/.bash_history"]  # fmt: skip
    assert list(tree(files).glob("/lib/os-*")) == ["/lib/os-release"]
    assert list(tree(files).glob("/nowhere/*")) == []


def test_a_text_is_cut_at_its_limit() -> None:
    found = tree({"/large": b"x" * 1000}).entry("/large", text_limit=10)
    assert found is not None
    assert (found.text, found.truncated, found.size) == ("x" * 10, True, 1000)


class Short(MemoryFileSystem):
    """One that ends in the middle of a file without saying so."""

    def read(self, node: MemoryNode, offset: int, length: int) -> bytes:
        return super().read(node, offset, min(length, max(3 - offset, 0)))


def test_a_file_that_is_shorter_than_its_size_ends_with_the_reason() -> None:
    with pytest.raises(UnreadableError, match="only 3 of its 5 bytes can be read"):
        Tree({"/": Short({"/a": "12345"})}).read("/a", limit=9)
    assert Tree({"/": Short({"/a": "12345"})}).read("/a", limit=3) == b"123"


def test_a_huge_directory_ends_with_the_reason() -> None:
    names = {f"/d/{number}": "" for number in range(DIRECTORY_LIMIT + 1)}
    with pytest.raises(UnreadableError, match=f"more than {DIRECTORY_LIMIT} names"):
        tree(names).names("/d")


def test_a_deep_path_is_walked_without_recursion() -> None:
    deep = "/d" * 5000
    assert tree({f"{deep}/file": "x"}).read(f"{deep}/file", limit=10) == b"x"


def test_what_one_inspection_reads_is_limited() -> None:
    small = Tree({"/": MemoryFileSystem({"/large": bytes(1000)})}, Budget(bytes_left=500))
    with pytest.raises(UnreadableError, match="limit"):
        small.read("/large", limit=1000)
    few = Tree({"/": MemoryFileSystem({"/a/b/c": ""})}, Budget(lookups_left=2))
    with pytest.raises(UnreadableError, match="limit"):
        few.exists("/a/b/c")


class EndlessFileSystem(MemoryFileSystem):
    """Every directory holds itself: what a crafted directory tree looks like."""

    def child(self, directory: MemoryNode, name: str) -> MemoryNode | None:
        return directory if stat.S_ISDIR(directory.mode) else None

    def names(self, directory: MemoryNode) -> list[str]:
        return ["again"] * 100


def test_directories_that_hold_themselves_end() -> None:
    endless = Tree({"/": EndlessFileSystem({"/x/y": ""})}, Budget(lookups_left=10_000))
    with pytest.raises(UnreadableError, match="limit"):
        list(endless.glob("/*/*/*/*/*/*"))


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("/home/ann/.ssh", "/home/*/.ssh", True),
        ("/home/ann/x/.ssh", "/home/*/.ssh", False),
        ("/boot/vmlinuz-5", "/boot/vmlinuz*", True),
        ("/boot/x/vmlinuz", "/boot/*", False),
    ],
)
def test_a_star_stops_at_a_slash(path: str, pattern: str, fits: bool) -> None:
    assert matches(path, pattern) is fits


def test_the_texts_of_one_inspection_are_limited() -> None:
    small = Tree(
        {"/": MemoryFileSystem({"/a": bytes(300), "/b": bytes(300)})}, Budget(text_left=500)
    )
    assert small.entry("/a", text_limit=1000) is not None
    with pytest.raises(UnreadableError, match="limit"):
        small.entry("/b", text_limit=1000)
