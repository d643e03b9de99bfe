"""Asks Linux for the listening TCP sockets, and for no others (sock_diag(7)).

``/proc/net/tcp`` walks the table of all connections to its end, milliseconds even when it is
empty; this walks the listening ones alone, whatever number of connections there is.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Final

MOST_SOCKETS: Final = 10_000

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_REQUEST_DUMP: Final = 0x301
_LISTEN: Final = 1 << 10
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBBI48x")
_ERROR: Final = struct.Struct("=i")
_PORT: Final = struct.Struct("!4xH")
_INODE: Final = struct.Struct("=68xI")
_REPLY_BYTES: Final = 65_536


def ask_kernel() -> list[tuple[int, str]]:
    """Return port and number (inode) of each listening socket, of IPv4 and IPv6.

    Raises:
        OSError: this system or sandbox does not tell.
        ValueError: what it told is not as documented.
    """
    if sys.platform != "linux":
        raise OSError("only Linux has sock_diag")
    rows: list[tuple[int, str]] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as sock:
        # The kernel has the next part ready before it is asked for it: nothing is waited for.
        sock.setblocking(False)  # noqa: FBT003  # the standard library's own signature
        for family in (socket.AF_INET, socket.AF_INET6):
            sock.send(request(family))
            going_on = True
            while going_on:
                found, going_on = parse(sock.recv(_REPLY_BYTES))
                rows.extend(found)
                if len(rows) >= MOST_SOCKETS:
                    return rows
    return rows


def request(family: int) -> bytes:
    """Return the message that asks for the listening TCP sockets of an address family."""
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _LISTEN)
    return _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0) + body


def parse(reply: bytes) -> tuple[list[tuple[int, str]], bool]:
    """Read a part of the reply.

    Returns:
        Port and number of each socket in it, and whether further parts follow.

    Raises:
        OSError: it says that the question failed.
        ValueError: it is not as documented.
    """
    rows: list[tuple[int, str]] = []
    try:
        for kind, body in _messages(reply):
            if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                (code,) = _ERROR.unpack_from(body)
                if kind == _NLMSG_ERROR or code < 0:
                    raise OSError(-code, os.strerror(abs(code)))
                return rows, False
            if kind == _SOCK_DIAG_BY_FAMILY:
                rows.append((_PORT.unpack_from(body)[0], str(_INODE.unpack_from(body)[0])))
    except struct.error as error:
        raise ValueError(f"expected a reply of sock_diag, got {reply[:80]!r}") from error
    return rows, True


def _messages(reply: bytes) -> Iterator[tuple[int, bytes]]:
    if not reply:
        raise ValueError("expected a reply of sock_diag, got nothing")
    at = 0
    while at < len(reply):
        length, kind, _, _, _ = _HEADER.unpack_from(reply, at)
        if length < _HEADER.size or at + length > len(reply):
            raise ValueError(f"expected a message within {len(reply) - at} bytes, got {length}")
        yield kind, reply[at + _HEADER.size : at + length]
        at += (length + 3) & ~3
