"""Progress of a training on a terminal; elsewhere the lines of the log say it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

EVERY_S = 0.25


class _TwoLines(Progress):
    """The bar, and below it the values of the last steps."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        yield Text("  ".join(str(task.fields.get("values", "")) for task in self.tasks))


class Bar:
    """A bar with the time left and a line of values; nothing where there is no terminal."""

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console()
        self.shown = console.is_terminal
        columns = (
            TextColumn("training"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._progress = _TwoLines(*columns, console=console, auto_refresh=False)
        self._task = self._progress.add_task("training", total=1.0, left="", values="")
        self._next_s = 0.0
        if self.shown:
            self._progress.start()

    def due(self, now_s: float) -> bool:
        """Tell whether it is time to show something new."""
        if not self.shown or now_s < self._next_s:
            return False
        self._next_s = now_s + EVERY_S
        return True

    def show(self, done: float, elapsed_s: float, values: str) -> None:
        """Show that a fraction is done after `elapsed_s`."""
        left_s = int(elapsed_s * (1 - done) / done) if 0 < done < 1 else 0
        left = f"{left_s // 3600}:{left_s // 60 % 60:02d}:{left_s % 60:02d} left"
        self._progress.update(self._task, completed=min(done, 1.0), left=left, values=values)
        self._progress.refresh()

    def close(self) -> None:
        """Leave the terminal as it is."""
        if self.shown:
            self._progress.stop()
