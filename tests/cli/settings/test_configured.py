"""What imsprep.toml says of a command: its options, the site, and a profile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from imsprep.cli import screen
from imsprep.cli.settings.configured import (
    ConfiguredCommand,
    config_options,
    near,
    option_defaults,
    profile_option,
    region_option,
    settings_here,
    site_of_region,
    site_option,
    split_commas,
)
from imsprep.cli.settings.layers import Setting
from imsprep.cloud.sites import SITES
from imsprep.errors import ReadError, UsageError
from imsprep.options import DEFAULT_SITE
from tests.support.running import Outcome

Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: object) -> Path:
    """A working directory of its own, and neither variables nor a profile."""
    monkeypatch.chdir(tmp_path)
    for name in ("IMSPREP_SITE", "IMSPREP_PROFILE", "HW_REGION_NAME", "OS_REGION_NAME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def write(text: str) -> Path:
    path = Path("imsprep.toml")
    path.write_text(text)
    return path.absolute()


def upload(*more: Callable[[Any], Any]) -> ConfiguredCommand:
    """A command with an option of every kind."""

    @click.option("--to")
    @click.option("--jobs", "-j", type=int, default=1)
    @click.option("--copy/--no-copy", default=True)
    @click.option("--ignore", multiple=True)
    @click.option("--json", "as_json", is_flag=True)
    def run(**values: object) -> dict[str, object]:
        return values

    for option in more:
        run = option(run)
    made = click.command("upload", cls=ConfiguredCommand)(run)
    assert isinstance(made, ConfiguredCommand)
    return made


def values(command: click.Command, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = command.main(list(words), "upload", standalone_mode=False)
    return found


WRITTEN = """
[upload]
to = "local:cloud"
jobs = 4
copy = false
ignore = ["IMS111", "IMS216"]
[profiles.prod.upload]
jobs = 8
"""


def test_what_the_file_says_of_a_command_are_its_defaults() -> None:
    write(WRITTEN)
    found = values(upload(), "--to", "bkt")
    assert (found["to"], found["jobs"], found["copy"]) == ("bkt", 4, False)
    assert found["ignore"] == ("IMS111", "IMS216")
    assert values(upload(), "--ignore", "IMS9")["ignore"] == ("IMS9",)


@pytest.mark.parametrize("words", [("--profile", "prod"), ("--profile=prod",)])
def test_a_profile_is_known_before_the_options_are(words: tuple[str, ...]) -> None:
    write(WRITTEN)
    found = values(upload(profile_option), *words)
    assert (found["jobs"], found["to"]) == (8, "local:cloud")
    assert screen.profile() == "prod"


def test_the_profile_of_the_environment_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSPREP_PROFILE", "prod")
    write('[profiles.prod]\nsite = "otc"\n')
    values(upload(profile_option))
    assert settings_here()["site"].value == "otc"


def test_a_help_does_not_read_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    write("[upload\n")
    with pytest.raises(UsageError):
        values(upload())
    values(upload(), "--help")
    assert "--jobs" in capsys.readouterr().out


def test_the_options_of_a_named_file_are_those_of_its_parameters() -> None:
    file = write(WRITTEN)
    assert option_defaults(upload(), "upload", file) == {
        "to": "local:cloud", "jobs": "4", "copy": False, "ignore": ["IMS111", "IMS216"],
    }  # fmt: skip
    assert option_defaults(upload(), "check", file) == {}
    assert config_options("upload", file)["jobs"] == Setting(4, "imsprep.toml [upload]")


@pytest.mark.parametrize(("text", "said"), [
    ("job = 4", "imsprep.toml [upload]: unknown key 'job'; did you mean 'jobs'?"),
    ("json = true", "imsprep.toml [upload]: unknown key 'json'"),
    ("copy = 3", "imsprep.toml [upload]: 'copy' must be true or false, got 3"),
    ("to = [1, 2]", "imsprep.toml [upload]: 'to' must be one value, got [1, 2]"),
])  # fmt: skip
def test_a_mistake_in_the_options_of_the_file_is_told(text: str, said: str) -> None:
    file = write(f"[upload]\n{text}\n")
    with pytest.raises(UsageError) as told:
        option_defaults(upload(), "upload", file)
    assert str(told.value) == said


def test_one_value_of_an_option_that_takes_several_is_a_list_of_one() -> None:
    file = write('[upload]\nignore = "IMS111"\n')
    assert option_defaults(upload(), "upload", file) == {"ignore": ["IMS111"]}


def test_a_word_that_is_nearly_known_gets_advice() -> None:
    assert near("vai", ["via", "to"]) == "; did you mean 'via'?"
    assert near("endpoint", ["via", "to"]) == ""


def test_commas_part_values() -> None:
    command = click.Command("x")
    ctx, param = click.Context(command), click.Option(["--ignore"])
    assert split_commas(ctx, param, ("A, B", "C")) == ("A", "B", "C")
    assert split_commas(ctx, param, None) == ()


def test_the_settings_are_those_here_or_of_the_file_that_is_named(here: Path) -> None:
    other = here / "other" / "imsprep.toml"
    other.parent.mkdir()
    other.write_text('site = "otc"\n')
    assert settings_here()["site"].origin == "default"
    assert settings_here(other)["site"].value == "otc"


def test_a_current_folder_that_was_removed_is_told(here: Path) -> None:
    (here / "gone").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here / "gone")
        (here / "gone").rmdir()
        with pytest.raises(ReadError, match="the current folder was removed"):
            settings_here()
        with pytest.raises(ReadError, match="the current folder was removed"):
            config_options("upload")


def somewhere() -> ConfiguredCommand:
    """A command that knows sites and regions."""
    return upload(region_option("Which region."), site_option("Which cloud."))


@pytest.mark.parametrize(("text", "words", "site"), [
    ("", (), DEFAULT_SITE),
    ("", ("--site", "otc"), "otc"),
    ('site = "otc"', (), "otc"),
    ("", ("--region", "eu-de"), "otc"),
    ('[upload]\nregion = "eu-de"', (), "otc"),
    ("", ("--region", "nowhere-1"), DEFAULT_SITE),
    ("", ("--site", "huawei", "--region", "nowhere-1"), "huawei"),
])  # fmt: skip
def test_the_site_is_what_is_chosen_or_the_regions(
    text: str, words: tuple[str, ...], site: str
) -> None:
    write(text)
    assert values(somewhere(), *words)["site"] == site


def test_the_region_of_the_environment_decides_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_REGION_NAME", "eu-de")
    assert values(somewhere())["site"] == "otc"


@pytest.mark.parametrize(("text", "words"), [
    ("", ("--site", "huawei", "--region", "eu-de")),
    ("", ("--region", "eu-de", "--site", "huawei")),
    ('site = "huawei"', ("--region", "eu-de")),
    ('[upload]\nregion = "eu-de"', ("--site", "huawei")),
])  # fmt: skip
def test_a_region_that_the_chosen_site_lacks_is_refused(text: str, words: tuple[str, ...]) -> None:
    write(text)
    with pytest.raises(UsageError, match="eu-de is a region of otc, not of the chosen site huawei"):
        values(somewhere(), *words)


def test_another_site_is_refused_with_all_that_are_known() -> None:
    with pytest.raises(click.BadParameter) as told:
        values(somewhere(), "--site", "aws")
    assert str(told.value) == f"'aws' is not one of {', '.join(map(repr, SITES))}."


def test_the_site_of_a_region_keeps_where_it_was_chosen() -> None:
    assert site_of_region(Setting("huawei", "default"), "eu-de") == Setting("otc", "default")
    assert site_of_region(Setting("otc", "x"), "eu-de") == Setting("otc", "x")
    assert site_of_region(Setting("huawei", "x"), None) == Setting("huawei", "x")
    with pytest.raises(UsageError):
        site_of_region(Setting("huawei", "x"), "eu-de")
