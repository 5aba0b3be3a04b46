"""Options of fstab that do not exist, a root that stays read-only, and features of a newer kernel."""

from __future__ import annotations

import dataclasses

import pytest

from imsprep.guest.model import Volume
from imsprep.report import Severity
from tests.support.guest.rules import bad, check_guest
from tests.support.guest.trees import ROOT, UUID, debian, linux_guest

FSTAB, OTHER = f"UUID={UUID} / ext4 defaults 0 1\n", "99999999-2222-4333-8444-555555555555"
DATA = Volume("partition 2", 1 << 30, 1 << 30, "XFS", OTHER)
VERSION, GRUB = "4.19.0-27-amd64", "/boot/grub/grub.cfg"


@pytest.mark.parametrize(("line", "severity"), [
    (f"UUID={UUID} / ext4 default 0 1", Severity.WARNING),
    (f"UUID={OTHER} /data xfs noatime,defualts 0 2", Severity.ERROR),
    (f"UUID={OTHER} /data xfs defaults,nofail 0 2", None),
    (f"UUID={OTHER} /data xfs deflate=1 0 2", None), ("tmpfs /x tmpfs default 0 0", None),
    (f"UUID={OTHER} none swap default 0 0", None),
    (f"UUID={OTHER} /data xfs acl 0 2", Severity.ERROR), (f"UUID={OTHER} /data auto acl 0 2", Severity.ERROR),
    (f"UUID={OTHER} /data xfs acl,nofail 0 2", Severity.NOTE), (f"UUID={OTHER} /data ext4 acl 0 2", None),
    (f"UUID={OTHER} /data xfs noatime,nobarrier 0 2", Severity.ERROR),
    (f"UUID={UUID} / ext4 inode64 0 1", Severity.WARNING),
    (f"UUID={OTHER} /data xfs noatime,discards 0 2", Severity.ERROR),
    ("tmpfs /tmp tmpfs size=2GB 0 0", Severity.ERROR), ("tmpfs /run tmpfs size=2GB 0 0", Severity.WARNING),
])  # fmt: skip
def test_a_word_that_is_meant_for_defaults_is_found(line: str, severity: Severity | None) -> None:
    text = line if " / " in line else FSTAB + line
    found, _ = check_guest(
        linux_guest({**debian(), "/etc/fstab": f"{text}\n"}, volumes=(ROOT, DATA))
    )
    assert [f.severity for f in found if f.rule == "IMS858"] == ([severity] if severity else [])


def test_rootflags_of_another_file_system_stop_the_boot() -> None:
    said = bad("rootflags=noatime,nouuid")
    assert list(said) == ["IMS858"]
    assert said["IMS858"][0] is Severity.ERROR
    assert bad("rootflags=noatime,data=writeback") == {}


@pytest.mark.parametrize(("kernel", "found"), [("6.1.0-28-amd64", True), (VERSION, False)])
def test_an_old_xfs_that_is_mounted_again_leaves_out_what_it_does_not_know(
    kernel: str, found: bool
) -> None:
    files = {path.replace(VERSION, kernel): text for path, text in debian().items()}
    files[GRUB] = str(files[GRUB]).replace(VERSION, kernel)
    files["/etc/fstab"] = f"UUID={UUID} / xfs errors=remount-ro 0 1\n"
    root = dataclasses.replace(ROOT, kind="XFS")
    said, _ = check_guest(linux_guest(files, volumes=(root,)))
    assert [f.severity for f in said if f.rule == "IMS858"] == [Severity.WARNING] * found


@pytest.mark.parametrize(("arguments", "fstab", "found"), [
    ("", "", True), ("", "tmpfs /tmp tmpfs defaults 0 0\n", True), ("rw", "", False),
    ("", FSTAB, False), ("boot=live", "", False), ("overlayroot=tmpfs", "", False),
])  # fmt: skip
def test_a_root_that_nothing_mounts_for_writing_is_found(
    arguments: str, fstab: str, found: bool
) -> None:
    said = bad(arguments, **{"/etc/fstab": fstab})
    assert list(said) == ["IMS859"] * found
    elsewhere = {"/etc/os-release": "ID=flatcar\nNAME=Flatcar\n", "/etc/debian_version": None}
    assert "IMS859" not in bad(arguments, **{"/etc/fstab": fstab}, **elsewhere)
    units = {path: None for path in debian() if path.startswith("/etc/systemd/")}
    assert "IMS859" not in bad(arguments, **{"/etc/fstab": fstab}, **units)


def test_a_missing_fstab_is_called_missing() -> None:
    for fstab, lacks in ((None, "/etc/fstab is missing"), ("", "/etc/fstab has no line for /")):
        files = {k: v for k, v in {**debian(), "/etc/fstab": fstab}.items() if v is not None}
        found, _ = check_guest(linux_guest(files))
        assert [lacks in f.message for f in found if f.rule == "IMS859"] == [True]


@pytest.mark.parametrize(
    ("fstab", "line"),
    [
        (f"# /\nUUID={UUID}/ext4 defaults\n", f"line 2 is no entry: 'UUID={UUID}/ext4 defaults'"),
        ("\n\x01\x02\n", r"line 2 is no entry: '\x01\x02'"),
    ],
)
def test_a_line_of_fstab_that_is_no_entry_is_quoted(fstab: str, line: str) -> None:
    said, _ = check_guest(linux_guest({**debian(), "/etc/fstab": fstab}))
    assert [(f.rule, line in f.message) for f in said if f.severity > Severity.NOTE] == [
        ("IMS859", True)
    ]


def test_a_root_that_systemd_finds_by_its_type_is_mounted_for_writing() -> None:
    root = dataclasses.replace(ROOT, part_type="4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
    found, _ = check_guest(linux_guest({**debian(), "/etc/fstab": ""}, volumes=(root,)))
    assert "IMS859" not in {f.rule for f in found}


@pytest.mark.parametrize(("kernel", "features", "named"), [
    (VERSION, ("bigtime", "nrext64"), "bigtime, nrext64"), (VERSION, ("reflink", "rmapbt"), None),
    ("3.10.0-957.el7.x86_64", ("reflink",), "reflink"), ("6.1.0-28-amd64", ("nrext64",), None),
    ("5.14.0-427.el9.x86_64", ("nrext64", "bigtime"), None), (VERSION, (), None),
])  # fmt: skip
def test_a_feature_that_is_newer_than_the_kernel_is_found(
    kernel: str, features: tuple[str, ...], named: str | None
) -> None:
    files = {path.replace(VERSION, kernel): text.replace(VERSION, kernel) if isinstance(text, str)
             else text for path, text in debian().items()}  # fmt: skip
    root = dataclasses.replace(ROOT, kind="XFS", features=features)
    found, _ = check_guest(linux_guest(files, volumes=(root,)))
    said = [(f.severity, f.message) for f in found if f.rule == "IMS860"]
    assert [severity for severity, _ in said] == [Severity.WARNING] * (named is not None)
    assert all(f"Linux {kernel} does not know {named}, which the XFS of" in m for _, m in said)


def test_a_feature_of_what_is_not_mounted_does_no_harm() -> None:
    data = dataclasses.replace(DATA, features=("nrext64",))
    for line, found in (("", False), (f"UUID={OTHER} /data xfs defaults 0 2\n", True),
                        (f"UUID={OTHER} /data xfs noauto 0 2\n", False)):  # fmt: skip
        guest = linux_guest({**debian(), "/etc/fstab": FSTAB + line}, volumes=(ROOT, data))
        assert ("IMS860" in {f.rule for f in check_guest(guest)[0]}) is found
