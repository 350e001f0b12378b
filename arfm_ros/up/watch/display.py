"""Show a run while it goes on: a live table on a terminal, a line per event elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live

from arfm_ros.up.stack.supervisor import Watched
from arfm_ros.up.watch import table
from arfm_ros.up.watch.observer import Observer

DRAW_PERIOD_S = 0.25


class Display:
    """Call it with what is known; it draws what has changed."""

    def __init__(self, console: Console, observer: Observer) -> None:
        self._console, self._observer = console, observer
        self._live = (
            Live(console=console, auto_refresh=False, transient=True)
            if console.is_terminal
            else None
        )
        self._due_s = 0.0
        self._states: dict[str, str] = {}
        self._episodes = 0

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, watched: Watched) -> None:
        """Show the present state."""
        if self._live is None:
            self._print_news(watched)
            return
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + DRAW_PERIOD_S
        with self._observer.lock:
            view = table.live_view(self._observer.readings, watched.states)
        self._live.update(view, refresh=True)

    def _print_news(self, watched: Watched) -> None:
        for name, state in watched.states.items():
            if self._states.get(name) != state:
                self._states[name] = state
                took = watched.ready_s.get(name)
                after = f" after {took:.1f} s" if state == "ready" and took is not None else ""
                self._console.print(f"{name}: {state}{after}", highlight=False)
        with self._observer.lock:
            news = self._observer.readings.episodes[self._episodes :]
        for one in news:
            self._console.print(table.episode_line(one), highlight=False, soft_wrap=True)
        self._episodes += len(news)
