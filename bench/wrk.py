"""Load by wrk, with every reply accounted for.

wrk counts statuses itself. Lengths are checked in two ways: before measuring, a hook looks at every
reply; while measuring, the bytes that came in must be exactly replies times the length of one. The
hook costs wrk 1.5 µs a reply, which would slow the faster servers more than the slower ones.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import msgspec

from bench import configs, machine
from bench.processes import BenchError, cpu_seconds, exchange, pinned
from bench.stage import Place

_SCRIPT: Final = """
wrk.method = "POST"
wrk.body = [[%s]]
wrk.headers["Content-Type"] = "application/json"
local threads = {}
function setup(thread) table.insert(threads, thread) end
function done(summary, latency, requests)
  local wrong = 0
  for _, thread in ipairs(threads) do wrong = wrong + (thread:get("wrong") or 0) end
  local e = summary.errors
  io.write(string.format(
    '\\nRESULT {"requests": %%d, "bytes": %%d, "microseconds": %%d, "p50": %%d, "p99": %%d, ' ..
    '"statuses": %%d, "sockets": %%d, "wrong": %%d}\\n',
    summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout, wrong))
end
"""

_HOOK: Final = """
wrong = 0
function response(status, headers, body)
  if status ~= 200 or #body ~= %d then wrong = wrong + 1 end
end
"""


class _Summary(msgspec.Struct, frozen=True):
    requests: int
    bytes: int
    microseconds: int
    p50: int
    p99: int
    statuses: int
    sockets: int
    wrong: int


class Sample(msgspec.Struct, frozen=True):
    """One run of wrk.

    Attributes:
        place: what was measured.
        requests: replies that came back whole.
        rate: replies a second.
        p50, p99: latency in microseconds.
        bad: replies with a wrong status or length, and broken connections.
        stray_bytes: bytes beyond or short of whole replies of the right length.
        cpu_us: CPU microseconds of the measured process per reply; 0 for the upstream.
        foreign: part of the gateway's core that others used, 0 to 1.
    """

    place: str
    requests: int
    rate: float
    p50: int
    p99: int
    bad: int
    stray_bytes: int
    cpu_us: float
    foreign: float


def reply_length(place: Place) -> int:
    """Return the length of one reply, head and body, on a connection that is kept."""
    request, end = configs.chat_request(place.port), configs.REPLY.encode()[-24:]
    try:
        reply = exchange(place.port, request, until=end)
    except OSError as error:
        raise BenchError(f"{place.name} does not answer a chat request: {error}") from error
    if not reply.startswith(b"HTTP/1.1 200") or not reply.endswith(configs.REPLY.encode()):
        raise BenchError(f"{place.name} does not relay the upstream's reply: {reply[:600]!r}")
    return len(reply)


def verify(place: Place, folder: Path, *, connections: int = 64, seconds: int = 1) -> Sample:
    """Look at the status and the length of every reply of a short run."""
    hook = _HOOK % len(configs.REPLY)
    return _run(place, folder / "verify.lua", hook, connections, seconds, 0)


def load(place: Place, folder: Path, *, connections: int, seconds: int, length: int = 0) -> Sample:
    """Measure one run.

    Args:
        place: where to.
        folder: for the script.
        connections: kept open, each with one request at a time.
        seconds: how long.
        length: of one reply, head and body; 0 leaves bytes uncounted.
    """
    return _run(place, folder / "load.lua", "", connections, seconds, length)


def _run(place: Place, script: Path, hook: str, connections: int, seconds: int, length: int) -> Sample:
    script.write_text(_SCRIPT % configs.chat_body().decode() + hook)
    url = f"http://127.0.0.1:{place.port}{configs.CHAT}"
    command = ["wrk", f"-c{connections}", "-t1", f"-d{seconds}", "-s", str(script), url]
    busy, cpu = machine.busy_seconds(machine.GATEWAY_CORE), _cpu(place)
    done = subprocess.run(
        pinned(command, machine.LOAD_CORE), capture_output=True, text=True, check=False, timeout=seconds + 60
    )
    cpu = _cpu(place) - cpu
    busy = machine.busy_seconds(machine.GATEWAY_CORE) - busy
    found = done.stdout.rpartition("RESULT ")[2]
    if done.returncode or not found.startswith("{"):
        raise BenchError(f"wrk against {place.name} failed: {(done.stdout + done.stderr)[-800:]}")
    summary = msgspec.json.decode(found, type=_Summary)
    stray = summary.bytes - summary.requests * length if length and place.exact else 0
    return Sample(
        place=place.name,
        requests=summary.requests,
        rate=summary.requests / (summary.microseconds / 1e6),
        p50=summary.p50,
        p99=summary.p99,
        bad=summary.statuses + summary.sockets + summary.wrong + (1 if stray else 0),
        stray_bytes=stray,
        cpu_us=cpu / max(1, summary.requests) * 1e6,
        foreign=max(0.0, busy - cpu) / seconds,
    )


def _cpu(place: Place) -> float:
    return 0.0 if place.pid is None else cpu_seconds(place.pid)
