"""What a scrape says after requests of every kind."""

from __future__ import annotations

import json

import pytest
from tests.support.gateway import RunningGateway, Serve, backend_toml

from nexus.testing import Busy, Death, FakeFleet, FakeModel, Stage, Stall, Status

ASKING = "[metrics]\nask_stream_usage = true\n"


async def scrape(gateway: RunningGateway) -> dict[str, float]:
    reply = await gateway.get("/metrics")
    lines = [line for line in reply.body.decode().splitlines() if not line.startswith("#")]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


async def test_a_client_that_left_is_no_error(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=["m"])
    gateway = await start(backend_toml(backend))
    backend.next(Stall(Stage.BODY, at_event=2))
    async with gateway.client() as client:
        client.send("POST", "/v1/chat/completions", {"model": "m", "stream": True, "messages": []})
        await client.read_reply(until=1)
        rows = await scrape(gateway)
        assert rows[f'nexus_in_flight{{backend="{backend.name}"}}'] == 1
        client.leave()
        await gateway.outcome()
    rows = await scrape(gateway)
    assert rows["nexus_client_disconnects_total"] == 1
    assert rows[f'nexus_in_flight{{backend="{backend.name}"}}'] == 0
    assert not any(key.startswith("nexus_errors_total") for key in rows)


async def test_errors_failovers_and_fallbacks(fleet: FakeFleet, start: Serve) -> None:
    big = await fleet.add("vllm", models=["big"])
    small = await fleet.add("vllm", models=["small"])
    fallbacks = '[routing.fallbacks]\n"big" = ["small"]\n[routing.aliases]\n"gpt-*" = "big"\n'
    gateway = await start(backend_toml(big, small) + fallbacks)
    big.next(Busy(retry_after="0"), Status(400, b'{"error": {"message": "no"}}'), Death())
    await gateway.chat("gpt-made-up-1")
    await gateway.until(
        lambda: not any(pair.busy_seconds for pair in gateway.nexus.registry.views()[0].models)
    )
    await gateway.chat("big")
    await gateway.chat("big", stream=True)
    await gateway.chat("nobody-has-it")
    await gateway.outcome(4)
    rows = await scrape(gateway)
    assert rows['nexus_fallbacks_total{from_model="big",to_model="small"}'] == 1
    assert rows[f'nexus_attempts_total{{backend="{big.name}",outcome="busy"}}'] == 1
    assert rows['nexus_errors_total{error_type="client_error",model="big"}'] == 1
    assert rows['nexus_errors_total{error_type="error_event",model="big"}'] == 1
    assert rows['nexus_errors_total{error_type="model_not_found",model="unknown"}'] == 1
    assert rows["nexus_models_available"] == 2
    assert rows["nexus_decision_seconds_count"] == 4
    assert not any("made-up" in key or "nobody" in key for key in rows)


async def test_rejections_name_the_policy(fleet: FakeFleet, start: Serve) -> None:
    blind = await fleet.add("llamacpp", models=[FakeModel("m", vision=False)])
    gateway = await start(backend_toml(blind))
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    await gateway.chat(messages=[{"role": "user", "content": [picture]}])
    await gateway.outcome()
    assert (await scrape(gateway))['nexus_rejections_total{policy="vision"}'] == 1


@pytest.mark.parametrize("asking", [False, True])
async def test_streams_are_counted_exactly_only_when_the_backend_was_asked(
    fleet: FakeFleet, start: Serve, asking: bool
) -> None:
    backend = await fleet.add("vllm", models=["m"])
    gateway = await start((ASKING if asking else "") + backend_toml(backend))
    reply = await gateway.chat(stream=True)
    await gateway.outcome()
    rows = await scrape(gateway)
    where = f'backend="{backend.name}",model="m"'
    kinds = {key.partition('type="')[2].partition('"')[0] for key in rows if "nexus_tokens_total" in key}
    assert kinds == ({"prompt", "completion"} if asking else {"completion_estimated"})
    assert rows[f"nexus_inter_chunk_seconds_count{{{where}}}"] > 0
    last = json.loads([event for event in reply.events if event != "[DONE]"][-1])
    assert bool(last.get("usage")) is asking
    assert (last["choices"] == []) is asking
    sent = backend.surface_requests[-1].body
    assert sent.startswith(b'{"stream_options":{"include_usage":true},"model"' if asking else b'{"model"')
