"""What is said of an upload: how it went, where its target is, and how to go on."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from imsprep.cli.progress.upload import if_interrupted, target_options, tell_how_it_went
from imsprep.store.target import parse_target
from imsprep.upload.values import Uploaded

DONE = Uploaded("disk.raw", 9, "e", 1, 5, 4, 0)


def said_of(done: Uploaded, capsys: pytest.CaptureFixture[str]) -> list[str]:
    tell_how_it_went(done)
    return capsys.readouterr().err.splitlines()


def test_of_an_upload_that_went_well_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert said_of(DONE, capsys) == []


def test_all_that_a_person_has_to_know_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    done = replace(
        DONE, sharing="others may write to it", restarted="the image changed",
        left_behind=("bkt at eu-de", "a b.raw"), left="disk.mf: refused",
    )  # fmt: skip
    assert said_of(done, capsys) == [
        "imsprep: warning: disk.raw: others may write to it",
        "imsprep: disk.raw was started from the beginning: the image changed",
        "imsprep: to remove what that upload left: imsprep uploads abort --to bkt --region eu-de"
        " --key 'a b.raw'",
        "imsprep: left in the bucket: disk.mf: refused; remove it with `imsprep uploads abort`",
    ]


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("local:/a b", {}),
        ("local:/a?bucket=one", {}),
        ("obs:bkt/p", {"region": "eu-de"}),
        ("obs:bkt", {"endpoint": "http://127.0.0.1:9"}),
    ],
)
def test_the_options_of_a_target_lead_to_it(text: str, more: dict[str, str]) -> None:
    target = parse_target(text, **more)
    words = shlex.split(target_options(str(target)))
    again = parse_target(words[1], **{words[2][2:]: words[3]} if words[2:] else {})
    assert (again.bucket, again.folder) == (target.bucket, target.folder)
    assert (again.region, again.endpoint) == (target.region, target.endpoint)


def test_what_could_not_be_compared_in_a_bucket_that_encrypts_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = Uploaded("k", 9, "e", 1, 5, 4, 0, etags_compared=False)
    for one, words in (
        (done, ["ETags are not MD5s", "the MD5 of each part that was sent", "size alone"]),
        (replace(done, copied=0), ["ETags are not MD5s", "the MD5 of each part that was sent"]),
    ):
        tell_how_it_went(one)
        said = " ".join(capsys.readouterr().err.split())
        assert [word for word in words if word in said] == words
    assert "size alone" not in said
    for quiet in (replace(done, etags_compared=True), replace(done, skipped=True)):
        tell_how_it_went(quiet)
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)])
def test_an_interruption_says_how_to_go_on_and_goes_on(
    capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    with pytest.raises(type(error)), if_interrupted(lambda: ["run it", "again"]):
        raise error
    assert capsys.readouterr().err.splitlines() == ["run it", "again"]


def test_neither_an_end_nor_an_error_is_an_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    with if_interrupted(lambda: ["again"]):
        pass
    with pytest.raises(ValueError, match="wrong"), if_interrupted(lambda: ["again"]):
        raise ValueError("wrong")
    assert capsys.readouterr().err == ""
