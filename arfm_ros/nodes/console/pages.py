"""Open pages: what each sends is checked and done, what each is told never piles up."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from arfm_ros.console.clock import PageClock
from arfm_ros.console.controls import Controls
from arfm_ros.console.messages import Budget, PageError, number_of, read_message, text_of
from arfm_ros.nodes.console.asking import ASKED, SAID, Asking

PAGES_MAX, ANSWERS_MAX, SEND_S = 12, 100, 5.0
FREE = ("estop",)  # what whoever watches may do too


class Seat(Protocol):
    """What drives the arm for a page; `nodes.console.drive` has it."""

    def sit(self) -> None:
        """Give the seat to the page that took the controls."""

    def stand_up(self) -> None:
        """Release the deadman at once."""

    def hear(self, message: Mapping[str, Any], stamp_ns: int, now_ns: int) -> None:
        """Take a "drive" message."""


class Page:
    """One connection: its number, how much it may send, and what it has still to be told."""

    def __init__(self, number: int, socket: web.WebSocketResponse) -> None:
        self.number, self.socket = number, socket
        self.budget, self.clock = Budget(at_ns=time.monotonic_ns()), PageClock()
        self._answers: deque[str] = deque(maxlen=ANSWERS_MAX)
        self._state = ""
        self._wake = asyncio.Event()

    def tell(self, message: Mapping[str, Any]) -> None:
        """Have an answer sent."""
        self._answers.append(json.dumps(message))
        self._wake.set()

    def show(self, state: str) -> None:
        """Have a state sent, in place of one that still waits."""
        self._state = state
        self._wake.set()

    async def send(self) -> None:
        """Send what there is, until the page does not take it any more."""
        while not self.socket.closed:
            await self._wake.wait()
            self._wake.clear()
            while self._answers:
                await asyncio.wait_for(self.socket.send_str(self._answers.popleft()), SEND_S)
            state, self._state = self._state, ""
            if state:
                await asyncio.wait_for(self.socket.send_str(state), SEND_S)


class Pages:
    """All pages and the controls that one of them may hold; for the server's thread."""

    def __init__(self, asking: Asking, seat: Seat | None, controls: Controls) -> None:
        self._asking, self._seat, self._controls = asking, seat, controls
        self._pages: dict[int, Page] = {}
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._pages)

    @property
    def holder(self) -> int:
        """Who holds the controls, 0 nobody."""
        return self._controls.holder

    def show(self, state: str) -> None:
        """Show a state to everybody."""
        for page in self._pages.values():
            page.show(state)

    def check(self) -> None:
        """Take the controls from a page that fell silent."""
        before = self._controls.holder
        self._controls.expire(time.monotonic_ns())
        if before and not self._controls.holder:
            self._lost(before, "fell silent")

    async def serve(self, socket: web.WebSocketResponse, hello: Mapping[str, Any]) -> None:
        """Talk with a page until it goes; then its deadman is released and its controls free."""
        if len(self._pages) >= PAGES_MAX:
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too many pages")
            return
        self._count += 1
        page = self._pages[self._count] = Page(self._count, socket)
        page.tell({"is": "hello", "you": page.number, "drives": self._seat is not None, **hello})
        page.tell(self._told())
        sender = asyncio.create_task(self._send(page))
        try:
            await self._listen(page)
        finally:
            del self._pages[page.number]
            if self._controls.holder == page.number:
                self._controls.leave(page.number)
                self._lost(page.number, "went away")
            sender.cancel()

    async def close(self) -> None:
        """Hang up on everybody."""
        for page in list(self._pages.values()):
            await page.socket.close(code=WSCloseCode.GOING_AWAY, message=b"the console ends")

    async def _send(self, page: Page) -> None:
        try:
            await page.send()
        except (asyncio.TimeoutError, ConnectionError, RuntimeError):
            await page.socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow")

    async def _listen(self, page: Page) -> None:
        async for one in page.socket:
            now_ns = time.monotonic_ns()
            if one.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                break
            try:
                message = read_message(one.data)
                if page.budget.take(now_ns) or message["do"] in FREE:
                    self._do(page, message, now_ns)
            except PageError as error:
                page.budget.nonsense()
                page.tell({"is": "refused", "why": str(error)})
            if page.budget.spent:
                await page.socket.close(
                    code=WSCloseCode.POLICY_VIOLATION, message=b"too many messages"
                )
                break

    def _do(self, page: Page, message: Mapping[str, Any], now_ns: int) -> None:
        what = message["do"]
        acted = what not in {"alive", "drive"} or message.get("held") is True
        self._controls.hear(page.number, now_ns, acted)
        if what == "alive":
            return
        if what == "take":
            self._take(page, now_ns)
        elif what == "leave":
            self._leave(page)
        else:
            refusal = "" if what in FREE else self._controls.refusal(page.number, now_ns)
            if refusal and not (what == "drive" and message.get("held") is not True):
                page.tell({"is": "done", "what": what, "ok": False, "text": refusal})
            elif not refusal:
                self._command(page, what, message, now_ns)

    def _command(self, page: Page, what: str, message: Mapping[str, Any], now_ns: int) -> None:
        if what == "drive":
            if self._seat is None:
                raise PageError("this console does not drive: start it with teleop:=true")
            stamp_ns = page.clock.stamp_ns(number_of(message, "at"), now_ns)
            self._seat.hear(message, stamp_ns, now_ns)
        elif what in ASKED:
            if what == "estop" and self._seat is not None:
                self._seat.stand_up()
                self._seat.sit() if self._controls.holder else None
            task = asyncio.create_task(self._ask(page, what))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif what in SAID:
            text = text_of(message, "text")
            if what == "answer":
                refusal = self._asking.answer(text_of(message, "id"), text)
            else:
                refusal = self._asking.say(what, text)
            page.tell({"is": "done", "what": what, "ok": not refusal, "text": refusal or text})
        else:
            raise PageError(f"nothing is called '{what[:40]}'")

    async def _ask(self, page: Page, what: str) -> None:
        good, text = await self._asking.ask(what)
        page.tell({"is": "done", "what": what, "ok": good, "text": text})

    def _take(self, page: Page, now_ns: int) -> None:
        before = self._controls.holder
        refusal = self._controls.take(page.number, now_ns)
        page.tell({"is": "done", "what": "take", "ok": not refusal, "text": refusal})
        if not refusal and before != page.number:
            if self._seat is not None:
                self._seat.stand_up()
                self._seat.sit()
            self._tell_all()

    def _leave(self, page: Page) -> None:
        if self._controls.holder == page.number:
            self._controls.leave(page.number)
            self._lost(page.number, "laid the controls down")

    def _lost(self, who: int, how: str) -> None:
        if self._seat is not None:
            self._seat.stand_up()
        self._tell_all(f"operator {who} {how}")

    def _tell_all(self, why: str = "") -> None:
        for page in self._pages.values():
            page.tell(self._told(why))

    def _told(self, why: str = "") -> dict[str, Any]:
        return {"is": "controls", "holder": self._controls.holder, "why": why}
