"""Which rules apply, and what a waiver takes from a finding, until when."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from imsprep.checks.policy import Policy, Waiver
from imsprep.cli.settings.layers import load, waivers
from tests.support.cli.settings.files import rules, small_image, write
from tests.support.running import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small image with one warning (IMS209), in the working directory."""
    monkeypatch.chdir(tmp_path)
    return small_image(tmp_path)


def test_a_waiver_keeps_the_finding_and_takes_its_weight(imsprep: Run, image: Path) -> None:
    assert imsprep("check", image, "--strict").code == 1
    for rule in rules(imsprep("check", image, "--json")):
        with Path("imsprep.toml").open("a") as file:
            file.write(f'[[waivers]]\nrule = "{rule}"\nreason = "known"\n')
    outcome = imsprep("check", image, "--fail-on", "note", "--json")
    assert outcome.code == 0
    assert set(rules(outcome).values()) == {"known"}


def test_an_expired_or_unused_waiver_is_a_warning(imsprep: Run, image: Path) -> None:
    yesterday = datetime.datetime.now(tz=datetime.UTC).date() - datetime.timedelta(days=1)
    write(
        image.parent,
        f'[[waivers]]\nrule = "IMS209"\nreason = "old"\nexpires = {yesterday}\n'
        '[[waivers]]\nrule = "IMS101"\nreason = "unused"\n'
        '[[waivers]]\nrule = "IMS209"\nimage = "other*"\nreason = "elsewhere"\n',
    )
    outcome = imsprep("check", image, "--strict", "--json")
    assert outcome.code == 1
    expired, unused, elsewhere = outcome.json["complaints"]
    assert f"expired on {yesterday}" in expired
    assert "covers no finding" in unused
    assert "for other*" in elsewhere


def test_severity_select_and_ignore(imsprep: Run, image: Path) -> None:
    assert rules(imsprep("check", image, "--json", "--select", "IMS209")) == {"IMS209": None}
    assert "IMS209" not in rules(imsprep("check", image, "--json", "--ignore", "IMS2"))
    again = imsprep("check", image, "--json", "--ignore", "IMS2", "--select", "IMS209")
    assert rules(again) == {"IMS209": None}
    assert imsprep("check", image, "--severity", "IMS209=error").code == 1


@pytest.mark.parametrize("written", ["2027-01-31", '"2027-01-31"', "2027-01-31T12:00:00Z"])
def test_a_waiver_expires_at_a_date_however_it_is_written(tmp_path: Path, written: str) -> None:
    write(tmp_path, f'[[waivers]]\nrule = "IMS1"\nreason = "x"\nexpires = {written}\n')
    (waiver,) = waivers(load({}, tmp_path)["waivers"].value, "imsprep.toml")
    assert Policy(today=datetime.date(2027, 2, 1)).expired(waiver)
    assert not Policy(today=datetime.date(2027, 1, 31)).expired(waiver)


def test_a_waiver_holds_through_its_last_day() -> None:
    day = datetime.date(2027, 1, 31)
    waiver = Waiver("IMS205", "known", day)
    assert not Policy(today=day).expired(waiver)
    assert Policy(today=day + datetime.timedelta(days=1)).expired(waiver)
