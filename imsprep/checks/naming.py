"""The image's name in the commands of a fix, where rules write IMAGE.

A command names the image where it takes one of that format by itself: any for imsprep and
qemu-img, RAW alone for sgdisk and truncate, what libguestfs writes for virt-customize. Elsewhere
IMAGE stays, for the disk that another command makes of it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace

from imsprep.image.formats import RAW
from imsprep.report import Finding, Report

_IMAGE = re.compile(r"(\s)IMAGE\b")
# `imsprep import IMAGE`, and with options before it: `imsprep check --guest IMAGE`.
_IMSPREP = r"imsprep [a-z]+(?: --[a-z-]+(?: [\w.-]+)?)*?"
_OF_ANY = re.compile(rf"((?:{_IMSPREP}|qemu-img resize) )IMAGE\b")
_OF_CUSTOMIZED = re.compile(rf"((?:{_IMSPREP}|qemu-img resize|virt-customize -a) )IMAGE\b")
_CUSTOMIZED = ("qcow2", "vmdk")  # what virt-customize changes, besides RAW


def argument(image: str) -> str:
    """Quote an image's path for a shell; one that begins with a hyphen is no option."""
    return shlex.quote(f"./{image}" if image.startswith("-") else image)


def with_name(fix: str, image: str, format_: str) -> str:
    """Return a fix that names an image of this format, as a shell takes it, where it can."""
    places = _IMAGE if format_ == RAW else _OF_CUSTOMIZED if format_ in _CUSTOMIZED else _OF_ANY
    return places.sub(lambda m: f"{m[1]}{image}", fix)


def fix_of(finding: Finding, report: Report) -> str | None:
    """Return the advice of a finding with the image's name in the commands that take it."""
    if finding.fix is None:
        return None
    return with_name(finding.fix, argument(report.image), report.facts.get("format", ""))


def named(report: Report) -> Report:
    """Return a report whose findings' advice names the image."""
    findings = (replace(finding, fix=fix_of(finding, report)) for finding in report.findings)
    return replace(report, findings=tuple(findings))
