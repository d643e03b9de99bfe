"""Who has shown the administration's token in a browser.

Laws: a session is a random name in a cookie that no script can read and that no other site can
make the browser send; it opens what the token opens, and ends with the token.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from nexus.domain import Secret
from nexus.tasks import Clock

SESSION_SECONDS: Final = 12 * 3600
SESSIONS_MAX: Final = 256


class Sessions:
    """The sessions of one process.

    Args:
        name: of the cookie; browsers send cookies of one host to all of its ports.
        clock: the time.
        make: gives a random text that nobody can guess.
    """

    def __init__(
        self, name: str, clock: Clock, make: Callable[[], str] = lambda: secrets.token_urlsafe(32)
    ) -> None:
        self.name = name
        self._clock = clock
        self._make = make
        self._until: dict[str, float] = {}

    def open(self, *, secure: bool) -> str:
        """Begin a session and return the value of its ``Set-Cookie``."""
        now = self._clock.now()
        self._until = {key: until for key, until in self._until.items() if until > now}
        while len(self._until) >= SESSIONS_MAX:
            del self._until[next(iter(self._until))]
        key = self._make()
        self._until[key] = now + SESSION_SECONDS
        return self._cookie(key, SESSION_SECONDS, secure=secure)

    def holds(self, cookies: str) -> bool:
        """Tell whether a request with these cookies (its ``Cookie`` header) belongs to a session."""
        key = self._key(cookies)
        return key is not None and self._until.get(key, 0.0) > self._clock.now()

    def close(self, cookies: str, *, secure: bool) -> str:
        """End the session of these cookies and return the ``Set-Cookie`` that takes it from the browser."""
        self._until.pop(self._key(cookies) or "", None)
        return self._cookie("", 0, secure=secure)

    def clear(self) -> None:
        """End all."""
        self._until.clear()

    def _key(self, cookies: str) -> str | None:
        for part in cookies.split(";"):
            name, _, value = part.strip().partition("=")
            if name == self.name:
                return next((key for key in self._until if Secret(key).matches(value)), None)
        return None

    def _cookie(self, value: str, seconds: int, *, secure: bool) -> str:
        flags = "; Secure" if secure else ""
        return f"{self.name}={value}; Path=/admin; Max-Age={seconds}; HttpOnly; SameSite=Strict{flags}"
