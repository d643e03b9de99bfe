"""Brings what moves in Nexus to the screen, from a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from textual.message import Message

from nexus.cli.administration import Administration
from nexus.cli.remote import Unanswered


class Moved(Message):
    """A new picture of one topic."""

    def __init__(self, topic: str, data: dict[str, Any]) -> None:
        super().__init__()
        self.topic = topic
        self.data = data


class Lost(Message):
    """There are no news until the connection is made anew; ``why`` is a sentence."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why


class Said(Message):
    """What came of something that was asked for."""

    def __init__(self, text: str, *, bad: bool = False) -> None:
        super().__init__()
        self.text = text
        self.bad = bad


class Feed:
    """Reads events for as long as the screen stands.

    Args:
        administration: who is asked.
        post: takes messages from any thread.
    """

    def __init__(self, administration: Administration, post: Callable[[Message], object]) -> None:
        self._stream = administration.events("state", "models")
        self._post = post

    def start(self) -> None:
        """Begin; the thread ends with the program, however long a connection takes to be made."""
        threading.Thread(target=self._read, name="nexus-top-feed", daemon=True).start()

    def close(self) -> None:
        """End."""
        self._stream.close()

    def do(self, action: Callable[[], str]) -> None:
        """Run something that asks Nexus, beside the screen, and say what came of it."""

        def run() -> None:
            try:
                said = Said(action())
            except Unanswered as error:
                said = Said(error.message, bad=True)
            self._post(said)

        threading.Thread(target=run, name="nexus-top-action", daemon=True).start()

    def _read(self) -> None:
        for event in self._stream.follow():
            if isinstance(event, Unanswered):
                self._post(Lost(event.message))
            elif event.name in ("state", "models"):
                self._post(Moved(event.name, event.data))
