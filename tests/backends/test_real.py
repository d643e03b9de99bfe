"""The llama.cpp adapter and detection against a real server."""

from __future__ import annotations

import asyncio

import pytest
from tests.backends.probing import probing
from tests.conftest import MakeLlama

from nexus.backends import ADAPTERS
from nexus.backends.detect import detect
from nexus.demo.llama import LlamaServer
from nexus.domain import BackendStatus, BackendType

pytestmark = pytest.mark.real


async def test_a_real_server_is_recognised_and_described(llama_server: LlamaServer) -> None:
    async with probing(llama_server.url) as probe:
        verdict = await detect(probe)
        report = await ADAPTERS[BackendType.LLAMACPP].poll(probe)
    assert verdict is not None
    assert (verdict.type, verdict.proven) == (BackendType.LLAMACPP, True)
    assert (report.status, report.slots, report.type) == (BackendStatus.HEALTHY, 2, None)
    assert report.models is not None
    (model,) = report.models
    assert (model.id, model.context_length, model.loaded) == ("smollm2-135m", 2048, True)


async def test_a_wrong_key_is_told_from_a_right_one(make_llama: MakeLlama) -> None:
    server = await asyncio.to_thread(make_llama, api_key="sk-real")
    async with probing(server.url, "sk-wrong") as probe:
        verdict = await detect(probe)
        assert verdict is not None
        assert verdict.type is BackendType.LLAMACPP
        assert (await ADAPTERS[BackendType.LLAMACPP].poll(probe)).status is BackendStatus.UNAUTHORIZED
    async with probing(server.url, "sk-real") as probe:
        assert (await ADAPTERS[BackendType.LLAMACPP].poll(probe)).status is BackendStatus.HEALTHY
