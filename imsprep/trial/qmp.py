"""QEMU's monitor: a line of JSON asks, a line answers, and events come in between.

Source: docs/interop/qmp-spec.rst of QEMU. A connection serves one thread.
"""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path
from typing import Any

from imsprep.trial.plan import said_to_monitor

_PATIENCE_S = 60.0  # for an answer; a busy machine draws its screen late


class MonitorError(Exception):
    """QEMU went away or refused."""


class Monitor:
    """A connection to a running QEMU; `events` holds those that were not looked at yet."""

    def __init__(self, path: Path) -> None:
        """Connect; OSError if QEMU does not listen yet."""
        self.events: list[dict[str, object]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_PATIENCE_S)
        try:
            self._socket.connect(str(path))
            self._lines = self._socket.makefile("rb")
            self._next()  # the greeting
            self.ask("qmp_capabilities")
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def ask(self, name: str, **arguments: object) -> object:
        """Give a command and return what it returns; MonitorError."""
        try:
            self._socket.sendall(said_to_monitor(name, **arguments))
            while True:
                said = self._next()
                if "event" in said:
                    self.events.append(said)
                elif "error" in said:
                    raise MonitorError(str(said["error"].get("desc")))
                elif "return" in said:
                    return said["return"]
        except (OSError, ValueError) as error:
            raise MonitorError(f"QEMU's monitor does not answer: {error}") from error

    def take_events(self) -> list[dict[str, Any]]:
        """Return the events since the last time."""
        with contextlib.suppress(MonitorError):
            self.ask("query-status")  # what came before its answer is read with it
        events, self.events = self.events, []
        return events

    def _next(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise MonitorError("QEMU has ended")
        said: dict[str, object] = json.loads(line)
        return said
