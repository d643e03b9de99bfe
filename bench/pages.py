"""Readers of ``/admin/events``, as open dashboards are: ``python -m bench.pages PORT NUMBER``.

Prints ``open`` when all of them have had their first event, and how many bytes came when it is told
to end (its standard input closes).
"""

from __future__ import annotations

import selectors
import socket
import sys
from typing import Final

_REQUEST: Final = b"GET /admin/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
_SECONDS: Final = 30


def main(port: int, number: int) -> int:
    """Read until standard input ends; return 1 when a page was sent away."""
    selector = selectors.DefaultSelector()
    for _ in range(number):
        page = socket.create_connection(("127.0.0.1", port), timeout=_SECONDS)
        page.sendall(_REQUEST)
        selector.register(page, selectors.EVENT_READ)
        if not page.recv(65536).startswith(b"HTTP/1.1 200"):
            return 1
    print("open", flush=True)
    selector.register(sys.stdin, selectors.EVENT_READ)
    taken = 0
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                print(taken, flush=True)
                return 0
            data = key.fileobj.recv(65536)  # type: ignore[union-attr]  # the others are sockets
            if not data:
                return 1
            taken += len(data)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
