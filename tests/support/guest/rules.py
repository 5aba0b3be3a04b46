"""All rules of a Linux guest applied to one."""

from __future__ import annotations

from typing import Any

from imsprep.checks.facts import Facts
from imsprep.checks.registry import all_rules
from imsprep.guest.model import Guest
from imsprep.ims.request import RequestFields
from imsprep.report import Finding, Severity, Skipped
from tests.support.guest.trees import debian, linux_guest

_GRUB = "/boot/grub/grub.cfg"


def check_guest(guest: Guest | None, **request: Any) -> tuple[list[Finding], list[Skipped]]:
    """What the rules of IMS8xx find, and what they skip."""
    asked = {"os_version": "Debian GNU/Linux 10.0.0 64bit", **request}
    facts = Facts("disk.raw", 1 << 30, request=RequestFields(**asked), guest=guest)
    # IMS850 speaks of a boot that was tried, not of what lies inside.
    rules = [r for r in all_rules() if r.id.startswith("IMS8") and r.id != "IMS850"]
    results = [rule.run(facts) for rule in rules]
    return [f for found, _ in results for f in found], [s for _, s in results if s is not None]


def bad(arguments: str = "", **more: Any) -> dict[str, tuple[Severity, str]]:
    """What is found in a Debian with these arguments and files (None: removed) that is no note."""
    files = {**debian(), **more}
    text = files[_GRUB]
    assert isinstance(text, str)
    files[_GRUB] = text.replace(" ro ", f" ro {arguments} ")
    kept = {path: content for path, content in files.items() if content is not None}
    found, _ = check_guest(linux_guest(kept))
    return {f.rule: (f.severity, f.message) for f in found if f.severity > Severity.NOTE}
