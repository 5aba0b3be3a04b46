"""Whose certificates are trusted."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from imsprep.cloud.certificates import trusted
from imsprep.errors import UsageError


def test_what_is_given_comes_before_what_the_environment_names(tmp_path: Path) -> None:
    given, named = tmp_path / "given.pem", tmp_path / "named.pem"
    authority = trustme.CA()
    for file in (given, named):
        authority.cert_pem.write_to_path(str(file))
    environment = {"CURL_CA_BUNDLE": str(named)}
    assert trusted(given, environment) == str(given)
    assert trusted(None, environment) == str(named)
    assert trusted(None, {"REQUESTS_CA_BUNDLE": str(tmp_path), **environment}) == str(tmp_path)
    assert trusted(None, {"REQUESTS_CA_BUNDLE": ""}) is None


def test_what_holds_no_certificate_is_refused_with_its_name(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    with pytest.raises(UsageError, match=r"empty\.pem cannot be used.*: it holds none"):
        trusted(empty, {})
    with pytest.raises(UsageError, match=r"empty\.pem, of CURL_CA_BUNDLE cannot be used"):
        trusted(None, {"CURL_CA_BUNDLE": str(empty)})
    for missing in (tmp_path, tmp_path / "none.pem"):
        with pytest.raises(UsageError, match="no such file of certificates"):
            trusted(missing, {})
