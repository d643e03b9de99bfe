"""Two network namespaces joined by a cable, without iproute2: netlink(7), veth(4), netdevice(7).

Run as a program inside a new namespace, this file waits for its end of the cable, brings it up
and becomes the command that it was given: ``veth.py ADDRESS COMMAND...``.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.namespaces import raise_interface

CABLE: Final = "lan0"
DEADLINE_SECONDS: Final = 60.0

_RTM_NEWLINK: Final = 16
_REQUEST: Final = 0x1 | 0x4 | 0x200 | 0x400  # NLM_F_REQUEST, ACK, EXCL, CREATE
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_NET_NS_PID = 3, 18, 19
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_IFINFO: Final = struct.pack("BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)
_SIOCSIFADDR: Final = 0x8916
_SIOCSIFNETMASK: Final = 0x891C


def _attribute(kind: int, data: bytes) -> bytes:
    """One netlink attribute, padded to four bytes (netlink(7))."""
    raw = struct.pack("HH", 4 + len(data), kind) + data
    return raw + bytes(-len(raw) % 4)


def lay_cable(pid: int) -> None:
    """Join this namespace with that of another process: each has an end named ``CABLE``."""
    peer = _IFINFO + _attribute(_IFLA_IFNAME, CABLE.encode() + b"\0")
    peer += _attribute(_IFLA_NET_NS_PID, struct.pack("I", pid))
    info = _attribute(_INFO_KIND, b"veth\0") + _attribute(_INFO_DATA, _attribute(_VETH_PEER, peer))
    body = _IFINFO + _attribute(_IFLA_IFNAME, CABLE.encode() + b"\0") + _attribute(_IFLA_LINKINFO, info)
    head = struct.pack("IHHII", 16 + len(body), _RTM_NEWLINK, _REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.send(head + body)
        answer = netlink.recv(65536)
    error = struct.unpack_from("i", answer, 16)[0]
    if error:
        raise OSError(-error, os.strerror(-error))


def connect_cable(address: str) -> None:
    """Give this end an address in a /24, and bring it and loopback up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, "255.255.255.0")):
            raw = struct.pack("16sHH4s8x", CABLE.encode(), socket.AF_INET, 0, socket.inet_aton(value))
            fcntl.ioctl(any_socket, request, raw)
    raise_interface(CABLE)
    raise_interface()


def await_namespace(pid: int) -> None:
    """Wait until a process has left this namespace for one of its own."""
    ours, deadline = Path("/proc/self/ns/net").readlink(), time.monotonic() + DEADLINE_SECONDS
    while Path(f"/proc/{pid}/ns/net").readlink() == ours:
        assert time.monotonic() < deadline, "it never left"
        time.sleep(0.01)


def _await_cable() -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while CABLE not in {name for _, name in socket.if_nameindex()}:
        assert time.monotonic() < deadline, "nobody laid a cable"
        time.sleep(0.01)


if __name__ == "__main__":
    _await_cable()
    connect_cable(sys.argv[1])
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  # no shell is wanted
