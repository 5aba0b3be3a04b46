"""Submission: an import is asked for at most once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imsprep.emulator.faults import Faults
from imsprep.errors import (
    JobFailedError,
    ServiceError,
    TransferError,
    UncertainError,
    WaitTimeoutError,
)
from imsprep.ims.listed import CloudImage
from imsprep.ims.request import QuickImportRequest
from imsprep.ims.submit import Started, find_image, look, submit, wait_for_image
from imsprep.ims.wait import PollPolicy
from tests.support.ims.answers import Clock
from tests.support.ims.imscloud import REQUEST, client, cloud

OURS = CloudImage("i-1", "web01", "queued", "file,images:disk.raw")


class Service:
    """The import API, played."""

    def __init__(
        self, *posts: str | Exception, images: list[list[CloudImage] | Exception] | None = None
    ) -> None:
        self.posts, self.listed = list(posts), images or [[]]
        self.posted = 0

    def quick_import(self, request: QuickImportRequest, *, limit_s: float) -> str:
        self.posted += 1
        step = self.posts.pop(0) if len(self.posts) > 1 else self.posts[0]
        if isinstance(step, Exception):
            raise step
        return step

    def images(self, name: str, tag: str | None = None, *, limit_s: float) -> list[CloudImage]:
        step = self.listed.pop(0) if len(self.listed) > 1 else self.listed[0]
        if isinstance(step, Exception):
            raise step
        return step


def pace(clock: Clock) -> PollPolicy:
    return PollPolicy(clock.sleep, clock)


def test_a_clear_answer_is_the_job() -> None:
    service = Service("j-1")
    assert submit(service, REQUEST, pace(Clock()), before=()) == Started(job_id="j-1")


def test_a_busy_service_is_asked_again_and_not_for_ever() -> None:
    service, clock = Service(TransferError("429"), TransferError("429"), "j-1"), Clock()
    assert submit(service, REQUEST, pace(clock), before=()).job_id == "j-1"
    assert clock.slept == [10, 20]
    with pytest.raises(TransferError, match="429"):
        submit(Service(TransferError("429")), REQUEST, pace(clock), before=())


def test_after_doubt_the_image_is_looked_for_and_nothing_is_posted_again() -> None:
    listed: list[list[CloudImage] | Exception] = [[], TransferError("503"), [OURS]]
    service = Service(UncertainError("no answer"), images=listed)
    started = submit(service, REQUEST, pace(Clock()), before=())
    assert started == Started(image_id="i-1")
    assert service.posted == 1


@pytest.mark.parametrize("listed", [[], ServiceError("no rights", status=403)])
def test_doubt_that_stays_is_told_and_nothing_is_posted_again(
    listed: list[CloudImage] | Exception,
) -> None:
    service, clock = Service(UncertainError("no answer"), images=[listed]), Clock()
    with pytest.raises(UncertainError, match="run the same command again"):
        submit(service, REQUEST, pace(clock), before=())
    assert service.posted == 1
    assert clock.now <= 120


def test_a_look_goes_on_for_its_time_and_no_longer() -> None:
    listed: list[list[CloudImage] | Exception] = [[], TransferError("503"), [OURS]]
    clock = Clock()
    found = look(Service("", images=listed), REQUEST, pace(clock), before=(), limit_s=60)
    assert (found, clock.slept) == (OURS, [10, 10])
    for limit_s in (0, 25):
        clock = Clock()
        nothing = look(Service(""), REQUEST, pace(clock), before=(), limit_s=limit_s)
        assert (nothing, clock.now) == (None, limit_s)
    failing = Service("", images=[TransferError("503")])
    with pytest.raises(TransferError, match="503"):
        look(failing, REQUEST, pace(Clock()), before=(), limit_s=25)


@pytest.mark.parametrize(
    ("image", "ours"),
    [
        (OURS, True),
        (OURS._replace(status="active"), True),
        (OURS._replace(origin=None), True),
        (OURS._replace(origin="file,images:other.raw"), False),
        (OURS._replace(status="killed"), False),
        (OURS._replace(status="deleted"), False),
    ],
)
def test_an_image_is_ours_by_name_origin_and_life(image: CloudImage, ours: bool) -> None:
    assert (find_image(Service("", images=[[image]]), REQUEST) is not None) is ours
    assert find_image(Service("", images=[[image]]), REQUEST, before=("i-1",)) is None


def test_an_image_is_waited_for() -> None:
    active = OURS._replace(status="active")
    listed: list[list[CloudImage] | Exception] = [[OURS], TransferError("x"), [OURS], [active]]
    clock = Clock()
    assert wait_for_image(Service("", images=listed), "web01", "i-1", pace(clock)) == "i-1"
    assert clock.slept == [10, 10, 10]
    for dead in ([OURS._replace(status="killed")], []):
        with pytest.raises(JobFailedError, match="did not make image i-1"):
            wait_for_image(Service("", images=[dead]), "web01", "i-1", pace(clock))
    clock = Clock()
    listed = [[OURS], [], [], [active]]
    assert wait_for_image(Service("", images=listed), "web01", "i-1", pace(clock)) == "i-1"
    with pytest.raises(WaitTimeoutError, match="was queued"):
        wait_for_image(Service("", images=[[OURS]]), "web01", "i-1", pace(Clock()))


def nap(clock: Clock) -> Callable[[float], None]:
    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        threading.Event().wait(0.02)

    return sleep


@pytest.mark.parametrize("tags", [None, ("a.b.c",)])
def test_against_the_emulator_an_accepted_post_without_an_answer_makes_one_image(
    tags: tuple[str, ...] | None, tmp_path: Path
) -> None:
    request, clock = replace(REQUEST, tags=tags), Clock()
    with cloud(tmp_path, faults=Faults(post_drop=1)) as (emulator, url, _):
        patient = PollPolicy(nap(clock), clock)
        started = submit(client(url), request, patient, before=())
        assert started.job_id is None
        assert started.image_id is not None
        wait_for_image(client(url), "web01", started.image_id, patient)
        assert len(emulator.board.images()) == 1


@pytest.mark.parametrize("fault", ["post_lost", "post_503"])
def test_against_the_emulator_a_lost_post_is_made_up_for_by_the_next_run(
    fault: str, tmp_path: Path
) -> None:
    clock = Clock()
    with cloud(tmp_path, faults=Faults(**{fault: 1})) as (emulator, url, _):
        with pytest.raises(UncertainError):
            submit(client(url), REQUEST, pace(clock), before=())
        assert emulator.board.images() == []
        assert look(client(url), REQUEST, pace(clock), before=(), limit_s=30) is None
        assert submit(client(url), REQUEST, pace(clock), before=()).job_id


def test_against_the_emulator_a_busy_service_is_asked_again(tmp_path: Path) -> None:
    with cloud(tmp_path, faults=Faults(post_429=2)) as (emulator, url, _):
        assert submit(client(url), REQUEST, pace(Clock()), before=()).job_id
        assert len(emulator.board.images()) == 1


def test_looking_for_a_lost_job_keeps_to_the_one_limit() -> None:
    service, clock = Service(UncertainError("503")), Clock()
    limited = PollPolicy(clock.sleep, clock, limit_s=12)
    with pytest.raises(UncertainError):
        submit(service, REQUEST, limited, before=())
    assert clock.now == 12
