"""Faults that a server tells in its own words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from nexus.testing.faults.base import Exchange, Fault, Step
from nexus.testing.reply import Reply, json_reply


@dataclass(frozen=True)
class Status(Fault):
    """Any status, body and headers.

    Args:
        code: the status; 101, 204 and 999 are allowed.
        body: the body; ``None`` is an error object in the server's own shape.
        headers: further name and value pairs.
        content_type: of a given body.
    """

    code: int
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send it."""
        if self.body is None:
            reply = json_reply(
                self.code, exchange.dialect.envelope(self.code, f"the fake answers {self.code}")
            )
        else:
            reply = Reply(self.code, ((b"Content-Type", self.content_type.encode()),), (self.body,))
        yield from exchange.send(reply.with_headers(self.headers))


@dataclass(frozen=True)
class ErrorBody200(Fault):
    """200 with JSON and an ``error`` key, where a stream or a result was asked for."""

    message: str = "the fake failed with 200"

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send it."""
        yield from exchange.send(json_reply(200, exchange.dialect.envelope(500, self.message)))


@dataclass(frozen=True)
class ServerError(Fault):
    """A 500 as this type of server words it."""

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send it."""
        yield from exchange.send(exchange.dialect.fixture("server-error"))


@dataclass(frozen=True)
class Redirect(Fault):
    """A redirect.

    Args:
        location: where to.
        code: 301, 302, 303, 307 or 308.
    """

    location: str = "http://elsewhere.test/v1/chat/completions"
    code: int = 307

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send it."""
        yield from exchange.send(Reply(self.code).with_headers([("Location", self.location)]))


@dataclass(frozen=True)
class Busy(Fault):
    """Too many requests, as this type of server says it.

    Args:
        retry_after: the header's value: seconds or an HTTP date.
        code: a status other than the server's usual one.
    """

    retry_after: str | None = None
    code: int | None = None

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send it."""
        reply = exchange.dialect.fixture("busy")
        if self.code is not None:
            reply = replace(reply, status=self.code, reason=b"")
        if self.retry_after is not None:
            reply = reply.with_headers([("Retry-After", self.retry_after)])
        yield from exchange.send(reply)


@dataclass(frozen=True)
class Loading(Fault):
    """The model is still loading; with ``retry_after`` a header says when to come back."""

    retry_after: str | None = None

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send it."""
        reply = exchange.dialect.fixture("loading")
        if self.retry_after is not None:
            kept = tuple(header for header in reply.headers if header[0].lower() != b"retry-after")
            reply = replace(reply, headers=kept).with_headers([("Retry-After", self.retry_after)])
        yield from exchange.send(reply)


@dataclass(frozen=True)
class UnknownModel(Fault):
    """The server does not know the model it was asked for."""

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send it."""
        yield from exchange.send(exchange.dialect.unknown_model(exchange.request, exchange.state))


@dataclass(frozen=True)
class ContextOverflow(Fault):
    """The prompt is too long.

    Args:
        n_ctx: tokens that would fit.
        n_prompt: tokens of the prompt.
    """

    n_ctx: int = 2048
    n_prompt: int = 9031

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send it."""
        yield from exchange.send(exchange.dialect.overflow(self.n_prompt, self.n_ctx))


@dataclass(frozen=True)
class MissingCapability(Fault):
    """The model cannot do what was asked."""

    what: Literal["vision", "tools", "embeddings"] = "vision"

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send it."""
        yield from exchange.send(exchange.dialect.missing(self.what))


@dataclass(frozen=True)
class Credentials(Fault):
    """The key is wrong.

    Args:
        code: 401 or 403.
    """

    code: int = 401

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send it."""
        reply = exchange.dialect.fixture("unauthorized")
        yield from exchange.send(replace(reply, status=self.code, reason=b""))


@dataclass(frozen=True)
class Quota(Fault):
    """The account is empty.

    Args:
        code: 429 with code ``insufficient_quota``, or 402.
    """

    code: int = 429

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send it."""
        error = {
            "message": "You exceeded your current quota, please check your plan and billing details.",
            "type": "insufficient_quota",
            "param": None,
            "code": "insufficient_quota",
        }
        reply = Reply(
            self.code, ((b"Content-Type", b"application/json"),), (msgspec.json.encode({"error": error}),)
        )
        yield from exchange.send(reply)
