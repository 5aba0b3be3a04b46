"""The summary of a batch as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema

from imsprep.pipeline.batch.reports import render
from imsprep.pipeline.batch.reports.json import schema
from imsprep.pipeline.batch.values import BatchSummary


def test_the_json_fits_its_schema_and_says_the_same(nasty: BatchSummary) -> None:
    value = json.loads(render(nasty, "json"))
    jsonschema.validate(value, schema())
    assert value["exit_code"] == 6
    assert value["counts"] == {"done": 2, "failed": 1, "planned": 0, "refused": 1, "waiting": 1,
                               "interrupted": 0, "unchecked": 0}  # fmt: skip
    stopped = json.loads(render(replace(nasty, interrupted=130), "json"))
    jsonschema.validate(stopped, schema())
    assert stopped["exit_code"] == 130
    assert [i["state"] for i in value["images"]] == ["done", "refused", "failed", "waiting", "done"]
