"""Recorded bytes with holes: the reply keeps the server's spelling, key order and framing.

A template cuts a fixture at the few values that differ from reply to reply (model, text, ids,
counts) and leaves every other byte as the server sent it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import msgspec

from nexus.testing.fixtures import RawReply, load

# Numbers keep a recorded zero: a server that writes 0 there always does.
_HOLES: Final = (
    ("aliases", rb"(?<=Valid aliases: )smollm2-135m"),
    ("model", rb"smollm2[-:]135m|nope-model|all-minilm"),
    ("serial", rb"(?<=\"chatcmpl-)\w+|(?<=\"cmpl-)\w+|(?<=\"resp_)\w+|(?<=\"msg_)\w+|(?<=\"embd-)\w+"),
    ("created", rb"(?<=\"created\":)[1-9]\d*|(?<=\"created_at\":)[1-9]\d*|(?<=\"completed_at\":)[1-9]\d*"),
    (
        "prompt",
        rb"(?<=\"prompt_tokens\":)[1-9]\d*|(?<=\"input_tokens\":)[1-9]\d*|(?<=original_input_tokens\":)\d+",
    ),
    ("completion", rb"(?<=\"completion_tokens\":)[1-9]\d*|(?<=\"output_tokens\":)[1-9]\d*"),
    ("total", rb"(?<=\"total_tokens\":)[1-9]\d*"),
    ("sequence", rb"(?<=\"sequence_number\":)\d+"),
    ("finish", rb"(?<=\"finish_reason\":)\"(?:stop|length)\""),
    ("stop", rb"(?<=\"stop_reason\":)\"(?:end_turn|max_tokens)\""),
)

Values = Mapping[str, bytes]


def inner(text: str) -> bytes:
    """Return ``text`` as the inside of a JSON string."""
    return msgspec.json.encode(text)[1:-1]


class Template:
    """Bytes with named holes.

    Args:
        raw: the bytes as recorded.
        literals: recorded bytes that become holes of a name, besides the usual ones.
    """

    __slots__ = ("_parts",)

    def __init__(self, raw: bytes, literals: Mapping[bytes, str] | None = None) -> None:
        holes = [*((name, re.escape(text)) for text, name in (literals or {}).items()), *_HOLES]
        pattern = re.compile(b"|".join(b"(%s)" % regex for _, regex in holes))
        parts: list[bytes | str] = []
        at = 0
        for match in pattern.finditer(raw):
            if match.end() == match.start():
                continue
            parts += (raw[at : match.start()], holes[(match.lastindex or 1) - 1][0])
            at = match.end()
        parts.append(raw[at:])
        self._parts: tuple[bytes | str, ...] = tuple(parts)

    def render(self, values: Values) -> bytes:
        """Fill the holes."""
        return b"".join([part if type(part) is bytes else values[part] for part in self._parts])  # type: ignore[index]


class Event:
    """One server-sent event (or comment) of a recorded stream."""

    __slots__ = ("data", "joined", "raw")

    def __init__(self, raw: bytes, joined: bool) -> None:
        self.raw = raw
        self.joined = joined
        lines = [line[5:].strip() for line in raw.split(b"\n") if line.startswith(b"data:")]
        payload = b"\n".join(lines)
        self.data: Any = msgspec.json.decode(payload) if payload.startswith((b"{", b"[{")) else None

    @property
    def token(self) -> str | None:
        """The piece of text that the event carries, if it carries one."""
        data = self.data
        if not isinstance(data, dict):
            return None
        if data.get("type", "").endswith("output_text.delta"):
            return str(data["delta"])
        if data.get("type") == "content_block_delta":
            return data["delta"].get("text")  # type: ignore[no-any-return]
        if not data.get("choices"):
            return None
        choice = data["choices"][0]
        text = choice["text"] if "text" in choice else choice["delta"].get("content")
        return text or None

    @property
    def ends(self) -> bool:
        """Whether the stream's closing events begin here."""
        data = self.data
        if not isinstance(data, dict):
            return data is None and b"[DONE]" in self.raw
        choices = data.get("choices")
        if choices is None:
            return bool(re.search(r"(output_text\.done|content_block_stop)$", data.get("type", "")))
        return not choices or choices[0].get("finish_reason") is not None


def events_of(reply: RawReply) -> list[Event]:
    """Split a recorded stream into events; ``joined`` ones shared their chunk with the one before."""
    return [
        Event(event + b"\n\n", at > 0)
        for chunk in reply.chunks
        for at, event in enumerate(chunk.removesuffix(b"\n\n").split(b"\n\n"))
    ]


class StreamTemplate:
    """A recorded stream as a pattern: opening events, one event a token, closing events."""

    __slots__ = ("_closing", "_closing_has_token", "_content", "_opening")

    def __init__(self, reply: RawReply) -> None:
        events = events_of(reply)
        spoken = "".join(event.token or "" for event in events)
        first = next(at for at, event in enumerate(events) if event.token)
        last = next(at for at, event in enumerate(events) if event.ends)
        full = inner(spoken)
        self._opening = [(Template(event.raw), event.joined) for event in events[:first]]
        self._content = (_token_template(events[first]), events[first].joined)
        self._closing_has_token = bool(events[last].token)
        closing = events[last:]
        self._closing = [
            (_token_template(event) if event.token else Template(event.raw, {full: "text"}), event.joined)
            for event in closing
        ]

    def render(self, tokens: list[bytes], values: dict[str, bytes]) -> tuple[list[bytes], frozenset[int]]:
        """Return the events and the positions of those that share a chunk with the one before."""
        body = tokens[:-1] if self._closing_has_token else tokens
        content, first_joined = self._content
        pieces = [(template, joined, b"") for template, joined in self._opening]
        pieces += [(content, first_joined and not at, token) for at, token in enumerate(body)]
        pieces += [(template, joined, tokens[-1]) for template, joined in self._closing]
        events = []
        for at, (template, _, token) in enumerate(pieces):
            values["token"] = token
            values["sequence"] = b"%d" % at
            events.append(template.render(values))
        return events, frozenset(at for at, (_, joined, _) in enumerate(pieces) if joined)


def _token_template(event: Event) -> Template:
    token = inner(event.token or "")
    for key in (b'"content":"', b'"text":"', b'"delta":"'):
        at = event.raw.find(key + token + b'"')
        if at >= 0:
            at += len(key)
            marked = event.raw[:at] + b"\x00token\x00" + event.raw[at + len(token) :]
            return Template(marked, {b"\x00token\x00": "token"})
    raise ValueError("the event carries no text")


@cache
def whole(server: str, name: str) -> Template:
    """Return the template of a fixture that is not a stream."""
    body = load(server, name).body
    literals: dict[bytes, str] = {}
    if name == "context-overflow":
        literals = {b"9031": "prompt", b"2049": "prompt", b"2048": "context"}
    elif text := _text_of(body):
        literals = {inner(text): "text"}
    return Template(body, literals)


@cache
def stream(server: str, name: str) -> StreamTemplate:
    """Return the template of a recorded stream."""
    return StreamTemplate(load(server, name))


def _text_of(body: bytes) -> str:
    if not body.startswith(b"{"):
        return ""
    return next(_texts(msgspec.json.decode(body)), "")


def _texts(data: Mapping[str, Any]) -> Iterator[str]:
    for choice in data.get("choices") or ():
        yield choice["text"] if "text" in choice else choice["message"]["content"]
    for item in (*(data.get("content") or ()), *(p for o in data.get("output") or () for p in o["content"])):
        yield item["text"]
