"""The traffic of ten seconds, as the dashboard gets it."""

from __future__ import annotations

import msgspec


class TrafficRow(msgspec.Struct, gc=False):
    """What one (model, backend) did within one bucket.

    Attributes:
        model: the id that served, or the first that the asked name stands for; empty for names
            that no backend has had.
        backend: who answered last, or empty.
        requests, errors: ended ones, and those of them that failed (``traffic.failed``).
        prompt_tokens, completion_tokens: as backends counted, else by the events of the stream.
        first_byte_sum, first_byte_count: seconds to the first byte, and how many are summed.
    """

    model: str
    backend: str
    requests: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_byte_sum: float = 0.0
    first_byte_count: int = 0


class Bucket(msgspec.Struct, gc=False):
    """What ended within ``seconds`` from ``at`` (Unix seconds) on."""

    at: float
    seconds: int
    rows: list[TrafficRow]
