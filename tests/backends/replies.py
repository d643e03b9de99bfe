"""Scripted replies: recorded ones from ``tests/captures``, synthetic ones written out beside their source."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import httptools

from nexus.backends import ADAPTERS, Report
from nexus.backends.base import Root
from nexus.domain import BackendStatus, BackendType, Model
from nexus.errors import ConnectRefused, UpstreamError
from nexus.http.client import Fetched
from nexus.protocol.headers import Header

CAPTURES = Path(__file__).parent.parent / "captures"

Script = Fetched | UpstreamError


class _Collected:
    def __init__(self) -> None:
        self.headers: list[Header] = []
        self.body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, data: bytes) -> None:
        self.body += data


def recorded(name: str) -> Fetched:
    """Read ``SERVER/EXCHANGE`` from the captures."""
    raw = (CAPTURES / f"{name}.resp").read_bytes()
    collected = _Collected()
    parser = httptools.HttpResponseParser(collected)
    parser.feed_data(raw)
    return Fetched(parser.get_status_code(), collected.headers, collected.body)


def synthetic(body: object = b"", status: int = 200, /, **headers: str) -> Fetched:
    """Make a reply; anything but bytes becomes JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Fetched(status, fields, raw)


NOT_FOUND = synthetic({"detail": "Not Found"}, 404)


class ScriptedProbe:
    """Answers from a table by path; API paths are written with ``/v1``. Everything asked is kept."""

    def __init__(self, replies: Mapping[str, Script], default: Script = NOT_FOUND) -> None:
        self._replies = replies
        self._default = default
        self.asked: list[str] = []
        self.posted: list[bytes] = []

    async def get(self, path: str, *, root: Root = "native", headers: Sequence[Header] = ()) -> Fetched:
        del headers
        return self._answer(path, root)

    async def post(
        self, path: str, body: bytes, *, root: Root = "native", headers: Sequence[Header] = ()
    ) -> Fetched:
        del headers
        self.posted.append(body)
        return self._answer(path, root)

    def _answer(self, path: str, root: Root) -> Fetched:
        full = f"/v1{path}" if root == "api" else path
        self.asked.append(full)
        reply = self._replies.get(full, self._default)
        if isinstance(reply, UpstreamError):
            raise reply
        return reply


REFUSED = ConnectRefused("connection refused")

LLAMA = {
    "/health": recorded("llamacpp-xllamacpp/health"),
    "/v1/models": recorded("llamacpp-xllamacpp/models"),
    "/props": recorded("llamacpp-xllamacpp/props"),
}

# wire.md fact 4: 200 for any path that it does not have, and an ERROR line in the user's log.
ANYTHING = synthetic({"error": "Unexpected endpoint or method. (GET /x)"}, X_Powered_By="Express")

HEALTHY, LOADING = BackendStatus.HEALTHY, BackendStatus.LOADING
UNHEALTHY, UNAUTHORIZED = BackendStatus.UNHEALTHY, BackendStatus.UNAUTHORIZED

FORBIDDEN = re.compile(r"^(/slots|/metrics|/v1/chat|/v1/completions|/api/generate|/api/chat)|model=|reload=")


async def poll(kind: BackendType, probe: ScriptedProbe, memory: dict[str, object] | None = None) -> Report:
    """Run one round; asking anything that is not free fails the test."""
    report = await ADAPTERS[kind].poll(probe, memory)
    assert not [path for path in probe.asked if FORBIDDEN.search(path)]
    return report


def only(report: Report) -> Model:
    """Return the one model of a report."""
    assert report.models is not None
    assert len(report.models) == 1
    return report.models[0]
