"""Tests in a network namespace of their own: every port is free there, and nobody else is on the network.

A test that is marked with :func:`in_namespace` is run by a pytest of its own inside of
``unshare -Urn`` (unshare(1)), as any user, with loopback up and no other interface. Run as a
program, this file brings loopback up and becomes the command that it was given.
"""

from __future__ import annotations

import fcntl
import functools
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, ParamSpec

import pytest

ROOT: Final = Path(__file__).parents[2]
INTERRUPTED_SECONDS: Final = 15.0

_INSIDE: Final = "NEXUS_TEST_NAMESPACE"
_UNSHARE: Final = ("unshare", "--user", "--map-root-user", "--net")

# netdevice(7): the requests, the flag, and struct ifreq, whose union takes 24 bytes.
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_IFREQ: Final = "16sh22x"

_P = ParamSpec("_P")


def namespaced(command: Sequence[str]) -> list[str]:
    """Return the command line that runs ``command`` in a new network namespace with loopback up."""
    return [*_UNSHARE, sys.executable, str(Path(__file__)), *command]


@functools.cache
def missing() -> str:
    """Say why this machine gives no namespaces; empty when it does."""
    try:
        done = subprocess.run(namespaced(["true"]), capture_output=True, text=True, check=False, timeout=30)
    except OSError as error:
        return f"no network namespaces here: {error}"
    return f"no network namespaces here: {done.stderr.strip()}" if done.returncode else ""


def in_namespace(test: Callable[_P, Awaitable[None]]) -> Callable[_P, Awaitable[None]]:
    """Run a coroutine test in a namespace of its own.

    Its fixtures are made on both sides, so they must not do much before the test asks them to.
    """

    @pytest.mark.namespace
    @functools.wraps(test)
    async def outside(*args: _P.args, **kwargs: _P.kwargs) -> None:
        if _INSIDE in os.environ:
            await test(*args, **kwargs)
            return
        if reason := missing():
            pytest.skip(reason)
        run_inside(os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0])

    return outside


def run_inside(test: str) -> None:
    """Run one test by its id in a namespace, and fail with what it said if it failed."""
    command = namespaced([sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", test])
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, _INSIDE: "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said = child.communicate()[0]
    finally:
        _end(child)
    print(said)  # noqa: T201  # figures and failures come from inside
    assert child.returncode == 0, said


def _end(child: subprocess.Popen[str]) -> None:
    """Let an interrupted pytest end what it started, but not for long."""
    if child.poll() is not None:
        return
    child.send_signal(signal.SIGINT)
    try:
        child.wait(INTERRUPTED_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def raise_interface(name: str = "lo") -> None:
    """Bring an interface of this namespace up, as ``ip link set NAME up`` does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack(_IFREQ, name.encode(), 0)
        _, flags = struct.unpack(_IFREQ, fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack(_IFREQ, name.encode(), flags | _IFF_UP))


if __name__ == "__main__":
    raise_interface()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606  # no shell is wanted
