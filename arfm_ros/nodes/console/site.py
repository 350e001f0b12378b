"""The web server's routes: the page, its two kinds of sockets, and the door in front of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import Any

from aiohttp import WSMsgType, web

from arfm_ros.console.doors import Keyring, host_refusal, origin_refusal
from arfm_ros.console.messages import SIZE_MAX
from arfm_ros.console.pace import Pace
from arfm_ros.nodes.console.pages import SEND_S, Pages
from arfm_ros.nodes.console.pictures import Pictures

SESSION = "arfm_console"
BEAT_S = 10.0  # of sockets to see who is gone; deadmen go by their own silence
LOGIN_MAX = 4096
OPEN_PATHS = {"/login", "/style.css", "/login.js"}
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """Routes for one console; for the server's thread."""

    def __init__(
        self,
        pages: Pages,
        pictures: Pictures,
        keyring: Keyring,
        names: tuple[str, ...],
        picture_hz: float,
    ) -> None:
        self._pages, self._pictures, self._keyring = pages, pictures, keyring
        self._names, self._picture_hz = names, picture_hz
        self._fresh: set[asyncio.Event] = set()
        self.hello: Mapping[str, Any] = {}
        self._files = {
            one.name: one.read_bytes()
            for one in resources.files("arfm_ros.console").joinpath("page").iterdir()
            if one.is_file()
        }

    def app(self) -> web.Application:
        """Build the application."""
        app = web.Application(middlewares=[self._door()], client_max_size=LOGIN_MAX)
        app.router.add_get("/", self._file)
        app.router.add_get("/login", self._file)
        app.router.add_post("/login", self._login)
        app.router.add_get("/control", self._control)
        app.router.add_get("/cameras/{name}", self._camera)
        app.router.add_get("/{name}", self._file)
        return app

    def ring(self) -> None:
        """Let the cameras' sockets look for a new picture."""
        for event in self._fresh:
            event.set()

    def _door(self) -> Any:
        @web.middleware
        async def door(request: web.Request, handler: Handler) -> web.StreamResponse:
            refusal = host_refusal(request.host, self._names) or origin_refusal(
                request.headers.get("Origin"), request.scheme, request.host
            )
            if refusal:
                return web.Response(status=403, text=refusal, headers=HEADERS)
            if request.path not in OPEN_PATHS and not self._admits(request):
                if request.path == "/":
                    raise web.HTTPSeeOther("/login", headers=HEADERS)
                return web.Response(status=401, text="give the token first", headers=HEADERS)
            return await handler(request)

        return door

    def _admits(self, request: web.Request) -> bool:
        kind, _, bearer = request.headers.get("Authorization", "").partition(" ")
        bearer = bearer.strip() if kind.lower() == "bearer" else ""
        session = request.cookies.get(SESSION, "")
        return self._keyring.admits(session, bearer, time.monotonic_ns())

    async def _file(self, request: web.Request) -> web.Response:
        name = {"/": "index.html", "/login": "login.html"}.get(request.path)
        name = name or request.match_info.get("name", "")
        if name not in self._files:
            return web.Response(status=404, text="there is no such page", headers=HEADERS)
        kind = KINDS.get("." + name.rsplit(".", 1)[-1], "application/octet-stream")
        return web.Response(
            body=self._files[name], content_type=kind, charset="utf-8", headers=HEADERS
        )

    async def _login(self, request: web.Request) -> web.Response:
        form = await request.post()
        token, address = str(form.get("token", "")).strip(), request.remote or ""
        secret, refusal = self._keyring.open(token, address, time.monotonic_ns())
        if refusal:
            return web.Response(status=403, text=refusal, headers=HEADERS)
        answer = web.Response(status=204, headers=HEADERS)
        answer.set_cookie(
            SESSION, secret, httponly=True, secure=request.secure, samesite="Strict", path="/"
        )
        return answer

    async def _control(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=SIZE_MAX, compress=False, heartbeat=BEAT_S)
        await socket.prepare(request)
        watch = asyncio.create_task(self._until_expired(request, socket))
        try:
            await self._pages.serve(socket, self.hello)
        finally:
            watch.cancel()
        return socket

    async def _until_expired(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        """A page left open over night: its session ends, and so does what it may do."""
        while self._admits(request):
            await asyncio.sleep(1.0)
        await socket.close(code=4401, message=b"give the token again")

    async def _camera(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in self._pictures.newest:
            return web.Response(status=404, text="there is no such camera", headers=HEADERS)
        socket = web.WebSocketResponse(max_msg_size=256, compress=False, heartbeat=BEAT_S)
        await socket.prepare(request)
        fresh, pace = asyncio.Event(), Pace(self._picture_hz)
        self._fresh.add(fresh)
        self._pictures.watch(1)
        sender = asyncio.create_task(self._show(request, socket, name, (fresh, pace)))
        try:
            async for one in socket:
                if one.type is not WSMsgType.TEXT:
                    break
                pace.shown()
                fresh.set()
        finally:
            sender.cancel()
            self._fresh.discard(fresh)
            self._pictures.watch(-1)
        return socket

    async def _show(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        name: str,
        when: tuple[asyncio.Event, Pace],
    ) -> None:
        (fresh, pace), newest = when, self._pictures.newest[name]
        try:
            while self._admits(request):
                if newest.number and pace.take(newest.number, time.monotonic_ns()):
                    await asyncio.wait_for(socket.send_bytes(newest.jpeg), SEND_S)
                await fresh.wait()
                fresh.clear()
        except (asyncio.TimeoutError, ConnectionError, RuntimeError):
            pass  # the page is gone, or takes nothing any more
        await socket.close()
