from __future__ import annotations

import base64
import json
from random import Random
from urllib.request import Request, urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.registry.fleet import add, model, pair, registry

from nexus.demo.llama import LlamaServer
from nexus.domain import BackendType, Requirements, Usage
from nexus.registry import Registry
from nexus.routing import Decision, Refusal, decide
from nexus.routing.policies import judge_context
from nexus.routing.policies.context_length import POLICY


def fleet(context: int | None, *, counts_max_tokens: bool = False) -> Registry:
    target = registry()
    add(target, "a", [model("llama3", context)], counts_max_tokens=counts_max_tokens)
    return target


def fits(target: Registry, text_bytes: int, max_tokens: int | None = None) -> bool:
    """Tell what the estimate says of the one candidate."""
    wish = Requirements(surface="chat", model="llama3", text_bytes=text_bytes, max_tokens=max_tokens)
    return POLICY.judge(judge_context(wish, 100.0), pair(target, "a")) is None


def serves(
    target: Registry, text_bytes: int, max_tokens: int | None = None, above: int | None = None
) -> bool:
    wish = Requirements(
        surface="chat", model="llama3", text_bytes=text_bytes, max_tokens=max_tokens, context_above=above
    )
    result = decide(target.snapshot, wish, 100.0, Random(1))
    if isinstance(result, Refusal):
        assert [why.code for _, _, why in result.rejections] == ["context_length"]
    return isinstance(result, Decision)


def learn(target: Registry, text_bytes: int, tokens: int, times: int = 25) -> None:
    for _ in range(times):
        with target.lease(pair(target, "a")) as lease:
            lease.tokens(Usage(prompt_tokens=tokens), text_bytes)


def test_a_prompt_that_no_text_could_fit_is_not_sent() -> None:
    assert serves(fleet(1000), 24_000)
    assert not serves(fleet(1000), 24_001)


def test_the_estimate_chooses_between_backends() -> None:
    assert fits(fleet(1000), 6000)
    assert not fits(fleet(1000), 6001)
    both = fleet(1000)
    add(both, "large", [model("llama3", 4000)])
    for text_bytes, asked in ((6000, {"a", "large"}), (6001, {"large"}), (30_000, {"large"})):
        result = decide(both.snapshot, Requirements("chat", "llama3", text_bytes=text_bytes), 0.0, Random(1))
        assert isinstance(result, Decision)
        assert {candidate.backend.id for candidate in result.ranking} == asked


def test_after_trying_the_largest_nobody_is_left() -> None:
    both = fleet(1000)
    add(both, "large", [model("llama3", 4000)])
    wish = Requirements("chat", "llama3", text_bytes=30_000)
    assert isinstance(decide(both.snapshot, wish, 0.0, Random(1), frozenset({"large"})), Refusal)


def test_an_unknown_context_excludes_nothing() -> None:
    assert serves(fleet(None), 10**9, 10**9)


def test_max_tokens_counts_only_where_the_sum_is_refused() -> None:
    assert fits(fleet(1000), 600, 5000)
    assert fits(fleet(1000, counts_max_tokens=True), 600, 900)
    assert not fits(fleet(1000, counts_max_tokens=True), 600, 901)
    assert not fits(fleet(1000, counts_max_tokens=True), 0, 1001)


def test_after_an_overflow_only_a_known_larger_context_will_do() -> None:
    assert not serves(fleet(None), 10, above=4096)
    assert not serves(fleet(4096), 10, above=4096)
    assert serves(fleet(4097), 10, above=4096)


@pytest.mark.parametrize(
    ("kind", "help_"),
    [
        (BackendType.OLLAMA, "OLLAMA_CONTEXT_LENGTH"),
        (BackendType.LLAMACPP, "-c or with fewer slots"),
        (BackendType.VLLM, "--max-model-len"),
        (BackendType.SGLANG, "--context-length"),
        (BackendType.OPENAI, "use a model with a larger context"),
    ],
)
def test_a_refusal_says_the_numbers_and_what_would_help_on_that_server(kind: BackendType, help_: str) -> None:
    target = registry()
    add(target, "a", [model("llama3", 1000)], type=kind)
    for above, fact in ((None, "the prompt has at least 1001"), (2000, "overflowed 2000 tokens elsewhere")):
        wish = Requirements("chat", "llama3", text_bytes=6001, context_above=above)
        rejection = POLICY.judge(judge_context(wish, 100.0), pair(target, "a"))
        assert rejection is not None
        assert "1000 tokens of context" in rejection.message
        assert fact in rejection.message
        assert help_ in rejection.message


def test_an_unknown_context_after_an_overflow_is_to_be_set() -> None:
    wish = Requirements("chat", "llama3", context_above=2000)
    rejection = POLICY.judge(judge_context(wish, 100.0), pair(fleet(None), "a"))
    assert rejection is not None
    assert "set `context_length`" in rejection.message


def test_a_script_with_long_tokens_is_learned() -> None:
    target = fleet(1000)
    assert not fits(target, 9500)
    learn(target, 9500, 1000)
    assert fits(target, 9500)
    assert not fits(target, 9600)


def test_the_template_that_short_prompts_carry_teaches_nothing() -> None:
    target = fleet(1000)
    learn(target, 10, 60, times=1000)
    assert serves(target, 6000)


@given(
    st.lists(st.tuples(st.integers(1, 50_000), st.floats(0.2, 12.0)), max_size=60),
    st.floats(0.2, 12.0),
    st.integers(100, 200_000),
)
def test_whatever_was_learned_a_prompt_of_at_most_six_bytes_a_token_that_fits_is_served(
    seen: list[tuple[int, float]], ratio: float, context: int
) -> None:
    target = fleet(context)
    for text_bytes, other in seen:
        learn(target, text_bytes, max(1, round(text_bytes / other)), times=1)
    learned = [other for text_bytes, other in seen if text_bytes >= 2048]
    if ratio <= 6.0 or (len(learned) >= 20 and ratio <= 0.99 * max(learned)):
        assert serves(target, int(context * ratio))


ENGLISH = "The quick brown fox jumps over the lazy dog while everybody else is looking at the moon. " * 60
CHINESE = "人工智能正在改变我们的生活方式。机器学习模型可以理解自然语言并生成高质量的文本。" * 60
JAPANESE = "これは長い文章の例であり、モデルの文脈の長さを測るために使われます。" * 60
KOREAN = "이 문장은 모델의 문맥 길이를 시험하기 위해 작성된 예시입니다. " * 60
RUSSIAN = "Этот текст написан для проверки длины контекста языковой модели. " * 60
HINDI = "यह वाक्य भाषा मॉडल की संदर्भ लंबाई की जाँच के लिए लिखा गया है। " * 60
BASE64 = base64.b64encode(Random(7).randbytes(4000)).decode()
CODE = (
    """
def merge(left: list[int], right: list[int]) -> list[int]:
    merged: list[int] = []
    while left and right:
        if left[0] <= right[0]:
            merged.append(left.pop(0))
        else:
            merged.append(right.pop(0))
    return merged + left + right
"""
    * 20
)
EMOJI = "🚀🔥👩‍💻✨🎉" * 100
KINDS = {
    "english": ENGLISH,
    "chinese": CHINESE,
    "japanese": JAPANESE,
    "korean": KOREAN,
    "russian": RUSSIAN,
    "hindi": HINDI,
    "base64": BASE64,
    "code": CODE,
    "emoji": EMOJI,
    "mixed": "".join(text[:1000] for text in (ENGLISH, CHINESE, BASE64, CODE, RUSSIAN)),
}


def tokenize(server: LlamaServer, text: str) -> int:
    body = json.dumps({"content": text}).encode()
    request = Request(
        f"http://{server.host}:{server.port}/tokenize", body, {"Content-Type": "application/json"}
    )
    with urlopen(request, timeout=20) as reply:  # noqa: S310 - the address is that of our own server
        return len(json.load(reply)["tokens"])


@pytest.mark.real
def test_a_prompt_that_fits_by_the_servers_own_tokenizer_is_never_refused(llama_server: LlamaServer) -> None:
    sizes = {kind: (len(text.encode()), tokenize(llama_server, text)) for kind, text in KINDS.items()}
    for kind, (text_bytes, tokens) in sizes.items():
        assert serves(fleet(tokens), text_bytes), kind
        assert serves(fleet(tokens + 50, counts_max_tokens=True), text_bytes, 50), kind
        for other, (bytes_before, tokens_before) in sizes.items():
            target = fleet(tokens)
            learn(target, bytes_before, tokens_before)
            assert serves(target, text_bytes), (other, kind)
