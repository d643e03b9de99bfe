"""Judges a reply against what backends sent: relayed, honestly broken, a typed error, or wrong."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import httptools
from tests.faults.chaos_client import Bodies, Got

ERROR_CODES: Final = {
    "upstream_closed",
    "upstream_timeout",
    "upstream_incomplete",
}
REPLY_CODES: Final = {
    404: "model_not_found",
    429: "rate_limit_exceeded",
    502: ("bad_gateway", "backend_credentials"),
    503: "service_unavailable",
    504: "gateway_timeout",
    508: "loop_detected",
}
BLANK_LINE: Final = re.compile(rb"(?:\r\n|\n|\r)(?:\r\n|\n|\r)\Z")
"""The end of an event, in any of the three spellings of a line's end."""
DONE: Final = re.compile(rb"(?:\A|[\r\n])(?:\xef\xbb\xbf)?data: *\[DONE\] *[\r\n]")


@dataclass(frozen=True)
class Carried:
    """A body as far as a backend's bytes went; ``whole`` when its framing was kept to the end."""

    body: bytes
    whole: bool


def carried(wire: bytes) -> Carried:
    """Read the bytes of one connection, which ended after them."""
    bodies = Bodies()
    parser = httptools.HttpResponseParser(bodies)
    with suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        parser.feed_data(wire)
    messages = list(zip(bodies.pieces, bodies.whole, bodies.framed, strict=True))
    for pieces, whole, framed in reversed(messages):
        if pieces:
            return Carried(b"".join(pieces), whole or not framed)
    return Carried(b"", whole=bool(messages) and (messages[-1][1] or not messages[-1][2]))


def verdict_of(got: Got, sent: list[Carried]) -> str:
    """Name what a reply is; empty when it is nothing that may be."""
    bodies = [each.body for each in sent]
    if not got.complete:
        # Only a reply that was too long to be held may be cut.
        long = len(got.body) > 65_536 and any(body.startswith(got.body) for body in bodies)
        return "cut" if long else ""
    relayed = any(each.whole and got.body == each.body for each in sent)
    if relayed and (got.body or got.status >= 400):
        return f"relayed {got.status}"
    if got.status == 200 and _concluded(got.body, bodies):
        return "concluded"
    if got.status == 200:
        return _broken(got.body, bodies)
    error = json.loads(got.body)["error"]
    known = error["code"] in REPLY_CODES.get(got.status, ())
    shaped = set(error) - {"context"} == {"message", "type", "param", "code"} and error["message"]
    return f"error {got.status}" if known and shaped else ""


def _concluded(body: bytes, bodies: list[bytes]) -> bool:
    """Its last event had left before its connection failed: what came after that is dropped."""
    said_all = DONE.search(body) is not None or b'"error"' in body
    return said_all and BLANK_LINE.search(body) is not None and any(sent.startswith(body) for sent in bodies)


def _broken(body: bytes, bodies: list[bytes]) -> str:
    relayed, found, event = body.rpartition(b'data: {"error":')
    if not found or not event.endswith(b"\n\n") or (relayed and not BLANK_LINE.search(relayed)):
        return ""
    code = json.loads(b'{"error":' + event)["error"]["code"]
    same = any(sent.startswith((relayed, relayed[:-2])) for sent in bodies)
    return f"event {code}" if same and code in ERROR_CODES and not DONE.search(relayed) else ""
