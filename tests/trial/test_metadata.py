"""What the metadata service answers, by itself and as the program that QEMU starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.trial.metadata import answer, path_of


def get(path: str) -> tuple[int, bytes]:
    reply = answer(f"GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n".encode())
    head, _, body = reply.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    return int(head.split()[1]), body


def test_openstack_is_found_and_read() -> None:
    code, versions = get("/openstack")
    assert code == 200
    assert b"latest" in versions.split(b"\n")
    code, body = get("/openstack/2018-08-27/meta_data.json")
    assert (code, json.loads(body)["name"]) == (200, "imsprep-boot")
    (link,) = json.loads(get("/openstack/latest/network_data.json")[1])["links"]
    assert link["ethernet_mac_address"].startswith("fa:16:3e")


@pytest.mark.parametrize(
    ("path", "code", "body"),
    [
        ("/openstack/latest/user_data", 404, b""),
        ("/openstack/1999-01-01/meta_data.json", 404, b""),
        ("/latest/meta-data/instance-id", 200, b"i-00000001"),
        ("/latest/meta-data/placement/", 200, b"availability-zone"),
        ("/latest/meta-data/no", 404, b""),
        ("/latest/user-data", 404, b""),
        ("/nothing", 404, b""),
        ("/", 200, b"2009-04-04\nlatest"),
    ],
)
def test_each_path_has_its_answer(path: str, code: int, body: bytes) -> None:
    assert get(path) == (code, body)


@given(st.binary(max_size=300))
def test_no_request_raises(request_: bytes) -> None:
    assert answer(request_).startswith(b"HTTP/1.1 ")


def test_other_methods_are_refused() -> None:
    assert path_of(b"PUT /latest/api/token HTTP/1.1\r\n\r\n") is None
    assert answer(b"PUT /latest/api/token HTTP/1.1\r\n\r\n").split()[1] == b"400"


def test_the_program_answers_one_request_and_notes_it(tmp_path: Path) -> None:
    log = tmp_path / "asked"
    done = subprocess.run(
        [sys.executable, "-m", "imsprep.trial.metadata_server", log],
        input=b"GET /openstack HTTP/1.1\r\n\r\n", capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(b"HTTP/1.1 200 OK\r\n")
    assert log.read_text() == "/openstack\n"
