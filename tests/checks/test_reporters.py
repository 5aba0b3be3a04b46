"""Reporters: every format is what it claims to be, for good, bad and hostile input."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from html import unescape
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from imsprep import project
from imsprep.checks import registry
from imsprep.checks.fixes import command
from imsprep.checks.reporters import FORMATS, Failure, Run, render
from imsprep.checks.reporters.html import html
from imsprep.checks.reporters.json import schema
from imsprep.checks.reporters.picture import picture
from imsprep.checks.reporters.text import PLAIN, Style, about, report_text, text
from imsprep.report import FactValues, Finding, Region, Report, Severity, Skipped
from imsprep.units import GIB, MIB
from tests.support.paths import ROOT

SARIF = json.loads(
    (ROOT / "tests" / "support" / "checks" / "schemas" / "sarif-2.1.0.json").read_text()
)
HOSTILE = "a<b>&\"'\x00\x1b[31m\n::error::x,y:%0A ]]> </script>"


def finding(rule: str = "IMS101", severity: Severity = Severity.ERROR, **more: Any) -> Finding:
    return Finding(
        rule,
        severity,
        "file",
        "A title",
        "a message",
        "this",
        "that",
        "why",
        "do it",
        "page, 2024",
        **more,
    )


def run(
    *results: Report | Failure,
    fail_on: Severity | None = Severity.ERROR,
    complaints: tuple[str, ...] = (),
) -> Run:
    return Run(results, registry.all_rules(), fail_on, "0.1.0", complaints)


FACTS = {
    "format": "raw", "file_size": 1 << 20, "virtual_size": 1 << 20, "site": "otc",
    "partition_table": "gpt", "sector_size": 512,
    "partitions": [{"number": 1, "start": 0, "length": 1 << 30, "type": "x", "name": HOSTILE, "volume": None}],
    "cells": [[0, 1 << 19, 4096, 0], [1 << 19, 1 << 19, 1 << 19, 1 << 19]],
}  # fmt: skip
FULL = Report(
    "a/disk.raw",
    (
        finding(region=Region(512, 8)),
        finding("IMS104", Severity.WARNING, waived="known"),
        finding("IMS111", Severity.NOTE),
    ),
    (Skipped("IMS501", "no name given"),),
    ("IMS106",),
    FACTS,
)
RUNS = {
    "full": run(
        FULL, Failure("gone.raw", "ReadError", "cannot read", 3), complaints=("a waiver expired",)
    ),
    "good": run(Report("b.raw", passed=("IMS106",))),
    "nothing": run(),
    "hostile": run(
        Report(
            HOSTILE,
            (
                Finding(
                    "IMS101",
                    Severity.ERROR,
                    "file",
                    HOSTILE,
                    HOSTILE,
                    HOSTILE,
                    HOSTILE,
                    HOSTILE,
                    HOSTILE,
                    HOSTILE,
                ),
            ),
            (Skipped("IMS102", HOSTILE),),
            (),
            FACTS,
        ),
        Failure(HOSTILE, "E", HOSTILE, 3),
    ),
}


@pytest.mark.parametrize("case", RUNS)
@pytest.mark.parametrize("format_", FORMATS)
def test_the_same_run_gives_the_same_bytes(format_: str, case: str) -> None:
    assert render(RUNS[case], format_) == render(RUNS[case], format_)


@pytest.mark.parametrize("case", RUNS)
def test_json_obeys_its_schema(case: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(json.loads(render(RUNS[case], "json")), schema())


def test_the_schema_refuses_what_it_should() -> None:
    value = json.loads(render(RUNS["full"], "json"))
    value["images"][0]["findings"][0]["severity"] = "fatal"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, schema())


@pytest.mark.parametrize("case", RUNS)
def test_sarif_obeys_the_standards_schema(case: str) -> None:
    log = json.loads(render(RUNS[case], "sarif"))
    jsonschema.Draft4Validator(SARIF).validate(log)
    log["runs"][0]["tool"]["driver"].pop("name")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft4Validator(SARIF).validate(log)


def test_sarif_points_at_bytes_and_keeps_waived_findings_suppressed() -> None:
    (log,) = json.loads(render(RUNS["full"], "sarif"))["runs"]
    first, waived, _ = log["results"]
    place = first["locations"][0]["physicalLocation"]
    assert place["region"] == {"byteOffset": 512, "byteLength": 8}
    assert log["tool"]["driver"]["rules"][first["ruleIndex"]]["id"] == first["ruleId"]
    assert waived["suppressions"][0]["justification"] == "known"
    (said,) = log["invocations"][0]["toolExecutionNotifications"]
    assert "cannot read" in said["message"]["text"]
    assert log["properties"]["skipped"][0]["reasons"] == {"no name given": ["IMS501"]}


def test_sarif_gives_every_result_a_place_and_every_rule_an_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = project.Home("https://github.com/owner/imsprep", "1234567")
    monkeypatch.setattr(project, "home", lambda: home)
    inside = dataclasses.replace(finding("IMS811"), message="/etc/fstab:3 mounts a disk")
    line = dataclasses.replace(finding("IMS813"), message="/boot/grub.cfg line 9: root=x is gone")
    found = (inside, finding("IMS501"), line)
    whole = json.loads(render(run(Report("a.raw", found)), "sarif"))
    jsonschema.validate(whole, SARIF, format_checker=jsonschema.FormatChecker())
    (log,) = whole["runs"]
    driver = log["tool"]["driver"]
    assert driver["informationUri"] == "https://github.com/owner/imsprep"
    page = "https://github.com/owner/imsprep/blob/1234567/docs/reference/rules.md"
    assert [r["helpUri"] for r in driver["rules"]] == [
        f"{page}#ims501", f"{page}#ims811", f"{page}#ims813",
    ]  # fmt: skip
    places = [result["locations"][0]["logicalLocations"][0] for result in log["results"]]
    assert [place["fullyQualifiedName"] for place in places] == [
        "file:/etc/fstab:3", "file", "file:/boot/grub.cfg:9",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("image", "uri"),
    [
        ("/srv/my disk.raw", "file:///srv/my%20disk.raw"),
        ("build/disk.raw", "build/disk.raw"),
        ("a:b.raw", "a%3Ab.raw"),
    ],
)
def test_sarif_names_an_image_by_a_uri(image: str, uri: str) -> None:
    (log,) = json.loads(render(run(Report(image, (finding(),))), "sarif"))["runs"]
    assert log["artifacts"][0]["location"]["uri"] == uri
    place = log["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == uri


def test_sarif_gives_the_version_and_every_rule_a_name() -> None:
    (log,) = json.loads(render(RUNS["full"], "sarif"))["runs"]
    driver = log["tool"]["driver"]
    assert driver["version"] == "0.1.0"
    assert driver["rules"][0]["name"] == "TheFileIsInAFormatThatQuickImportDoesNotAccept"


def test_sarif_names_no_address_where_imsprep_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "home", lambda: None)
    whole = json.loads(render(run(Report("a.raw", (finding("IMS501"),))), "sarif"))
    jsonschema.validate(whole, SARIF)
    driver = whole["runs"][0]["tool"]["driver"]
    assert "informationUri" not in driver
    assert "helpUri" not in driver["rules"][0]


def test_sarif_of_one_image_in_which_every_rule_was_skipped_is_small() -> None:
    skipped = tuple(Skipped(rule.id, "the disk could not be read") for rule in registry.all_rules())
    report = Report("a.raw", tuple(finding(f"IMS1{n:02}") for n in range(1, 13)), skipped)
    assert len(render(run(report), "sarif")) < 40_000


def test_jsonl_is_one_object_a_line() -> None:
    lines = render(RUNS["hostile"], "jsonl").splitlines()
    assert [json.loads(line)["image"] for line in lines] == [HOSTILE, HOSTILE]


@pytest.mark.parametrize("case", RUNS)
def test_junit_is_xml_whatever_the_image_is_called(case: str) -> None:
    root = ET.fromstring(render(RUNS[case], "junit"))
    assert len(root) == len(RUNS[case].results)


def test_junit_counts_and_never_shows_a_skipped_rule_as_green() -> None:
    suite, gone = ET.fromstring(render(RUNS["full"], "junit"))
    names = [case.get("name") for case in suite]
    assert "IMS106 The file is not empty" in names
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("5", "1", "1")
    assert gone.get("errors") == "1"
    skipped = next(c for c in suite if c.get("name", "").startswith("IMS501"))
    assert skipped.find("skipped") is not None
    warned = next(c for c in suite if c.get("name", "").startswith("IMS104"))
    assert warned.find("failure") is None
    assert "known" in (warned.findtext("system-out") or "")


@pytest.mark.parametrize(
    ("severity", "tags"),
    [(Severity.ERROR, ["failure"]), (Severity.NOTE, ["skipped", "system-out"])],
)
def test_junit_shows_a_rule_that_found_something_before_it_was_skipped(
    severity: Severity, tags: list[str]
) -> None:
    finding = Finding("IMS814", severity, "guest", "title", "message")
    report = Report("x", findings=(finding,), skipped=(Skipped("IMS814", "unread"),))
    (suite,) = ET.fromstring(render(run(report), "junit"))
    assert [child.tag for child in suite[0]] == tags


def test_github_annotations_cannot_be_forged() -> None:
    for line in render(RUNS["hostile"], "github").splitlines():
        assert line.startswith("::error file=")
    assert "::error::x" not in render(RUNS["hostile"], "github").split("::", 2)[1]


def test_the_picture_shows_stored_zeros_behind_the_data() -> None:
    """A cell of which half is data and the rest is stored zeros; another that is a hole."""
    cells = [[0, 100, 100, 50], [100, 100, 0, 0]]
    drawn = picture({"file_size": 200, "cells": cells})
    heights = dict(re.findall(r"class='(data|zeros|stored)'.*? height='([0-9.]+)'", drawn))
    assert heights == {"zeros": "44.00", "data": "22.00"}


def test_each_bar_of_the_picture_has_the_scale_of_what_it_divides() -> None:
    """Of a disk that is packed the container is larger; of a container the file is smaller."""
    mib = 1 << 20
    partition = {"number": 1, "start": mib, "length": 99 * mib, "volume": "ext4", "name": ""}
    facts = {"virtual_size": 1024 * mib, "source_size": 100 * mib, "partitions": [partition]}
    drawn = str(
        picture({**facts, "cells": [[0, 30 * mib, 1, None], [30 * mib, 10 * mib, 0, None]]})
    )
    assert re.findall(r"<span>([^<]*)</span></div>", drawn) == ["100 MiB", "40 MiB"]


@pytest.mark.parametrize(
    ("fail_on", "notes", "shown"),
    [
        (Severity.ERROR, False, ["IMS101"]),
        (Severity.ERROR, True, ["IMS101", "IMS111"]),
        (Severity.NOTE, False, ["IMS101", "IMS111"]),
        (None, False, ["IMS101"]),
    ],
)
def test_github_tells_nothing_of_a_waived_finding_and_of_notes_if_asked(
    fail_on: Severity | None, notes: bool, shown: list[str]
) -> None:
    lines = render(run(FULL, fail_on=fail_on), "github", notes=notes).splitlines()
    assert [line.split("title=")[1][:6] for line in lines] == shown


def test_html_escapes_and_holds_everything_itself() -> None:
    page = render(RUNS["hostile"], "html")
    assert "</script>" not in page
    assert "a<b>" not in page
    assert "<script" not in page
    assert "http" not in page
    assert "src=" not in page


def test_text_puts_the_worst_first_and_ends_with_the_verdict() -> None:
    text = render(run(FULL), "text")
    assert text.index("IMS101") < text.index("IMS111") < text.index("IMS104")
    assert text.splitlines()[-1] == (
        "FAILED   1 error, 0 warnings, 1 note, 1 waived; 1 rule passed, 1 skipped"
    )


@pytest.mark.parametrize(("fail_on", "code"), [(Severity.ERROR, 1), (Severity.NOTE, 1), (None, 0)])
def test_the_exit_code_follows_the_failing_severity(fail_on: Severity | None, code: int) -> None:
    assert run(FULL, fail_on=fail_on).exit_code == code


def test_what_could_not_be_checked_weighs_more_than_a_bad_image() -> None:
    assert RUNS["full"].exit_code == 3


def notes_of(*images: str) -> Run:
    doubt = finding("IMS405", Severity.NOTE)
    return run(*(Report(image, (doubt,), (Skipped("IMS501", "no name"),)) for image in images))


def test_text_folds_notes_and_counts_what_was_skipped() -> None:
    shown = text(notes_of("a.raw"), Style(more_skipped="look there", more_notes="ask for them"))
    assert shown.splitlines()[1:] == [
        "",
        "note     A title" + " " * 58 + "IMS405",
        "",
        "passed   0 errors, 0 warnings, 1 note; 0 rules passed, 1 skipped",
        "         (ask for them; look there)",
    ]
    opened = text(notes_of("a.raw"), Style(notes=True, skipped=True))
    assert "         a message\n" in opened
    assert "skipped:\n  no name: IMS501\n" in opened


def test_text_says_of_which_the_sizes_are() -> None:
    facts = FactValues(file_size=MIB, virtual_size=GIB, cells=[(0, GIB, 5 * MIB, None)])
    assert about({**facts, "format": "qcow2"}) == "qcow2, 1 GiB, file of 1 MiB"
    assert about({**facts, "format": "raw"}) == "raw, 1 GiB, 5 MiB stored"


def test_text_says_the_same_doubt_once_a_run() -> None:
    shown = text(notes_of("a.raw", "b.raw", "c.raw"))
    assert shown.count("A title") == 1
    assert shown.splitlines()[-1] == (
        "passed   3 images: 3 passed, 0 failed; 0 errors, 0 warnings, 3 notes"
    )


def test_text_repeats_no_line_of_a_folded_note_whose_message_names_the_image() -> None:
    named = [
        Report(name, (dataclasses.replace(finding("IMS401", Severity.NOTE), message=name),))
        for name in ("a.raw", "b.raw")
    ]
    assert "note     As for a.raw: IMS401\n" in text(run(*named))
    assert text(run(*named)).count("A title") == 1
    assert text(run(*named), Style(notes=True)).count("A title") == 2


def test_text_names_each_note_of_an_image_that_earlier_images_have_too() -> None:
    one, two, three = (finding(f"IMS40{n}", Severity.NOTE) for n in (1, 2, 3))
    reports = [Report("a.raw", (one,)), Report("b.raw", (two,)), Report("c.raw", (one, two, three))]
    shown = text(run(*reports)).split("c.raw", 1)[1].split("\n\n")
    assert shown[1].splitlines() == [
        "note     A title" + " " * 58 + "IMS403",
        "note     As for images above: IMS401, IMS402",
    ]
    assert shown[2].startswith("passed   0 errors, 0 warnings, 3 notes; 0 rules")


def test_text_has_a_blank_line_before_every_verdict() -> None:
    reports = (Report("a.raw", (finding(severity=Severity.NOTE),)), Report("c.raw"))
    again = dataclasses.replace(reports[0], image="b.raw")
    lines = text(run(*reports, again)).splitlines()
    before = [lines[n - 1] for n, line in enumerate(lines) if line.startswith("passed ")]
    assert before == [""] * 4


def test_text_repeats_no_line_of_a_folded_note_within_an_image() -> None:
    notes = [dataclasses.replace(finding(severity=Severity.NOTE), message=word) for word in "abc"]
    waived = [dataclasses.replace(note, rule="IMS102", waived="known") for note in notes[:2]]
    folded = text(run(Report("a.raw", (*notes, *waived))))
    assert re.findall("A title.*?  ", folded) == [
        "A title (3 findings)  ",
        "A title (2 findings)  ",
    ]
    opened = text(run(Report("a.raw", tuple(notes))), Style(notes=True))
    assert re.findall("A title.*?  ", opened) == ["A title  "] * 3


@pytest.mark.parametrize(
    ("format_", "name"), [("raw", "'my disk.raw'"), ("qcow2", "'my disk.raw'"), ("zvhd2", "IMAGE")]
)
def test_text_shows_a_command_alone_on_its_line_to_be_copied(format_: str, name: str) -> None:
    line = (
        r"sed -i '9s#root=UUID=1111-2222\b#root=UUID=11111111-2222-3333-4444-555555555555#' /boot/x"
    )
    fix = f"Correct the device; to set the line aside: {command(line)}"
    report = Report(
        "my disk.raw",
        (dataclasses.replace(finding(), fix=fix),),
        facts={**FACTS, "format": format_},
    )
    lines = [row.strip() for row in text(run(report)).splitlines()]
    assert line in lines
    (offline,) = (row for row in lines if row.startswith("virt-customize"))
    assert offline == f'virt-customize -a {name} --run-command "{line}"'
    assert shlex.split(offline)[-1] == line


@pytest.mark.parametrize(
    ("format_", "said"),
    [
        ("raw", "Run sgdisk -e ./-x, or imsprep convert ./-x a.zvhd2; qemu-img resize ./-x 1G."),
        ("vmdk", "Run sgdisk -e IMAGE, or imsprep convert ./-x a.zvhd2; qemu-img resize ./-x 1G."),
    ],
)
def test_text_names_the_image_in_a_command_that_takes_it_by_itself(format_: str, said: str) -> None:
    fix = "Run sgdisk -e IMAGE, or imsprep convert IMAGE a.zvhd2; qemu-img resize IMAGE 1G."
    report = Report(
        "-x", (dataclasses.replace(finding(), fix=fix),), facts={**FACTS, "format": format_}
    )
    for style in (PLAIN, dataclasses.replace(PLAIN, quiet=True)):
        assert said in " ".join(text(run(report), style).split())


@pytest.mark.parametrize("format_", ["github", "junit", "sarif"])
def test_what_pipelines_read_names_the_image_in_commands_too(format_: str) -> None:
    fix = "Run imsprep convert IMAGE a.zvhd2."
    report = Report("my disk.raw", (dataclasses.replace(finding(), fix=fix),), facts=FACTS)
    shown = render(run(report), format_)
    assert "imsprep convert 'my disk.raw' a.zvhd2" in unescape(shown)
    assert "convert IMAGE a.zvhd2" not in shown


def test_text_offers_an_option_for_whole_words_of_a_fix_only() -> None:
    style = Style(offers={"the site otc": "--site otc", "IMS509": "--ask"})
    for rule, fix, offer in [
        ("IMS101", "Choose the site otc.", " (--site otc)"),
        ("IMS101", "Choose the site otc-swiss.", ""),
        ("IMS509", "Ask.", " (--ask)"),
    ]:
        found = dataclasses.replace(finding(rule), fix=fix)
        assert f"fix: {fix}{offer}\n" in text(run(Report("a.raw", (found,))), style)


def test_text_breaks_no_command_in_its_middle() -> None:
    fix = "In the guest: " + "word " * 9 + "`update-initramfs -u -k all`"
    shown = text(run(Report("a.raw", (dataclasses.replace(finding(), fix=fix),))))
    assert "\n         `update-initramfs -u -k all`\n" in shown


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_text_keeps_to_the_width_and_to_what_programs_read(width: int) -> None:
    words = " ".join(f"word{n}" for n in range(60))
    long = dataclasses.replace(finding(), title=words, message=words, fix=words)
    lines = text(run(Report("a.raw", (long,))), Style(width=width)).splitlines()
    assert max(map(len, lines)) <= max(40, width)
    start = next(n for n, line in enumerate(lines) if line.startswith("error "))
    end = lines.index("", start)
    assert all(line.startswith(" " * 7) for line in lines[start + 1 : end])
    assert "IMS101" in lines[start]
    assert lines[-1].startswith(("FAILED ", " " * 9))


def test_text_is_coloured_if_asked_and_says_the_same() -> None:
    plain, painted = text(RUNS["full"]), text(RUNS["full"], Style(colour=True))
    assert "\x1b[1;31merror" in painted
    assert re.sub(r"\x1b\[[\d;]*m", "", painted) == plain
    assert "\x1b[1;33mpassed" in text(
        run(Report("a.raw", (finding(severity=Severity.WARNING),))), Style(colour=True)
    )


def chained() -> Report:
    steps = [
        {"name": "firmware", "state": "known", "text": "BIOS", "short": "BIOS", "why": None, "rule": None},
        {"name": "loader", "state": "known", "text": "GRUB: cfg", "short": "GRUB", "why": None, "rule": None},
        {"name": "root", "state": "broken", "text": "UUID=1", "short": "UUID=1", "why": "<gone>", "rule": "IMS813"},
    ]  # fmt: skip
    return Report(
        "a.raw", (finding(severity=Severity.WARNING),), facts={**FACTS, "guest": {"chain": steps}}
    )


def test_html_shows_everything_without_being_opened_and_labels_each_bar() -> None:
    page = render(run(chained()), "html")
    assert "<details" not in page
    assert "<dt>fix</dt><dd><span>Do it</span></dd>" in page
    assert page.count("<svg") == 2
    assert all(f"<h3>{label}</h3>" in page for label in ("Partitions", "What the file stores"))
    assert "url(#hatch)" in page
    assert "<i class='free'></i>no partition" in page


@pytest.mark.parametrize("format_", ["text", "github", "junit", "sarif", "html"])
def test_a_finding_with_nothing_to_do_has_no_fix(format_: str) -> None:
    fine = dataclasses.replace(finding(severity=Severity.WARNING), fix=None)
    assert not re.search("fix[:<]", render(run(Report("a.raw", (fine,))), format_), re.IGNORECASE)


def test_html_calls_the_data_of_a_disk_so() -> None:
    page = html(run(Report("a.raw", facts={**FACTS, "data_bytes": 1 << 20})))
    assert '<dt>Data in the disk</dt><dd title="1048576 bytes">' in page


def test_html_shows_commands_as_such_with_the_name_of_the_image() -> None:
    fix = f"Correct <it>: {command('touch /a')}"
    found = dataclasses.replace(finding(), fix=fix, message="`<b>` runs, and `x` too")
    page = html(run(Report("a.raw", (found,), facts=FACTS)))
    assert "<code>&lt;b&gt;</code> runs, and <code>x</code> too" in page
    assert "<span>Correct &lt;it&gt;: in the guest:</span>" in page
    assert '<code class="command">touch /a</code>' in page
    assert '<code class="command">virt-customize -a a.raw --run-command' in page
    of_code = dataclasses.replace(found, expected="`end`", found="`and`", why="`why`")
    shown = html(run(Report("a.raw", (of_code,))))
    assert all(f"<dd><code>{word}</code></dd>" in shown for word in ("end", "and", "why"))
    open_ = html(run(Report("a.raw", (dataclasses.replace(finding(), message="a ` b"),))))
    assert "a ` b" in open_


def test_html_says_the_size_of_the_disk_and_of_the_one_that_a_container_makes_of_it() -> None:
    sizes = {"source_size": 579 << 20, "virtual_size": 1 << 30, "file_size": 181 << 20}
    page = render(run(Report("a.qcow2", (), facts={"format": "qcow2", **sizes})), "html")
    facts = re.findall(r"<dt>([^<]+)</dt><dd[^>]*>([^<(]+)", page)
    assert [(label, value.strip()) for label, value in facts[:4]] == [
        ("Format", "qcow2"), ("Disk", "579 MiB"), ("Disk in a ZVHD2", "1 GiB"), ("File", "181 MiB"),
    ]  # fmt: skip


def test_html_that_passed_with_warnings_is_not_green() -> None:
    page = render(run(chained()), "html")
    assert '<span class="verdict unsure">passed with 1 warning</span>' in page
    assert '<span class="pill unsure">1 passed with warnings</span>' in page
    assert 'class="verdict good"' not in page


def test_html_draws_the_boot_chain_and_what_a_boot_showed() -> None:
    report = chained()
    boot = {"meaning": "the kernel panicked", "seconds": 9, "boots": False, "picture": "iVBORw=="}
    booted = dataclasses.replace(report, facts={**report.facts, "boot": boot})
    page = html(run(booted))
    assert '<li class="broken"><span>root</span><b>UUID=1</b><i>&lt;gone&gt;</i></li>' in page
    assert 'src="data:image/png;base64,iVBORw==' in page
    assert 'class="screen"' not in html(run(report))


def test_html_says_what_became_of_a_boot_that_has_no_verdict() -> None:
    """Such an image has passed, as nothing is known against it: the picture does not say so."""
    boot = {"meaning": "no verdict within the time limit", "seconds": 300.1, "picture": None}
    page = html(run(Report("a.raw", (), facts={**FACTS, "boot": boot})))
    assert '<p class="lead">no verdict within the time limit, after 300.1 s</p>' in page
    for boots, shown in ((False, True), (True, False)):
        ended = {**boot, "boots": boots, "last_lines": ["a <b>", "(initramfs)"]}
        page = html(run(Report("a.raw", (), facts={**FACTS, "boot": ended})))
        assert ("<pre>a &lt;b&gt;\n(initramfs)</pre>" in page) is shown


def test_html_says_a_reason_of_several_steps_once() -> None:
    steps = [{"name": name, "state": "unknown", "text": "", "short": "", "why": "not read"}
             for name in ("loader", "entry", "kernel")]  # fmt: skip
    page = html(run(Report("a.raw", (), facts={**FACTS, "guest": {"chain": steps}})))
    assert re.findall("<i>([^<]*)</i></li>", page) == ["not read", "as before", "as before"]


def test_html_is_light_and_wide_on_paper() -> None:
    """What is dark, or narrow, on a screen is not so on paper."""
    page = render(run(chained()), "html")
    for asked in re.findall(r"@media ([^{]*)\{", page):
        assert asked.startswith(("screen and ", "print")), asked


def test_text_shows_the_boot_chain_in_a_line() -> None:
    assert "  GRUB > root: broken\n" in text(run(chained()))


def test_an_image_with_errors_that_are_not_to_fail_has_not_passed() -> None:
    wrong = Report("a.raw", (Finding("IMS101", Severity.ERROR, "file", "title", "message"),))
    for fail_on, word in ((None, "checked "), (Severity.ERROR, "FAILED ")):
        last = report_text(wrong, fail_on=fail_on, style=PLAIN).splitlines()[-1]
        assert last.startswith(f"{word:9}1 error")


def test_the_summary_of_several_images_counts_none_with_errors_as_passed() -> None:
    wrong = Report("a.raw", (finding(),))
    both = run(wrong, Report("b.raw"), fail_on=None)
    [last] = text(both, dataclasses.replace(PLAIN, width=200)).splitlines()[-1:]
    assert last.startswith("checked  2 images: 1 passed, 0 failed, 1 with errors that do not fail;")
    page = html(both)
    assert "1 with errors that do not fail" in page
    assert "checked, 1 error" in page
    assert "<title>imsprep check: checked</title>" in page


def test_quiet_text_is_what_fails_and_a_line_an_image() -> None:
    bad = Report("bad.raw", (finding(), finding("IMS102", Severity.NOTE)), passed=("IMS103",))
    both = run(bad, Report("good.raw", (finding("IMS104", Severity.WARNING),)))
    said = text(both, dataclasses.replace(PLAIN, quiet=True))
    assert "IMS102" not in said
    assert "IMS104" not in said
    lines = said.splitlines()
    assert lines[0].startswith("error    A title")
    assert lines[-3:] == [
        "FAILED   bad.raw: 1 error, 0 warnings, 1 note",
        "passed   good.raw: 0 errors, 1 warning, 0 notes",
        "FAILED   2 images: 1 passed, 1 failed; 1 error, 1 warning, 1 note",
    ]


def test_the_default_site_is_marked_where_its_limits_are_named() -> None:
    for site, mark in (("huawei-intl", "huawei-intl (default)"), ("otc", "otc")):
        of = run(Report("a.raw", facts={**FACTS, "site": site}))
        assert (f"limits of {mark}" in " ".join(text(of).split())) == (site == "huawei-intl")
        assert re.search(f"<dt>Limits of</dt><dd[^>]*>{re.escape(mark)}</dd>", html(of))


def test_a_result_of_sarif_has_a_stop_between_what_is_wrong_and_what_helps() -> None:
    for message, said in (("it ends", "it ends. Fix: do it"), ("It ends.", "It ends. Fix: do it")):
        wrong = dataclasses.replace(finding(), message=message)
        log = json.loads(render(Run((Report("a.raw", (wrong,)),), (), None, ""), "sarif"))
        assert log["runs"][0]["results"][0]["message"]["text"] == said
