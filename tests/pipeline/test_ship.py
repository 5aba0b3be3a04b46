"""The pipeline's second half, from files to an image, over a folder and the emulator."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from imsprep.errors import (
    ImsprepError,
    JobFailedError,
    ServiceError,
    TransferError,
    UncertainError,
    UsageError,
    WaitTimeoutError,
)
from imsprep.image.identity import Identity
from imsprep.ims.wait import PollPolicy
from imsprep.pipeline import manifest as manifests
from imsprep.store.directory import DirectoryStore
from imsprep.system.locking import locked
from imsprep.units import MIB
from tests.support.image.treedigest import tree_digest
from tests.support.ims.imscloud import REQUEST
from tests.support.pipeline.import_place import Place, make_image


def schema() -> Any:
    text = resources.files("imsprep").joinpath("data", "manifest-1.json").read_text()
    return json.loads(text)


@pytest.mark.slow
def test_the_imported_disk_is_the_source(place: Place) -> None:
    with place.emulator() as go:
        done = go()
        [image] = place.running.board.images()
    assert image.image_id == done.image_id
    assert image.disk["digest"] == tree_digest(place.prepared.image.read_bytes())
    assert tree_digest(Path(image.disk["path"]).read_bytes()) == image.disk["digest"]
    assert done.job_id == place.jobs[0]
    assert done.sent <= 1.05 * place.prepared.data_bytes + 32 * MIB
    assert done.sent + done.copied == place.prepared.size + 5


def test_a_second_run_sends_nothing_and_starts_nothing(place: Place) -> None:
    with place.emulator() as go:
        first, second = go(), go()
        assert len(place.running.board.images()) == 1
    assert second.image_id == first.image_id
    assert second.sent == 0
    assert (first.earlier, second.earlier) == (False, True)


@pytest.mark.slow
def test_another_image_of_a_file_is_not_made_without_a_word(place: Place) -> None:
    said: list[str] = []
    with place.emulator() as go:
        pace = PollPolicy(place.nap, place.clock, on_warning=said.append)
        first = go(pace=pace)
        assert go(pace=pace).image_id == first.image_id
        assert said == []
        request = replace(place.prepared.request, min_disk=100)
        place.prepared = replace(place.prepared, request=request)
        second = go(pace=pace)
        [text] = said
        place.forget_images()
        go(pace=pace)
        place.prepared = make_image(place.folder / "local", seed=2)
        go(pace=pace)
    assert f"image {first.image_id} was made of this file before" in text
    assert "by another request (min_disk differs), so another image is made" in text
    assert second.image_id != first.image_id
    assert all(upload.skipped for upload in second.uploads)
    assert "is no longer listed as active, so it is imported again" in said[1]
    assert "reading it to find out whether it is the same disk" in said[2]
    assert "the file has changed since, so another image is made" in said[3]


@pytest.mark.slow
def test_an_import_that_was_made_before_others_of_the_file_is_not_repeated(place: Place) -> None:
    """A, then another name, another content, another service; and then all of them again."""
    folder, first = place.folder / "local", place.prepared
    other_name = replace(first.request, name="web02")

    def a() -> Any:
        place.prepared = make_image(folder)
        return {}

    def named() -> Any:
        place.prepared = replace(make_image(folder), request=other_name)
        return {}

    def changed() -> Any:
        place.prepared = make_image(folder, seed=2)
        return {}

    def elsewhere() -> Any:
        place.prepared = make_image(folder)
        return {"service_name": "another"}

    ways = [a, named, changed, elsewhere]
    with place.emulator() as go:
        made = [go(**way()) for way in ways]
        again = [go(**way()) for way in [*reversed(ways), *ways]]
        assert len(place.running.board.images()) == 4
    ids = [done.image_id for done in made]
    assert len(set(ids)) == 4
    assert [done.image_id for done in again] == [*reversed(ids), *ids]
    assert {(done.earlier, done.sent) for done in again} == {(True, 0)}
    written = json.loads(again[-1].manifest.read_text())
    jsonschema.validate(written, schema())
    assert (written["image_id"], len(written["earlier"])) == (ids[-1], 3)


@pytest.mark.slow
def test_a_job_is_waited_for_also_after_another_import_of_the_file(place: Place) -> None:
    first = place.prepared
    with place.emulator(slow_job_s=600) as go, pytest.raises(WaitTimeoutError):
        go(pace=PollPolicy(place.nap, place.clock, limit_s=5))
    with place.emulator() as go:
        place.prepared = replace(first, request=replace(first.request, name="web02"))
        other = go()
        place.prepared = first
        done = go()
        assert len(place.running.board.images()) == 2
    assert done.image_id != other.image_id
    assert (done.job_id, done.sent) == (place.jobs[0], 0)


@pytest.mark.slow
def test_a_request_in_doubt_does_not_take_the_image_of_a_later_one_of_its_name(
    place: Place,
) -> None:
    """It was not accepted; the image of the same name and object is that of another content."""
    with place.emulator(post_lost=1) as go, pytest.raises(UncertainError):
        go()
    with place.emulator() as go:
        place.prepared = make_image(place.folder / "local", seed=2)
        other = go()
        place.prepared = make_image(place.folder / "local")
        done = go()
        disks = {i.image_id: i.disk["digest"] for i in place.running.board.images()}
    assert done.image_id != other.image_id
    assert disks[done.image_id] == tree_digest(place.prepared.image.read_bytes())


def test_no_more_imports_of_a_file_are_kept_than_the_schema_has_room_for() -> None:
    def at(number: int) -> manifests.Manifest:
        image = manifests.ManifestImage("d", 1, Identity(1, 2, 3, 4, 5))
        return manifests.Manifest(
            "done", image, (), {"name": str(number)}, "s", image_id=str(number)
        )

    latest = at(0)
    for number in range(1, manifests.MOST_EARLIER + 5):
        latest = replace(at(number), earlier=latest.others(None))
    assert [one.image_id for one in manifests.imports_of(latest)][:2] == ["104", "103"]
    kept = schema()["properties"]["earlier"]["maxItems"]
    assert len(latest.earlier) == kept == manifests.MOST_EARLIER


@pytest.mark.slow
@pytest.mark.parametrize("change", ["rights", "time", "copy"])
def test_a_file_of_another_state_that_holds_the_same_disk_is_not_imported_again(
    place: Place, change: str
) -> None:
    said: list[str] = []
    with place.emulator() as go:
        pace = PollPolicy(place.nap, place.clock, on_warning=said.append)
        first = go(pace=pace)
        image = place.prepared.image
        if change == "rights":
            image.chmod(0o640)
        elif change == "time":
            os.utime(image, (1, 1))
        else:
            data = image.read_bytes()
            image.unlink()
            image.write_bytes(data)
        identity = Identity.of(image)
        artefacts = tuple(
            replace(a, identity=identity) if a.path == image else a
            for a in place.prepared.artefacts
        )
        place.prepared = replace(place.prepared, identity=identity, artefacts=artefacts)
        second = go(pace=pace)
        assert len(place.running.board.images()) == 1
        # From now on its state tells.
        third = go(pace=pace, digest_of=lambda path: pytest.fail("not again"))
    assert [second.image_id, third.image_id] == [first.image_id] * 2
    assert (second.earlier, second.sent) == (True, 0)
    [text] = said
    assert "reading it to find out whether it is the same disk" in text


@pytest.mark.slow
def test_a_file_that_holds_another_disk_of_the_same_length_is_imported(place: Place) -> None:
    said: list[str] = []
    with place.emulator() as go:
        pace = PollPolicy(place.nap, place.clock, on_warning=said.append)
        first = go(pace=pace)
        place.prepared = make_image(place.folder / "local", seed=2)
        assert go(pace=pace).image_id != first.image_id
        assert len(place.running.board.images()) == 2
    assert "reading it to find out whether it is the same disk" in said[0]
    assert "the file has changed since, so another image is made" in said[1]


@pytest.mark.slow
def test_an_image_that_is_gone_is_imported_again(place: Place) -> None:
    with place.emulator() as go:
        first = go()
        place.forget_images()
        assert go().image_id != first.image_id


def test_a_job_that_runs_is_waited_for_by_the_next_run(place: Place) -> None:
    with place.emulator(slow_job_s=600) as go, pytest.raises(WaitTimeoutError) as caught:
        go(pace=PollPolicy(place.nap, place.clock, limit_s=5))
    assert (caught.value.job_id, "imsprep" in str(caught.value)) == (place.jobs[0], False)
    assert place.manifest().state == "started"
    with place.emulator() as go:
        done = go()
        assert len(place.running.board.images()) == 1
    assert done.job_id == place.jobs[0]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["post_lost", "post_503"])
def test_a_request_in_doubt_is_made_up_for_by_the_next_run(place: Place, fault: str) -> None:
    with place.emulator(**{fault: 1}) as go:
        with pytest.raises(UncertainError):
            go()
        assert place.manifest().state == "asking"
        assert go().job_id
        assert len(place.running.board.images()) == 1


@pytest.mark.slow
def test_an_answer_that_was_lost_makes_one_image_all_the_same(place: Place) -> None:
    with place.emulator(post_drop=1) as go:
        done = go()
        [image] = place.running.board.images()
    assert (done.image_id, done.job_id) == (image.image_id, None)
    jsonschema.validate(json.loads(done.manifest.read_text()), schema())


@pytest.mark.slow
def test_a_failed_job_is_kept_word_for_word_and_the_next_run_starts_anew(place: Place) -> None:
    with place.emulator(fail_job="IMG.0057") as go, pytest.raises(JobFailedError) as caught:
        go()
    assert "The image file is empty, not found" in str(caught.value)
    assert place.manifest().state == "failed"
    assert place.manifest().reason == str(caught.value)
    jsonschema.validate(place.manifest().as_dict(), schema())
    with place.emulator() as go:
        assert go().job_id != place.jobs[0]


def test_a_refused_request_is_kept_too(place: Place) -> None:
    place.prepared = replace(place.prepared, request=replace(REQUEST, min_disk=9))
    with place.emulator() as go, pytest.raises(ServiceError, match=r"IMG\.0055"):
        go()
    assert place.manifest().state == "failed"


class Expired:
    """A service that takes the request and refuses every question after it."""

    def quick_import(self, request: object, *, limit_s: float) -> str:
        return "j-9"

    def job(self, job_id: str, *, limit_s: float) -> Any:
        raise ServiceError("the token expired", status=401)

    def images(self, name: str, tag: str | None = None, *, limit_s: float) -> list[Any]:
        return []


def test_a_question_refused_while_a_job_runs_leaves_the_job(place: Place) -> None:
    with place.emulator() as go, pytest.raises(ServiceError, match="token expired"):
        go(service=Expired())
    assert (place.manifest().state, place.manifest().job_id) == ("started", "j-9")


@pytest.mark.slow
def test_a_job_that_nobody_knows_any_more_does_not_hold_up_the_next_run(place: Place) -> None:
    with place.emulator(slow_job_s=600) as go, pytest.raises(WaitTimeoutError):
        go(pace=PollPolicy(place.nap, place.clock, limit_s=5))
    place.folder.joinpath("state").rename(place.folder / "gone")
    with place.emulator() as go:
        with pytest.raises(ServiceError, match=r"IMG\.0023"):
            go()
        assert go().image_id


@pytest.mark.parametrize(("cleanup", "fails", "kept"), [("keep", False, True), ("success", False, False), ("success", True, True), ("always", True, False), ("keep", True, True)])  # fmt: skip
def test_what_was_uploaded_is_kept_or_removed_as_asked(
    place: Place, cleanup: str, fails: bool, kept: bool
) -> None:
    with place.emulator(fail_job="IMG.0061" if fails else "") as go:
        try:
            done = go(cleanup=cleanup)
            assert set(done.removed) == (set() if kept else {"disk.raw", "disk.mf"})
        except ImsprepError:
            assert fails
    for key in ("disk.raw", "disk.mf"):
        assert (place.store.head(key) is not None) is kept


def test_what_cannot_be_removed_does_not_hide_why_an_import_failed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(key: str, **_: object) -> None:
        raise ServiceError("no right to delete")

    monkeypatch.setattr(place.store, "delete", refuse)
    with place.emulator(fail_job="IMG.0061") as go, pytest.raises(JobFailedError):
        go(cleanup="always")


@pytest.mark.slow
def test_what_cleanup_removed_is_not_sent_again_for_an_image_that_is_there(place: Place) -> None:
    with place.emulator() as go:
        first = go(cleanup="success")
        second = go(cleanup="success")
    assert (second.image_id, second.sent) == (first.image_id, 0)
    assert place.store.head("disk.raw") is None


def test_an_object_that_took_the_place_of_ours_is_not_cleaned_up(place: Place) -> None:
    with place.emulator() as go:
        go()
        place.store.put("disk.raw", b"somebody else's")
        assert go(cleanup="always").removed == ("disk.mf",)
    assert place.store.read("disk.raw", 0, 99) == b"somebody else's"


def test_a_manifest_of_a_running_import_or_of_somebody_else_is_left(place: Place) -> None:
    path = place.folder / "local" / "disk.imsprep.json"
    path.write_text('{"mine": 1}')
    with place.emulator(slow_job_s=600) as go:
        with pytest.raises(UsageError, match="was not written by imsprep"):
            go()
        assert path.read_text() == '{"mine": 1}'
        path.unlink()
        with pytest.raises(WaitTimeoutError):
            go(pace=PollPolicy(place.nap, place.clock, limit_s=5))
        begun, mine = path.read_bytes(), place.prepared
        other = place.folder / "local" / "disk.img"
        other.write_bytes(b"another one")
        place.prepared = replace(mine, image=other)
        with pytest.raises(
            UsageError,
            match=r"manifest of the import that was begun of .*disk\.raw, and both have the same name",
        ):
            go()
        assert path.read_bytes() == begun
    assert len(place.jobs) == 1


@pytest.mark.slow
def test_a_changed_image_is_another_import(place: Place) -> None:
    with place.emulator() as go:
        first = go()
        place.prepared = make_image(place.folder / "local", seed=2)
        second = go()
        assert second.image_id != first.image_id
        disks = {i.image_id: i.disk["digest"] for i in place.running.board.images()}
    assert disks[second.image_id] == tree_digest(place.prepared.image.read_bytes())


class Killed(BaseException):
    """The process ends here."""


class Wrapped:
    """The image service with one of its calls done differently."""

    def __init__(self, real: Any, **calls: Any) -> None:
        self.real = real
        for name, call in calls.items():
            setattr(self, name, call)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def die_after(call: Callable[..., Any]) -> Callable[..., Any]:
    """Let the service take the request, and end before its answer is kept."""

    def dying(*arguments: Any, **more: Any) -> Any:
        call(*arguments, **more)
        raise Killed

    return dying


def die(*_: object, **__: object) -> None:
    raise Killed


@pytest.mark.slow
def test_killed_right_after_asking_the_image_is_found_although_it_is_listed_late(
    place: Place,
) -> None:
    with place.emulator() as go:
        service = place.service
        with pytest.raises(Killed):
            go(service=Wrapped(service, quick_import=die_after(service.quick_import)))
        listed_from = place.clock() + 60

        def images(name: str, tag: str | None = None, *, limit_s: float) -> list[Any]:
            return service.images(name, tag) if place.clock() >= listed_from else []

        done = go(service=Wrapped(service, images=images))
        [image] = place.running.board.images()
    assert done.image_id == image.image_id


def test_a_short_limit_of_time_does_not_repeat_a_request_in_doubt(place: Place) -> None:
    with place.emulator() as go:
        service = place.service
        with pytest.raises(Killed):
            go(service=Wrapped(service, quick_import=die_after(service.quick_import)))
        unlisted = Wrapped(service, images=lambda *_, **__: [], quick_import=die)
        with pytest.raises(UncertainError, match="not known yet whether an earlier run's request"):
            go(service=unlisted, pace=PollPolicy(place.nap, place.clock, limit_s=8))
        assert go().image_id == place.running.board.images()[0].image_id
        assert len(place.running.board.images()) == 1


@pytest.mark.slow
def test_an_older_image_of_the_same_name_and_object_is_not_taken_for_the_new_one(
    place: Place,
) -> None:
    with place.emulator() as go:
        first = go()
        place.prepared = make_image(place.folder / "local", seed=2)
        with pytest.raises(Killed):
            go(service=Wrapped(place.service, quick_import=die))
        second = go()
        disks = {i.image_id: i.disk["digest"] for i in place.running.board.images()}
    assert second.image_id != first.image_id
    assert disks[second.image_id] == tree_digest(place.prepared.image.read_bytes())


def test_a_look_that_is_refused_leaves_the_doubt(place: Place) -> None:
    def refused(name: str, tag: str | None = None, *, limit_s: float) -> Any:
        raise ServiceError("the token expired", status=401)

    with place.emulator() as go:
        service = place.service
        with pytest.raises(Killed):
            go(service=Wrapped(service, quick_import=die_after(service.quick_import)))
        with pytest.raises(ServiceError, match="token expired"):
            go(service=Wrapped(service, images=refused))
        assert place.manifest().state == "asking"
        go()
        assert len(place.running.board.images()) == 1


class Encrypting(DirectoryStore):
    """A bucket whose etags tell nothing: each one is new."""

    etags_are_md5 = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.created = 0

    def create(self, key: str, metadata: Any) -> str:
        self.created += 1
        return super().create(key, metadata)

    def head(self, key: str) -> Any:
        found = super().head(key)
        return found and found._replace(etag=f"{found.upload_id}-1")

    def list_parts(self, key: str, upload_id: str) -> Any:
        return [p._replace(etag=p.etag[::-1]) for p in super().list_parts(key, upload_id)]

    def complete(self, key: str, upload_id: str, parts: Any) -> str:
        super().complete(key, upload_id, [p._replace(etag=p.etag[::-1]) for p in parts])
        return f"{upload_id}-1"


@pytest.mark.slow
def test_nothing_is_sent_while_a_job_runs_even_to_a_bucket_that_encrypts(place: Place) -> None:
    place.store = Encrypting(place.folder / "cloud" / "images")
    with place.emulator(slow_job_s=600) as go, pytest.raises(WaitTimeoutError):
        go(pace=PollPolicy(place.nap, place.clock, limit_s=5))
    begun = place.store.created
    with place.emulator() as go:
        done = go()
        assert len(place.running.board.images()) == 1
    assert (done.sent, place.store.created) == (0, begun)
    assert done.job_id == place.jobs[0]


def test_two_processes_never_import_the_same_image_at_once(place: Place) -> None:
    lock = place.folder / "local" / "disk.imsprep.lock"
    with place.emulator() as go:
        with locked(lock, "x"), pytest.raises(TransferError, match=r"works on the import of disk\.raw"):  # fmt: skip
            go()
        assert place.running.board.images() == []
        with locked(lock, "x"):
            threads = [threading.Thread(target=go, kwargs={"lock_wait_s": 1e6}) for _ in range(3)]
            for thread in threads:
                thread.start()
        for thread in threads:
            thread.join()
        assert len(place.running.board.images()) == 1
    assert not lock.exists()


def test_another_mount_or_machine_goes_on_with_the_same_import(place: Place) -> None:
    with place.emulator(slow_job_s=600) as go, pytest.raises(WaitTimeoutError):
        go(pace=PollPolicy(place.nap, place.clock, limit_s=5))
    identity = replace(place.prepared.identity, device=12345)
    place.prepared = replace(place.prepared, identity=identity)
    with place.emulator() as go:
        assert go().job_id == place.jobs[0]
        assert len(place.running.board.images()) == 1


@pytest.mark.slow
def test_another_bitmap_is_another_import(place: Place) -> None:
    with place.emulator() as go:
        first = go(with_sha256=False)
        image, bitmap = place.prepared.artefacts
        bitmap.path.write_bytes(b"\xff" * 5)
        other = replace(bitmap, identity=Identity.of(bitmap.path))
        place.prepared = replace(place.prepared, artefacts=(image, other))
        assert go(with_sha256=False).image_id != first.image_id


def test_killed_before_cleaning_the_next_run_cleans(place: Place) -> None:
    with place.emulator() as go:
        go()
        assert go(cleanup="success").removed == ("disk.raw", "disk.mf")
    assert place.store.head("disk.raw") is None


def test_cleanup_removes_no_object_that_a_manifest_only_names(place: Place) -> None:
    path = place.folder / "local/disk.imsprep.json"
    with place.emulator() as go:
        go()
        etag = place.store.put("theirs.bin", b"theirs")
        value = json.loads(path.read_text())
        value["objects"][0] |= {"key": "theirs.bin", "size": 6, "etag": etag}
        del value["checksum"]
        path.write_text(json.dumps(value))
        go(cleanup="always")
    assert place.store.head("theirs.bin") is not None
