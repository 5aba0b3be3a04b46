"""Two Debian systems that are really built and really booted; `make guest-boots` has all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.running import need

PROGRAMS = ("qemu-system-x86_64", "mmdebstrap", "mkfs.ext4", "sgdisk", "losetup")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(7200),
    need(*PROGRAMS),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to build a Debian"),
    # On a busy machine that emulates, 8 minutes with a Debian that is there, and 6 more to build it.
    # IMSPREP_BOOTS=FOLDER keeps the Debian there for the next time.
    pytest.mark.skipif("IMSPREP_BOOTS" not in os.environ, reason="IMSPREP_BOOTS=1 boots them"),
]


def test_the_good_system_boots_and_the_broken_one_is_called_so(tmp_path: Path) -> None:
    names = ("ext4-mbr-ifupdown", "root-uuid-gone")
    kept = Path(os.environ["IMSPREP_BOOTS"])
    out = kept if kept.is_absolute() else tmp_path
    place = out / "results.json"
    if place.exists():  # of an earlier run
        earlier = json.loads(place.read_text())
        place.write_text(json.dumps({n: r for n, r in earlier.items() if n not in names}))
    subprocess.run(
        [sys.executable, ROOT / "fixtures/boot_systems.py", "--out", out, "--limit", "1800",
         *names],
        check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    results = json.loads(place.read_text()) if place.exists() else {}
    if not all(name in results for name in names):
        pytest.skip("no Debian can be built on this machine")
    good, broken = (results[name] for name in names)
    assert good["boot"]["verdict"] == "login"
    assert good["boot"]["cloud_init_source"] == "DataSourceOpenStackLocal"
    assert [row for row in good["findings"] if row[1] == "error"] == []
    assert broken["boot"]["verdict"] == "initramfs-prompt"
    assert "99999999-9999-4999-8999-999999999999" in broken["boot"]["line"]
    assert [rule for rule, severity, _ in broken["findings"] if severity == "error"] == ["IMS813"]
