from __future__ import annotations

import pytest
from tests.registry.fleet import add, model, pair, registry

from nexus.domain import BackendStatus, BackendType, Rejection, RejectionKind, Requirements, RoutingRules
from nexus.registry import Candidate, Registry
from nexus.routing.policies import POLICIES, judge_context

NOW = 100.0
CAPABILITIES = ("vision", "remote_image", "audio", "tools", "json", "embeddings")


def judge(candidate: Candidate, wish: Requirements) -> list[Rejection]:
    context = judge_context(wish, NOW)
    found = [policy.judge(context, candidate) for policy in POLICIES if policy.applies(wish)]
    return [rejection for rejection in found if rejection is not None]


def wish(**needs: object) -> Requirements:
    return Requirements(**({"surface": "chat", "model": "llama3"} | needs))  # type: ignore[arg-type]


def one(target: Registry) -> Candidate:
    return pair(target, "a")


def test_every_policy_has_a_name_of_its_own() -> None:
    assert len({policy.name for policy in POLICIES}) == len(POLICIES)


@pytest.mark.parametrize(
    ("status", "kind", "help_"),
    [
        (BackendStatus.UNKNOWN, RejectionKind.TRANSIENT, "first check"),
        (BackendStatus.LOADING, RejectionKind.TRANSIENT, "loaded"),
        (BackendStatus.UNHEALTHY, RejectionKind.TRANSIENT, "start it"),
        (BackendStatus.UNAUTHORIZED, RejectionKind.FINAL, "api_key_env"),
    ],
)
def test_a_status_out_of_rotation_is_told_with_its_reason(
    status: BackendStatus, kind: RejectionKind, help_: str
) -> None:
    target = registry()
    add(target, "a", status=status)
    target.update("a", reason="the checks said so")
    (rejection,) = judge(one(target), wish())
    assert (rejection.code, rejection.kind) == (status.value, kind)
    assert "'a'" in rejection.message
    assert "the checks said so" in rejection.message
    assert help_ in rejection.message


def test_draining_and_keyed_backends_say_what_would_help() -> None:
    target = registry()
    add(target, "a", key="sk-secret")
    target.set_draining("a", draining=True)
    (rejection,) = judge(one(target), wish())
    assert (rejection.code, rejection.kind) == ("draining", RejectionKind.TRANSIENT)
    target.set_draining("a", draining=False)
    target.set_rules(RoutingRules(route_keyed_backends=False))
    (rejection,) = judge(one(target), wish())
    assert (rejection.code, rejection.kind) == ("keyed_backend", RejectionKind.FINAL)
    assert "allow_anonymous_cloud" in rejection.message
    assert "sk-secret" not in rejection.message


@pytest.mark.parametrize(("loading", "code"), [(False, "busy"), (True, "loading")])
def test_a_busy_pair_waits_and_says_how_long(loading: bool, code: str) -> None:
    target = registry()
    add(target, "a")
    target.busy(one(target), NOW, 7, loading=loading)
    (rejection,) = judge(one(target), wish())
    assert (rejection.code, rejection.kind) == (code, RejectionKind.TRANSIENT)
    assert "7 s" in rejection.message
    target.busy(one(target), NOW - 20, 7, loading=loading)
    one(target).stats.busy_until = NOW
    assert judge(one(target), wish()) == []


def test_a_surface_that_the_dialect_lacks_or_that_turned_out_missing() -> None:
    target = registry()
    add(target, "a", type=BackendType.LLAMACPP)
    (rejection,) = judge(one(target), wish(surface="messages"))
    assert (rejection.code, rejection.kind) == ("surface", RejectionKind.FINAL)
    assert "type 'llamacpp'" in rejection.message
    target.learn_false(one(target), "surface:chat")
    (rejection,) = judge(one(target), wish())
    assert "turned out" in rejection.message


@pytest.mark.parametrize("name", CAPABILITIES)
def test_only_a_known_false_excludes(name: str) -> None:
    for flag, codes in ((None, []), (True, []), (False, [name])):
        target = registry()
        add(target, "a", [model("llama3") if flag is None else model("llama3", **{name: flag})])
        rejections = judge(one(target), wish(**{name: True}))
        assert [rejection.code for rejection in rejections] == codes
        assert all(rejection.kind is RejectionKind.FINAL for rejection in rejections)
        assert judge(one(target), wish()) == []
        target.learn_false(one(target), name)
        assert [rejection.code for rejection in judge(one(target), wish(**{name: True}))] == [name]


@pytest.mark.parametrize(
    ("kind", "name", "help_"),
    [
        (BackendType.VLLM, "tools", "--enable-auto-tool-choice"),
        (BackendType.LLAMACPP, "tools", "--jinja"),
        (BackendType.LLAMACPP, "vision", "--mmproj"),
        (BackendType.LLAMACPP, "embeddings", "--embeddings"),
        (BackendType.OLLAMA, "tools", "use another model"),
    ],
)
def test_what_would_help_is_said_in_the_words_of_the_server(kind: BackendType, name: str, help_: str) -> None:
    target = registry()
    add(target, "a", [model("llama3", **{name: False})], type=kind)
    (rejection,) = judge(one(target), wish(**{name: True}))
    assert help_ in rejection.message
    assert f"`{name} = true`" in rejection.message
