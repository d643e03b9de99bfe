"""What all routes below ``/admin`` have in common: bodies, queries, replies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from nexus.config.kinds import quoted, suggestion
from nexus.errors import InvalidRequest, UnsupportedMediaType

JSON: Final = "application/json"
NO_STORE: Final = {"Cache-Control": "no-store"}
_WORDS: Final = {"true": True, "1": True, "": True, "false": False, "0": False}


def reply(value: Any, status: int = 200) -> Response:  # noqa: ANN401  whatever msgspec can encode
    """Return ``value`` as JSON that nobody keeps."""
    return Response(msgspec.json.encode(value), status, dict(NO_STORE), JSON)


async def raw_body(request: Request) -> bytes:
    """Return the body of a request that says that it is JSON.

    Raises:
        UnsupportedMediaType: it says something else.
    """
    if "content-encoding" in request.headers:
        raise UnsupportedMediaType("A body for the administration is not compressed.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        raise UnsupportedMediaType(f"Send JSON, with 'Content-Type: {JSON}'.")
    return await request.body()


async def body(request: Request) -> Any:  # noqa: ANN401  JSON is anything
    """Return the decoded body.

    Raises:
        InvalidRequest: it is not JSON.
        UnsupportedMediaType: it does not say that it is.
    """
    try:
        return msgspec.json.decode(await raw_body(request))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is not JSON: {error}.") from None


async def no_body(request: Request) -> None:
    """Refuse a body where none is understood.

    Raises:
        InvalidRequest: there is one.
    """
    if (await request.body()).strip() not in (b"", b"{}"):
        raise InvalidRequest("This takes no body.")


def parameters(request: Request, known: Sequence[str] = ()) -> dict[str, str]:
    """Return the query's parameters; one that is not understood must not be passed over.

    Raises:
        InvalidRequest: one is unknown or there twice.
    """
    found: dict[str, str] = {}
    for name, value in parse_qsl(request.url.query, keep_blank_values=True):
        if name not in known:
            hint = suggestion(name, known) if known else "; there are none here"
            raise InvalidRequest(f"There is no parameter {quoted(name)}{hint}.")
        if name in found:
            raise InvalidRequest(f"{name}: expected once.", param=name)
        found[name] = value
    return found


def flag(found: dict[str, str], name: str) -> bool:
    """Return a parameter that is true or false; absent is false.

    Raises:
        InvalidRequest: it is neither.
    """
    word = found.get(name, "false").lower()
    if word not in _WORDS:
        raise InvalidRequest(f"{name}: expected true or false, once.", param=name)
    return _WORDS[word]


def whole(found: dict[str, str], name: str, default: int, highest: int) -> int:
    """Return a parameter that is a whole number from 1 to ``highest``.

    Raises:
        InvalidRequest: it is none.
    """
    text = found.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:10]) <= highest):
        raise InvalidRequest(f"{name}: expected a whole number from 1 to {highest}.", param=name)
    return int(text)
