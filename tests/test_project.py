"""The address that reports name: of the release, of the repository, or none."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest

from imsprep import project

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, urls: str = "", noted: object = None
) -> None:
    """Let the package be installed with this metadata, as pip writes it."""
    folder.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: imsprep\n{urls}")
    if noted is not None:
        folder.joinpath("direct_url.json").write_text(json.dumps(noted))
    found = importlib.metadata.Distribution.at(folder)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: found)


@pytest.mark.parametrize(
    ("url", "uri", "page"),
    [
        (
            "https://github.com/owner/imsprep.git",
            "https://github.com/owner/imsprep",
            f"https://github.com/owner/imsprep/blob/{COMMIT}/README.md",
        ),
        (
            "https://gitlab.com/a/b/imsprep",
            "https://gitlab.com/a/b/imsprep",
            f"https://gitlab.com/a/b/imsprep/-/blob/{COMMIT}/README.md",
        ),
        ("https://git.example.com:8443/imsprep/", "https://git.example.com:8443/imsprep", None),
    ],
)
def test_what_pip_installed_from_a_repository_names_it(
    url: str, uri: str, page: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = {"url": url, "vcs_info": {"vcs": "git", "commit_id": COMMIT}}
    installed(tmp_path, monkeypatch, noted=noted)
    home = project.home()
    assert home == project.Home(uri, COMMIT)
    assert home.page("README.md") == page


@pytest.mark.parametrize(
    "noted",
    [
        None,
        {"url": "file:///src/imsprep", "dir_info": {"editable": True}},
        {"url": "https://example.com/imsprep.zip", "archive_info": {}},
        {"url": "https://user:secret@example.com/i.git", "vcs_info": {"commit_id": COMMIT}},
        {"url": "ssh://git@example.com/i.git", "vcs_info": {"commit_id": COMMIT}},
        {"url": "https://example.com/i.git", "vcs_info": {"commit_id": "../main"}},
        {"url": 1, "vcs_info": {"commit_id": COMMIT}},
        {"url": "https://example.com/i.git", "vcs_info": []},
        [],
        "text",
    ],
)
def test_any_other_installation_names_none(
    noted: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, monkeypatch, noted=noted)
    assert project.home() is None


def test_a_release_names_its_homepage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = "Version: 1.2.0\nProject-URL: Changes, https://a.example\n"
    urls += "Project-URL: Homepage, https://github.com/owner/imsprep\n"
    installed(tmp_path, monkeypatch, urls=urls)
    home = project.home()
    assert home == project.Home("https://github.com/owner/imsprep", "v1.2.0")
    assert home.page("docs/a.md") == "https://github.com/owner/imsprep/blob/v1.2.0/docs/a.md"


def test_a_folder_of_sources_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", not_found)
    assert project.home() is None
