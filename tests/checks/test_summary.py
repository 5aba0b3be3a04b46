from __future__ import annotations

import dataclasses
import json
from importlib import resources

import jsonschema
import pytest

from imsprep.checks.policy import EVERYTHING
from imsprep.checks.registry import all_rules
from imsprep.checks.summary import summary
from imsprep.guest.model import WINDOWS, Guest
from imsprep.report import FactValues, GuestValues
from tests.support.checks.rules import GOOD
from tests.support.guest.trees import debian, linux_guest

SCHEMA = json.loads(resources.files("imsprep").joinpath("data", "check.schema.json").read_text())
NAMED = [
    (linux_guest(debian()), "Debian GNU/Linux 10 (buster)"),
    (linux_guest({"/bin/sh": b"", "/etc/fstab": ""}), None),
    (Guest(WINDOWS, registry={"ProductName": "Windows Server\x1b[31m 2019"}),
     r"Windows Server\x1b[31m 2019"),
    (Guest(WINDOWS), None),
]  # fmt: skip


def test_what_is_not_known_is_left_out() -> None:
    facts = dataclasses.replace(GOOD, virtual_size=None, disk=None)
    assert summary(facts, (), EVERYTHING) == {
        "format": "raw",
        "file_size": GOOD.file_size,
        "site": "otc",
    }
    bare = dataclasses.replace(GOOD, disk=dataclasses.replace(GOOD.disk, table=None, partitions=()))
    assert "partition_table" not in summary(bare, (), EVERYTHING)
    assert summary(bare, (), EVERYTHING)["partitions"] == []


def test_the_schema_of_the_check_describes_every_fact() -> None:
    described = {"$defs": SCHEMA["$defs"], **SCHEMA["$defs"]["facts"]}
    assert set(described["properties"]) == set(FactValues.__annotations__)
    facts = dataclasses.replace(GOOD, guest=linux_guest(debian()))
    jsonschema.validate(json.loads(json.dumps(summary(facts, all_rules(), EVERYTHING))), described)


@pytest.mark.parametrize(("guest", "name"), NAMED)
def test_the_system_inside_has_the_name_that_it_gives_itself(
    guest: Guest, name: str | None
) -> None:
    said = summary(dataclasses.replace(GOOD, guest=guest), all_rules(), EVERYTHING)["guest"]
    assert said["name"] == name
    assert set(said) == set(GuestValues.__annotations__)
