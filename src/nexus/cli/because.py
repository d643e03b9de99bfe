"""Says in one sentence what became of a request and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from nexus.cli.reading import count, number, part, rows
from nexus.cli.show import clean, span

_TIE: Final = 0.05
"""Points of a score that are as good as none."""


def headline(told: Mapping[str, Any]) -> str:
    """Return the sentence about a request that ran or runs; ``told`` is what ``/admin`` tells of it."""
    decisions = rows(told, "decisions")
    last = decisions[-1] if decisions else {}
    backend = clean(told.get("backend"))
    if told.get("running") is True:
        return _running(told, last, backend)
    if told.get("client_closed") is True:
        return f"The client left before {backend or 'anybody'} had answered."
    status, error = count(told, "status"), clean(told.get("error"))
    if status < 400 and backend:
        if error:
            return f"{backend} began to answer and broke off: {error}."
        return f"{backend} answered{_after(told)}, because {because(last)}."
    return f"{_failure(told, last)} The client got {status}{f' {error}' if error else ''}."


def forecast(decision: Mapping[str, Any]) -> str:
    """Return the sentence about a request that was only thought through."""
    chosen = _chosen(decision)
    if chosen is None:
        return f"Nobody could be asked. {clean(decision.get('refusal'))}".strip()
    return f"{clean(chosen.get('backend'))} would be asked, because {because(decision)}."


def because(decision: Mapping[str, Any]) -> str:
    """Return why the chosen candidate of a decision was chosen."""
    candidates = rows(decision, "candidates")
    ranked = [one for one in candidates if one.get("rank") is not None]
    chosen = _chosen(decision)
    why = "it was chosen"
    if decision.get("pinned") is True:
        why = "the request names it"
    elif chosen is not None and len(ranked) > 1:
        why = _better(decision, chosen, next(one for one in ranked if one is not chosen))
    elif len(candidates) > 1:
        why = f"it was the only one of {len(candidates)} that could serve it"
    elif candidates:
        why = "nobody else has the model"
    if decision.get("fallback") is True:
        chain = decision.get("chain")
        asked = chain[0] if isinstance(chain, list) and chain else decision.get("requested")
        return f"{clean(asked)} could not be served, {clean(decision.get('model'))} stands in, and {why}"
    return why


def _better(decision: Mapping[str, Any], chosen: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """Say what set the chosen one apart from the next best."""
    other = clean(second.get("backend"))
    for mark, why in (
        ("resting", f"{other}, the next best, had failed lately"),
        ("unsure", f"it is known to do all that is needed, and {other} is not"),
    ):
        if second.get(mark) is True and chosen.get(mark) is not True:
            return why
    strategy = clean(decision.get("strategy"))
    if strategy != "smart":
        return f"the strategy {strategy} put it first of those that could"
    mine, its = part(chosen, "terms"), part(second, "terms")
    gains = {name: (number(mine, name) or 0.0) - (number(its, name) or 0.0) for name in mine}
    term = max(gains, key=gains.__getitem__, default="")
    if not term or gains[term] < _TIE:
        return f"it was as good as {other}, and chance decided"
    return {
        "priority": f"it is preferred (priority {chosen.get('priority')}, {other} {second.get('priority')})",
        "load": f"it was less busy ({busy(chosen)} in flight, {other} {busy(second)})",
        "latency": f"it answers sooner (first byte {span(number(chosen, 'first_byte_seconds'))}, "
        f"{other} {span(number(second, 'first_byte_seconds'))})",
    }.get(term, f"it scored higher than {other}")


def busy(candidate: Mapping[str, Any]) -> str:
    """Return requests in flight of slots."""
    return f"{count(candidate, 'in_flight')}/{candidate.get('slots')}"


def _chosen(decision: Mapping[str, Any]) -> dict[str, Any] | None:
    return next((one for one in rows(decision, "candidates") if one.get("chosen") is True), None)


def _running(told: Mapping[str, Any], last: Mapping[str, Any], backend: str) -> str:
    if not backend:
        return "It is being decided now who is asked."
    doing = f"{backend} is answering" if told.get("state") == "answering" else f"{backend} was asked"
    return f"{doing}{_after(told)}, because {because(last)}."


def _after(told: Mapping[str, Any]) -> str:
    """Name those that failed before."""
    failed = [
        f"{clean(one.get('backend'))} ({clean(one.get('failure'))})"
        for one in rows(told, "tries")
        if one.get("failure")
    ]
    return f" after {_and(failed)} had failed" if failed else ""


def _failure(told: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    tries = rows(told, "tries")
    if len(tries) == 1:
        one = tries[0]
        cause = clean(one.get("failure")) or f"it answered {one.get('status')}"
        return f"{clean(one.get('backend'))} was asked and did not serve it ({cause})."
    if tries:
        return (
            f"Nobody served it: {_and([clean(one.get('backend')) for one in tries])} were asked and failed."
        )
    return f"Nobody was asked. {clean(last.get('refusal'))}".strip()


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""
