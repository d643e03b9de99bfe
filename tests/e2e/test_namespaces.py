"""Two machines on one network: namespaces joined by a cable, with real multicast on it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support import far_side, veth
from tests.support.namespaces import in_namespace
from tests.support.process import NexusProcess, clean_environ, until

pytestmark = pytest.mark.timeout(300)

NEAR, FAR = "10.77.0.1", "10.77.0.2"


@contextmanager
def far_machine(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another namespace at the other end of a cable, with a server on its loopback and a gateway."""
    folder.mkdir()
    command = [sys.executable, veth.__file__, FAR, sys.executable, far_side.__file__, *arguments]
    with (folder / "log").open("wb") as log:
        machine = subprocess.Popen(
            ["unshare", "--net", *command],
            cwd=folder,
            env=clean_environ(folder, NEXUS_DISCOVERY="true", NEXUS_STATE_DIR=str(folder / "state")),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        veth.await_namespace(machine.pid)
        veth.lay_cable(machine.pid)
        veth.connect_cable(NEAR)
        yield machine
    finally:
        machine.terminate()
        machine.wait(60)
        print((folder / "log").read_text())  # noqa: T201  # shown when the test fails


@contextmanager
def near_gateway(folder: Path, **environ: str) -> Iterator[NexusProcess]:
    """A plain ``nexus serve``."""
    folder.mkdir()
    running = NexusProcess(
        [],
        folder,
        clean_environ(folder, NEXUS_DISCOVERY="true", NEXUS_STATE_DIR=str(folder / "state"), **environ),
    )
    try:
        running.wait_announced()
        yield running
    finally:
        running.close()
        print(*running.said, running.errors, sep="\n")  # noqa: T201  # the same


def available(nexus: NexusProcess) -> set[str]:
    return {row["id"] for row in nexus.get("/v1/models")[1]["data"] if row["available"]}


@in_namespace
async def test_a_plain_gateway_streams_from_a_model_of_another_machine(tmp_path: Path) -> None:
    with (
        far_machine(tmp_path / "far", "--host", "0.0.0.0", "--advertise", "--open") as machine,
        near_gateway(tmp_path / "near", NEXUS__DISCOVERY__GRACE_PERIOD_SECONDS="1") as near,
    ):
        await until(lambda: available(near) == {"far-model"})
        (backend,) = near.get("/health?verbose=1")[1]["backends"]["items"]
        assert (backend["type"], backend["source"]) == ("nexus", "mdns")
        assert FAR in backend["url"]
        async with near.client() as client:
            body = {"model": "far-model", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
            client.send("POST", "/v1/chat/completions", body)
            reply = await client.read_reply()
        assert (reply.status, reply.complete, reply.events[-1]) == (200, True, "[DONE]")
        words = [json.loads(event)["choices"][0]["delta"].get("content") or "" for event in reply.events[:-1]]
        assert "".join(words) == "far-ollama answers as far-model: all is well here."
        assert len(reply.chunks) > 1
        assert reply.header("x-nexus-backend") == backend["name"]
        # A goodbye and the end of the grace period, long before the announcement expires by itself.
        machine.terminate()
        assert await asyncio.to_thread(machine.wait, 60) == 0
        await until(lambda: near.get("/health?verbose=1")[1]["backends"]["items"] == [])
        assert near.get("/v1/models")[1]["data"] == []
        assert "Traceback" not in near.errors
    assert "Traceback" not in (tmp_path / "far" / "log").read_text()


@in_namespace
async def test_a_gateway_without_multicast_finds_the_other_by_its_address(tmp_path: Path) -> None:
    with (
        far_machine(tmp_path / "far", "--host", FAR),
        near_gateway(
            tmp_path / "near",
            NEXUS__DISCOVERY__PEERS=f"{FAR}:6398",
            NEXUS__DISCOVERY__SERVICE_TYPES="_nobody._tcp.local",
            NEXUS__DISCOVERY__PROBE_SECONDS="0.5",
            # The other may have found nothing yet when it is asked first.
            NEXUS__HEALTH_CHECK__INTERVAL_SECONDS="0.5",
        ) as near,
    ):
        await until(lambda: available(near) == {"far-model"})
        (backend,) = near.get("/health?verbose=1")[1]["backends"]["items"]
        assert (backend["type"], backend["source"]) == ("nexus", "peer")
