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


def test_each_port_has_its_sockets(tmp_path: Path) -> None:
    write(tmp_path, "tcp", HEAD + row(11434, 7) + row(80, 8) + row(80, 9))
    write(tmp_path, "tcp6", HEAD + row(11434, 10, address="0" * 31 + "1"))
    assert listening_sockets(tmp_path) == {11434: frozenset({"7", "10"}), 80: frozenset({"8", "9"})}


def test_connections_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, "tcp", HEAD + row(80, 1) + row(80, 2, "01") + row(81, 3))
    assert listening_sockets(tmp_path) == {80: frozenset({"1"})}


def test_where_there_are_no_such_files_nothing_is_known(tmp_path: Path) -> None:
    assert listening_sockets(tmp_path) == {}
    write(tmp_path, "tcp", "")
    (tmp_path / "proc/net/tcp6").mkdir()
    assert listening_sockets(tmp_path) == {}


@given(st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=50)
def test_a_file_may_hold_anything(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, "tcp", "")
    (tmp_path / "proc/net/tcp").write_bytes(HEAD.encode() + content)
    listening_sockets(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_server_that_takes_over_a_port_of_this_machine_is_another_one() -> None:
    four, six = pair()
    port = port_of(four)
    first = listening_sockets()[port]
    assert len(first) == 2
    client = socket.create_connection(("127.0.0.1", port))
    accepted, _ = four.accept()
    assert listening_sockets()[port] == first
    for sock in (client, accepted, four, six):
        sock.close()
    with listener(port=port):
        assert listening_sockets()[port].isdisjoint(first)
