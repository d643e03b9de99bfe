"""What a test in a network namespace of its own can rely on."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest
from tests.support.namespaces import in_namespace, missing, namespaced, run_inside


@in_namespace
async def test_only_loopback_is_there_and_it_is_up() -> None:
    assert [name for _, name in socket.if_nameindex()] == ["lo"]
    for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
        with socket.create_server((host, 8080), family=family), socket.create_connection((host, 8080), 5):
            pass


@pytest.mark.namespace
def test_what_fails_inside_fails_outside() -> None:
    if reason := missing():
        pytest.skip(reason)
    with pytest.raises(AssertionError, match="no_such_test"):
        run_inside("tests/test_in_namespace.py::no_such_test")


@pytest.mark.namespace
def test_a_command_gets_its_own_network() -> None:
    if reason := missing():
        pytest.skip(reason)
    ours = str(Path("/proc/self/ns/net").readlink())
    command = namespaced(["readlink", "/proc/self/ns/net"])
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("net:")
    assert done.stdout.strip() != ours
