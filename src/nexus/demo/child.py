"""A child process that cannot outlive its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Final

LOG_TAIL_BYTES: Final = 2000
STOP_SECONDS: Final = 5.0


class Child:
    """``python -m MODULE ARGS`` with a lifeline on its standard input.

    Laws: the child is in a process group of its own, so Ctrl-C reaches only the parent, which
    decides the order of ending; and a stopped child whose parent dies is woken and ended by the
    kernel (POSIX: orphaned process groups get SIGHUP and SIGCONT).

    Args:
        module: what to run.
        arguments: its command line.
        first_line: written to its standard input before anything else.
        environ: its environment; the parent's when left out.
        inherited: file descriptors that it keeps under their numbers.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        *,
        first_line: bytes = b"",
        environ: Mapping[str, str] | None = None,
        inherited: Sequence[int] = (),
    ) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the child
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=None if environ is None else dict(environ),
            process_group=0,
            pass_fds=tuple(inherited),
        )
        assert self._process.stdin is not None  # noqa: S101 - told to Popen two lines above
        assert self._process.stdout is not None  # noqa: S101 - likewise
        self._stdin: IO[bytes] = self._process.stdin
        self._stdout: IO[bytes] = self._process.stdout
        if first_line:
            self._tell(first_line)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll()

    def read_line(self, timeout: float) -> bytes:
        """Wait for one line of its output; empty when it ended or ``timeout`` seconds passed."""
        lines: list[bytes] = []
        reader = threading.Thread(target=lambda: lines.append(self._stdout.readline()), daemon=True)
        reader.start()
        reader.join(timeout)
        return lines[0] if lines else b""

    def log_tail(self) -> str:
        """The last of what it wrote to standard error."""
        descriptor = self._log.fileno()
        size = os.fstat(descriptor).st_size
        return (
            os.pread(descriptor, LOG_TAIL_BYTES, max(0, size - LOG_TAIL_BYTES))
            .decode(errors="replace")
            .strip()
        )

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a child that has ended already is left alone."""
        if self.exit_code is None:
            self._process.send_signal(number)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end; None when ``timeout`` seconds pass first."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End it with SIGKILL, and return when the kernel has."""
        self.send(signal.SIGKILL)
        self.wait()

    def freeze(self) -> None:
        """Send SIGSTOP, and return when all its threads have stopped."""
        if self.exit_code is None:
            self.send(signal.SIGSTOP)
            os.waitpid(self.pid, os.WUNTRACED)

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Ask it to end, insist after ``timeout`` seconds, and let go of its pipes and log."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        if self.wait(timeout) is None:
            self.kill()
        self._stdin.close()
        self._stdout.close()
        self._log.close()

    def _tell(self, line: bytes) -> None:
        try:
            self._stdin.write(line)
            self._stdin.flush()
        except BrokenPipeError:
            self.wait()  # it ended before it read; `exit_code` and `log_tail` say why
