"""What every object store must do: inherit StoreSuite and give the fixture `store`."""

from __future__ import annotations

import hashlib
import io

import pytest

from imsprep.errors import ImsprepError, ServiceError, TransferError
from imsprep.store.contract import MIN_PART_SIZE, ObjectRange, ObjectStore, Part
from imsprep.store.etags import multipart_etag
from imsprep.store.md5_of_zeros import zero_md5
from imsprep.units import MIB

FIVE = MIN_PART_SIZE


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes that differ everywhere, so that a shifted or repeated range is noticed."""
    return b"".join(
        hashlib.sha256(f"{seed} {n}".encode()).digest() * 128 for n in range(-(-size // 4096))
    )[:size]


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


class StoreSuite:
    """The contract of `imsprep.store.contract.ObjectStore`, as tests."""

    # A store that answers less strictly than OBS says so here; see the subclasses.
    minds_small_parts = True
    minds_ranges = True
    minds_gone_uploads = True
    copies_have_md5 = True
    forgets_replaced_parts = True

    def upload(self, store: ObjectStore, key: str, *bodies: bytes) -> str:
        upload_id = store.create(key, {})
        parts = [
            Part(n, len(body), store.upload_part(key, upload_id, n, body))
            for n, body in enumerate(bodies, 1)
        ]
        return store.complete(key, upload_id, parts)

    def test_an_object_put_is_read_back(self, store: ObjectStore) -> None:
        etag = store.put("web/disk one.json", b"hello", {"imsprep-plan": "p"})
        assert etag == md5(b"hello")
        assert store.read("web/disk one.json", 0, 100) == b"hello"
        assert store.read("web/disk one.json", 1, 3) == b"ell"
        assert store.read("web/disk one.json", 5, 1) == b""
        facts = store.head("web/disk one.json")
        assert facts is not None
        assert (facts.size, facts.etag, facts.storage_class) == (5, etag, "STANDARD")
        assert facts.metadata == {"imsprep-plan": "p"}

    def test_putting_again_replaces(self, store: ObjectStore) -> None:
        store.put("a", b"old and longer")
        store.put("a", b"new", {"x": "1"})
        facts = store.head("a")
        assert facts is not None
        assert (facts.size, facts.etag, dict(facts.metadata)) == (3, md5(b"new"), {"x": "1"})
        assert store.read("a", 0, 99) == b"new"

    def test_a_missing_object_has_no_facts(self, store: ObjectStore) -> None:
        assert store.head("nowhere/nothing") is None
        with pytest.raises(ServiceError):
            store.read("nowhere/nothing", 0, 1)
        store.delete("nowhere/nothing")

    def test_parts_become_an_object_with_the_composite_etag(self, store: ObjectStore) -> None:
        first, last = pattern(FIVE, 1), pattern(1000, 2)
        upload_id = store.create("disk.raw", {"imsprep-plan": "abc"})
        # Out of order, as several threads send them.
        e2 = store.upload_part("disk.raw", upload_id, 2, last)
        e1 = store.upload_part("disk.raw", upload_id, 1, memoryview(first))
        assert (e1, e2) == (md5(first), md5(last))
        held = store.list_parts("disk.raw", upload_id)
        assert held == [Part(1, FIVE, e1), Part(2, 1000, e2)]
        assert store.head("disk.raw") is None
        etag = store.complete("disk.raw", upload_id, held)
        assert etag == multipart_etag([e1, e2])
        facts = store.head("disk.raw")
        assert facts is not None
        assert (facts.size, facts.etag) == (FIVE + 1000, etag)
        assert facts.metadata == {"imsprep-plan": "abc"}
        assert store.read("disk.raw", FIVE - 2, 5) == first[-2:] + last[:3]

    def test_a_completed_upload_is_no_longer_listed(self, store: ObjectStore) -> None:
        self.upload(store, "done.raw", b"x")
        assert [u.key for u in store.list_uploads("done")] == []

    def test_the_same_number_again_replaces_the_part(self, store: ObjectStore) -> None:
        upload_id = store.create("k", {})
        store.upload_part("k", upload_id, 1, b"first and longer")
        etag = store.upload_part("k", upload_id, 1, b"second")
        if self.forgets_replaced_parts:
            assert store.list_parts("k", upload_id) == [Part(1, 6, etag)]
        assert Part(1, 6, etag) in store.list_parts("k", upload_id)
        store.complete("k", upload_id, [Part(1, 6, etag)])
        assert store.read("k", 0, 99) == b"second"

    def test_a_part_may_be_sent_twice_and_from_a_file_of_which_some_was_read(
        self, store: ObjectStore
    ) -> None:
        body = pattern(FIVE + 777)
        upload_id = store.create("k", {})
        for read in (0, 1000):
            file = io.BytesIO(body)
            file.read(read)
            assert store.upload_part("k", upload_id, 1, file) == md5(body)
        held = store.list_parts("k", upload_id)
        assert Part(1, len(body), md5(body)) in held
        # The store knows the sizes itself.
        store.complete("k", upload_id, [held[-1]._replace(size=5)])
        assert store.read("k", 0, len(body) + 1) == body

    def test_bytes_that_are_not_what_was_announced_are_refused(self, store: ObjectStore) -> None:
        upload_id = store.create("k", {})
        with pytest.raises(TransferError):
            store.upload_part("k", upload_id, 1, b"damaged", md5(b"whole"))
        assert store.list_parts("k", upload_id) == []
        store.upload_part("k", upload_id, 1, b"whole", md5(b"whole"))

    def test_a_range_of_another_object_is_copied(self, store: ObjectStore) -> None:
        source = pattern(FIVE + 777)
        store.put("a folder/source", source)
        upload_id = store.create("copy", {})
        e1 = store.copy_part("copy", upload_id, 1, ObjectRange("a folder/source", 777, FIVE))
        e2 = store.copy_part("copy", upload_id, 2, ObjectRange("a folder/source", 0, 777))
        if self.copies_have_md5:
            assert (e1, e2) == (md5(source[777:]), md5(source[:777]))
        held = store.list_parts("copy", upload_id)
        assert [(p.number, p.size) for p in held] == [(1, FIVE), (2, 777)]
        store.complete("copy", upload_id, held)
        assert store.read("copy", 0, FIVE + 777) == source[777:] + source[:777]

    def test_zeros_are_copied_as_zeros(self, store: ObjectStore) -> None:
        store.put("zeros", bytes(FIVE))
        upload_id = store.create("z", {})
        e1 = store.copy_part("z", upload_id, 1, ObjectRange("zeros", 0, FIVE))
        if self.copies_have_md5:
            assert e1 == zero_md5(FIVE)
        e2 = store.upload_part("z", upload_id, 2, b"end")
        store.complete("z", upload_id, store.list_parts("z", upload_id))
        assert e2
        assert store.read("z", 0, FIVE + 3) == bytes(FIVE) + b"end"

    def test_an_object_can_be_replaced_by_copies_of_itself(self, store: ObjectStore) -> None:
        store.put("grow", bytes(FIVE))
        upload_id = store.create("grow", {})
        for number in (1, 2):
            store.copy_part("grow", upload_id, number, ObjectRange("grow", 0, FIVE))
        store.complete("grow", upload_id, store.list_parts("grow", upload_id))
        facts = store.head("grow")
        assert facts is not None
        assert facts.size == 2 * FIVE

    def test_a_copy_beyond_the_end_is_refused_or_cut_short(self, store: ObjectStore) -> None:
        store.put("short", bytes(100))
        upload_id = store.create("k", {})
        if self.minds_ranges:
            with pytest.raises(ServiceError):
                store.copy_part("k", upload_id, 1, ObjectRange("short", 50, 51))
        else:
            store.copy_part("k", upload_id, 1, ObjectRange("short", 50, 51))
            assert [part.size for part in store.list_parts("k", upload_id)] == [50]

    def test_a_copy_of_nothing_is_refused(self, store: ObjectStore) -> None:
        upload_id = store.create("k", {})
        with pytest.raises(ServiceError):
            store.copy_part("k", upload_id, 1, ObjectRange("missing", 0, 10))

    def test_wrong_parts_do_not_become_an_object(self, store: ObjectStore) -> None:
        upload_id = store.create("k", {})
        etag = store.upload_part("k", upload_id, 1, pattern(FIVE))
        last = store.upload_part("k", upload_id, 2, b"last")
        for wrong in (
            [Part(1, FIVE, md5(b"other")), Part(2, 4, last)],
            [Part(2, 4, last), Part(1, FIVE, etag)],
            [Part(1, FIVE, etag), Part(3, 4, last)],
        ):
            with pytest.raises(ServiceError):
                store.complete("k", upload_id, wrong)
            assert store.head("k") is None

    def test_a_small_part_in_the_middle_is_refused_or_kept_whole(self, store: ObjectStore) -> None:
        if self.minds_small_parts:
            with pytest.raises(ServiceError):
                self.upload(store, "k", b"tiny", b"last")
        else:
            self.upload(store, "k", b"tiny", b"last")
            assert store.read("k", 0, 99) == b"tinylast"

    @pytest.mark.parametrize("number", [0, 10_001])
    def test_a_part_number_outside_the_limits_is_refused(
        self, store: ObjectStore, number: int
    ) -> None:
        upload_id = store.create("k", {})
        with pytest.raises(ServiceError):
            store.upload_part("k", upload_id, number, b"x")
        store.put("source", b"x")
        with pytest.raises(ServiceError):
            store.copy_part("k", upload_id, number, ObjectRange("source", 0, 1))

    def test_an_aborted_upload_is_gone(self, store: ObjectStore) -> None:
        upload_id = store.create("gone", {})
        store.upload_part("gone", upload_id, 1, b"x")
        store.abort("gone", upload_id)
        store.abort("gone", upload_id)
        assert store.list_uploads("gone") == []
        with pytest.raises(ServiceError):
            store.list_parts("gone", upload_id)
        with pytest.raises(ServiceError if self.minds_gone_uploads else ImsprepError):
            store.upload_part("gone", upload_id, 1, b"x")

    def test_unfinished_uploads_are_listed_by_prefix(self, store: ObjectStore) -> None:
        one, two = store.create("a/1", {}), store.create("a/2", {})
        store.create("b/1", {})
        assert {(u.key, u.upload_id) for u in store.list_uploads("a/")} == {
            ("a/1", one),
            ("a/2", two),
        }
        assert len(store.list_uploads()) == 3

    def test_objects_are_listed_in_order(self, store: ObjectStore) -> None:
        for key in ("b", "a/2", "a/1"):
            store.put(key, key.encode())
        assert [o.key for o in store.list_objects()] == ["a/1", "a/2", "b"]
        assert [(o.key, o.size) for o in store.list_objects("a/")] == [("a/1", 3), ("a/2", 3)]
        store.delete("a/1")
        assert [o.key for o in store.list_objects()] == ["a/2", "b"]

    @pytest.mark.slow
    def test_more_than_a_thousand_parts_are_listed(self, store: ObjectStore) -> None:
        # A real store answers with 1,000 at a time.
        upload_id = store.create("many", {})
        for number in range(1, 1003):
            store.upload_part("many", upload_id, number, b"x")
        held = store.list_parts("many", upload_id)
        assert [p.number for p in held] == list(range(1, 1003))
        store.abort("many", upload_id)

    @pytest.mark.parametrize("key", ["ü ß/日本.raw", "a+b&c=d%20.raw", "x/~'(1)!*.raw"])
    def test_odd_keys_are_kept(self, store: ObjectStore, key: str) -> None:
        store.put(key, b"1" * MIB)
        assert [o.key for o in store.list_objects()] == [key]
        upload_id = store.create("t", {})
        store.copy_part("t", upload_id, 1, ObjectRange(key, 0, MIB))
        store.complete("t", upload_id, store.list_parts("t", upload_id))
        assert store.read("t", 0, 3) == b"111"
