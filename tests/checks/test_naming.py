"""The image's name in the commands of a fix: wherever they take the image itself, only there."""

from __future__ import annotations

from pathlib import Path

import pytest

import imsprep
from imsprep.checks.naming import named, with_name
from imsprep.report import Finding, Report, Severity
from tests.support.checks.rules import RULES


@pytest.mark.parametrize(
    ("fix", "raw", "qcow2", "zvhd2"),
    [
        ("`imsprep check --guest IMAGE` looks", True, True, True),
        ("imsprep convert --ignore IMS313 IMAGE new.zvhd2", True, True, True),
        ("Run imsprep bitmap IMAGE.", True, True, True),
        ("or: qemu-img resize IMAGE 40G", True, True, True),
        ("or: virt-customize -a IMAGE --delete /x", True, True, False),
        ("Run sgdisk -e IMAGE.", True, False, False),
    ],
)
def test_a_command_names_the_image_of_a_format_that_it_takes(
    fix: str, raw: bool, qcow2: bool, zvhd2: bool
) -> None:
    for format_, does in (("raw", raw), ("qcow2", qcow2), ("zvhd2", zvhd2)):
        said = fix.replace("IMAGE", "'my disk'") if does else fix
        assert with_name(fix, "'my disk'", format_) == said


def test_a_report_names_its_image_in_every_fix() -> None:
    fixes = [rule.fix for rule in RULES.values() if "IMAGE" in rule.fix]
    findings = tuple(
        Finding("IMS101", Severity.ERROR, "file", "title", "message", fix=fix) for fix in fixes
    )
    report = named(Report("-a b.raw", findings, facts={"format": "raw"}))
    assert len(fixes) > 10
    for finding in report.findings:
        assert "IMAGE" not in (finding.fix or "")
        assert "'./-a b.raw'" in (finding.fix or "")


def test_a_check_from_python_names_the_image(tmp_path: Path) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(bytes(4 << 20))
    report = imsprep.check(image)
    fixes = [
        finding.fix for finding in report.findings if finding.fix and "imsprep " in finding.fix
    ]
    assert any(str(image) in fix for fix in fixes)
    assert not any("IMAGE" in fix for fix in fixes)
