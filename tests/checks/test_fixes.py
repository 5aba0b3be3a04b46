"""The fixes: each command that changes files is run on a tree, and then its rule is silent."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from imsprep.checks.fixes import command, on_file, root_by_uuid
from imsprep.checks.registry import all_rules
from imsprep.guest.chain.values import BootEntry
from imsprep.report import Severity
from tests.support.guest.disks import write_tree
from tests.support.guest.distributions import BOUND, FAMILY, OS_VERSIONS, STATIC, TREES
from tests.support.guest.faults import FAULTS, LINUX
from tests.support.guest.rules import check_guest as check
from tests.support.guest.trees import UUID, Link, debian, linux_guest

# Rules whose fix is no command that only changes files: it asks a person, or runs the guest's tools.
OTHERWISE = {"IMS803", "IMS814", "IMS815", "IMS816", "IMS817", "IMS821", "IMS824", "IMS826",
             "IMS831", "IMS832", "IMS834", "IMS835", "IMS836", "IMS837", "IMS859"}  # fmt: skip

FOLDERS = re.compile(r"(?<![\w.\]}])/(?=(?:etc|boot|root|home|var|lib)/)")


def faulty(changes: Mapping[str, Any], tree: Mapping[str, Any]) -> dict[str, Any]:
    return {path: text for path, text in {**tree, **changes}.items() if text is not None}


CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    name: (rule, faulty(changes, debian()), "Debian GNU/Linux 10.0.0 64bit")
    for name, (changes, rule, _) in FAULTS.items()
    if rule not in OTHERWISE
}
for _rule, _faults in (("IMS822", STATIC), ("IMS823", BOUND), ("IMS839", FAMILY)):
    for _name, (_path, _text) in _faults.items():
        if not _path.startswith("/etc/netplan/"):  # no line of sed can edit YAML
            case = (_rule, faulty({_path: _text}, TREES[_name]), OS_VERSIONS[_name] or "Other")
            CASES[f"{_rule} {_name}"] = case
CASES["cloud-init switched off by its file"] = (
    "IMS826", {**debian(), "/etc/cloud/cloud-init.disabled": ""}, "Other")  # fmt: skip
CASES["a home with a hostile name"] = (
    "IMS833", {**debian(), "/home/it's $(touch pwned)/.bash_history": "x"}, "Other")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_command_of_a_fix_silences_its_rule(name: str, tmp_path: Path) -> None:
    rule, files, os_version = CASES[name]
    findings = [f for f in check(linux_guest(files), os_version=os_version)[0] if f.rule == rule]
    assert findings
    write_tree(tmp_path, files)
    for finding in findings:
        found = re.search(
            r"In the guest: `(.*?)`; or: virt-customize -a IMAGE (.*)", finding.fix or "", re.DOTALL
        )
        assert found is not None, finding.fix
        inside, offline = found.groups()
        words = shlex.split(offline)
        if words[0] == "--run-command":
            assert words[1:] == [inside]
        else:
            assert shlex.split(inside)[-1] == words[1]
        subprocess.run(["sh", "-ec", FOLDERS.sub(f"{tmp_path}/", inside)], check=True, cwd=tmp_path)
    again, _ = check(linux_guest(read_tree(tmp_path)), os_version=os_version)
    assert rule not in {f.rule for f in again}
    before, _ = check(linux_guest(files), os_version=os_version)
    worse = {f.rule for f in again if f.severity > Severity.NOTE} - {f.rule for f in before}
    assert not worse, "nothing else broke"
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    "line",
    [
        "sed -i 's/a\\\\b/\\\\/' \"x y\"",
        "printf '%s\\n' 'a\\'",
        "echo '$HOME `id`'",
        "echo 'hi!'",
        "true",
        "'\\",
    ],
)
def test_a_command_is_one_word_for_virt_customize(line: str) -> None:
    """As a real shell reads it."""
    offline = command(line).partition("--run-command ")[2]
    done = subprocess.run(["sh", "-c", f"printf %s {offline}"], capture_output=True, check=True)
    assert done.stdout.decode() == line
    assert "'\"'\"'" not in offline or any(c in line for c in "$`!")


def read_tree(folder: Path) -> dict[str, Any]:
    files: dict[str, Any] = {}
    for path in folder.rglob("*"):
        name = f"/{path.relative_to(folder)}"
        if path.is_symlink():
            files[name] = Link(str(path.readlink()))
        elif path.is_file():
            files[name] = path.read_bytes()
    return files


def test_every_rule_that_has_another_fix_is_known() -> None:
    """So that a new rule is either tried above or named as one that cannot be."""
    rules = {r.id for r in all_rules() if "IMS810" <= r.id < "IMS840"}
    tried = {rule for rule, _, _ in CASES.values()}
    # IMS811 to IMS813 and IMS825 need a person where they cannot be exact.
    assert rules - tried - OTHERWISE == {"IMS818", "IMS819", "IMS825"}


def test_a_name_that_could_command_a_terminal_is_not_in_a_fix() -> None:
    fix = on_file("rm -f", "--delete", "/home/\x1b]0;x\x07\udcff")
    assert fix.isprintable()
    assert fix.encode()


def test_only_the_line_of_the_entry_that_starts_is_changed() -> None:
    entry = "menuentry 'x' {{\n{linux} root={root} console=ttyS0\n}}\n"
    grub = "".join(entry.format(linux=LINUX, root=root) for root in ("/dev/sda1", "/dev/sda10"))
    findings, _ = check(linux_guest({**debian(), "/boot/grub/grub.cfg": grub}))
    first = next(f for f in findings if f.rule == "IMS812")
    assert (first.fix or "").startswith(
        "The file grub.cfg is usually generated: once the system starts,"
    )
    command = shlex.split((first.fix or "").split("--run-command ", 1)[1])[0]
    script = shlex.split(command)[2]
    changed = subprocess.run(
        ["sed", script], input=grub, capture_output=True, text=True, check=True
    )
    assert changed.stdout == grub.replace("root=/dev/sda1 ", f"root=UUID={UUID} ")


@pytest.mark.parametrize(
    ("path", "head", "said"),
    [
        ("/boot/grub/grub.cfg", "# It is automatically generated by grub-mkconfig\n", "The file grub.cfg is generated: "),
        ("/boot/grub/grub.cfg", "", "The file grub.cfg is usually generated: "),
        ("/boot/syslinux/syslinux.cfg", "", "In the guest: `sed"),
    ],
)  # fmt: skip
def test_a_change_of_a_generated_file_says_so(path: str, head: str, said: str) -> None:
    line = f"{LINUX} root=/dev/sda1"
    guest = linux_guest({**debian(), path: f"{head}{line}\n"})
    entry = BootEntry(path, head.count("\n") + 1, "x", "/vmlinuz")
    assert (root_by_uuid(guest, entry, "/dev/sda1") or "").startswith(said)


# Of these a command was tried on the image that caused the finding, and is offered in its place.
@pytest.mark.parametrize("rule", ["IMS818", "IMS819", "IMS840", "IMS841"])
def test_where_no_command_was_tried_the_fix_is_a_sentence(rule: str) -> None:
    assert "`" not in next(r.fix for r in all_rules() if r.id == rule)
