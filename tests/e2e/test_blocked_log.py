"""Nobody reads the log: requests go on, what does not fit is counted, and said once it is read again."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.client import RawClient
from tests.support.fixtures import fleet
from tests.support.gateway import backend_toml, chat_body
from tests.support.process import COMMAND, DEADLINE_SECONDS, clean_environ

from nexus.observe.writer import DROPPED, MAX_PENDING_BYTES
from nexus.testing import FakeFleet, FakeModel

__all__ = ["fleet"]

WORDS = "word " * 40_000
REQUESTS = 2 * MAX_PENDING_BYTES // len(WORDS)


@contextmanager
def unread(folder: Path, toml: str) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """A gateway whose standard error nobody reads: its handle, its port and the pipe's other end."""
    (folder / "nexus.toml").write_text(toml)
    reading, writing = os.pipe()
    environ = clean_environ(folder, NEXUS_LOG_FORMAT="json")
    with subprocess.Popen(
        [*COMMAND, "-p", "0"], stdout=subprocess.PIPE, stderr=writing, cwd=folder, env=environ
    ) as process:
        os.close(writing)
        try:
            assert process.stdout is not None
            found = re.search(rb"http://127.0.0.1:(\d+)", process.stdout.readline())
            assert found is not None
            yield process, int(found[1]), reading
        finally:
            process.kill()
            os.close(reading)


async def ask(port: int, method: str, path: str, body: dict[str, Any] | bytes = b"") -> int:
    async with RawClient("127.0.0.1", port) as client:
        client.send(method, path, body)
        return (await client.read_reply()).status


async def test_a_log_that_nobody_reads_blocks_nobody(fleet: FakeFleet, tmp_path: Path) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m", context=1_000_000)])
    loud = "[logging]\nenable_content_logging = true\ncontent_bytes = 1000000\n"
    slowest = 0.0
    with unread(tmp_path, backend_toml(backend) + loud) as (process, port, pipe):
        while await ask(port, "GET", "/health/ready") != 200:
            pass
        for number in range(REQUESTS):
            begun = time.monotonic()
            body = chat_body(messages=[{"role": "user", "content": f"{number} {WORDS}"}])
            assert await ask(port, "POST", "/v1/chat/completions", body) == 200
            slowest = max(slowest, time.monotonic() - begun)
        read: list[bytes] = []
        reader = threading.Thread(target=lambda: read.extend(iter(lambda: os.read(pipe, 1 << 20), b"")))
        reader.start()
        process.terminate()
        assert await asyncio.to_thread(process.wait, DEADLINE_SECONDS) == 0
        reader.join(DEADLINE_SECONDS)
    lines = [json.loads(line) for line in b"".join(read).splitlines()]
    (dropped,) = [line["count"] for line in lines if line["event"] == DROPPED]
    written = [line for line in lines if line["event"] in ("content", "request")]
    assert 0 < dropped < 2 * REQUESTS
    assert len(written) + dropped == 2 * REQUESTS
    assert slowest < 5.0
