"""What rules need of a guest's tree: what is taken, what is left out, and what becomes a gap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from imsprep.guest import paths
from imsprep.guest.chain.values import BIOS, Boot, BootEntry, Route
from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.snapshot import (
    extlinux_version,
    grub_version,
    guarded,
    machine,
    password_state,
    take_files,
    take_names,
    take_secrets,
)
from imsprep.guest.tree import Tree
from tests.support.guest.trees import ELF_X86_64, Data, Link, MemoryFileSystem

CONNECTION = "/etc/NetworkManager/system-connections/wired"
Files = Mapping[str, str | bytes | Link | None]


class Broken(MemoryFileSystem):
    """A file system in which some names cannot be looked up."""

    broken: tuple[str, ...] = ()

    def child(self, directory: Any, name: str) -> Any:
        if name in self.broken:
            raise UnreadableError(f"{name} is damaged")
        return super().child(directory, name)


def tree(files: Files, *broken: str) -> Tree:
    system = Broken(files)
    system.broken = broken
    return Tree({"/": system})


def test_a_step_that_cannot_be_read_is_a_gap() -> None:
    def fails() -> None:
        raise UnreadableError("a checksum")

    gaps: dict[str, str] = {}
    guarded(gaps, "/a/*", fails)
    guarded(gaps, "/b", lambda: None)
    assert gaps == {"/a/*": "a checksum"}


def test_of_texts_the_content_is_taken_and_of_names_only_that_they_are_there() -> None:
    gaps: dict[str, str] = {}
    seen = take_files(tree({"/etc/a": "x", "/etc/b": "y"}), ("/etc/a", "/no"), ("/etc/*",), gaps)
    assert {path: entry.text for path, entry in seen.items()} == {"/etc/a": "x", "/etc/b": None}
    assert gaps == {}


def test_a_pattern_that_cannot_be_read_does_not_hide_the_next() -> None:
    gaps: dict[str, str] = {}
    seen = take_files(tree({"/etc/a": "x", "/etc/b": "y"}, "b"), ("/etc/b", "/etc/a"), (), gaps)
    assert list(seen) == ["/etc/a"]
    assert gaps == {"/etc/b": "b is damaged"}


def test_a_text_that_is_cut_and_a_pattern_of_too_many_paths_are_gaps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paths, "TEXT_LIMIT", 4)
    monkeypatch.setattr(paths, "PATTERN_LIMIT", 2)
    files = tree({"/long": "12345", **{f"/d/{n}": "" for n in range(3)}})
    gaps: dict[str, str] = {}
    seen = take_files(files, ("/long",), ("/d/*",), gaps)
    assert (seen["/long"].text, seen["/long"].truncated) == ("1234", True)
    assert sorted(seen) == ["/d/0", "/d/1", "/long"]
    assert gaps == {
        "/long": "only the first 4 of its 5 bytes were read",
        "/d/*": "only the first 2 paths were looked at",
    }


def test_the_first_program_is_judged_and_so_is_what_a_boot_entry_asks_for() -> None:
    files = {"/sbin/init": ELF_X86_64, "/opt/start": Data(b"#!/bin/sh\n"), "/opt/other": b""}
    entry = BootEntry("/c", 1, "x", "/k", arguments=("init=/opt/start",))
    boot = Boot((Route(BIOS, "GRUB", entries=(entry,), default=0),))
    seen = take_names(tree(files), {}, boot)
    assert seen["/sbin/init"].fault is None
    assert "execut" in (seen["/opt/start"].fault or "")
    assert "/opt/other" not in seen


def test_files_that_fstab_mounts_are_looked_at() -> None:
    files = {"/etc/fstab": "/swapfile none swap sw 0 0\n/srv/a.img /mnt auto loop 0 0\n",
             "/swapfile": bytes(7), "/srv/a.img": bytes(9)}  # fmt: skip
    seen = take_names(tree(files), {}, Boot())
    assert (seen["/swapfile"].size, seen["/srv/a.img"].size) == (7, 9)


def test_of_the_rules_of_packages_those_are_kept_that_name_cards() -> None:
    folder = "/lib/udev/rules.d"
    files = {f"{folder}/70-a.rules": 'SUBSYSTEM=="net", ACTION=="add", NAME="lan0"\n',
             f"{folder}/60-b.rules": 'KERNEL=="sd*", SYMLINK+="disk"\n'}  # fmt: skip
    seen = take_names(tree(files), {}, Boot())
    assert [path for path in seen if path.startswith(folder)] == [f"{folder}/70-a.rules"]
    assert seen[f"{folder}/70-a.rules"].text is None


def test_of_a_connection_only_lines_without_secrets_are_taken() -> None:
    text = (
        "[connection]\nid=wired\ntype=ethernet\n[wifi-security]\npsk=secret\n[ipv4]\nmethod=auto\n"
    )
    seen = take_secrets(tree({CONNECTION: text}), {})
    kept = "[connection]\nid=wired\ntype=ethernet\n[wifi-security]\n[ipv4]\nmethod=auto"
    assert seen[CONNECTION].text == kept


def test_of_passwords_only_the_state_of_roots_is_taken() -> None:
    seen = take_secrets(tree({"/etc/shadow": "root:$y$j9T$x:1::::::\nann:$y$j9T$y:1::::::\n"}), {})
    assert {path: entry.text for path, entry in seen.items()} == {"/etc/shadow": "root:set"}
    assert take_secrets(tree({"/etc/shadow": "ann:$y$j9T$y:1::::::\n"}), {}) == {}


@pytest.mark.parametrize(
    ("field", "state"),
    [("", "empty"), ("!", "locked"), ("*", "locked"), ("x", "locked"), ("!!", "locked"),
     ("$y$j9T$x", "set")],
)  # fmt: skip
def test_the_state_of_a_password_is_told_from_its_field(field: str, state: str) -> None:
    assert password_state(f"bin:*:1::::::\nroot:{field}:19000:0:99999:7:::\n".encode()) == state


@pytest.mark.parametrize(("order", "number", "said"), [
    (1, b"\x3e\x00", "x86_64"), (1, b"\xb7\x00", "aarch64"), (2, b"\x00\x15", "ppc64"),
    (1, b"\x02\x01", "ELF machine 258"),
])  # fmt: skip
def test_the_architecture_is_that_of_the_first_program_that_tells_it(
    order: int, number: bytes, said: str
) -> None:
    head = b"\x7fELF\x02" + bytes([order]) + bytes(12) + number
    files = {"/sbin/init": b"#!/bin/sh\n", "/bin/sh": head, "/usr/bin/env": ELF_X86_64}
    assert machine(tree(files)) == said
    assert machine(tree({**files, "/lib/systemd/systemd": ELF_X86_64}, "systemd")) == said


def test_an_architecture_that_no_program_tells_is_unknown() -> None:
    assert machine(tree({"/bin/sh": ELF_X86_64[:19]})) is None


STATUS = "Package: grub-common\nStatus: install ok installed\nVersion: 1:2.06-3~deb11u6\n\n"


@pytest.mark.parametrize(("files", "version"), [
    ({"/boot/grub/i386-pc/normal.mod": b"\0\0GNU GRUB  version 2.02+dfsg1-20\0\0",
      "/usr/lib/grub/i386-pc/normal.mod": b"\0" b"2.06-3\0"}, "2.02+dfsg1-20"),
    ({"/usr/lib/grub/x86_64-efi/normal.mod": b"x\0" b"2.12~rc1\0y"}, "2.12~rc1"),
    ({"/boot/grub2/i386-pc/normal.mod": b"none", "/var/lib/dpkg/status": STATUS}, "2.06-3~deb11u6"),
    ({"/var/lib/dpkg/status": f"Package: grub-legacy\nVersion: 0.97\n\n{STATUS}"},
     "2.06-3~deb11u6"),
    ({"/var/lib/dpkg/status": "Package: grub-common\n\nPackage: x\nVersion: 2\n"}, None),
    ({}, None),
])  # fmt: skip
def test_the_version_of_grub_is_that_of_its_modules_or_of_the_package(
    files: Files, version: str | None
) -> None:
    assert grub_version(tree(files)) == version


def test_a_grub_that_cannot_be_read_has_no_version() -> None:
    files = {"/boot/grub/i386-pc/normal.mod": b"\02.06\0", "/var/lib/dpkg/status": STATUS}
    assert grub_version(tree(files, "normal.mod")) is None


def test_the_version_of_extlinux_is_that_of_its_second_stage() -> None:
    loader = {"/boot/ldlinux.sys": b"\r\nEXTLINUX 6.03 EDD Copyright"}
    assert extlinux_version(tree(loader)) == "6.03"
    assert extlinux_version(tree({"/ldlinux.sys": b"SYSLINUX 4.05 x"})) == "4.05"
    assert extlinux_version(tree({"/ldlinux.sys": b"another"})) is None
    assert extlinux_version(tree(loader, "ldlinux.sys")) is None
