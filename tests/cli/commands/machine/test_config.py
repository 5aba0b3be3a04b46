"""`imsprep config show`: every setting, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.running import Outcome

Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_origins_are_the_environment_a_file_and_the_default(
    imsprep: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("imsprep.toml").write_text('site = "otc"\nstrict = true\n[import]\njobs = 3\n')
    monkeypatch.setenv("IMSPREP_SITE", "huawei")
    value = imsprep("config", "show", "--json").json
    assert value["schema"] == "imsprep.config/1"
    assert value["settings"]["site"] == {"value": "huawei", "origin": "IMSPREP_SITE"}
    assert value["settings"]["strict"] == {"value": True, "origin": "imsprep.toml"}
    assert value["settings"]["fail-on"]["origin"] == "default"
    assert value["options"]["import"]["jobs"]["value"] == 3
    lines = {
        line.split("  ")[0].strip(): line for line in imsprep("config", "show").out.splitlines()
    }
    assert lines["strict"].endswith("true  (imsprep.toml)")
    assert "3" in lines["import jobs"]


def test_lists_and_dates_are_shown_in_words(imsprep: Run) -> None:
    Path("other.toml").write_text(
        'ignore = ["IMS1", "IMS2"]\n[[waivers]]\nrule = "IMS209"\nreason = "known"\nexpires = 2099-01-02\n'
    )
    done = imsprep("config", "show", "--config", "other.toml")
    assert "IMS1, IMS2" in done.out
    assert "expires=2099-01-02" in done.out
    value = imsprep("config", "show", "--config", "other.toml", "--json").json
    assert value["settings"]["waivers"]["value"][0]["expires"] == "2099-01-02"


def test_an_option_that_its_command_does_not_have_is_a_mistake(imsprep: Run) -> None:
    Path("imsprep.toml").write_text("[import]\njob = 3\n")
    done = imsprep("config", "show")
    assert done.code == 2
    assert "unknown key 'job'" in done.err
    assert "did you mean 'jobs'?" in done.err
