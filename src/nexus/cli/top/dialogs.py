"""What covers the screen for a moment."""

from __future__ import annotations

from typing import ClassVar, Final

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Center
from textual.screen import ModalScreen
from textual.widgets import Static

_KEYS: Final = """\
1 2 3  Tab     backends, models, running requests
up  down       choose a row
/              show only rows that hold a text; Esc ends it
s              sort by the next column (or click its head)
r              sort the other way round

Backends
d              drain: no new requests, running ones end
e              enable again
c              check now

Running requests
x              cancel; its client gets an error

q              quit          ? or Esc  close this
"""


class Help(ModalScreen[None]):
    """All keys."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,question_mark,q,enter", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        """Make it."""
        yield Static(Text(_KEYS), classes="dialog")


class Confirm(ModalScreen[bool]):
    """A question whose answer is yes only when ``y`` is pressed.

    Args:
        question: one sentence.
    """

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Make it."""
        with Center():
            yield Static(Text(f"{self._question}\n\ny yes    any other key no"), classes="dialog")

    def on_key(self, event: events.Key) -> None:
        """Take the answer."""
        event.stop()
        self.dismiss(event.key == "y")
