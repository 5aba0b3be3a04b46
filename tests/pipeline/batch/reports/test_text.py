"""The summary of a batch for people."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from imsprep.checks.reporters.text import Style
from imsprep.checks.subject.boot_mode import BootMode
from imsprep.pipeline.batch.reports import render, rows
from imsprep.pipeline.batch.values import DONE, PLANNED, REFUSED, STATES, BatchSummary, Outcome
from imsprep.report import Finding, Severity


def test_the_text_has_a_row_for_each_image_and_each_reason_once(nasty: BatchSummary) -> None:
    text = render(nasty, "text", Style(width=200))
    lines = text.splitlines()
    assert lines[0].split() == ["image", "name", "state", "disk", "sent", "time", "image", "id"]
    assert [line.split("  ")[0] for line in lines[1:6]] == [
        nasty.outcomes[0].image,
        "b.raw",
        "c.raw",
        "d.raw",
        "e.raw",
    ]
    assert "2 min 5 s" in lines[1]
    assert "done before" in lines[5]
    assert "c.raw: failed, exit code 6" in lines
    assert lines[lines.index("d.raw:") + 1].split()[0] == "warning"
    assert nasty.outcomes[0].image in text[text.index("d.raw:\n") :]
    assert lines[-1].startswith("5 images: 1 done, 1 done before, 1 failed, 1 refused, 1 not begun")  # fmt: skip


def test_what_many_images_have_in_common_is_told_once(nasty: BatchSummary) -> None:
    finding = nasty.outcomes[3].findings[0]
    found = tuple(
        Outcome(f"{n}.raw", "x", DONE, findings=(replace(finding, message=f"says {n // 5}"),))
        for n in range(6)
    )
    lines = render(BatchSummary("plan.yaml", found), "text").splitlines()
    assert lines[lines.index("0.raw, 1.raw, 2.raw and 2 more:") + 2].strip() == "says 0"
    assert lines[lines.index("5.raw:") + 2].strip() == "says 1"


def test_a_fix_names_the_image_that_it_is_for() -> None:
    fix = "In the guest: `x`; or: virt-customize -a IMAGE --y"
    finding = Finding("IMS831", Severity.WARNING, "guest", "t", "says", fix=fix)
    one = Outcome("sub/a 1.qcow2", "a", DONE, findings=(finding,), format="qcow2")
    summary = BatchSummary("plan.yaml", (one,))
    command = "virt-customize -a 'sub/a 1.qcow2' --y"
    assert command in render(summary, "text")
    assert command in html.unescape(render(summary, "html"))
    refused = replace(one, state=REFUSED, message="stopped", exit_code=1)
    assert command in render(BatchSummary("plan.yaml", (refused,)), "text")
    both = BatchSummary("plan.yaml", (one, replace(one, image="b.qcow2")))
    assert "virt-customize -a IMAGE --y" in render(both, "text")


def test_the_table_keeps_to_a_terminal_and_puts_ids_below_the_rows() -> None:
    id_ = "0ab12345-1111-2222-3333-444444444444"
    found = tuple(
        Outcome(f"images/debian-{n}.qcow2", "web01", DONE, image_id=id_, size=1 << 30, seconds=3.0)
        for n in range(2)
    )
    lines = render(BatchSummary("plan.yaml", found), "text", Style(width=60)).splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[1].startswith("images/debian-0.qcow2  web01  done   1 GiB")
    assert lines[2] == f"  image id {id_}"
    (wide, *_) = render(BatchSummary("plan.yaml", found), "text", Style(width=120)).splitlines()
    assert wide.endswith("image id")
    long = (replace(found[0], name="web-of-the-shop-in-production-01"), *found)
    lines = render(BatchSummary("plan.yaml", long), "text", Style(width=60)).splitlines()
    assert lines[:3] == [
        "images/debian-0.qcow2",
        "  name      web-of-the-shop-in-production-01",
        "  state     done",
    ]


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_has_the_same_columns_whatever_is_known(width: int) -> None:
    titles = set()
    for state in STATES:
        known: list[dict[str, Any]] = [{}, {"size": 1 << 30}, {"sent": 5, "seconds": 9.0}]
        for more in known:
            one = Outcome("a.raw", "web01", state, **more)
            (first, row, *_) = render(
                BatchSummary("p", (one,)), "text", Style(width=width)
            ).splitlines()
            titles.add(tuple(first.split()))
            assert len(re.split("  +", row)) == len(rows.COLUMNS)
    assert titles == {("image", "name", "state", "disk", "sent", "time", "image", "id")}


def test_the_line_of_a_boot_mode_is_wrapped() -> None:
    mode = BootMode(None, None, ("bios",))
    planned = Outcome("a.raw", "a", PLANNED, size=1 << 30, body={"name": "a"}, boot_mode=mode)
    lines = render(BatchSummary("plan.yaml", (planned,)), "text", Style(width=60)).splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("    firmware not requested; "))
    assert max(map(len, lines)) <= 60
    assert lines[at + 1].startswith("      ")


def test_a_request_that_fits_no_line_has_one_for_each_field() -> None:
    body = {"name": "web01", "min_disk": 40, "image_url": "images:web01.zvhd2"}
    planned = BatchSummary("plan.yaml", (Outcome("a.raw", "web01", PLANNED, body=body),))
    assert f"\n  a.raw:\n    {json.dumps(body)}\n" in render(planned, "text", Style(width=80))
    narrow = render(planned, "text", Style(width=60))
    shown = narrow[narrow.index("    {") : narrow.index("    }") + 5]
    assert (json.loads(shown), max(map(len, shown.splitlines())) <= 60) == (body, True)
