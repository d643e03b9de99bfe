"""One table of the screen, which stays where it is while its rows move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text
from textual.coordinate import Coordinate
from textual.message import Message
from textual.widgets import DataTable

from nexus.cli.top.rows import NARROW, Column, Row, ordered

SHOWN: Final = 500
"""Rows of one table; nobody reads more, and drawing them takes time."""


class Pane(DataTable[Text]):
    """A table that is sorted and filtered.

    Args:
        title: above it.
        columns: all that it may have.
        name: for styles and tests.
    """

    class Chosen(Message):
        """Another row is chosen, or it says something else."""

    def __init__(self, title: str, columns: Sequence[Column], name: str) -> None:
        super().__init__(id=name, cursor_type="row", cell_padding=1)
        self._title = title
        self._all = columns
        self._found: Sequence[Row] = ()
        self._shown: list[Row] = []
        self._drawn: list[tuple[str, ...]] = []
        self._places: list[int] = []
        self._heads: list[str] = []
        self._sort: int | None = None
        self._backwards = False
        self.holding = ""

    @property
    def chosen(self) -> Row | None:
        """The row under the cursor."""
        at = self.cursor_row
        return self._shown[at] if 0 <= at < len(self._shown) else None

    def fill(self, found: Sequence[Row]) -> None:
        """Show other rows."""
        self._found = found
        self.draw()

    def sort_next(self) -> None:
        """Sort by the next of the columns that are seen, or after the last as Nexus does."""
        places = self._visible()
        after = places.index(self._sort) + 1 if self._sort in places else 0
        self._sort = places[after] if after < len(places) else None
        self._backwards = False
        self.draw()

    def turn(self) -> None:
        """Sort the other way round."""
        self._backwards = not self._backwards
        self.draw()

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        """Sort by the column that was clicked, the other way round when it was that already."""
        event.stop()
        place = self._places[event.column_index]
        self._backwards = self._sort == place and not self._backwards
        self._sort = place
        self.draw()

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Tell that the cursor moved."""
        event.stop()
        self.post_message(self.Chosen())

    def draw(self) -> None:
        """Bring the table up to date with as few changes as it takes."""
        chosen = self.chosen
        kept = ordered(self._found, self._sort, backwards=self._backwards, holding=self.holding)
        rows = kept[:SHOWN]
        self._entitle(len(kept))
        self._set_heads()
        drawn = [tuple(self._cut(row, place) for place in self._places) for row in rows]
        if [row.id for row in rows] == [row.id for row in self._shown] and len(drawn) == self.row_count:
            self._update(rows, drawn)
        else:
            self._replace(rows, drawn, chosen)
        self._shown, self._drawn = rows, drawn
        self.post_message(self.Chosen())

    def _visible(self) -> list[int]:
        wide = self.app.size.width
        return [place for place, column in enumerate(self._all) if column.width <= wide]

    def _set_heads(self) -> None:
        places = self._visible()
        mark = (
            " \N{BLACK DOWN-POINTING SMALL TRIANGLE}"
            if self._backwards
            else " \N{BLACK UP-POINTING SMALL TRIANGLE}"
        )
        heads = [self._all[place].label + (mark if place == self._sort else "") for place in places]
        if heads != self._heads:
            self._places, self._heads = places, heads
            self.clear(columns=True)
            for place, head in zip(places, heads, strict=True):
                self.add_column(_text(head, "", self._all[place]))

    def _update(self, rows: Sequence[Row], drawn: Sequence[tuple[str, ...]]) -> None:
        for at, (row, now, before) in enumerate(zip(rows, drawn, self._drawn, strict=True)):
            for column, (text, old) in enumerate(zip(now, before, strict=True)):
                if text != old:
                    self.update_cell_at(
                        Coordinate(at, column), self._cell(row, column, text), update_width=True
                    )

    def _replace(self, rows: Sequence[Row], drawn: Sequence[tuple[str, ...]], chosen: Row | None) -> None:
        top, at = self.scroll_y, self.cursor_row
        self.clear()
        for row, texts in zip(rows, drawn, strict=True):
            self.add_row(*(self._cell(row, column, text) for column, text in enumerate(texts)))
        same = next((place for place, row in enumerate(rows) if chosen and row.id == chosen.id), at)
        self.move_cursor(row=min(same, max(0, len(rows) - 1)), scroll=False)
        self.scroll_to(y=top, animate=False)

    def _cell(self, row: Row, column: int, text: str) -> Text:
        place = self._places[column]
        return _text(text, row.cells[place].style, self._all[place])

    def _cut(self, row: Row, place: int) -> str:
        text, most = row.cells[place].text, self._all[place].most
        if self.app.size.width >= NARROW or len(text) <= most:
            return text
        return text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"

    def _entitle(self, kept: int) -> None:
        shown = f"{kept} of {len(self._found)}" if kept != len(self._found) else str(kept)
        self.border_title = f"{self._title} ({shown})" + (f", first {SHOWN}" if kept > SHOWN else "")


def _text(text: str, style: str, column: Column) -> Text:
    return Text(text, style, justify="right" if column.figure else "left", no_wrap=True)
