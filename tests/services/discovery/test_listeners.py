from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.services.discovery.sockets import listener, pair, port_of

from nexus.services.discovery.listeners import listening_sockets

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def row(port: int, inode: int, state: str = "0A", address: str = "0100007F") -> str:
    queues = "00000000:00000000 00:00000000 00000000"
    return f"   0: {address}:{port:04X} 00000000:0000 {state} {queues}  0  0 {inode} 1\n"


def write(root: Path, name: str, text: str) -> None:
    (root / "proc/net").mkdir(parents=True, exist_ok=True)
    (root / "proc/net" / name).write_text(text, encoding="ascii")


def refused() -> list[tuple[int, str]]:
    raise OSError("a sandbox")


def from_files(root: Path) -> dict[int, frozenset[str]] | None:
    return listening_sockets(refused, root)


def test_each_port_has_its_sockets(tmp_path: Path) -> None:
    write(tmp_path, "tcp", HEAD + row(11434, 7) + row(80, 8) + row(80, 9))
    write(tmp_path, "tcp6", HEAD + row(11434, 10, address="0" * 31 + "1"))
    assert from_files(tmp_path) == {11434: frozenset({"7", "10"}), 80: frozenset({"8", "9"})}


def test_connections_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, "tcp", HEAD + row(80, 1) + row(80, 2, "01") + row(81, 3))
    assert from_files(tmp_path) == {80: frozenset({"1"})}


def test_where_there_are_no_such_files_nothing_is_known(tmp_path: Path) -> None:
    assert from_files(tmp_path) is None
    (tmp_path / "proc/net/tcp6").mkdir(parents=True)
    assert from_files(tmp_path) is None


def test_without_ipv6_one_file_is_enough(tmp_path: Path) -> None:
    write(tmp_path, "tcp", HEAD)
    assert from_files(tmp_path) == {}


def test_files_are_not_read_where_the_kernel_tells(tmp_path: Path) -> None:
    write(tmp_path, "tcp", HEAD + row(80, 1))
    assert listening_sockets(lambda: [(81, "2"), (81, "3")], tmp_path) == {81: frozenset({"2", "3"})}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_kernel_and_the_files_say_the_same() -> None:
    four, six = pair()
    port = port_of(four)
    asked, read = listening_sockets(), from_files(Path("/"))
    assert asked is not None
    assert read is not None
    assert len(asked[port]) == 2
    assert asked[port] == read[port]
    four.close()
    six.close()


@given(st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=50)
def test_a_file_may_hold_anything(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, "tcp", "")
    (tmp_path / "proc/net/tcp").write_bytes(HEAD.encode() + content)
    from_files(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_server_that_takes_over_a_port_of_this_machine_is_another_one() -> None:
    four, six = pair()
    port = port_of(four)
    first = on(port)
    assert len(first) == 2
    client = socket.create_connection(("127.0.0.1", port))
    accepted, _ = four.accept()
    assert on(port) == first
    for sock in (client, accepted, four, six):
        sock.close()
    with listener(port=port):
        assert on(port).isdisjoint(first)


def on(port: int) -> frozenset[str]:
    listeners = listening_sockets()
    assert listeners is not None
    return listeners[port]
