"""Child processes: pinned to a core, leashed to this process, ended by their own handle, read in /proc."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bench.machine import ROOT

_TICKS: Final = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """The benchmark cannot go on."""


class Running:
    """One child process, from entry to exit of its ``with`` block.

    It gets SIGTERM when the benchmark dies, however that happens.

    Args:
        name: for messages.
        command: program and arguments.
        core: where it may run.
        output: file that takes its stdout and stderr.
        environ: added to the environment.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        core: int,
        output: Path,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.output = output
        self._command = pinned(command, core)
        self._environ = {**os.environ, **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.output.open("ab") as stream:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd=ROOT,
                env=self._environ,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id; the pinning tools are replaced by the program, so it is the program's own."""
        if self._process is None:
            raise BenchError(f"{self.name} has not been started")
        return self._process.pid

    def check(self) -> None:
        """Raise ``BenchError`` with the end of its output when it has ended."""
        if self._process is not None and (code := self._process.poll()) is not None:
            said = self.output.read_text(errors="replace")[-1500:]
            raise BenchError(f"{self.name} ended with code {code}:\n{said}")

    def stop(self, seconds: float = 10.0) -> None:
        """End it with SIGTERM, and with SIGKILL after ``seconds``."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def answers(self, port: int, path: str, *, seconds: float = 15.0, contains: bytes = b"") -> float:
        """Wait until ``GET path`` gives 200 with ``contains`` in it.

        Returns:
            Seconds that this took.
        """
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            self.check()
            reply = get(port, path)
            if reply.startswith(b"HTTP/1.1 200") and contains in reply:
                return time.perf_counter() - start
            time.sleep(0.002)
        raise BenchError(f"{self.name} did not answer 200 on {path} within {seconds:g} s")


def pinned(command: Sequence[str], core: int) -> list[str]:
    """Return ``command`` bound to ``core`` and to the life of this process."""
    return ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), *command]


def get(port: int, path: str) -> bytes:
    """Return the raw reply of one ``GET``, or ``b""`` when nobody answers."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    try:
        return exchange(port, request.encode())
    except OSError:
        return b""


def exchange(port: int, request: bytes, until: bytes | None = None) -> bytes:
    """Return what comes back for ``request``, up to the end ``until`` or to the close.

    Raises:
        OSError: no connection, or silence for 5 seconds.
    """
    reply = bytearray()
    with socket.create_connection(("127.0.0.1", port), 5.0) as connection:
        connection.sendall(request)
        while data := connection.recv(65536):
            reply += data
            if until is not None and reply.endswith(until):
                break
    return bytes(reply)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [listener.getsockname()[1] for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used in user and kernel mode, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def kernel_share(pid: int) -> float:
    """Return which part of its CPU time a process has spent in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    user, system = int(fields[11]), int(fields[12])
    return system / (user + system) if user + system else 0.0


def children(pid: int) -> list[int]:
    """Return the ids of a process's children."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found


def rss_bytes(pid: int) -> int:
    """Return the resident set of a process."""
    return _kilobytes(Path(f"/proc/{pid}/status").read_text(), "VmRSS")


def pss_bytes(pid: int) -> int:
    """Return the proportional set of a process: shared pages count by their share."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss")


def _kilobytes(text: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    if found is None:
        raise BenchError(f"/proc does not tell {name}")
    return int(found[1]) * 1024
