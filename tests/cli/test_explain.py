"""``nexus explain`` against a running gateway."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tests.cli.program import on_a_terminal, program
from tests.cli.support import Command, Stub
from tests.support.gateway import RunningGateway, Serve, backend_toml

from nexus import testing
from nexus.testing import FakeFleet, FakeModel

HOSTILE = "\x1b[2J\x1b[31mevil\r\n"


class Asked:
    """``nexus explain ARGS --url <the gateway's>``, while the gateway runs on this loop."""

    def __init__(self, nexus: Command, gateway: RunningGateway) -> None:
        self._nexus = nexus
        self.url = f"http://127.0.0.1:{gateway.nexus.port}"

    async def __call__(self, *arguments: str) -> Result:
        return await asyncio.to_thread(self._nexus, "explain", *arguments, "--url", self.url)


@pytest.fixture
async def asked(nexus: Command, fleet: FakeFleet, start: Serve) -> tuple[Asked, RunningGateway]:
    """A gateway over an Ollama with a small context and a vLLM that comes after it."""
    small = await fleet.add("ollama", name="ollama-mac", models=[FakeModel("m", context=4096)])
    large = await fleet.add("vllm", name="rack", models=[FakeModel("m", context=16384)])
    gateway = await start(backend_toml(small, large, rack="priority = 60"))
    return Asked(nexus, gateway), gateway


async def test_what_would_be_decided_names_who_and_what_would_help(
    asked: tuple[Asked, RunningGateway],
) -> None:
    ask, gateway = asked
    result = await ask("--model", "m", "--tokens", "9120")
    assert result.exit_code == 0
    first, needed = result.stdout.splitlines()[:2]
    assert first == "rack would be asked, because it was the only one of 2 that could serve it."
    assert "at least 9,120 tokens" in needed
    (refused,) = (line for line in result.stdout.splitlines() if "refused" in line)
    assert " ".join(refused.split()) == (
        "ollama-mac: refused (context_length): holds 4096 tokens of context for 'm'; the prompt has at "
        "least 9120. Shorten it, or raise num_ctx of the model or OLLAMA_CONTEXT_LENGTH there."
    )
    assert gateway.outcomes == []


async def test_the_newest_request_is_told_with_its_score(asked: tuple[Asked, RunningGateway]) -> None:
    ask, gateway = asked
    await gateway.chat()
    await gateway.outcome()
    result = await ask()
    lines = result.stdout.splitlines()
    assert lines[0] == ("ollama-mac answered, because it is preferred (priority 50, rack 60).")
    assert gateway.outcomes[0].request_id in lines[1]
    heads = next(line for line in lines if "Score" in line).split()
    assert heads[:6] == ["#", "Backend", "Score", "Priority", "Load", "Latency"]
    row = next(line for line in lines if line.strip().startswith("1")).split()
    assert row[1] == "ollama-mac"
    score, priority, load, latency = map(float, row[2:6])
    assert score == pytest.approx(priority + load + latency, abs=0.2)
    assert row[-1] == "chosen"
    assert any("answered 200" in line for line in lines)
    assert "Nexus's own share" in lines[-1]


async def test_a_failover_is_told_in_order(asked: tuple[Asked, RunningGateway], fleet: FakeFleet) -> None:
    ask, gateway = asked
    fleet.backends[0].next(testing.Status(500, b'{"error": {"message": "out of memory"}}'))
    await gateway.chat()
    outcome = await gateway.outcome()
    result = await ask(outcome.request_id)
    out = result.stdout
    assert out.startswith("rack answered after ollama-mac (")
    assert out.index("Decision 1 of 2") < out.index("Decision 2 of 2") < out.index("Attempt")
    assert "ollama-mac: was asked before" in out
    assert "out of memory" in out


async def test_nobody_is_said_to_have_answered_when_nobody_did(
    asked: tuple[Asked, RunningGateway],
) -> None:
    ask, gateway = asked
    await gateway.chat("nope")
    await gateway.outcome()
    result = await ask()
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "Nobody was asked. No backend has had a model named 'nope'. The client got 404 model_not_found."
    )


async def test_a_running_request_is_told_as_far_as_it_went(
    asked: tuple[Asked, RunningGateway], fleet: FakeFleet
) -> None:
    ask, gateway = asked
    release = asyncio.Event()
    fleet.backends[0].next(testing.Stall(stage=testing.Stage.BODY, at_event=2, release=release))
    client = asyncio.ensure_future(gateway.chat(stream=True))
    await gateway.until(lambda: any(one.reply.started for one in gateway.nexus.exchanges.running))
    result = await ask()
    assert result.stdout.startswith("ollama-mac is answering, because")
    assert "Running for" in result.stdout
    release.set()
    await client


async def test_capabilities_and_surfaces_make_the_body(asked: tuple[Asked, RunningGateway]) -> None:
    ask, _ = asked
    told = json.loads((await ask("--model", "m", "--tools", "--vision", "--json")).stdout)
    assert (told["needs"]["tools"], told["needs"]["vision"], told["needs"]["images"]) == (True, True, 1)
    for surface in ("completions", "embeddings", "responses", "messages", "count_tokens"):
        told = json.loads(
            (await ask("--model", "m", "--tokens", "50", "--surface", surface, "--json")).stdout
        )
        assert (told["needs"]["surface"], told["needs"]["text_bytes"]) == (surface, 300)


async def test_a_body_is_taken_from_a_file_or_from_standard_input(
    asked: tuple[Asked, RunningGateway], tmp_path: Path
) -> None:
    ask, _ = asked
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 60_000}]}
    (tmp_path / "body.json").write_text(json.dumps(body))
    told = await ask("--body", str(tmp_path / "body.json"))
    assert told.stdout.startswith("rack would be asked")
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -m nexus explain --body - --url {ask.url} < body.json",
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert out.decode() == told.stdout


@pytest.mark.parametrize(
    "arguments",
    [("abc", "--model", "m"), ("--body", "-", "--tools"), ("--surface", "chat"), ("--tokens", "0"),
     ("--model", "m", "--tools", "--surface", "embeddings")],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(nexus: Command, stub: Stub, arguments: tuple[str, ...]) -> None:
    result = nexus("explain", *arguments, "--url", stub.url)
    assert result.exit_code == 2
    assert stub.asked == []


async def test_what_nexus_refuses_is_said_once(asked: tuple[Asked, RunningGateway]) -> None:
    ask, _ = asked
    for arguments, said in ((("nope",), "No request 'nope'"), ((), "No request has been made yet")):
        result = await ask(*arguments)
        assert result.exit_code == 1
        assert said in result.stderr
        assert result.stdout == ""


async def test_names_from_elsewhere_cannot_move_the_cursor(asked: tuple[Asked, RunningGateway]) -> None:
    ask, gateway = asked
    await gateway.chat(HOSTILE)
    await gateway.outcome()
    for arguments in ((), ("--model", HOSTILE)):
        result = await ask(*arguments)
        assert "evil" in result.stdout
        assert not [c for c in result.stdout if not c.isprintable() and c != "\n"]


async def test_a_narrow_terminal_shows_it_in_colour_without_a_line_too_long(
    asked: tuple[Asked, RunningGateway], tmp_path: Path
) -> None:
    ask, _ = asked
    async with on_a_terminal(
        tmp_path, "explain", "--model", "m", "--tokens", "9120", "--url", ask.url
    ) as screen:
        assert await screen.end() == 0
        await screen.until("OLLAMA_CONTEXT_LENGTH")
        assert "\x1b[1;32mrack would be asked" in screen.raw
        assert max(map(len, screen.text.splitlines())) <= 80
    async with on_a_terminal(
        tmp_path, "explain", "--model", "m", "--url", ask.url, environment={"NO_COLOR": "1"}
    ) as screen:
        await screen.until("rack")
        await screen.end()
        assert "\x1b[32m" not in screen.raw
        assert "\x1b[1;32m" not in screen.raw


async def test_a_token_opens_a_remote_one(start: Serve, tmp_path: Path) -> None:
    gateway = await start('[admin]\ntoken_env = "ADMIN"\n', ADMIN="sesame-sesame-sesame")
    url = f"http://127.0.0.1:{gateway.nexus.port}"
    ask = ("explain", "--model", "m", "--url", url)
    async with program(tmp_path, *ask) as without:
        code, _, err = await without.rest()
        assert code == 1
        assert "wants the administration's token" in err
    async with program(tmp_path, *ask, "--admin-token-env", "MINE", MINE="sesame-sesame-sesame") as with_it:
        code, out, _ = await with_it.rest()
        assert (code, out.startswith("Nobody could be asked.")) == (0, True)


def test_the_whole_help_is_short(nexus: Command) -> None:
    result = nexus("explain", "--help")
    assert "X-Nexus-Request-Id" in result.stdout


def answered(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON is anything
    return {"id": "r", "status": 200, "backend": "a", "decisions": [], "tries": [], **more}


@pytest.mark.parametrize("told", [{}, {"decisions": 3, "tries": "no", "needs": []}, answered(timings=None)])
def test_an_answer_of_another_version_is_no_traceback(
    nexus: Command, stub: Stub, told: dict[str, Any]
) -> None:
    stub.answer("/admin/requests/r", told)
    result = nexus("explain", "r", "--url", stub.url)
    assert result.exit_code == 0
    assert "Traceback" not in result.output
