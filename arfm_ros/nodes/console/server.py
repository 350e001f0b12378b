"""The web server on a thread and a loop of its own."""

from __future__ import annotations

import asyncio
import errno
import ssl
import threading
from collections.abc import Callable
from typing import Any

from aiohttp import web

from arfm_ros.core.errors import ConfigError
from arfm_ros.nodes.console.pages import Pages

CHECK_S, START_S, STOP_S = 0.25, 10.0, 2.0


class Server:
    """Serves an application; `call` runs something in its loop."""

    def __init__(
        self, make_app: Callable[[], web.Application], pages: Pages, tls: ssl.SSLContext | None
    ) -> None:
        self._make_app, self._pages, self._tls = make_app, pages, tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)
        self._stop = asyncio.Event()
        self.failure: BaseException | None = None

    def start(self, host: str, port: int) -> int:
        """Begin to listen; return the port. Raises `ConfigError` where that cannot be."""
        self._thread.start()
        begun = asyncio.run_coroutine_threadsafe(self._listen(host, port), self._loop)
        try:
            return begun.result(START_S)
        except OSError as error:
            self.close()
            taken = error.errno == errno.EADDRINUSE
            why = "another program has it: choose another 'port'" if taken else str(error)
            raise ConfigError(f"the console cannot listen on {host}:{port}: {why}") from error

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Run a function in the loop's thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def close(self) -> None:
        """Hang up and end the thread."""
        self.call(self._stop.set)
        self._thread.join(timeout=STOP_S)

    async def _listen(self, host: str, port: int) -> int:
        self._runner = web.AppRunner(
            self._make_app(), access_log=None, shutdown_timeout=0.5, handle_signals=False
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=self._tls)
        await site.start()
        return int(self._runner.addresses[0][1])

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._work())
        except BaseException as error:  # noqa: BLE001 - thread border: the node raises it again
            self.failure = error
        finally:
            self._loop.close()

    async def _work(self) -> None:
        while not self._stop.is_set():
            self._pages.check()
            try:
                await asyncio.wait_for(self._stop.wait(), CHECK_S)
            except asyncio.TimeoutError:
                continue
        await self._pages.close()
        runner = getattr(self, "_runner", None)
        if runner is not None:
            await runner.cleanup()
