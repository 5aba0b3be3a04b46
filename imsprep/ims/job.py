"""JobStatus: what the service says of an import job, read from either of its two answers.

`GET /v1/cloudimages/job/{job_id}` and `GET /v1/{project_id}/jobs/{job_id}` answer in nearly the
same shape (API reference, "Querying the Progress of an Asynchronous Job" and "Querying the Status
of an Asynchronous Job"). Statuses are INIT, RUNNING, SUCCESS and FAIL; any other is kept as it
stands and is not an end. No body of a failed job is published, so a reason is looked for in every
place that the documents and Huawei's SDK know, and may be missing in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from imsprep.errors import show_words
from imsprep.ims.error_codes import explain_job

SUCCESS = "SUCCESS"
FAIL = "FAIL"

_LONGEST, _WORD = 10_000, 100  # characters of a text, and of a status or a name, that are kept
# Pairs of members that may hold a code and a reason, most specific first. The first stands at the
# top of the answer, the others in `entities` (members of the SDK's JobEntities).
_TOP = ("error_code", "fail_reason")
_ENTITIES = (("addition_error_code", "addition_error_msg"), ("error_code", "error"))


@dataclass(frozen=True)
class JobStatus:
    """One answer to "how far is the job?"."""

    job_id: str
    status: str  # as the service writes it, in capitals
    job_type: str | None = None
    progress: float | None = None  # 0 to 1
    task: str | None = None  # what the service says it is doing
    image_id: str | None = None  # only after SUCCESS; one that is shown earlier means nothing
    image_name: str | None = None
    begin_time: str | None = None  # as written; more than one format is documented
    end_time: str | None = None
    reasons: tuple[str, ...] = ()  # codes and sentences of a failure, word for word

    @property
    def finished(self) -> bool:
        """Return whether the job has ended."""
        return self.status in (SUCCESS, FAIL)

    @property
    def succeeded(self) -> bool:
        """Return whether the job ended well and named its image."""
        return self.status == SUCCESS

    @property
    def why_failed(self) -> str:
        """All the reasons as one text, with what helps, or a sentence that there are none."""
        return explain_job(self.reasons)

    @property
    def percent(self) -> int | None:
        """How far the job is, 0 to 100; of a job that succeeded 100, whatever the answer says.

        None if that is not known: 0, which a job that runs may keep to its end, says nothing.
        """
        if self.status == SUCCESS:
            return 100
        return round(self.progress * 100) if self.progress else None

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON; what is unknown is left out."""
        values = {k: v for k, v in vars(self).items() if v not in (None, ())}
        return values | ({"reasons": list(self.reasons)} if self.reasons else {})


def parse(body: Mapping[str, object], job_id: str) -> JobStatus:
    """Read an answer leniently: only `status` is needed; ValueError if there is none."""
    status = _text(body.get("status"), _WORD)
    if status is None:
        raise ValueError("the answer has no status")
    status = status.upper()
    entities = _mapping(body.get("entities"))
    return JobStatus(
        job_id=_text(body.get("job_id")) or job_id,
        status=status,
        job_type=_text(body.get("job_type"), _WORD),
        progress=_share(entities.get("process_percent")),
        task=_text(entities.get("current_task")),
        image_id=_image_id(entities) if status == SUCCESS else None,
        image_name=_text(entities.get("image_name")),
        begin_time=_text(body.get("begin_time")),
        end_time=_text(body.get("end_time")),
        reasons=tuple(dict.fromkeys(_reasons(body))) if status == FAIL else (),
    )


def _reasons(body: Mapping[str, object]) -> Iterator[str]:
    """Yield every code and reason of a failed job and of its sub-jobs."""
    entities = _mapping(body.get("entities"))
    places = [(body, _TOP), *((entities, names) for names in _ENTITIES)]
    for place, (code_name, reason_name) in places:
        code, reason = _text(place.get(code_name)), _text(place.get(reason_name))
        if code or reason:
            yield " ".join(part for part in (code, reason) if part)
    alarm = _text(entities.get("alarm_code"))
    if alarm:
        yield f"alarm {alarm}"
    for name in ("sub_jobs_result", "results"):
        for sub_job in _list(entities.get(name)):
            if isinstance(sub_job, Mapping):
                yield from _reasons(sub_job)


def _image_id(entities: Mapping[str, object]) -> str | None:
    """Return the image's id from the entities, or from the one result that they list."""
    own = _text(entities.get("image_id"))
    if own:
        return own
    listed = [r for name in ("results", "sub_jobs_result") for r in _list(entities.get(name))]
    for result in listed:
        found = _mapping(result).get("image_id") or _mapping(_mapping(result).get("entities")).get(
            "image_id"
        )
        if _text(found):
            return _text(found)
    return None


def _text(value: object, longest: int = _LONGEST) -> str | None:
    """Return a value as text on one line; None, "" and nested values count as nothing."""
    if value is None or isinstance(value, Mapping | list | bool):
        return None
    return show_words(str(value), longest) or None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _share(value: object) -> float | None:
    """Read `process_percent`: documented as 0 to 1; a value above is taken as per cent."""
    if not isinstance(value, int | float | str):
        return None
    try:
        share = float(value)
    except (ValueError, OverflowError):  # an int may be beyond every float
        return None
    if share != share or share < 0:
        return None
    return min(share if share <= 1 else share / 100, 1.0)
