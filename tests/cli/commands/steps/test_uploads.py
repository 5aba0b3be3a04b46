"""`imsprep uploads`: what unfinished uploads left, and how it is removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from imsprep.store.directory import DirectoryStore
from imsprep.upload.journal import ZEROS
from tests.support.running import Outcome

Run = Callable[..., Outcome]
ZERO = ZEROS + "0" * 32


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DirectoryStore:
    monkeypatch.chdir(tmp_path)
    store = DirectoryStore(tmp_path / "cloud" / "images")
    for key in ("disk.raw", "other.raw"):
        store.create(key, {})
    store.put(ZERO, bytes(8))
    return store


def test_what_is_left_is_listed_by_its_kind(imsprep: Run, store: DirectoryStore) -> None:
    done = imsprep("uploads", "list", "--to", "local:cloud")
    rows = [line.split() for line in done.out.splitlines()]
    assert rows[0][0] == "kind"
    assert [(row[0], row[-1]) for row in rows[1:]] == [
        ("upload", "disk.raw"), ("upload", "other.raw"), ("zeros", ZERO),
    ]  # fmt: skip
    value = imsprep("uploads", "list", "--to", "local:cloud", "--json").json
    assert value["schema"] == "imsprep.uploads-list/1"
    assert value["zero_objects"] == [ZERO]


def test_one_key_or_all_is_removed_and_nothing_else(imsprep: Run, store: DirectoryStore) -> None:
    for words in ((), ("--key", "disk.raw", "--all")):
        done = imsprep("uploads", "abort", "--to", "local:cloud", *words)
        assert done.code == 2
        assert "give either --key KEY or --all" in done.err
    done = imsprep("uploads", "abort", "--to", "local:cloud", "--key", "disk.raw")
    assert done.out.splitlines()[0].startswith("removed")
    assert [upload.key for upload in store.list_uploads()] == ["other.raw"]
    assert store.head(ZERO) is not None
    imsprep("uploads", "abort", "--to", "local:cloud", "--all")
    assert (store.list_uploads(), store.head(ZERO)) == ([], None)
    assert imsprep("uploads", "list", "--to", "local:cloud").out == "nothing to clean up\n"


@pytest.mark.parametrize(
    "words",
    [("uploads", "list"), ("uploads", "abort", "--all"), ("wait", "0" * 32)],
    ids=lambda words: words[0] + words[1][:5],
)
def test_a_folder_that_was_mistyped_is_no_empty_bucket(
    imsprep: Run, words: tuple[str, ...], store: DirectoryStore
) -> None:
    done = imsprep(*words, "--to", "local:./clod")
    assert done.code == 2
    assert f"there is no folder {Path.cwd() / 'clod'}: no import or upload has made it" in done.err
    assert not Path("clod").exists()


@pytest.mark.parametrize(
    ("arguments", "more"),
    [(("local:./my cloud",), " Write it as --to 'local:./my cloud'."), ((), "")],
)
def test_a_target_without_its_option_is_named_with_it(
    imsprep: Run, arguments: tuple[str, ...], more: str
) -> None:
    done = imsprep("uploads", "list", *arguments)
    assert done.code == 2
    assert done.err.endswith(f"Error: Missing option '--to'.{more}\n")
