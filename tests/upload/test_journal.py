"""The journal of an upload: what it holds, and what of it is not believed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from imsprep.errors import TransferError, UsageError
from imsprep.image.identity import Identity
from tests.support.upload.case import (
    Case,
    Wrapped,
    broken,
)


@pytest.mark.parametrize("journal", [b"", b'{"upload_id": ', b'{"schema": 99, "zero_key": 1}', b'["upload_id"]', b'\xff "zero_key"', b'{"zero_key": 1}' + b'[' * 100_000])  # fmt: skip
def test_a_broken_journal_is_not_believed(case: Case, journal: bytes) -> None:
    case.journal.path.write_bytes(journal)
    assert "upload.json is damaged or of another version" in str(case.upload().restarted)
    assert case.content == case.path.read_bytes()


@pytest.mark.parametrize("theirs", [b"{", b"[]", b'{"schema": 1}', b"\xff", b"notes\n", b'[' * 100_000])  # fmt: skip
def test_a_file_of_somebody_else_is_no_journal_and_stays(case: Case, theirs: bytes) -> None:
    case.journal.path.write_bytes(theirs)
    with pytest.raises(UsageError, match=r"disk\.raw\.upload\.json was not written by imsprep"):
        case.upload()
    assert case.journal.path.read_bytes() == theirs
    assert not case.store.list_objects()
    assert not case.store.list_uploads()


def test_the_journal_holds_what_is_needed_and_no_more(case: Case) -> None:
    seen = []

    def look(original: Callable[..., Any], *arguments: Any) -> Any:
        seen.append(case.journal.load())
        return original(*arguments)

    case.upload(Wrapped(case.store, create=look, upload_part=look))
    promised, entry = seen[:2]
    assert entry is not None
    assert promised is not None
    assert set(entry.__dataclass_fields__) == {
        "target", "key", "upload_id", "zero_key", "plan", "identity", "begun_at", "seal",
    }  # fmt: skip
    assert entry.identity == Identity.of(case.path)
    assert (promised.upload_id, bool(entry.upload_id), entry.begun_at) == ("", True, 0)
    assert promised.begun_at == pytest.approx(time.time(), abs=60)
    for name in ("target", "key"):
        with pytest.raises(ValueError, match="has a target and a key"):
            replace(entry, **{name: ""})
    case.journal.save(entry)  # those of the first version have no seal
    assert json.loads(case.journal.path.read_text())["schema"] == 2
    case.journal.save(replace(entry, upload_id="", begun_at=1000))
    text = case.journal.path.read_text()
    assert case.journal.load() is not None
    case.journal.path.write_text(text.replace('"begun_at": 1000', '"begun_at": 1001'))
    assert case.journal.load() is None  # it says which uploads are aborted
    case.journal.save(entry)
    noted = json.loads(case.journal.path.read_text())
    for name in ("target", "key", "upload_id", "zero_key", "plan"):
        other = "imsprep-zeros/" + "1" * 32 if name == "zero_key" else f"{noted[name]}x"
        case.journal.path.write_text(json.dumps({**noted, name: other}))
        assert case.journal.load() is None, name
    for name, number in noted["identity"].items():
        changed = {**noted, "identity": {**noted["identity"], name: number + 1}}
        case.journal.path.write_text(json.dumps(changed))
        assert case.journal.load() is None, name


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"zero_key": ""},
        {"zero_key": "somebody/"},
        {"zero_key": "imsprep-zeros/"},
        {"key": "theirs.bin", "upload_id": "THEIRS"},
        {"upload_id": "THEIRS"},
        {"upload_id": None},
        {"identity": []},
        {"target": 7},
    ],
)
def test_nothing_that_a_changed_journal_names_is_touched(
    case: Case, change: dict[str, Any]
) -> None:
    theirs = case.store.create("theirs.bin", {})
    for key in ("-kept", "somebody/-kept", "imsprep-zeros/-kept"):
        case.store.put(key, b"kept")
    with pytest.raises(TransferError):
        case.upload(Wrapped(case.store, complete=broken))
    noted = json.loads(case.journal.path.read_text())
    change = {k: theirs if v == "THEIRS" else v for k, v in change.items()}
    case.journal.path.write_text(json.dumps({**noted, **change}))
    done = case.upload()
    assert "is damaged or of another version" in (done.restarted or "")
    assert case.content == case.path.read_bytes()
    kept = {"-kept", "somebody/-kept", "imsprep-zeros/-kept"}
    assert kept <= {o.key for o in case.store.list_objects()}
    assert theirs in {u.upload_id for u in case.store.list_uploads()}
