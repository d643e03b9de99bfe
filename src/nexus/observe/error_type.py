"""What kind of error a request ended with, as one word."""

from __future__ import annotations

from typing import Final

from nexus.domain import Outcome

_OTHER: Final = "http_error"


def error_type(outcome: Outcome) -> str:
    """Return the code of Nexus's own error, else the kind of the last attempt's failure, else nothing.

    A reply that a backend refused, and that was relayed, is an error; that a client left is none.
    """
    if outcome.client_closed:
        return ""
    if outcome.error:
        return outcome.error
    failure = outcome.attempts[-1].failure if outcome.attempts else None
    if failure is not None:
        return failure.value
    return _OTHER if outcome.status >= 400 else ""
