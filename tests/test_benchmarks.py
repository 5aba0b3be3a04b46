"""The benchmarks' harness: its figures and goals. Nothing is timed here."""

from __future__ import annotations

import importlib
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("psutil", reason="not installed: psutil")

from benchmarks import stream
from benchmarks.__main__ import FAMILIES, keep, machine, rows
from benchmarks.harness import MIB, Case, Goal, Result, run_case
from benchmarks.inputs import Inputs
from benchmarks.measure import command, peak_memory, timed
from benchmarks.sink import Sink
from benchmarks.tables import costs, measured_on
from imsprep.cloud.credentials import Credentials
from imsprep.store.obs import open_obs
from imsprep.upload.journal import Journal
from imsprep.upload.plan import plan_plain
from imsprep.upload.transfer import upload
from imsprep.upload.values import Destination, TransferPolicy
from tests.support.running import need
from tests.support.store.gateway import Relay
from tests.support.upload.file import File


def reporting(seconds: float, **figures: float) -> list[str]:
    return [
        sys.executable,
        "-c",
        f"import json; print(json.dumps({dict(seconds=seconds, **figures)!r}))",
    ]


def made(*goals: Goal, ours: float = 1.0, peer: float = 3.0) -> Result:
    case = Case(
        "a case", command(*reporting(ours, wire=5), reports=True),
        command(*reporting(peer), reports=True), "a peer", goals, runs=3, memory=False,
    )  # fmt: skip
    return run_case("family", case)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_that_is_offered_has_cases(family: str) -> None:
    assert callable(importlib.import_module(f"benchmarks.{family}").cases)


def test_a_ratio_is_the_peers_time_by_ours() -> None:
    result = made(Goal("ratio", ">=", 2.5), Goal("wire", "<=", 4))
    assert result.median("ratio") == 3.0
    assert [goal["met"] for goal in result.as_dict()["goals"]] == [True, False]
    assert rows(result) == [
        "| a case | a peer | ratio | ≥ 2.5 | 3 | 3 | 3 | met |",
        "| a case | a peer | wire | ≤ 4 | 5 | 5 | 5 | **missed** |",
    ]


@pytest.mark.slow
def test_a_ratio_without_a_goal_is_shown_and_not_judged() -> None:
    shown = "| a case | a peer | ratio |  | 3 | 3 | 3 |  |"
    assert rows(made()) == [shown]
    assert shown not in rows(made(Goal("wire", "<=", 5)))


def test_what_both_made_is_compared() -> None:
    case = Case(
        "a case", command(*reporting(1), reports=True), command(*reporting(1), reports=True),
        "a peer", (Goal("size_ratio", "<=", 1),), runs=1, memory=False,
        after_ours=lambda: {"size": 30.0}, after_peer=lambda: {"size": 40.0},
    )  # fmt: skip
    assert run_case("family", case).median("size_ratio") == 0.75


def test_the_figures_of_a_case_take_the_place_of_its_older_ones(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    for family, case, seconds in [
        ("upload", "a", 1), ("scan", "b", 2), ("scan", "c", 3), ("upload", "a", 4), ("scan", "b", 5),
    ]:  # fmt: skip
        keep(path, {"family": family, "case": case, "peer": "p", "seconds": seconds})
    results = json.loads(path.read_text())["results"]
    found = [(one["family"], one["case"], one["seconds"]) for one in results]
    assert found == [("scan", "b", 5), ("scan", "c", 3), ("upload", "a", 4)]
    assert all(one["machine"] == machine() for one in results)


def test_figures_of_two_machines_are_told_apart() -> None:
    here = {"cpu": "X", "cores": 2, "memory_gib": 8, "system": "Linux 6", "python": "3.11"}
    results = [{"case": name, "machine": here} for name in ("a", "b", "a")]
    shown = "X, 2 cores, 8 GiB, Linux 6, Python 3.11."
    assert measured_on(results) == [f"Measured on {shown}"]
    results[1]["machine"] = {**here, "cpu": "Y"}
    assert measured_on(results) == [f"- a: on {shown}", f"- b: on {shown.replace('X', 'Y')}"]


def test_the_processor_time_of_store_and_line_is_a_table() -> None:
    figures = {
        name: {"min": s, "median": s, "max": s}
        for name, s in {"cpu_s": 3, "store_cpu_s": 1.25, "line_cpu_s": 0.5, "peer_cpu_s": 4,
                        "peer_store_cpu_s": 2, "peer_line_cpu_s": 0.25}.items()
    }  # fmt: skip
    one = {"case": "a case", "peer": "a peer", "figures": figures}
    other = {"case": "without", "peer": "-", "figures": {"cpu_s": figures["cpu_s"]}}
    assert costs([one, other])[2:] == ["| a case | 3 + 1.25 + 0.5 | a peer | 4 + 2 + 0.25 |"]
    assert costs([other]) == []


def test_a_command_that_fails_stops_the_run() -> None:
    with pytest.raises(SystemExit, match="ended with 3"):
        timed(command(sys.executable, "-c", "raise SystemExit(3)"))


@pytest.mark.slow
def test_memory_counts_the_children() -> None:
    hold = "import time; held = bytearray(64 << 20); time.sleep(0.4)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}], check=True)"
    assert peak_memory(command(sys.executable, "-c", parent)) > 64 * MIB


def test_what_a_command_writes_to_files_is_counted(tmp_path: Path) -> None:
    kind = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, check=True)
    if kind.stdout.strip() == b"tmpfs":
        pytest.skip("the folder lies in memory, where no file is written to a disk")
    code = f"open({str(tmp_path / 'made')!r}, 'wb').write(bytes(8 << 20))"
    assert 8 * MIB <= timed(command(sys.executable, "-c", code)).written < 9 * MIB


@need("strace")
def test_what_is_read_of_an_image_is_counted_by_its_data(tmp_path: Path) -> None:
    image = tmp_path / "disk.raw"
    with image.open("wb") as file:
        file.truncate(1 << 40)  # holes are neither data nor looked at
        file.seek(1 << 30)
        file.write(b"x" * 4 * MIB)
    code = (
        "import os, threading; f = os.open({!r}, 0);"
        "read = lambda n: os.pread(f, 1 << 20, (1 << 30) + (n << 20));"
        "t = [threading.Thread(target=read, args=(n,)) for n in range(3)];"
        "[x.start() for x in t]; [x.join() for x in t]"
    )
    reads = command(sys.executable, "-c", code.format(str(image)))
    assert stream.read_share(reads, image) == {"read_share": 0.75}


def test_a_relay_says_when_the_first_part_began_and_is_as_slow_as_its_line() -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), Taker) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        with Relay(server.server_address[1], bytes_per_s=1e6) as line:
            for request, begun in ((b"x" * 1000, False), (b"x" * 200_000, True)):
                with socket.create_connection(line.server_address) as client:
                    client.sendall(request)
                    client.shutdown(socket.SHUT_WR)
                    started = time.monotonic()
                    assert client.recv(9) == b"done"
                assert (line.begun_s is not None) == begun
            assert time.monotonic() - started > 0.1
            assert line.count == 201_000
            line.again()
            assert (line.count, line.begun_s) == (0, None)
        server.shutdown()


class Taker(socketserver.BaseRequestHandler):
    """Takes all that is sent, and says so."""

    def handle(self) -> None:
        while self.request.recv(1 << 16):
            pass
        self.request.sendall(b"done")


def test_inputs_hold_what_their_names_say(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path)
    zeros, random = inputs.zeros(MIB), inputs.random(MIB)
    assert zeros.read_bytes() == bytes(MIB)
    assert zeros.stat().st_blocks * 512 >= MIB  # written, no hole
    assert len(set(random.read_bytes())) == 256
    assert inputs.zeros(MIB).stat().st_ino == zeros.stat().st_ino  # made once
    quarter = inputs.share(128 * MIB, 25)
    assert quarter.stat().st_blocks * 512 == 32 * MIB
    extents = inputs.extents(64 * MIB, 4, MIB)
    assert extents.stat().st_blocks * 512 == MIB


@pytest.mark.slow
def test_a_bucket_that_keeps_nothing_takes_an_upload_and_counts_it(tmp_path: Path) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(os.urandom(12 * MIB))
    keys = Credentials("key", "secret")
    with Sink() as sink:
        store = open_obs("bench", endpoint=sink.endpoint, region="any", credentials=keys)
        source, plan = File(image), plan_plain(12 * MIB, part_size=10 * MIB)
        to = Destination(store, "obs:bench", "disk.raw", Journal.for_file(image), image)
        done = upload(source, plan, to, TransferPolicy(), lambda **_: None)
        size, etag, _ = sink.objects["disk.raw"]
        assert (size, etag) == (12 * MIB, done.etag)
        assert 12 * MIB < sink.count + 1 <= 12 * MIB + 64 * 1024
        assert sink.begun_s is not None
        sink.forget()
        assert store.head("disk.raw") is None
        store.close()
