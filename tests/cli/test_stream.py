from __future__ import annotations

import pytest
from tests.cli.support import Stub

from nexus.cli.remote import Unanswered, connect
from nexus.cli.stream import BEGUN, Event, EventStream

PATH = "/admin/events"


def stream(stub: Stub, body: bytes, status: int = 200) -> EventStream:
    stub.answer(PATH, body, status)
    stub.kind = "text/event-stream"
    return EventStream(connect(stub.url, "sesame"), PATH)


def read(events: EventStream) -> tuple[list[Event], str]:
    """Everything up to what ended it."""
    found: list[Event] = []
    with pytest.raises(Unanswered) as ended:
        found.extend(events.events())
    return found, ended.value.message


def test_events_are_read_to_their_end(stub: Stub) -> None:
    body = (
        b'retry: 2000\n\nevent: state\ndata: {"a": 1}\n\n: still here\n\n'
        b'event: models\r\ndata: {"b": "\xc3\xa9"}\r\n\r\n'
        b'event: state\ndata: {"half'
    )
    found, why = read(stream(stub, body))
    assert [event for event in found if event.name != "comment"] == [
        Event(BEGUN, {}),
        Event("state", {"a": 1}),
        Event("models", {"b": "é"}),
    ]
    assert why == f"The connection to {stub.url} was lost."
    assert stub.asked == [(PATH, "Bearer sesame")]


@pytest.mark.parametrize("body", [b"data: [1]\n\n", b"event: state\n", b"\xff\n\n", b"data: {\n\n", b""])
def test_what_is_no_event_is_none(stub: Stub, body: bytes) -> None:
    found, why = read(stream(stub, body))
    assert found == []
    assert "was lost" in why


def test_a_refusal_is_said_with_its_status(stub: Stub) -> None:
    refused = stream(stub, b'{"error": {"message": "Too many are looking."}}', 503)
    with pytest.raises(Unanswered, match="Too many are looking") as told:
        list(refused.events())
    assert told.value.status == 503


def test_who_is_not_nexus_is_told(stub: Stub) -> None:
    events = stream(stub, b"<html>hello</html>")
    stub.kind = "text/html"
    assert "is not Nexus" in read(events)[1]


def test_who_closed_it_reads_no_more(stub: Stub) -> None:
    events = stream(stub, b"retry: 2000\n\n")
    events.close()
    assert list(events.follow()) == []
    assert list(events.events()) == []
