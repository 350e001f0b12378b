"""The executor of every node: what rclpy's does, for little more than half of its time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.event_handler import EventHandler
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.task import Future

try:  # rclpy keeps what it is made of in a private module
    from rclpy.impl.implementation_singleton import rclpy_implementation

    InvalidHandle, WaitSet = rclpy_implementation.InvalidHandle, rclpy_implementation.WaitSet
    RCLError = rclpy_implementation.RCLError
except (ImportError, AttributeError):  # pragma: no cover - a later rclpy
    InvalidHandle, RCLError, WaitSet = RuntimeError, RuntimeError, None

EVENTS_EVERY_NS = 100_000_000
FOREVER_NS = -1
KINDS = ("subscription", "guard_condition", "timer", "client", "service")  # order of a WaitSet
SETS_MAX = 8
GROUPS = (MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup)
Take = Callable[[Any], Any]
Entity = tuple[Any, Any]  # and its handle


class Spinner(SingleThreadedExecutor):
    """Handle messages, services and timers as they come, events of their quality seldom.

    For each message rclpy makes a new set of all that it waits for and a task, and wakes itself
    to look a second time; it walks through two events of each publisher and reader in Python.
    Here the set is kept, events are looked at every `EVENTS_EVERY_NS` (nothing is lost: an event
    stays until it is taken), and a callback that awaits nothing is called as it is. While
    something awaits, and in an rclpy whose parts have other names, rclpy's own way is taken.
    (rclpy.experimental.EventsExecutor of 7.1.5 takes a whole core and hands over next to nothing.)
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._events_due_ns = 0
        self._with_events = True
        self._ready: deque[tuple[Any, Take]] = deque()
        self._sets: dict[tuple[int, ...], Any] = {}  # by how much of each kind they hold
        self._others: list[Any] = []  # waitables that are no events

    def can_execute(self, entity: Any) -> bool:
        """Leave out events between two looks at them."""
        if not self._with_events and isinstance(entity, EventHandler):
            return False
        return bool(super().can_execute(entity))

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for one thing to happen and handle it; return without when woken."""
        if not self._ready:
            now_ns = time.monotonic_ns()
            self._with_events = now_ns >= self._events_due_ns
            if self._with_events:
                self._events_due_ns = now_ns + EVENTS_EVERY_NS
            if self._tasks:
                with self._tasks_lock:
                    self._tasks = [task for task in self._tasks if not task[0].done()]
            if self._tasks or WaitSet is None:
                super().spin_once(timeout_sec)
                return
            self._cb_iter = None  # of rclpy's way: what else was ready then is so still
            self._wait(FOREVER_NS if timeout_sec is None else max(round(timeout_sec * 1e9), 0))
        if self._ready:
            self._handle(*self._ready.popleft())

    def spin_until(self, over: Future) -> None:
        """Spin until `over` is done.

        rclpy's `spin_until_future_complete` adds a callback to the future for every message and
        keeps all of them.
        """
        over.add_done_callback(lambda _: self.wake())
        while self.context.ok() and not over.done():
            self.spin_once()

    def spin_to_shutdown(self) -> None:
        """Spin until the context is shut down: what a thread beside the main one does.

        Wherever that meets it: at rest, or about to wait for something that is gone by then.
        """
        try:
            self.spin()
        except (ExternalShutdownException, InvalidHandle, RCLError):
            if self.context.ok():
                raise

    def wake(self) -> None:
        """Return from waiting; what was made meanwhile is looked at."""
        self._events_due_ns = 0
        super().wake()

    def _wait(self, timeout_ns: int) -> None:
        """Wait, and note what is ready."""
        if self._is_shutdown:
            return
        with held(self._entities(), self._waitables()) as (parts, waitables):
            handles = [[handle for _, handle in part] for part in parts]
            try:
                ready = self._wait_set(handles, waitables)
            except InvalidHandle:  # an event whose reader was destroyed since it was listed
                return
            ready.wait(timeout_ns)
            if self._is_shutdown:
                return
            if not self._context.ok():
                raise ExternalShutdownException
            for one in waitables:
                if one.is_ready(ready):
                    self._ready.append((one, self._take_waitable))
            for kind, take in self._takes():
                at = ready.get_ready_entities(kind)
                if at:
                    found = parts[KINDS.index(kind)]
                    self._ready.extend((one, take) for one, h in found if h.pointer in at)

    def _entities(self) -> list[list[Entity]]:
        """List what to wait for, in the order of `KINDS`; also what wakes this executor."""
        nodes = self.get_nodes()
        own = ((guard, guard.handle) for guard in (self._guard, self._sigint_gc))
        return [
            [(one, one.handle) for node in nodes for one in node.subscriptions if _free(one)],
            [*((one, one.handle) for node in nodes for one in node.guards if _free(one)), *own],
            [(one, one.handle) for node in nodes for one in node.timers if _free(one)],
            [(one, one.handle) for node in nodes for one in node.clients if _free(one)],
            [(one, one.handle) for node in nodes for one in node.services if _free(one)],
        ]

    def _waitables(self) -> list[Any]:
        """List what is waited for in its own way: events when they are due, actions always."""
        if not self._with_events:
            return self._others
        found = [one for node in self.get_nodes() for one in node.waitables if _free(one)]
        self._others = [one for one in found if not isinstance(one, EventHandler)]
        return found

    def _takes(self) -> Iterable[tuple[str, Take]]:
        """Say how each kind is taken, in rclpy's order; who wakes this executor is not."""
        yield "timer", self._take_ready_timer
        yield "subscription", self._take_subscription
        yield "guard_condition", self._take_guard
        yield "client", self._take_client
        yield "service", self._take_service

    def _take_ready_timer(self, timer: Any) -> Any:
        """Take a timer unless it was cancelled since (it stays ready for ever)."""
        with suppress(InvalidHandle):
            return self._take_timer(timer) if timer.handle.is_timer_ready() else None
        return None

    def _take_guard(self, guard: Any) -> Any:
        own = guard is self._guard or guard is self._sigint_gc
        return None if own else self._take_guard_condition(guard)

    def _wait_set(self, parts: list[list[Any]], waitables: list[Any]) -> Any:
        """Fill the set of the last time, or a new one where there is more or less to wait for."""
        counts = [*map(len, parts), 0]
        for one in waitables:
            needs = one.get_num_entities()
            more = (
                needs.num_subscriptions, needs.num_guard_conditions, needs.num_timers,
                needs.num_clients, needs.num_services, needs.num_events,
            )  # fmt: skip
            counts = [n + m for n, m in zip(counts, more)]
        made = self._sets.get(tuple(counts))
        if made is None:
            if len(self._sets) > SETS_MAX:
                self._sets.clear()
            made = self._sets[tuple(counts)] = WaitSet(*counts, self._context.handle)
        made.clear_entities()
        adds = (
            made.add_subscription, made.add_guard_condition, made.add_timer,
            made.add_client, made.add_service,
        )  # fmt: skip
        for add, handles in zip(adds, parts):
            for handle in handles:
                add(handle)
        for one in waitables:
            one.add_to_wait_set(made)
        return made

    def _handle(self, entity: Any, take: Take) -> None:
        """Take what came and call its callback; what awaits something becomes a task."""
        with self._work_tracker:
            try:
                execute = take(entity)
            except InvalidHandle:  # a callback before it destroyed it
                return
            if execute is None:
                return
            running = execute()
            try:
                running.send(None)
            except StopIteration:
                return
            self.create_task(running)


def _free(entity: Any) -> bool:
    """Tell whether the group of an entity lets it run; groups of our own may not.

    While nothing awaits, one of rclpy's always does.
    """
    group = entity.callback_group
    return type(group) in GROUPS or bool(group.can_execute(entity))


@contextmanager
def held(
    parts: list[list[Entity]], waitables: list[Any]
) -> Generator[tuple[list[list[Entity]], list[Any]], None, None]:
    """Keep entities from being destroyed meanwhile; give those that are not destroyed yet."""
    kept: list[Any] = []
    try:
        there = [[one for one in part if _enter(one[1], kept)] for part in parts]
        yield there, [one for one in waitables if _enter(one, kept)]
    finally:
        for one in kept:
            one.__exit__(None, None, None)


def _enter(one: Any, kept: list[Any]) -> bool:
    try:
        one.__enter__()
    except InvalidHandle:
        return False
    kept.append(one)
    return True
