"""The emulator is as strict as the check and no stricter, over one table of cases.

But for the form of `os_version`, which no page states: the check warns, the emulator refuses.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.checks import registry
from imsprep.checks.facts import Facts
from imsprep.cloud.sites import SITES
from imsprep.emulator.validate import RefusedError, check_body
from imsprep.ims.request import RequestFields
from imsprep.report import Severity
from tests.support.emulator.request_cases import ALL, CASES, DATA, SYSTEM, bodies


def errors(site: str, body: dict[str, Any]) -> list[str]:
    """Return what the check calls an error of a request, which is all there is."""
    values = dict(body)
    if "tags" in values:
        values["tags"] = tuple(values["tags"])
    if "image_tags" in values:
        values["image_tags"] = tuple((t["key"], t["value"]) for t in values["image_tags"])
    fields = RequestFields(**values, final=True)
    report = registry.run(Facts("disk.raw", 512, request=fields, site=SITES[site]))
    found = report.findings
    return [f.rule for f in found if f.severity >= Severity.ERROR and f.rule.startswith("IMS5")]


def refused(site: str, body: dict[str, Any]) -> str:
    try:
        check_body(body, SITES[site], any_os_version=True)  # as `local:` does
    except RefusedError as error:
        return error.code
    return ""


@pytest.mark.parametrize("case", range(len(CASES)))
def test_check_and_emulator_answer_alike(case: int) -> None:
    sites, base, change, _ = CASES[case]
    wanted = {**base, **change}
    wanted = {k: v for k, v in wanted.items() if v is not None}
    for site, body, taken in bodies():
        if site in sites and body == wanted:
            found, code = errors(site, body), refused(site, body)
            assert (not found, not code) == (taken, taken), (site, body, found, code)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("Debian GNU/Linux 12", 'version: "Debian GNU/Linux 12.0.0 64bit".'),
        ("Ubuntu 24.04", "64bit or 32bit are expected."),
        ("none of a list", "64bit or 32bit are expected."),
    ],
)
def test_a_value_without_the_form_of_the_listed_ones_is_refused_and_warned_of(
    asked: str, said: str
) -> None:
    body = {**SYSTEM, "os_version": asked}
    with pytest.raises(RefusedError, match=r"IMG\.0056") as caught:
        check_body(body, SITES["otc"], any_os_version=True)
    assert str(caught.value).endswith(said)
    fields = RequestFields(os_version=asked)
    report = registry.run(Facts("disk.raw", 512, request=fields, site=SITES["otc"]))
    assert [f.severity for f in report.of("IMS509")] == [Severity.WARNING]
    assert "`local:` takes no other" in str(report.of("IMS509")[0].message)
    assert not refused("otc", {**SYSTEM, "os_version": "Rocky Linux 9.3 64bit"})


# What a name, a tag or a key may be made of, and what it may not.
TEXT = st.text(st.sampled_from("aZ09-_. :/<>=*,|\\\n\r\t\"'&+\u00e9\u7f51\u4dc0\u3400\u00a0\u200b\uff11\x7f"), max_size=8)  # fmt: skip
CHANGES = st.one_of(
    st.sampled_from([change for _, _, change, _ in CASES]),
    st.fixed_dictionaries({}, optional={"name": TEXT, "description": TEXT}),
    TEXT.map(lambda text: {"image_url": f"images:{text}"}),
    st.lists(TEXT, max_size=3).map(lambda texts: {"tags": texts}),
    TEXT.map(lambda text: {"image_tags": [{"key": f"k{text}", "value": text}]}),
)


@given(
    site=st.sampled_from(ALL),
    base=st.sampled_from([SYSTEM, DATA]),
    changes=st.lists(CHANGES, min_size=1, max_size=3),
)
def test_check_and_emulator_answer_alike_whatever_comes_together(
    site: str, base: dict[str, Any], changes: list[dict[str, Any]]
) -> None:
    body = dict(base)
    for change in changes:
        body |= change
    body = {name: value for name, value in body.items() if value is not None}
    found, code = errors(site, body), refused(site, body)
    assert (not found) == (not code), (site, body, found, code)
