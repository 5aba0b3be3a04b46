"""Refusals of the service: read from every documented shape, and said with what helps."""

from __future__ import annotations

import pytest

from imsprep.ims.error_codes import (
    CODES,
    PASSING,
    STATUSES,
    explain,
    explain_job,
    is_error,
    read_error,
)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": {"code": "IMG.0001", "message": "m"}}, "IMG.0001", "m"),
        ({"error_code": "APIGW.0301", "error_msg": "m"}, "APIGW.0301", "m"),
        ({"error_code": "X.1", "message": "m"}, "X.1", "m"),
        ({"code": "X.1", "error": "in words"}, "X.1", "in words"),
        ({"error": {"code": 7}}, "7", None),
        ({"error": {"code": ""}}, None, None),
        ([], None, None),
        (None, None, None),
    ],
)
def test_code_and_message_are_read_from_any_shape(
    body: object, code: str | None, message: str | None
) -> None:
    assert read_error(body) == (code, message)


def test_the_error_code_of_a_job_is_no_error_of_the_answer() -> None:
    assert not is_error({"job_id": "1", "error_code": "IMG.0057", "status": "FAIL"})
    assert is_error({"error_msg": "x", "error_code": "y"})
    assert not is_error([])


def test_a_refusal_is_said_in_the_services_words_and_with_what_helps() -> None:
    assert explain(400, "IMG.0009", "exists") == "400 IMG.0009: exists (choose another name)"
    assert explain(400, "IMG.0009", None).startswith("400 IMG.0009: The image name already exists.")
    assert explain(503, None, None) == "503: The service is unavailable. (try again later)"
    assert explain(418, "NEW.1", None) == "418 NEW.1: no explanation"


def test_a_missing_right_is_the_one_that_the_request_needs() -> None:
    said = explain(403, None, "denied", right="ims:images:list")
    assert said == "403: denied (the account needs ims:images:list)"
    assert "ims:serverImages:create" in explain(403, None, "denied")


def test_each_code_says_what_to_do_also_where_a_job_fails_with_it() -> None:
    for code, refusal in CODES.items():
        assert refusal.advice, code
        assert refusal.advice in explain(400, code, "words")
        assert explain_job([f"{code} words"]) == f"{code} words ({refusal.advice})"
        assert refusal.meaning in explain_job([code])
    assert "enterprise project" in explain(403, "IMG.0155", "words")
    assert explain_job(["NEW.1 words", "alarm 7"]) == "NEW.1 words; alarm 7"
    assert explain_job([]) == "the service gave no reason"


def test_a_refused_key_may_be_one_whose_token_has_expired() -> None:
    for said in (explain(401, None, "x"), explain(401, "APIGW.0301", "x is expired")):
        assert "security token has expired" in said


def test_what_is_tried_again_is_documented() -> None:
    assert set(CODES) >= PASSING
    assert all(refusal.meaning for refusal in (*CODES.values(), *STATUSES.values()))
