"""Every limit of the HTTP layer, in one place.

Sizes are in bytes, times in seconds.
"""

from __future__ import annotations

import sys

import msgspec

KIB = 1024
MIB = 1024 * KIB


class ServerLimits(msgspec.Struct, frozen=True):
    """What one client, and all of them together, may cost.

    Attributes:
        head_bytes: request line and header fields of one request.
        fields: header fields of one request.
        request_line: method, target and version.
        body_bytes: one request body; beyond it 413.
        buffered_bytes: request bytes held over all connections; beyond it 503.
        pipelined_bytes: unparsed bytes held for one connection while a reply runs; a client
            that sends more is not read from until the reply has ended.
        head_seconds: from a request's first byte to the end of its head; beyond it 408.
        body_seconds: without a byte of an unfinished body; beyond it 408.
        keep_alive_seconds: without a request on an idle connection.
        write_seconds: in which a client that owes reads takes nothing; beyond it the connection is cut.
        write_high: unsent reply bytes above which the reply is told to pause.
        write_low: unsent reply bytes below which it is told to go on.
        linger_seconds: for which what comes after a refusal or a last reply is thrown away, so that
            the client sees that and not a reset.
    """

    head_bytes: int = 64 * KIB
    fields: int = 200
    request_line: int = 16 * KIB
    body_bytes: int = 100 * MIB
    buffered_bytes: int = 256 * MIB
    pipelined_bytes: int = 64 * KIB
    head_seconds: float = 30.0
    body_seconds: float = 30.0
    keep_alive_seconds: float = 75.0
    write_seconds: float = 60.0
    write_high: int = 64 * KIB
    write_low: int = 16 * KIB
    linger_seconds: float = 5.0


class UpstreamLimits(msgspec.Struct, frozen=True):
    """What one backend, and its connections, may cost.

    Attributes:
        idle_seconds: an unused pooled connection is kept; several servers close theirs at 5.0.
        max_connections: open connections to one origin; 0 is unbounded.
        stream_buffer: reply bytes of one exchange held for a slow client before reading stops.
        head_bytes: status line and header fields of one reply.
        fields: header fields of one reply.
        fetch_bytes: body of one probe's reply.
        happy_eyeballs_seconds: until the next address is tried beside the previous one.
    """

    idle_seconds: float = 4.0
    max_connections: int = 0
    stream_buffer: int = 512 * KIB
    head_bytes: int = 64 * KIB
    fields: int = 200
    fetch_bytes: int = 4 * MIB
    happy_eyeballs_seconds: float = 0.25


def raise_open_files() -> int | None:
    """Raise the soft limit of open files to the hard one, as far as the system lets us.

    Returns:
        The soft limit now in force; None where the system has no such limit.
    """
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415  # exists on POSIX only

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        # macOS reports an unlimited hard limit and refuses it as a soft one.
        return soft
    return hard
