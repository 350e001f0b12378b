"""Fine-tune a policy of another library on recorded episodes with any objective and signal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from arfm_ros.core.errors import ConfigError
from arfm_ros.export.vla.interface import Interface
from arfm_ros.learn.data.dataset import split_episodes
from arfm_ros.learn.data.fitting import load_together
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.loop.device import choose_device
from arfm_ros.learn.loop.diverged import Watch
from arfm_ros.learn.loop.group import ALONE, Group, stop_on_signal
from arfm_ros.learn.loop.log import RunLog
from arfm_ros.learn.signals.rl_signal import make_signal
from arfm_ros.learn.tuning.batches import Batches, frames_config
from arfm_ros.learn.tuning.budget import free_memory, require_step, require_weights, told
from arfm_ros.learn.tuning.lerobot import LeRobotPolicy
from arfm_ros.learn.tuning.policy import TunedPolicy
from arfm_ros.learn.tuning.saved import CHECKPOINTS, LAST, digest, read_progress, save
from arfm_ros.learn.tuning.transformers_pi0 import TransformersPi0
from arfm_ros.learn.tuning.tuner import TuneConfig, Tuner

LOG_EVERY_S = 10.0
POLICIES = {"lerobot": LeRobotPolicy, "transformers": TransformersPi0}  # library -> its class
FREE = ("save_every", "piece", "checkpointing")  # of what a resumed run may have others


@dataclass(frozen=True, slots=True)
class Job:
    """What is fine-tuned on what, and where it is left."""

    library: str  # one of `POLICIES`
    source: Path  # a checkpoint's folder
    data: tuple[Path, ...]  # with episodes
    out: Path
    robot: Interface
    resume: bool = False


def tune(
    job: Job, config: TuneConfig, say: Callable[[str], None] = print, group: Group = ALONE
) -> Path:
    """Fine-tune a checkpoint on episodes; returns the folder of the last one.

    Checkpoints are OUT/checkpoints/STEP/pretrained_model, the newest is `last`, as LeRobot has
    them. SIGTERM and Ctrl-C save and stop. Of several processes all take the same steps; the first
    reads episodes, writes and speaks. Raises `ConfigError` for what does not fit.
    """
    speak = say if group.leads else _say_nothing
    if (job.out / CHECKPOINTS / LAST).exists() and not job.resume:
        raise ConfigError(f"{job.out} holds a run: add --resume or choose another --out")
    if job.resume and not (job.out / CHECKPOINTS / LAST).exists():
        speak(f"{job.out} holds no checkpoint yet: beginning")
        job = replace(job, resume=False)
    group.wait()  # until all have looked
    policy = POLICIES[job.library](job.source, job.robot, config.part, config.adapter)
    require_weights(policy, choose_device(config.device, group), group)
    batches, held = gather(policy, job, config, speak, group)
    tuner = Tuner(policy, batches, config, group)
    _introduce(tuner, speak)
    if config.drawn:
        tuner.draw_by_weight(job.out, job.resume)
    facts = _facts(tuner, job)
    if job.resume:
        tuner.step_count = read_progress(job.out, policy, tuner.optimiser, facts)
        speak(f"going on after step {tuner.step_count}")
    log = RunLog(job.out, speak, tuner.step_count) if group.leads else None
    with stop_on_signal() as stop:
        try:
            _Run(tuner, job.out, held, facts, speak, log).steps(stop)
        finally:
            if log is not None:
                log.close()
    group.wait()
    return job.out / CHECKPOINTS / LAST / "pretrained_model"


@dataclass(slots=True)
class _Run:
    """Steps until they are done or something stops them."""

    tuner: Tuner
    out: Path
    held: NDArray[np.int64]
    facts: dict[str, Any]
    say: Callable[[str], None]
    log: RunLog | None  # of the process that leads
    spoke_s: float = 0.0

    def steps(self, stop: threading.Event) -> None:
        tuner, config = self.tuner, self.tuner.config
        self.say("training; SIGTERM or Ctrl-C saves and stops")
        stopped, watch = 0.0, Watch(config.learning_rate)
        while tuner.step_count < config.steps and not stopped:
            began = time.monotonic()
            info = tuner.step()
            watch.took(tuner.step_count, info["loss"])
            info["step_s"] = time.monotonic() - began
            (stopped,) = tuner.group.largest(float(stop.is_set()))
            if self.log is not None:
                self.log.write({"step": tuner.step_count} | info)
            self._speak(info)
            due = tuner.step_count % config.save_every == 0 or tuner.step_count == config.steps
            if due and not stopped:  # a signal leaves half a minute under torchrun
                self.say(f"validating  val_loss {tuner.validate(self.held):.4f}")
            if due or stopped:
                watch.check(tuner.step_count, tuner.policy.learned)
                save(self.out, tuner, self.facts)
                self.say(f"saved step {tuner.step_count}")
        self.say(f"{'stopped' if stopped else 'done'} after {tuner.step_count} steps")

    def _speak(self, info: dict[str, float]) -> None:
        now, done = time.monotonic(), self.tuner.step_count
        if now - self.spoke_s > LOG_EVERY_S or done == self.tuner.config.steps:
            self.spoke_s = now
            self.say(f"step {done:6d}  " + "  ".join(f"{k} {v:.4g}" for k, v in info.items()))


def _say_nothing(text: str) -> None:
    """Keep quiet: another process says it."""


def _introduce(tuner: Tuner, say: Callable[[str], None]) -> None:
    """Say what learns, how it is cut, and what memory it needs."""
    policy, group, cut = tuner.policy, tuner.group, tuner.sharding
    say(
        f"{policy.made_by}: {_count(policy.learned)} of {_count(policy.policy.parameters())} "
        f"weights learn ({policy.part}), {len(tuner.batches.rows)} observations, {tuner.device}, "
        f"{tuner.precision}"
    )
    if cut is not None and cut.blocks:
        say(f"weights of {cut.blocks} transformer blocks are cut over {group.size} processes")
    elif cut is not None:
        say(
            f"no transformer blocks are known of {policy.made_by}: weights are cut over "
            f"{group.size} processes as one, and are whole in memory during a step"
        )
    need = require_step(policy, tuner.held_by_a_step(), tuner.device, group)
    say(told(need, free_memory(tuner.device, group), group))


def _count(parameters: Iterable[Tensor]) -> str:
    return f"{sum(one.numel() for one in parameters) / 1e6:.2f} M"


def _facts(tuner: Tuner, job: Job) -> dict[str, Any]:
    """Collect what makes a run the run it is."""
    options = asdict(tuner.config) | {"objective": asdict(tuner.config.objective)}
    options["objective"]["name"] = tuner.config.objective.name
    for free in FREE:
        options.pop(free)
    options |= {"policy": digest(tuner.policy.folder), "interface": asdict(job.robot)}
    return {
        "precision": tuner.precision,
        "data_sha256": tuner.batches.frames.key,
        "options": options,
    }


def gather(
    policy: TunedPolicy,
    job: Job,
    config: TuneConfig,
    say: Callable[[str], None] = print,
    group: Group = ALONE,
) -> tuple[Batches, NDArray[np.int64]]:
    """Read the episodes; returns what is learned from, and the rows that are held out."""
    wanted = frames_config(job.robot, policy.horizon)
    frames = load_together(job.data, job.out / "cache", wanted, group)
    rows, held = split_episodes(frames, config.held_out, config.seed)
    signal = _signal(frames, config, say)
    rows = config.objective.rows(frames, rows, signal)
    if not len(rows):
        raise ConfigError("no observation is learned from: see --objective and --signal")
    return Batches(frames, rows, policy.cameras, signal, config.seed), held


def _signal(frames: Frames, config: TuneConfig, say: Callable[[str], None]) -> NDArray[np.float64]:
    if not config.objective.needs_signal:
        return np.zeros(len(frames))
    found = make_signal(frames, config.signal)
    for note in found.notes:
        say(note)
    return found.values
