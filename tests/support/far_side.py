"""A machine of the network: an Ollama that listens on loopback only, and ``nexus serve`` as given."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from nexus.testing import FakeFleet, FakeModel


async def main() -> int:
    """Run until a SIGTERM, which is passed on."""
    async with FakeFleet() as fleet:
        await fleet.add("ollama", port=11434, models=[FakeModel("far-model")], name="far-ollama", pace=0.01)
        gateway = await asyncio.create_subprocess_exec(sys.executable, "-m", "nexus", "serve", *sys.argv[1:])
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, gateway.terminate)
        return await gateway.wait()


if __name__ == "__main__":
    os._exit(asyncio.run(main()))
