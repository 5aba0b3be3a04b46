"""How an image service is reached: the emulator over a folder, or a site with its credentials."""

from __future__ import annotations

from pathlib import Path

import pytest

from imsprep.errors import UsageError
from imsprep.options import ServiceOptions
from imsprep.service import EMULATOR_FOLDER, connected, emulator_key, local_settings


@pytest.fixture(autouse=True)
def _no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in (
        "HUAWEICLOUD_SDK_AK",
        "HW_ACCESS_KEY",
        "OS_ACCESS_KEY",
        "OBS_ACCESS_KEY_ID",
        "OS_CLOUD",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("HUAWEICLOUD_SDK_CREDENTIALS_FILE", raising=False)


def test_a_folder_has_an_emulator_of_its_own_key(tmp_path: Path) -> None:
    with connected(tmp_path / "cloud", ServiceOptions()) as client:
        assert client.url.startswith("http://127.0.0.1:")
        assert client.images("web01", limit_s=20) == []
    assert (tmp_path / "cloud" / EMULATOR_FOLDER).is_dir()


def test_an_endpoint_is_taken_also_where_there_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", "AK")
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", "SK")
    options = ServiceOptions(site="otc", region="eu-de", endpoint="https://ims.example")
    with connected(tmp_path / "cloud", options) as client:
        assert client.url == "https://ims.example"
    with connected(None, ServiceOptions(site="otc", region="eu-de")) as client:
        assert client.url == "https://ims.eu-de.otc.t-systems.com"
    assert not (tmp_path / "cloud").exists()


def test_a_site_without_credentials_is_wrong_usage() -> None:
    with (
        pytest.raises(UsageError, match="credentials"),
        connected(None, ServiceOptions(site="otc", region="eu-de")),
    ):
        pytest.fail("it was reached")


def test_only_folders_are_buckets(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "file").write_text("")
    settings = local_settings(tmp_path, "AK", "SK", "otc")
    assert settings.open_bucket("images") is not None
    assert settings.open_bucket("file") is None
    assert settings.open_bucket("none") is None
    with pytest.raises(UsageError, match=r"cannot use .*file: "):
        local_settings(tmp_path / "file", "AK", "SK", "otc")


def test_an_emulator_takes_the_key_that_is_here_or_makes_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key, made = emulator_key()
    assert made
    assert emulator_key()[0].secret_key != key.secret_key
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", "AK")
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", "SK")
    here, made = emulator_key()
    assert (here.access_key, made) == ("AK", False)
