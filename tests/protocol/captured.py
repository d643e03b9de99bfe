"""Reads recorded replies: the head, and the body without its chunked framing."""

from pathlib import Path

CAPTURES = Path(__file__).parents[1] / "captures"


def body_of(path: Path) -> bytes:
    head, _, rest = path.read_bytes().partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head.lower():
        return rest
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            break
        body += rest[:length]
        rest = rest[length + 2 :]
    return body


def status_of(path: Path) -> int:
    return int(path.read_bytes().split(b" ", 2)[1])


def is_stream(path: Path) -> bool:
    return b"text/event-stream" in path.read_bytes().partition(b"\r\n\r\n")[0].lower()


REPLIES = [path for path in sorted(CAPTURES.glob("*/*.resp")) if path.stat().st_size]
STREAMS = [path for path in REPLIES if is_stream(path)]
