"""From what a server has to what its backend offers: names, globs and the operator's corrections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from nexus.domain import BackendSpec, Model, ModelOverride, replace

_LATEST: Final = ":latest"
_FLAGS: Final = ("vision", "tools", "json", "embeddings")


def offered(spec: BackendSpec, models: Iterable[Model], own_id: str = "") -> tuple[Model, ...]:
    """Return what ``spec`` makes of the models that its server lists.

    A model named in ``spec.models`` is offered under the names given there instead of its own;
    the others keep theirs. ``only`` and ``exclude`` are case-sensitive globs over offered names.
    Wherever a name is compared, ``x`` also means ``x:latest``, which stays in ``native_id``.

    Args:
        spec: what the operator configured.
        models: under their native names.
        own_id: of this gateway; what another one has only from us is left out.

    Returns:
        Each offered name once, in the server's order.
    """
    renamed: dict[str, list[str]] = {}
    for name, native in spec.models.items():
        renamed.setdefault(bare(native), []).append(name)
    overrides = {bare(override.name): override for override in spec.overrides}
    result: dict[str, Model] = {}
    for model in models:
        if own_id and own_id in model.via:
            continue
        for name in renamed.get(bare(model.native_id), (model.id,)):
            if name not in result and _is_wanted(name, spec.only, spec.exclude):
                result[name] = _corrected(model, name, overrides.get(bare(name)))
    return tuple(result.values())


def bare(name: str) -> str:
    """Return ``name`` without an implied ``:latest``."""
    return name.removesuffix(_LATEST)


def _is_wanted(name: str, only: Sequence[str], exclude: Sequence[str]) -> bool:
    spellings = (name, bare(name))
    if only and not _matches(spellings, only):
        return False
    return not _matches(spellings, exclude)


def _matches(spellings: Sequence[str], globs: Sequence[str]) -> bool:
    return any(fnmatchcase(spelling, glob) for glob in globs for spelling in spellings)


def _corrected(model: Model, name: str, override: ModelOverride | None) -> Model:
    if override is None:
        return model if model.id == name else replace(model, id=name)
    stated = {flag: value for flag in _FLAGS if (value := getattr(override, flag)) is not None}
    return replace(
        model,
        id=name,
        context_length=override.context_length or model.context_length,
        capabilities=replace(model.capabilities, **stated),
    )
