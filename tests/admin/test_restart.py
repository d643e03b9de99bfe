"""Added backends over restarts of the gateway."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.admin.asking import Admin
from tests.support.gateway import backend_toml, serve

from nexus.config.load import load
from nexus.domain import BackendSpec
from nexus.testing import FakeFleet, FakeModel


@asynccontextmanager
async def running(toml: str, folder: Path, **environ: str) -> AsyncIterator[Admin]:
    async with serve(toml, folder, environ) as gateway:
        yield Admin(gateway)


async def test_added_ones_come_back_as_they_were(fleet: FakeFleet, tmp_path: Path) -> None:
    first = await fleet.add("vllm", models=[FakeModel("m")], key="k1")
    second = await fleet.add("ollama", models=[FakeModel("n")])
    async with running("", tmp_path, A_KEY="k1") as admin:
        await admin.add(url=first.url, name="a", api_key_env="A_KEY", priority=3, slots=2)
        await admin.add(url=second.url, name="b")
        await admin.add(url="http://127.0.0.1:9", name="c")
        await admin.patch("b", drain=True, priority=1)
        await admin.delete("c")
        before = await admin.list()
    async with running("", tmp_path, A_KEY="k1") as admin:
        after = await admin.list()
        assert list(after) == ["a", "b"]
        for name, view in after.items():
            for field in (
                "id",
                "url",
                "type",
                "source",
                "found_by",
                "status",
                "priority",
                "slots",
                "draining",
            ):
                assert view[field] == before[name][field], field
        assert (await admin.gateway.chat("m")).status == 200
        assert (await admin.gateway.chat("n")).status == 503


async def test_the_configuration_beats_what_was_added(
    fleet: FakeFleet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")], name="box")
    async with running("", tmp_path) as admin:
        await admin.add(url=backend.url, name="mine")
        await admin.add(url="http://127.0.0.1:9", name="box")
    async with running(backend_toml(backend), tmp_path) as admin:
        views = await admin.list()
        assert [(view["name"], view["source"]) for view in views.values()] == [("box", "static")]
        assert caplog.text.count("left an added backend out") == 2
    kept = json.loads((tmp_path / "state" / "backends.json").read_text())["backends"]
    assert [row["name"] for row in kept] == ["mine", "box"]


async def test_a_key_that_is_gone_leaves_its_backend_out_for_now(fleet: FakeFleet, tmp_path: Path) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")], key="k1")
    async with running("", tmp_path, A_KEY="k1") as admin:
        await admin.add(url=backend.url, name="a", api_key_env="A_KEY")
    async with running("", tmp_path) as admin:
        assert await admin.list() == {}
    async with running("", tmp_path, A_KEY="k1") as admin:
        assert (await admin.list())["a"]["status"] == "healthy"


async def test_two_gateways_share_a_folder(fleet: FakeFleet, tmp_path: Path) -> None:
    first = await fleet.add("vllm", models=[FakeModel("m")])
    second = await fleet.add("vllm", models=[FakeModel("m")])
    async with running("", tmp_path) as one, running("", tmp_path) as two:
        await one.add(url=first.url, name="a")
        await two.add(url=second.url, name="b")
        reply = await two.add(url="http://127.0.0.1:9", name="a")
        assert reply.status == 201
        assert "another Nexus" in reply.json["note"]
        await two.delete("a")
    async with running("", tmp_path) as admin:
        assert {name: view["url"] for name, view in (await admin.list()).items()} == {
            "a": f"{first.url}/v1",
            "b": f"{second.url}/v1",
        }


async def test_a_corrupt_file_or_an_unwritable_folder_stops_nothing(fleet: FakeFleet, tmp_path: Path) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "backends.json").write_text("{half a fi")
    async with running("", tmp_path) as admin:
        assert await admin.list() == {}
        assert (tmp_path / "state" / "backends.json.corrupt-1").exists()
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "state").write_text("a file in the folder's place")
    async with running("", tmp_path) as admin:
        reply = await admin.add(url=backend.url, name="a")
        assert reply.status == 201
        assert "not kept" in reply.json["note"]
        assert (await admin.gateway.chat()).status == 200


async def test_a_configuration_that_names_an_added_server_takes_it_over(
    fleet: FakeFleet, tmp_path: Path
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")], name="box")
    async with running("", tmp_path) as admin:
        await admin.add(url=backend.url, name="mine")
        nexus = admin.gateway.nexus
        (static,) = load_spec(backend_toml(backend), tmp_path)
        nexus.fleet.put(static)
        assert list(await admin.list()) == ["box"]
        assert (await admin.gateway.chat()).status == 200


@pytest.mark.parametrize("restarted", [False, True], ids=["while it ran", "before it started"])
async def test_an_added_one_is_back_when_the_configuration_lets_its_place_go(
    fleet: FakeFleet, tmp_path: Path, *, restarted: bool
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")], name="box")
    (static,) = load_spec(backend_toml(backend), tmp_path)
    async with running("", tmp_path) as admin:
        await admin.add(url=backend.url, name="mine", priority=7)
        await admin.patch("mine", drain=True)
        if not restarted:
            await taken_and_left(admin, static)
    if restarted:
        async with running(backend_toml(backend), tmp_path) as admin:
            await taken_and_left(admin, static)


async def taken_and_left(admin: Admin, static: BackendSpec) -> None:
    """Let the configuration take a place over and give it up again."""
    fleet = admin.gateway.nexus.fleet
    fleet.put(static)
    assert list(await admin.list()) == ["box"]
    fleet.remove(static.id)
    (view,) = (await admin.list()).values()
    assert (view["name"], view["source"], view["priority"], view["draining"]) == ("mine", "manual", 7, True)
    assert (await admin.delete("mine")).status == 200
    assert await admin.list() == {}
    fleet.put(static)
    fleet.remove(static.id)
    assert await admin.list() == {}


async def test_one_whose_name_the_configuration_took_is_back_after_it(
    fleet: FakeFleet, tmp_path: Path
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")], name="box")
    async with running("", tmp_path) as admin:
        await admin.add(url="http://127.0.0.1:9", name="box")
        (static,) = load_spec(backend_toml(backend), tmp_path)
        nexus = admin.gateway.nexus
        nexus.fleet.put(static)
        assert (await admin.list())["box"]["source"] == "static"
        nexus.fleet.remove(static.id)
        view = (await admin.list())["box"]
        assert (view["source"], view["url"]) == ("manual", "http://127.0.0.1:9/v1")


async def test_switched_off_nothing_added_is_used(fleet: FakeFleet, tmp_path: Path) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    async with running("", tmp_path) as admin:
        await admin.add(url=backend.url, name="a")
    async with running("[admin]\nenabled = false\n", tmp_path) as admin:
        assert admin.gateway.nexus.registry.views() == ()
    async with running("", tmp_path) as admin:
        assert list(await admin.list()) == ["a"]


def load_spec(toml: str, folder: Path) -> tuple[BackendSpec, ...]:
    path = folder / "other.toml"
    path.write_text(toml)
    return load(path, {}).config.backends
