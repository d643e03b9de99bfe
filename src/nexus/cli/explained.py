"""Draws why a request went where it went: a sentence, what was needed, who was weighed, what came of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from nexus.cli.because import busy, forecast, headline
from nexus.cli.reading import count, number, part, rows
from nexus.cli.show import clean, span, table

_BYTES_PER_TOKEN: Final = 6
_CAPABILITIES: Final = ("vision", "remote_image", "audio", "tools", "json", "embeddings")
_TERMS: Final = ("priority", "load", "latency")
_FIGURES: Final = ("Score", "Priority", "Load", "Latency", "In flight", "First byte", "Began", "Took")
_ENDED: Final = {True: "bold green", False: "bold red"}


def draw_forecast(told: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield what would be decided about a request."""
    decision = part(told, "decision")
    yield Text(forecast(decision), _ENDED[decision.get("refusal") is None])
    yield _needs(part(told, "needs"))
    yield from _decision(decision)


def draw_request(told: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield all that is known of a request that runs or ran."""
    well = count(told, "status") < 400 and not told.get("error")
    yield Text(headline(told), _ENDED[well])
    yield Text(f"Request {clean(told.get('id'))}", "dim")
    yield _needs(part(told, "needs"))
    decisions = rows(told, "decisions")
    for place, decision in enumerate(decisions, 1):
        if len(decisions) > 1:
            yield Text(f"\nDecision {place} of {len(decisions)}", "bold")
        if place > 1 and (refusal := decision.get("refusal")):
            yield Text(clean(refusal))
        yield from _decision(decision)
    yield from _attempts(told)
    yield from _figures(told)


def _needs(needs: Mapping[str, Any]) -> Text:
    """Say what was read from the body; what it does not need is not named."""
    if not needs:
        return Text("Its body was not understood, so that nothing was decided.")
    least = math.ceil(count(needs, "text_bytes") / _BYTES_PER_TOKEN)
    wants = [f"{clean(needs.get('surface'))} with {clean(needs.get('model')) or 'no model named'}"]
    size = f"{least:,} token{'' if least == 1 else 's'}"
    wants.append(f"a prompt of at least {size} ({count(needs, 'text_bytes'):,} bytes)")
    if images := count(needs, "images"):
        wants.append(f"{images} image{'s' if images > 1 else ''}")
    if limit := count(needs, "max_tokens"):
        wants.append(f"a reply of up to {limit:,}")
    if above := count(needs, "context_above"):
        wants.append(f"a context above {above:,}")
    wants += [name.replace("_", " ") for name in _CAPABILITIES if needs.get(name) is True]
    wants += ["streamed"] if needs.get("stream") is True else []
    return Text(f"Needed: {', '.join(wants)}")


def _decision(decision: Mapping[str, Any]) -> Iterator[RenderableType]:
    candidates = rows(decision, "candidates")
    ranked = [one for one in candidates if one.get("rank") is not None]
    if ranked:
        yield _ranking(ranked)
    out = Table.grid(padding=(0, 1))
    out.add_column(no_wrap=True)
    out.add_column(overflow="fold")
    for one in candidates:
        name = clean(one.get("backend"))
        if one.get("tried") is True:
            out.add_row(Text(f"  {name}:", "yellow"), Text("was asked before, see the attempts"))
        for rejection in rows(one, "rejections"):
            out.add_row(Text(f"  {name}:", "red"), _refused(name, rejection))
    if out.row_count:
        yield out


def _refused(name: str, rejection: Mapping[str, Any]) -> Text:
    """Say who refused and why; the sentence need not name the backend again."""
    policy, code = clean(rejection.get("policy")), clean(rejection.get("code"))
    by = policy if code in ("", policy) else f"{policy}, {code}"
    sentence = clean(rejection.get("message")).removeprefix(f"Backend {name!r} ")
    return Text.assemble("refused (", (by, "bold"), f"): {sentence}")


def _ranking(ranked: list[dict[str, Any]]) -> Table:
    scored = any(part(one, "terms") for one in ranked)
    several = len({clean(one.get("model")) for one in ranked}) > 1
    columns = ["#", "Backend", *(["Model"] if several else []), "Score"]
    columns += [
        *([term.capitalize() for term in _TERMS] if scored else []),
        "In flight",
        "First byte",
        "Note",
    ]
    drawn = []
    for one in ranked:
        style = "bold" if one.get("chosen") is True else ""
        terms = part(one, "terms")
        cells: list[object] = [one.get("rank"), one.get("backend"), *([one.get("model")] if several else [])]
        cells.append(_points(one, "score"))
        cells += [_points(terms, term) for term in _TERMS] if scored else []
        cells += [busy(one), span(number(one, "first_byte_seconds")) or "not yet", _note(one)]
        drawn.append([Text(clean(cell), style) for cell in cells])
    return table(columns, drawn, right=_FIGURES)


def _points(figures: Mapping[str, Any], name: str) -> str:
    found = number(figures, name)
    return "" if found is None else f"{found:.1f}"


def _note(candidate: Mapping[str, Any]) -> str:
    notes = (("chosen", "chosen"), ("resting", "failed lately"), ("unsure", "not known to do all"))
    return ", ".join(note for mark, note in notes if candidate.get(mark) is True)


def _attempts(told: Mapping[str, Any]) -> Iterator[RenderableType]:
    drawn = []
    for place, one in enumerate(rows(told, "tries"), 1):
        failure = clean(one.get("failure"))
        says = [failure or "answered", clean(one.get("status")), clean(one.get("message"))]
        outcome = Text(" ".join(filter(None, says)), "red" if failure else "green")
        after = span(number(one, "after_seconds"))
        took = span(number(one, "seconds"))
        first = span(number(one, "first_byte_seconds"))
        drawn.append([place, one.get("backend"), after, first, took, outcome])
    if drawn:
        yield table(("Attempt", "Backend", "Began", "First byte", "Took", "Outcome"), drawn, right=_FIGURES)


def _figures(told: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield what it took and what was counted."""
    times = part(told, "timings")
    said = [f"{'Running for' if told.get('running') is True else 'Took'} {span(number(times, 'seconds'))}"]
    if (first := number(times, "first_byte_seconds")) is not None:
        said.append(f"first byte after {span(first)}")
    if (own := number(times, "overhead_seconds")) is not None:
        deciding = number(times, "decision_seconds")
        said.append(f"Nexus's own share {span(own)}" + (f" (deciding {span(deciding)})" if deciding else ""))
    prompt, completion = number(told, "prompt_tokens"), number(told, "completion_tokens")
    if prompt is not None:
        said.append(f"{int(prompt):,} prompt tokens")
    if completion is not None:
        about = "about " if told.get("estimated") is True else ""
        said.append(f"{about}{int(completion):,} completion tokens")
    yield Text(", ".join(said) + ".")
