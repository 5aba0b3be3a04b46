"""Credentials: where they come from, and that they never come out."""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Callable
from html import escape
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from imsprep.cloud.credentials import ENVIRONMENTS, Credentials, find, hide
from imsprep.errors import UsageError

SECRET = "s3cr3t-value-of-the-key"


def write(home: Path, text: str) -> Path:
    path = home / ".huaweicloud" / "credentials"
    path.parent.mkdir()
    path.write_text(text)
    return path


@pytest.mark.parametrize("names", ENVIRONMENTS, ids=lambda n: n[0])
def test_each_ecosystem_names_its_own_variables(names: tuple[str, ...], tmp_path: Path) -> None:
    found = find(dict(zip(names, ("AK", SECRET, "TOKEN", "P1"), strict=True)), tmp_path)
    assert found == Credentials("AK", SECRET, "TOKEN", "P1", names[0])


@pytest.mark.parametrize(
    "form",
    ["a+b/c=d", "a%2Bb%2Fc%3Dd", "a%2bb%2fc%3dd", "a%2Bb/c%3Dd", "a+b\\/c=d"],
)
def test_a_secret_is_hidden_however_it_is_written(form: str) -> None:
    assert hide(f"<{form}> x", ["a+b/c=d"]) == "<***> x"
    assert hide(form, []) == form


def _as_text_of_json(text: str) -> str:
    return json.dumps(text)[1:-1]


WRITINGS = (str, quote, quote_plus, lambda text: quote(text, safe=""), _as_text_of_json, escape)


@pytest.mark.parametrize("outer", WRITINGS)
@pytest.mark.parametrize("inner", WRITINGS)
def test_a_secret_is_hidden_that_is_written_as_one_thing_inside_another(
    inner: Callable[[str], str], outer: Callable[[str], str]
) -> None:
    secret = """the+/="<'&%secret"""
    assert hide(f"x {outer(inner(secret))} x", [secret]) == "x *** x"


@pytest.mark.parametrize("before", [b"", b"a", b"ak", b"AK:"])
def test_a_secret_is_hidden_in_base_64(before: bytes) -> None:
    secret = "the+/=\xfc secret that is long"
    said = base64.b64encode(before + secret.encode() + b"!").decode()
    left = hide(f"Basic {said}.", [secret])
    assert "***" in left
    assert len(left) < len("Basic ***.") + 4 + len(base64.b64encode(before))


def test_the_sdk_s_variables_come_first(tmp_path: Path) -> None:
    environment = {n: f"{n}-value" for names in ENVIRONMENTS for n in names}
    assert find(environment, tmp_path).access_key == "HUAWEICLOUD_SDK_AK-value"


def test_the_file_is_read_where_the_environment_is_silent(tmp_path: Path) -> None:
    write(tmp_path, f"[basic]\nak = AK\nsk = {SECRET}\nproject_id = p%1\n")
    found = find({}, tmp_path)
    assert (found.access_key, found.secret_key, found.project_id) == ("AK", SECRET, "p%1")


def test_another_file_may_be_named(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"[basic]\nak=AK\nsk={SECRET}\n")
    found = find({"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(path)}, tmp_path)
    assert found.secret_key == SECRET


def test_nothing_found_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="set HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK"):
        find({}, tmp_path)


@pytest.mark.parametrize("names", ENVIRONMENTS, ids=lambda n: n[0])
@pytest.mark.parametrize("given", [0, 1])
def test_half_a_pair_is_refused(names: tuple[str, ...], given: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{names[given]} is set but {names[1 - given]} is not"):
        find({names[given]: SECRET}, tmp_path)


@pytest.mark.parametrize("value", ["a b", "a\nb", "schlüssel"])
def test_a_value_that_fits_no_header_is_refused_unshown(value: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="HW_SECRET_KEY holds a space") as caught:
        find({"HW_ACCESS_KEY": "AK", "HW_SECRET_KEY": value}, tmp_path)
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    "text", [f"ak = AK\nsk = {SECRET}\n", f"[basic]\n{SECRET}\n", "[basic]\n[basic]"]
)
def test_a_broken_file_is_refused_and_not_quoted(text: str, tmp_path: Path) -> None:
    write(tmp_path, text)
    with pytest.raises(UsageError, match="not a credentials file") as caught:
        find({}, tmp_path)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_file_without_the_section_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "[global]\nak = AK\nsk = SK\n")
    with pytest.raises(UsageError, match="no credentials found"):
        find({}, tmp_path)


def test_a_secret_is_not_shown() -> None:
    credentials = Credentials("AK", SECRET, "T" + SECRET)
    for text in (repr(credentials), str(credentials), f"{credentials}", repr([credentials])):
        assert SECRET not in text
    assert "AK" in repr(credentials)


CLOUDS = """\
clouds:
  otc:
    auth: {ak: AK, sk: SK-secret, project_id: p1, security_token: T}
  password:
    auth: {username: u, password: secret-word}
  odd: 7
"""


def test_a_cloud_of_clouds_yaml_is_taken_by_its_name(tmp_path: Path) -> None:
    folder = tmp_path / ".config/openstack"
    folder.mkdir(parents=True)
    (folder / "clouds.yaml").write_text(CLOUDS)
    found = find({"OS_CLOUD": "otc"}, tmp_path)
    assert (found.access_key, found.secret_key, found.security_token, found.project_id) == (
        "AK", "SK-secret", "T", "p1",
    )  # fmt: skip
    assert "secret" not in str(found)
    # A key in the environment comes first.
    keys = {"OS_ACCESS_KEY": "E", "OS_SECRET_KEY": "F", "OS_CLOUD": "otc"}
    assert find(keys, tmp_path).access_key == "E"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cloud", "text", "words"),
    [
        ("none", CLOUDS, "no cloud 'none'"),
        ("odd", CLOUDS, "no cloud 'odd'"),
        ("password", CLOUDS, "no ak and sk"),
        ("otc", "clouds: {otc: {auth: {ak: AK}}}", "is not; set both"),
        ("otc", "[" * 100_000, "is not valid YAML"),
        ("otc", "clouds: [secret-word", "is not valid YAML"),
        ("otc", "", "no cloud"),
    ],
)
def test_a_clouds_yaml_without_keys_is_said_without_its_secrets(
    tmp_path: Path, cloud: str, text: str, words: str
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        find({"OS_CLOUD": cloud, "OS_CLIENT_CONFIG_FILE": str(path)}, tmp_path)
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize("member", ["ak: 0123", "sk: 1.5", "project_id: 00", "sk: [x]", "ak: true"])
def test_a_key_that_yaml_takes_for_a_number_is_to_be_quoted(tmp_path: Path, member: str) -> None:
    rest = {"ak": "AK", "sk": "SK-secret"} | dict([member.split(": ")])
    text = ", ".join(f"{key}: {value}" for key, value in rest.items())
    path = tmp_path / "c.yaml"
    path.write_text(f"clouds: {{otc: {{auth: {{{text}}}}}}}")
    with pytest.raises(UsageError, match="put it in quotes") as caught:
        find({"OS_CLOUD": "otc", "OS_CLIENT_CONFIG_FILE": str(path)}, tmp_path)
    assert "SK-secret" not in str(caught.value)


@pytest.mark.parametrize("named", [False, True])
def test_the_secret_key_may_stand_in_secure_yaml(tmp_path: Path, named: bool) -> None:
    folder = tmp_path / ".config/openstack"
    folder.mkdir(parents=True)
    (folder / "clouds.yaml").write_text("clouds: {otc: {auth: {ak: AK, project_id: p1}}}")
    secure = tmp_path / "other.yaml" if named else folder / "secure.yaml"
    secure.write_text("clouds: {otc: {auth: {sk: SK-secret}}, other: 7}")
    names = {"OS_CLIENT_SECURE_FILE": str(secure)} if named else {}
    found = find({"OS_CLOUD": "otc", **names}, tmp_path)
    assert (found.access_key, found.secret_key, found.project_id) == ("AK", "SK-secret", "p1")
    secure.write_text("clouds: {other: 7}")  # nothing of this cloud
    with pytest.raises(UsageError, match="set both or neither"):
        find({"OS_CLOUD": "otc", **names}, tmp_path)


def test_a_missing_clouds_yaml_is_said(tmp_path: Path) -> None:
    missing = {"OS_CLOUD": "otc", "OS_CLIENT_CONFIG_FILE": str(tmp_path / "no.yaml")}
    with pytest.raises(UsageError, match="OS_CLOUD is set, and there is no"):
        find(missing, tmp_path)
