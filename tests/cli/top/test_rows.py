from __future__ import annotations

from nexus.cli.top import rows

BACKEND = {
    "id": "a", "name": "desk", "type": "ollama", "status": "healthy", "in_flight": 1, "slots": 4, "models": 2,
    "requests_per_second": 1234.5, "tokens_per_second": 7.25, "first_byte_p50": 0.5, "errors": 3,
    "busy_seconds": 4.0, "reason": "", "url": "http://a", "priority": 50, "version": "1", "since_at": None,
}  # fmt: skip


def test_a_backend_in_a_row() -> None:
    (row,) = rows.fleet({"backends": [BACKEND]})
    assert [cell.text for cell in row.cells][:7] == ["desk", "healthy", "1/4", "1,234", "7.2", "500 ms", "3"]
    assert row.detail == "desk is healthy, busy for 4.00 s, ollama 1, http://a, priority 50"


def test_what_goes_is_said_before_how_it_is() -> None:
    for mark in ("draining", "leaving"):
        (row,) = rows.fleet({"backends": [{**BACKEND, mark: True}]})
        assert row.cells[1].text == mark


def test_unknown_is_neither_can_nor_cannot() -> None:
    told = {
        "id": "m", "available": False, "context_length": None,
        "capabilities": {"vision": True, "tools": None, "remote_image": False},
        "backends": [
            {"backend": "a", "loaded": True}, {"backend": "b", "resting_seconds": 3, "rest_cause": "503"},
        ],
    }  # fmt: skip
    (row,) = rows.models({"models": [told]})
    assert [cell.text for cell in row.cells] == ["m", "no", "", "0", "a*, b", "vision", ""]
    assert row.detail == "m: can vision, cannot remote image, rests on b (503)"


def test_every_column_has_a_cell_and_can_be_sorted_by() -> None:
    tables = (
        (rows.FLEET, rows.fleet({"backends": [BACKEND, {}]})),
        (rows.MODELS, rows.models({"models": [{"id": "m"}, {}]})),
        (rows.RUNNING, rows.running({"running": [{"id": "r"}, {}]})),
    )
    for columns, found in tables:
        assert {len(row.cells) for row in found} == {len(columns)}
        for place in range(len(columns)):
            for backwards in (False, True):
                assert len(rows.ordered(found, place, backwards=backwards, holding="")) == 2


def test_what_is_no_picture_makes_no_rows() -> None:
    assert rows.fleet({"backends": "x"}) == rows.models({}) == rows.running({"running": [3]}) == []
