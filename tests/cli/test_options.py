"""Options that commands share: how their words are read, and what they come to for the library."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from imsprep.cli.options.common import (
    PATH,
    PLACE,
    RATE,
    SIZE,
    CountType,
    SecondsType,
    output_options,
    print_result,
)
from imsprep.cli.options.output import output_targets, write_output
from imsprep.cli.options.packing import packing_options
from imsprep.cli.options.request import request_options, request_values
from imsprep.cli.options.service import pace_options
from imsprep.cli.options.target import place_of
from imsprep.cli.options.transfer import send_options, transfer_options
from imsprep.errors import UsageError


def read(type_: click.ParamType[Any], text: str) -> Any:
    return type_.convert(text, None, None)


def given(*words: str, by: Callable[[Any], Any]) -> dict[str, Any]:
    """The keywords of a command that has these options."""
    found: dict[str, Any] = {}

    @click.command()
    @by
    def command(**options: Any) -> None:
        found.update(options)

    result: Result = CliRunner().invoke(command, list(words), catch_exceptions=False)
    if result.exit_code:
        raise click.UsageError(result.output)
    return found


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("64k", 65536), ("2MiB", 2 << 20), ("1g", 1 << 30)]
)
def test_a_size_has_units_of_powers_of_two(text: str, value: int) -> None:
    assert read(SIZE, text) == value


@pytest.mark.parametrize(
    ("type_", "text", "said"),
    [
        (SIZE, "-1", "-1"), (SIZE, "1x", "1x"), (RATE, "0", "0"),
        (CountType(1, 64), "0", "expected 1 to 64, got 0"),
        (CountType(1, 64), "65", "expected 1 to 64, got 65"),
        (CountType(2), "1", "expected 2 or more, got 1"),
        (CountType(), "1.5", "'1.5' is not a whole number"),
        (SecondsType(), "nan", "'nan' is not a number of seconds"),
        (SecondsType(0.01), "0", "expected at least 0.01 s, got 0 s"),
        (PATH, "", "the name is empty"), (PLACE, "", "the name is empty"),
    ],
)  # fmt: skip
def test_a_word_that_cannot_be_is_wrong_usage(
    type_: click.ParamType[Any], text: str, said: str
) -> None:
    with pytest.raises(click.BadParameter, match=said):
        read(type_, text)


def test_a_place_is_a_path_or_a_bucket() -> None:
    assert read(PLACE, "local:cloud") == "local:cloud"
    assert read(PLACE, "obs:b/x") == "obs:b/x"
    assert read(PLACE, "./obs:x") == Path("obs:x")
    assert read(PATH, "obs:x") == Path("obs:x")


def test_options_are_shown_in_their_order_and_have_the_library_s_defaults() -> None:
    assert list(given(by=packing_options)) == ["compression", "level"]
    assert given(by=packing_options) == {"compression": "zstd", "level": None}
    assert given("--timeout", "5", by=pace_options) == {"timeout": 5.0, "poll": None}
    transfer = given(by=transfer_options)
    assert transfer["storage_class"] == "STANDARD"
    assert set(given(by=send_options)) == {"part_size", "limit_rate", "retry_for", "kms_key"}
    assert given("--kms-key", "", by=send_options)["kms_key"] == ""


def test_a_request_has_the_names_of_the_library() -> None:
    words = (
        "--type",
        "ECS",
        "--firmware",
        "uefi",
        "--tag",
        "a.b",
        "--tag",
        "c.d",
        "--image-tag",
        "k=v=w",
    )
    values = request_values(given(*words, by=request_options))
    assert (values["type"], values["firmware"]) == ("ECS", "uefi")
    assert (values["tags"], values["image_tags"]) == (("a.b", "c.d"), (("k", "v=w"),))
    assert values["name"] is None
    with pytest.raises(click.UsageError, match="'kv': write KEY=VALUE"):
        request_values(given("--image-tag", "kv", by=request_options))


def test_a_place_has_the_names_of_the_library() -> None:
    where = {"region": "eu-de", "endpoint": "https://obs.example", "ca_bundle": None, "to": "obs:b"}
    assert place_of(where) == {
        "region": "eu-de", "obs_endpoint": "https://obs.example", "ca_bundle": None,
    }  # fmt: skip


def test_a_result_for_programs_has_the_schema_of_its_command() -> None:
    @click.command("made")
    @output_options
    def command(as_json: bool, quiet: bool) -> None:
        print_result(as_json, {"a": 1}, "for people")

    group = click.Group("imsprep", {"made": command})
    said = CliRunner().invoke(group, ["made", "--json"], prog_name="imsprep").output
    assert json.loads(said) == {"a": 1, "schema": "imsprep.made/1"}
    assert CliRunner().invoke(group, ["made"], prog_name="imsprep").output == "for people\n"


def test_an_output_replaces_nothing_that_a_command_uses(tmp_path: Path) -> None:
    image, sidecar = tmp_path / "disk.raw", tmp_path / "disk.imsprep.json"
    image.write_bytes(b"\0" * 512)
    sidecar.write_text("{}")
    for place, said in (
        (image, "which this command uses"), (sidecar, "which this command uses"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            output_targets([f"json:{place}"], ["json"], [image])
    other = tmp_path / "other.raw"
    other.write_bytes(b"\0" * 512)
    with pytest.raises(UsageError, match="which is not a report"):
        output_targets([f"json:{other}"], ["json"], [image])
    with pytest.raises(UsageError, match="another file"):
        output_targets([f"json:{tmp_path}/a", f"html:{tmp_path}/a"], ["json", "html"], [image])
    with pytest.raises(UsageError, match="write FORMAT:FILE, FORMAT one of json, html"):
        output_targets(["xml:a"], ["json", "html"], [image])
    assert not list(tmp_path.glob("new*"))
    with pytest.raises(UsageError, match="another file"):
        output_targets([f"json:{tmp_path}/new/a", f"json:{image}"], ["json"], [image])
    assert not (tmp_path / "new").exists(), "wrong usage leaves nothing behind"


def test_the_folder_of_an_output_is_made_or_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "reports" / "ci" / "a.xml"
    assert output_targets([f"junit:{place}"], ["junit"], []) == [("junit", place)]
    write_output(place, "text")
    assert place.read_text() == "text"
    for name, why in (
        ("file/a.xml", "file is not a folder"), ("file/new/a.xml", "Not a directory"),
        ("reports", "Is a directory"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=f"^--output: cannot write .*: .*{why}$"):
            output_targets([f"junit:{tmp_path / name}"], ["junit"], [])


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_takes_no_report_is_refused_before_the_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    for name in ("a.xml", "new/a.xml"):
        with pytest.raises(UsageError, match="Permission denied"):
            output_targets([f"junit:{tmp_path / name}"], ["junit"], [])


def test_a_report_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    place = tmp_path / "report.json"
    place.write_text("an older report")
    assert output_targets([f"json:{place}"], ["json"], []) == [("json", place)]
    write_output(place, "new \udcff")
    assert place.read_bytes() == b"new \\udcff"
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
