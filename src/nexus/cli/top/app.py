"""The screen of ``nexus top``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Input, Static

from nexus.cli.administration import Administration
from nexus.cli.reading import number, part
from nexus.cli.show import clean
from nexus.cli.top import rows
from nexus.cli.top.dialogs import Confirm, Help
from nexus.cli.top.feed import Feed, Lost, Moved, Said
from nexus.cli.top.pane import Pane

FLEET, MODELS, RUNNING = "fleet", "models", "running"
_PARTS = f"#head, #{FLEET}, #{MODELS}, #{RUNNING}, #detail"


class Top(App[None]):
    """Shows what moves, and does what its keys say.

    Args:
        administration: who is watched.

    Attributes:
        lost: why there are no news, or empty.
    """

    CSS_PATH = "top.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("escape", "unfilter", "Show all", show=False),
        Binding("s", "sort", "Sort"),
        Binding("r", "turn", "Reverse"),
        Binding("d", "drain", "Drain"),
        Binding("e", "enable", "Enable"),
        Binding("c", "check", "Check"),
        Binding("x", "cancel", "Cancel"),
        Binding("1", f"look('{FLEET}')", "Backends", show=False),
        Binding("2", f"look('{MODELS}')", "Models", show=False),
        Binding("3", f"look('{RUNNING}')", "Running", show=False),
    ]

    def __init__(self, administration: Administration) -> None:
        super().__init__()
        self._administration = administration
        self._feed = Feed(administration, self.post_message)
        self._state: dict[str, Any] = {}
        self.lost = "no news yet"

    def compose(self) -> ComposeResult:
        """Make the screen's parts."""
        yield Static(id="head")
        yield Pane("1 Backends", rows.FLEET, FLEET)
        yield Pane("2 Models", rows.MODELS, MODELS)
        yield Pane("3 Running requests", rows.RUNNING, RUNNING)
        yield Static(id="detail")
        yield Input(
            placeholder="Show only rows that hold this text; Enter keeps it, Esc shows all", id="filter"
        )
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one("#filter", Input).display = False
        self.action_look(FLEET)
        self._draw_head()
        self._feed.start()

    def on_unmount(self) -> None:
        """Look no more."""
        self._feed.close()

    def on_resize(self, event: events.Resize) -> None:
        """Show as many columns as there is room for."""
        del event
        for pane in self.query(Pane):
            self.call_after_refresh(pane.draw)

    def on_moved(self, message: Moved) -> None:
        """Draw a new picture."""
        if not self._stands():
            return
        self.lost = ""
        if message.topic == "models":
            self._pane(MODELS).fill(rows.models(message.data))
        else:
            self._state = message.data
            self._pane(FLEET).fill(rows.fleet(message.data))
            self._pane(RUNNING).fill(rows.running(message.data))
        self._draw_head()

    def on_lost(self, message: Lost) -> None:
        """Say that what is seen is old."""
        if not self._stands():
            return
        self.lost = clean(message.why)
        self._draw_head()

    def on_said(self, message: Said) -> None:
        """Say what came of something."""
        self.notify(clean(message.text), severity="error" if message.bad else "information", markup=False)

    def on_pane_chosen(self) -> None:
        """Say more of the chosen row."""
        self._draw_detail()

    def on_descendant_focus(self) -> None:
        """Offer the keys of the table that is looked at."""
        self.refresh_bindings()
        self._draw_detail()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        self._filter(event.value)

    def on_input_submitted(self) -> None:
        """Keep the filter and go back to the table."""
        self.query_one("#filter", Input).display = False
        self._looked().focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done to the chosen row."""
        del parameters
        if not self._stands():
            return False
        if action in ("drain", "enable", "check"):
            return self._looked().id == FLEET
        return self._looked().id == RUNNING if action == "cancel" else True

    def action_help(self) -> None:
        """Show all keys."""
        self.push_screen(Help())

    def action_look(self, name: str) -> None:
        """Go to a table."""
        for pane in self.query(Pane):
            pane.set_class(pane.id == name, "-looked")
        self._pane(name).focus()

    def action_filter(self) -> None:
        """Ask for a text."""
        box = self.query_one("#filter", Input)
        box.display = True
        box.focus()

    def action_unfilter(self) -> None:
        """Show all rows again."""
        box = self.query_one("#filter", Input)
        box.value = ""
        box.display = False
        self._filter("")
        self._looked().focus()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._looked().sort_next()

    def action_turn(self) -> None:
        """Sort the other way round."""
        self._looked().turn()

    def action_drain(self) -> None:
        """Drain the chosen backend."""
        self._change("takes no new requests", lambda one: self._administration.change(one, drain=True))

    def action_enable(self) -> None:
        """Enable the chosen backend."""
        self._change("takes requests", lambda one: self._administration.change(one, enabled=True))

    def action_check(self) -> None:
        """Check the chosen backend."""
        self._change("was asked", self._administration.check)

    def action_cancel(self) -> None:
        """Cancel the chosen request, if that is meant."""
        if (row := self._pane(RUNNING).chosen) is None:
            return

        def answer(yes: bool | None) -> None:
            if yes:
                self._feed.do(lambda: self._cancelled(row.id))

        self.push_screen(Confirm(f"Cancel request {row.name}? Its client gets an error."), answer)

    def _cancelled(self, request_id: str) -> str:
        self._administration.cancel(request_id)
        return f"Cancelled {request_id}."

    def _change(self, done: str, change: Callable[[str], dict[str, Any]]) -> None:
        if (row := self._pane(FLEET).chosen) is None:
            return

        def run() -> str:
            view = change(row.id)
            found = part(view, "check") or view
            reason = found.get("reason")
            return f"{row.name} {done}: {found.get('status')}" + (f", {reason}." if reason else ".")

        self._feed.do(run)

    def _stands(self) -> bool:
        """Tell whether the screen is whole: news may come while it is taken down."""
        return bool(self.screen_stack) and len(self.screen_stack[0].query(_PARTS)) == 5

    def _pane(self, name: str) -> Pane:
        return self.screen_stack[0].query_one(f"#{name}", Pane)

    def _looked(self) -> Pane:
        """Return the table that has the focus, or had it last."""
        base = self.screen_stack[0]
        if isinstance(base.focused, Pane):
            for pane in base.query(Pane):
                pane.set_class(pane is base.focused, "-looked")
        return base.query_one(".-looked", Pane)

    def _filter(self, text: str) -> None:
        for pane in self.query(Pane):
            pane.holding = text
            pane.draw()
        self._draw_head()

    def _draw_head(self) -> None:
        self.screen_stack[0].set_class(bool(self.lost), "-stale")
        line = Text(no_wrap=True, overflow="ellipsis")
        if self.lost:
            line.append("Disconnected, trying again: " if self._state else "Connecting ... ", "bold red")
            line.append(self.lost)
        else:
            totals = part(self._state, "totals")
            rate, tokens = (number(totals, f"{name}_per_second") or 0.0 for name in ("requests", "tokens"))
            line.append(f"Nexus {clean(self._state.get('version'))}", "bold")
            line.append(" draining" if self._state.get("draining") is True else "", "bold yellow")
            line.append(f"  {math.floor(number(totals, 'in_flight') or 0)} in flight  {rate:,.1f} requests/s")
            line.append(f"  {tokens:,.0f} tokens/s  {self._administration.name}")
        if held := self._pane(FLEET).holding:
            line = Text.assemble(("Filter: ", "bold"), (clean(held), "yellow"), "  ", line)
        self.query_one("#head", Static).update(line)

    def _draw_detail(self) -> None:
        if not self._stands():
            return
        row = self._looked().chosen
        looked = self._state.get("looked")
        text = row.detail if row is not None else ""
        if not text and self._looked().id == FLEET and isinstance(looked, list):
            text = "\n".join(clean(one) for one in looked[:4])
        self.screen_stack[0].query_one("#detail", Static).update(Text(text))
