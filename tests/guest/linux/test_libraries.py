"""Libraries that a program cannot load, and those that its linker finds."""

from __future__ import annotations

import contextlib
import struct
import sys
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.linux import libraries
from imsprep.guest.linux.libraries import Search, missing, read_elf
from imsprep.guest.tree import Tree
from tests.support.guest.elf_files import AARCH64, I386, LINKER, elf
from tests.support.guest.trees import Link, MemoryFileSystem, MemoryNode

INIT, LIBC, OWN = "/sbin/init", "/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/systemd"
SYSTEMD = elf("libsystemd-shared-252.so", "libc.so.6", linker=LINKER, folders=OWN)
WHOLE: dict[str, Any] = {
    **{f"/lib/x86_64-linux-gnu/libx{n}.so.1": elf() for n in range(10)},
    INIT: SYSTEMD, LIBC: elf("ld-linux-x86-64.so.2", linker=LINKER),
    f"{OWN}/libsystemd-shared-252.so": elf("libmount.so.1", "libc.so.6"),
    "/usr/lib64/libmount.so.1": elf("libc.so.6"),
}  # fmt: skip
I386_LIBRARIES = {f"/lib/libx{n}.so.1": elf() for n in range(10)}
MUSL = "/lib/ld-musl-x86_64.so.1"


def lacks(files: dict[str, Any]) -> str | None:
    kept = {path: content for path, content in files.items() if content is not None}
    return missing(Tree({"/": MemoryFileSystem(kept)}), INIT)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({LIBC: None}, "cannot load libc.so.6, which is nowhere in the image"),
        ({LIBC: elf(machine=AARCH64)}, "cannot load libc.so.6, which is only there for aarch64"),
        ({LIBC: elf(machine=I386)}, "cannot load libc.so.6, which is only there for i386"),
        ({LIBC: b""}, "cannot load libc.so.6, which is empty"),
        ({LIBC: bytes(5000)}, "cannot load libc.so.6, which is not a library"),
        ({LIBC: Link("libc-2.36.so")}, "cannot load libc.so.6, which is nowhere in the image"),
        ({f"{OWN}/libsystemd-shared-252.so": None, f"{OWN}/libsystemd-shared-255.so": elf()},
         "cannot load libsystemd-shared-252.so, which is nowhere in the image"),
        ({"/usr/lib64/libmount.so.1": None},
         "cannot load libmount.so.1 (for libsystemd-shared-252.so), which is nowhere in the image"),
        ({INIT: elf("libc.so.6", machine=I386, linker="/lib/ld-linux.so.2"), "/lib/libc.so.6": elf(), **I386_LIBRARIES},
         "cannot load libc.so.6, which is only there for x86_64"),
        ({INIT: elf("libsystemd-core-252.so", "libc.so.6", linker=LINKER)},
         "cannot load libsystemd-core-252.so, which is nowhere in the image"),
        ({LIBC: None, f"{LIBC}/x": b""}, "cannot load libc.so.6, which is nowhere in the image"),
        ({INIT: elf("libc.so", "libubox.so", linker=MUSL)}, "cannot load libubox.so, which is nowhere in the image"),
    ],
)  # fmt: skip
def test_a_library_that_cannot_be_loaded_is_named(more: dict[str, Any], said: str) -> None:
    assert lacks({**WHOLE, **more}) == said


FAR = {LIBC: None, "/srv/x/libc.so.6": elf()}  # in no folder of libraries
LIST, MANY = "/etc/ld.so.conf", [f"lib{number}.so" for number in range(201)]


def start(*needed: str, folders: str = "", old: bool = False) -> dict[str, Any]:
    return {INIT: elf(*needed, linker=LINKER, folders=folders, old=old)}


@pytest.mark.parametrize(
    "more",
    [
        {}, {**FAR, LIST: "/srv/x # own\n"},
        {**FAR, LIST: "include ld.so.conf.d/*.conf\n", "/etc/ld.so.conf.d/a.conf": "/srv/x\n"},
        {**FAR, "/etc/ld.so.cache": b"glibc-ld.so.cache1.1\0\0/srv/x/libc.so.6\0"},
        {**FAR, **start("libc.so.6", folders="$ORIGIN/../srv/x")},
        {**FAR, **start("libc.so.6", folders="/gone:${ORIGIN}/../srv/x")},
        {**FAR, **start("libc.so.6", folders="/srv/x", old=True)},
        {LIBC: None, **start("libc.so.6", folders="/srv/$LIB"), "/srv/lib64/libc.so.6": elf()},
        {LIBC: None, **start("libc.so.6", folders="/srv/${LIB}"), "/srv/lib/x86_64-linux-gnu/libc.so.6": elf()},
        {LIBC: None, **start("libc.so.6", folders="/srv/$PLATFORM"), "/srv/x86_64/libc.so.6": elf()},
        {LIBC: None, **start("libc.so.6", folders="/srv"), "/srv/glibc-hwcaps/x86-64-v3/libc.so.6": elf()},
        {**FAR, INIT: elf("libc.so.6", linker="/srv/x/ld-linux-x86-64.so.2")},
        {**FAR, **start("/srv/x/libc.so.6")}, {**FAR, **start("$ORIGIN/../srv/x/libc.so.6")},
        {**FAR, INIT: Link("/srv/bin/init"), "/srv/bin/init": elf("libc.so.6", linker=LINKER, folders="$ORIGIN/../x")},
        {**start("libz.so.1.2", "liby.so"), "/lib/libz.so.1.2": elf(own="libz.so.1"), "/lib/liby.so": elf("libz.so.1")},
        {INIT: elf("libc.so", "libpthread.so.0", linker=MUSL)},
        {LIBC: None, INIT: elf("libc.so.6", machine=I386, linker="/lib/ld-linux.so.2"),
         "/usr/lib32/libc.so.6": elf(machine=I386)},
        {LIBC: None, INIT: elf("libc.so.6", machine=AARCH64, linker="/lib/ld-linux-aarch64.so.1"),
         "/usr/lib/aarch64-linux-gnu/libc.so.6": elf(machine=AARCH64)},
        {INIT: elf("libgone.so.1", linker="/lib/ld-uClibc.so.0")}, {INIT: elf("libgone.so.1")},
    ],
)  # fmt: skip
def test_a_library_in_any_of_its_places_is_there(more: dict[str, Any]) -> None:
    assert lacks({**WHOLE, **more}) is None


@pytest.mark.parametrize(
    ("place", "there"),
    [("/opt/a/b", True), ("/usr/lib/x86_64-linux-gnu/glibc-hwcaps/x86-64-v3", True),
     ("/lib/libc6-prof/x", True), ("/usr/local/lib64/x", True), ("/usr/libx32", True), ("/nix/store/a-glibc/lib", True),
     ("/gnu/store/a-glibc/lib", True), ("/home/a/lib", False), ("/usr/lib/modules/6.1", False)],
)  # fmt: skip
def test_a_library_below_any_folder_of_libraries_is_not_called_missing(
    place: str, there: bool
) -> None:
    said = None if there else "cannot load libc.so.6, which is nowhere in the image"
    assert lacks({**WHOLE, LIBC: None, f"{place}/libc.so.6": elf()}) == said
    assert lacks({**WHOLE, LIBC: None, f"{place}/libc.so.6": Link("gone")}) is not None


def test_libraries_of_a_system_whose_lib_is_a_link_are_found() -> None:
    merged = {path.replace("/lib/x86", "/usr/lib/x86"): text for path, text in WHOLE.items()}
    merged["/lib"] = Link("usr/lib")
    assert lacks(merged) is None
    del merged["/usr/lib/x86_64-linux-gnu/libc.so.6"]
    assert (lacks(merged) or "").startswith("cannot load libc.so.6, which is nowhere")


class Closed(MemoryFileSystem):
    """A file system with a folder, /usr/lib/closed, that cannot be listed."""

    def names(self, directory: MemoryNode) -> Iterable[str]:
        if "closed.so" in directory.children:
            raise UnreadableError("a damaged folder")
        return super().names(directory)


def test_where_a_folder_of_libraries_cannot_be_read_nothing_is_missing() -> None:
    files = {**WHOLE, LIBC: None, "/usr/lib/closed/closed.so": elf()}
    kept = {path: content for path, content in files.items() if content is not None}
    tree = Tree({"/": Closed(kept)})
    search = Search(tree)
    for _ in range(2):  # what was not listed at first is not taken for read later
        with pytest.raises(UnreadableError, match="damaged"):
            missing(tree, INIT, search)
    assert missing(Tree({"/": Closed({**kept, LIBC: elf()})}), INIT) is None


@pytest.mark.parametrize(
    ("line", "known"),
    [("/usr ext4", False), ("/usr/ ext4", False), ("/usr/lib/x86_64-linux-gnu squashfs", False), ("/nix ext4", False),
     ("/srv ext4 x-initrd.mount", False), ("/opt ext4", True), ("/usr/local btrfs subvol=@", True), ("/home ext4", True)],
)  # fmt: skip
def test_what_is_mounted_before_the_first_program_may_hold_its_libraries(
    line: str, known: bool
) -> None:
    files = {**WHOLE, LIBC: None, "/etc/fstab": f"UUID=1 / ext4\nUUID=2 {line}\n"}
    if known:
        assert lacks(files) is not None
    else:
        with pytest.raises(UnreadableError, match="which was not looked into"):
            lacks(files)
    assert lacks({**files, LIBC: elf()}) is None


def test_folders_with_too_many_files_are_not_looked_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(libraries, "FILE_LIMIT", 30)
    many = {f"/usr/lib/x/file{number}": b"" for number in range(30)}
    with pytest.raises(UnreadableError, match="more than 30 files"):
        lacks({**WHOLE, LIBC: None, **many})
    packages = {f"/nix/store/{number}-x/lib/x": b"" for number in range(10)}
    with pytest.raises(UnreadableError, match="too many packages"):
        lacks({**WHOLE, LIBC: None, **packages})


def put(at: int, value: bytes) -> bytes:
    return SYSTEMD[:at] + value + SYSTEMD[at + len(value) :]


@pytest.mark.parametrize(
    "content",
    [
        put(54, b"\x37"), put(32, b"\xff\xff"), put(56, b"\xff\xff"),  # size, place and number of headers
        put(64 + 112 + 8, b"\xff\xff"), put(64 + 112 + 32, b"\xff" * 8),  # place and size of the dynamic section
        put(64 + 8, b"\xff" * 8), put(64 + 56 + 32, b"\1"),  # place of the linker's name; size of what is loaded
        SYSTEMD.replace(b"libc.so.6", b"libc\033so.6"), elf("", "x", linker=LINKER), elf("x" * 300, linker=LINKER),
        elf(*MANY, linker=LINKER),
        SYSTEMD[:-32] + struct.pack("<QQ", 1, len(SYSTEMD)) + SYSTEMD[-16:],  # a name behind the end
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [INIT, LIBC])
def test_what_an_elf_file_needs_is_not_known_where_its_tables_lead_astray(
    content: bytes, path: str
) -> None:
    assert content != SYSTEMD
    with pytest.raises(UnreadableError):
        lacks({**WHOLE, path: content})


def test_a_program_of_more_libraries_than_any_has_is_not_judged() -> None:
    files: dict[str, Any] = {f"/lib/{name}": elf() for name in MANY}
    files["/lib/lib0.so"] = elf(*MANY[100:])
    with pytest.raises(UnreadableError, match="more than 200 libraries"):
        lacks({**WHOLE, **files, **start(*MANY[:100])})


@pytest.mark.parametrize("linker", [LINKER, MUSL])
def test_where_every_folder_of_libraries_is_gone_the_library_is_missing(linker: str) -> None:
    gone = {linker: elf(), INIT: elf("libcap.so.2", linker=linker), "/usr/lib/klibc-x.so": elf()}
    assert lacks(gone) == "cannot load libcap.so.2, which is nowhere in the image"


def test_a_real_program_names_its_libraries() -> None:
    with open(sys.executable, "rb") as file:
        data = file.read()
    found = read_elf(Tree({"/": MemoryFileSystem({INIT: data})}), INIT)
    if found is None or found.interpreter is None:
        pytest.skip("Python is no ELF program with a linker here")
    assert any(name.startswith("lib") and ".so" in name for name in found.needed)


@given(st.binary(max_size=120), st.integers(0, 300))
def test_any_bytes_are_read_without_a_crash(data: bytes, at: int) -> None:
    changed = SYSTEMD[:at] + data + SYSTEMD[at + len(data) :]
    for content in (b"\x7fELF\x02\x01" + data, changed):
        with contextlib.suppress(UnreadableError):
            lacks({INIT: content})
