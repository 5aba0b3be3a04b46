"""Where imsprep is described, for reports that lead their reader there.

A release has its public address in the package's metadata, as `Homepage` (docs/releasing.md). What
pip installed from a git repository has that repository's address and the commit, as pip noted them.

Source: PEP 610, "Recording the Direct URL Origin of installed distributions".
"""

from __future__ import annotations

import importlib.metadata
import json
import re
from dataclasses import dataclass

_REPOSITORY = re.compile(r"(https://[\w.-]+(?::\d+)?/[\w./~-]+?)(?:\.git)?/?")  # without a login
# The address of a file at a commit, at the two hosts whose form of addresses is public.
_FORMS = {"github.com": "{uri}/blob/{revision}", "gitlab.com": "{uri}/-/blob/{revision}"}


@dataclass(frozen=True)
class Home:
    """An absolute URI, and the revision of the sources there that is installed."""

    uri: str
    revision: str

    def page(self, path: str) -> str | None:
        """Return the address of a file of the sources, or None where its form is not known."""
        form = _FORMS.get(self.uri.split("/")[2])
        return f"{form.format(uri=self.uri, revision=self.revision)}/{path}" if form else None


def home() -> Home | None:
    """Return where the installed imsprep is described, or None if its installation says nothing."""
    try:
        installed = importlib.metadata.distribution("imsprep")
    except importlib.metadata.PackageNotFoundError:
        return None  # run from a folder of sources
    origin = _origin(installed.read_text("direct_url.json") or "")
    for entry in installed.metadata.get_all("Project-URL") or []:
        label, _, uri = entry.partition(", ")
        if label == "Homepage":
            return Home(uri, origin.revision if origin else f"v{installed.version}")
    return origin


def _origin(noted: str) -> Home | None:
    """Return the repository that pip noted, which a file or an archive is not."""
    try:
        origin = json.loads(noted)
        address = _REPOSITORY.fullmatch(origin["url"])
        commit = re.fullmatch(r"[0-9a-f]{7,64}", origin["vcs_info"]["commit_id"])
    except (ValueError, KeyError, TypeError):
        return None
    return Home(address[1], commit[0]) if address and commit else None
