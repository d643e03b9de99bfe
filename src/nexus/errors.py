"""One error hierarchy.

Three families, by whose fault it is and who acts on it:

* :class:`StartError`: the operator's. Printed as one line, exit code 2.
* :class:`RequestError`: ends a client's request. Knows its HTTP status, its OpenAI ``type``,
  ``code`` and ``param``, and is translated to bytes once, in ``protocol.error_body``.
* :class:`UpstreamError`: ends one attempt on a backend. Knows whether request bytes may have
  been acted upon; ``gateway.dispatch`` reads it against the failure tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class NexusError(Exception):
    """Base of everything that Nexus raises on purpose."""


class StartError(NexusError):
    """Nexus cannot start or a command cannot run; the message says what to do."""


class ConfigError(StartError):
    """The configuration is wrong; the message names the place and what was expected."""


class RequestError(NexusError):
    """A client's request ends with this answer.

    Args:
        message: for the client: what is wrong and what to do.
        param: the request field at fault, if one is.
        code: overrides the class's OpenAI ``code``.
        context: facts to act on, put into ``error.context``.
        headers: extra reply headers, such as ``Retry-After``.
    """

    status: ClassVar[int] = 400
    type: ClassVar[str] = "invalid_request_error"
    default_code: ClassVar[str | None] = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        context: Mapping[str, Any] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code if code is not None else self.default_code
        self.context = context
        self.headers = headers


class InvalidRequest(RequestError):
    """400: the request cannot be understood."""

    default_code = "invalid_request_error"


class InvalidApiKey(RequestError):
    """401: no key or a wrong one."""

    status = 401
    default_code = "invalid_api_key"


class Forbidden(RequestError):
    """403: the door is closed to this caller."""

    status = 403
    default_code = "forbidden"


class NotFound(RequestError):
    """404: no such path."""

    status = 404
    default_code = "not_found"


class ModelNotFound(RequestError):
    """404: a model name that no backend has had."""

    status = 404
    default_code = "model_not_found"


class MethodNotAllowed(RequestError):
    """405: the path exists, the method does not."""

    status = 405
    default_code = "method_not_allowed"


class RequestTimeout(RequestError):
    """408: the client sent its request too slowly."""

    status = 408
    default_code = "request_timeout"


class Conflict(RequestError):
    """409: what is there already, or its state, forbids it."""

    status = 409
    default_code = "conflict"


class RequestTooLarge(RequestError):
    """413: the body is over the limit."""

    status = 413
    default_code = "request_too_large"


class UriTooLong(RequestError):
    """414: the request line is over the limit."""

    status = 414
    default_code = "uri_too_long"


class UnsupportedMediaType(RequestError):
    """415: a content coding, or a kind of content, that Nexus does not read."""

    status = 415
    default_code = "unsupported_media_type"


class MisdirectedRequest(RequestError):
    """421: the ``Host`` is not one of ours (DNS rebinding)."""

    status = 421
    default_code = "misdirected_request"


class Unprocessable(RequestError):
    """422: understood, and impossible as things are."""

    status = 422
    default_code = "unprocessable"


class RateLimited(RequestError):
    """429: every backend asked to be left alone."""

    status = 429
    type = "rate_limit_error"
    default_code = "rate_limit_exceeded"


class HeadersTooLarge(RequestError):
    """431: too many or too large header fields."""

    status = 431
    default_code = "headers_too_large"


class ServerFault(RequestError):
    """Base of the 5xx family: the client did nothing wrong."""

    status = 500
    type = "server_error"
    default_code = "internal_error"


class BadGateway(ServerFault):
    """502: every attempt failed."""

    status = 502
    default_code = "bad_gateway"


class ServiceUnavailable(ServerFault):
    """503: nobody can serve it now."""

    status = 503
    default_code = "service_unavailable"


class GatewayTimeout(ServerFault):
    """504: the last attempt timed out."""

    status = 504
    default_code = "gateway_timeout"


class LoopDetected(ServerFault):
    """508: the request has passed this gateway before (RFC 5842 7.2)."""

    status = 508
    default_code = "loop_detected"


class UpstreamError(NexusError):
    """One attempt on a backend ended without a complete reply.

    Attributes:
        sent: request bytes may have reached the backend; only such an attempt counts against
            ``max_retries``.
    """

    sent: ClassVar[bool] = True


class ConnectRefused(UpstreamError):
    """Every address refused, was unreachable, or the name does not resolve."""

    sent = False


class ConnectTimeout(UpstreamError):
    """No address answered in time."""

    sent = False


class TlsFailure(UpstreamError):
    """The handshake or the certificate check failed."""

    sent = False


class StaleConnection(UpstreamError):
    """A reused connection died without a byte: try once more on a fresh one."""

    sent = False


class UpstreamClosed(UpstreamError):
    """Reset, or an end before the reply was complete."""


class UpstreamProtocolError(UpstreamError):
    """Bytes that are not HTTP, an impossible status, contradicting lengths."""


class FirstByteTimeout(UpstreamError):
    """No body byte within ``first_byte_seconds``."""


class IdleTimeout(UpstreamError):
    """Nothing between two chunks for ``idle_seconds``."""


class TotalTimeout(UpstreamError):
    """The reply took longer than ``total_seconds``."""


class ResponseTooLarge(UpstreamError):
    """A buffered reply (a probe's) went over its bound."""
