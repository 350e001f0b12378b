"""Training loop: steps until the budget is spent, a checkpoint now and then, resumable from it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.dataset import Sampler
from arfm_ros.learn.loop.checkpoint import Checkpoint, save_checkpoint
from arfm_ros.learn.loop.diverged import Watch
from arfm_ros.learn.loop.group import stop_on_signal
from arfm_ros.learn.loop.log import RunLog, line
from arfm_ros.learn.loop.progress import Bar
from arfm_ros.learn.loop.train import Trainer
from arfm_ros.learn.loop.validate import pick_rows, validate
from arfm_ros.learn.model.network import FlowPolicy


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Where a run writes, what it is validated on and what its checkpoints say of their origin."""

    folder: Path
    held: Sampler
    provenance: dict[str, Any]
    say: Callable[[str], None] = print


def train(trainer: Trainer, run: Run) -> Checkpoint:
    """Train until the budget is spent or SIGTERM or SIGINT asks to stop; always leaves a file.

    Of several processes all take the same steps, and the first one writes. Raises `ConfigError`
    if the last checkpoint cannot be written, or if training diverged: nothing is saved then.
    """
    with stop_on_signal() as stop:
        run.say("training; SIGTERM or Ctrl-C saves and stops")
        writer = _Writer(trainer, run) if trainer.group.leads else None
        try:
            stopped = _steps(trainer, writer, stop)
            checkpoint = writer.save() if writer is not None else trainer.checkpoint({}, {})
        finally:
            if writer is not None:
                writer.close()
        trainer.group.wait()
    run.say(f"{'stopped' if stopped else 'done'} after {trainer.step_count} steps")
    return checkpoint


def _steps(trainer: Trainer, writer: _Writer | None, stop: threading.Event) -> bool:
    """Take steps until the budget is spent; tells whether something stopped it before."""
    stopped, watch = 0.0, Watch(trainer.config.learning_rate, trainer.precision)
    while not trainer.done and not stopped:
        info = trainer.step()
        watch.took(trainer.step_count, info["loss"])
        trainer.elapsed_s, stopped = trainer.group.largest(trainer.elapsed_s, float(stop.is_set()))
        if writer is not None:
            writer.took(info)
    return bool(stopped)


class _Writer:
    """What the leading process leaves behind while the steps go on."""

    def __init__(self, trainer: Trainer, run: Run) -> None:
        self._trainer, self._run = trainer, run
        self._log = RunLog(run.folder, run.say, trainer.step_count)
        self._bar = Bar()
        self._averaged = FlowPolicy(trainer.model.config).to(trainer.device).eval()
        self._rows = pick_rows(run.held.rows, trainer.config.validation_rows)
        self._saved_s = self._logged_s = time.monotonic()
        self._seen, self._totals = 0, dict[str, float]()

    def took(self, info: dict[str, float]) -> None:
        """Note a step; report and save when it is time."""
        self._seen += 1
        self._totals = {k: self._totals.get(k, 0.0) + v for k, v in info.items()}
        now = time.monotonic()
        self._show(now)
        if now - self._logged_s >= self._trainer.config.log_every_s:
            self._report(now)
        if now - self._saved_s >= self._trainer.config.save_every_s:
            try:
                self.save()
            except ConfigError as error:  # the next one may find room; the last one must
                self._run.say(f"  {error}; training goes on")
            self._saved_s = time.monotonic()

    def save(self) -> Checkpoint:
        """Validate the averaged weights and write a checkpoint."""
        trainer, run = self._trainer, self._run
        watch = Watch(trainer.config.learning_rate)
        watch.check(trainer.step_count, trainer.average.values())
        self._averaged.load_state_dict(trainer.average)
        rows = self._rows
        values = validate(self._averaged, run.held, rows) if len(rows) else {}
        if trainer.config.distil:
            values.pop("val_loss", None)  # of a flow, which a student of one no longer is
        checkpoint = trainer.checkpoint(run.provenance, values)
        save_checkpoint(checkpoint, run.folder)
        text = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        run.say(f"  saved step {trainer.step_count}  {text}")
        self._log.write({"step": trainer.step_count, "elapsed_s": trainer.elapsed_s} | values)
        return checkpoint

    def close(self) -> None:
        """Finish the bar and the log."""
        self._bar.close()
        self._log.close()

    def _means(self, now: float) -> dict[str, float]:
        trainer, span_s = self._trainer, max(now - self._logged_s, 1e-9)
        batch = min(trainer.config.batch, len(trainer.sampler.rows))
        means = {name: total / self._seen for name, total in self._totals.items()}
        return means | {"samples_s": batch * self._seen / span_s}

    def _show(self, now: float) -> None:
        trainer = self._trainer
        done = trainer.config.progress(trainer.step_count, trainer.elapsed_s)
        if self._bar.due(now):
            self._bar.show(done, trainer.elapsed_s, line(self._means(now)))

    def _report(self, now: float) -> None:
        trainer, means = self._trainer, self._means(now)
        done = trainer.config.progress(trainer.step_count, trainer.elapsed_s)
        if not self._bar.shown:
            self._log.say(
                f"  {100 * done:5.1f} %  {trainer.elapsed_s / 60:6.1f} min  "
                f"step {trainer.step_count:6d}  {line(means)}"
            )
        self._log.write({"step": trainer.step_count, "elapsed_s": trainer.elapsed_s} | means)
        self._seen, self._totals, self._logged_s = 0, {}, now
