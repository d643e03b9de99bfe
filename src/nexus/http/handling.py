"""Running the application on one request: whatever happens in it, the reply has an end."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any, Final

from nexus.errors import RequestError, ServerFault
from nexus.http.context import ServerContext
from nexus.http.reply import Reply
from nexus.http.request import Request

_log: Final = logging.getLogger("nexus.http.server")


def handle(context: ServerContext, request: Request, reply: Reply) -> None:
    """Give ``request`` to the application; what it wants to run is the reply's task."""
    try:
        coroutine = context.app.handle(request, reply)
    except RequestError as error:
        answer(context, reply, error)
    except Exception:  # noqa: BLE001  # logged and answered: one request's defect stays its own
        _fail(context, reply)
    else:
        if coroutine is not None:
            reply.task = context.tasks.spawn(_run(context, coroutine, reply), "http")


def answer(context: ServerContext, reply: Reply, error: RequestError) -> None:
    """Send ``error`` as the whole reply, or cut the connection when it is too late for that."""
    if reply.started:
        _fail(context, reply)
        return
    headers = [(b"Content-Type", b"application/json")]
    headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in error.headers]
    reply.send(error.status, headers, context.refuse(error))


async def _run(context: ServerContext, coroutine: Coroutine[Any, Any, None], reply: Reply) -> None:
    try:
        await coroutine
    except RequestError as error:
        answer(context, reply, error)
    except Exception:  # noqa: BLE001  # logged and answered: one request's defect stays its own
        _fail(context, reply)
    finally:
        if not reply.ended and not reply.departed:
            _log.error("the handler of a request left its reply unfinished")
            reply.abort()


def _fail(context: ServerContext, reply: Reply) -> None:
    """A defect of ours: 500 if that can still be said, else the connection is cut."""
    _log.exception("the handler of a request failed")
    if reply.started:
        reply.abort()
    else:
        answer(context, reply, ServerFault("Nexus failed to handle this request."))
