"""Run Nexus under a sampling profiler: ``python -m bench.sampler FILE serve -c nexus.toml``.

SIGUSR2 begins and ends the sampling. Each millisecond of CPU time is one sample of the line that
runs; time in C code, the kernel included, counts for the line that called it. What waits at the first
instruction of a function was spent before the call, so it counts for the caller: a callback's for the
event loop, a parser callback's for the line that fed the parser.
"""

from __future__ import annotations

import collections
import contextlib
import dis
import runpy
import signal
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

import msgspec

_INTERVAL: Final = 0.001


class Place(msgspec.Struct, frozen=True):
    """One line and how many samples fell on it."""

    file: str
    function: str
    line: int
    samples: int


class Sampler:
    """Counts lines while it is on."""

    def __init__(self) -> None:
        self._on = False
        self._lines: collections.Counter[tuple[CodeType, int]] = collections.Counter()
        self._entries: dict[CodeType, int] = {}

    def toggle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # a signal handler's signature
        """Begin, or end."""
        self._on = not self._on
        interval = _INTERVAL if self._on else 0.0
        signal.setitimer(signal.ITIMER_PROF, interval, interval)

    def sample(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # a signal handler's signature
        """Count the line that runs."""
        while frame is not None and frame.f_back is not None and frame.f_lasti <= self._entry(frame.f_code):
            frame = frame.f_back
        if frame is not None:
            self._lines[frame.f_code, frame.f_lineno or 0] += 1

    def places(self) -> list[Place]:
        """Return what was counted, most first."""
        return [
            Place(code.co_filename, code.co_qualname, line, samples)
            for (code, line), samples in self._lines.most_common()
        ]

    def _entry(self, code: CodeType) -> int:
        if (offset := self._entries.get(code)) is None:
            resumes = (step.offset for step in dis.get_instructions(code) if step.opname == "RESUME")
            offset = self._entries[code] = next(resumes, -1)
        return offset


def main(output: Path, arguments: list[str]) -> None:
    """Run Nexus with ``arguments`` and write the samples when it ends."""
    sampler = Sampler()
    signal.signal(signal.SIGPROF, sampler.sample)
    signal.signal(signal.SIGUSR2, sampler.toggle)
    sys.argv = ["nexus", *arguments]
    with contextlib.suppress(SystemExit):
        runpy.run_module("nexus", run_name="__main__", alter_sys=True)
    signal.setitimer(signal.ITIMER_PROF, 0.0)
    output.write_bytes(msgspec.json.encode(sampler.places()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
