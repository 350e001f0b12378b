"""Put a training run together: episodes, specification, network, trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.spec import PolicySpec, Rtc
from arfm_ros.core.values.spec_reading import TASKS, Plain
from arfm_ros.engines.bundle import POLICY
from arfm_ros.learn.data.dataset import Sampler, make_sampler, rows_of, split_episodes
from arfm_ros.learn.data.fitting import fit_rows, fit_statistics, load_together
from arfm_ros.learn.data.frames import Frames, FramesConfig
from arfm_ros.learn.data.interventions import Interventions
from arfm_ros.learn.data.recorded import Recorded, check_recorded, embodiment_of, look_at
from arfm_ros.learn.data.spaces import Spaces, spaces_of
from arfm_ros.learn.loop.begun import drawn_by_weight, open_reference
from arfm_ros.learn.loop.checkpoint import NAME, Checkpoint, load_checkpoint, stage
from arfm_ros.learn.loop.group import ALONE, Group, join_group
from arfm_ros.learn.loop.origin import introduce, name_outliers, provenance
from arfm_ros.learn.loop.plan import Plan
from arfm_ros.learn.loop.resume import check_same_run
from arfm_ros.learn.loop.train import TrainConfig, Trainer
from arfm_ros.learn.loop.trainer import Run, train
from arfm_ros.learn.model.from_bundle import bundle_checkpoint
from arfm_ros.learn.model.network import FlowPolicy, ModelConfig
from arfm_ros.learn.model.warm_start import warm_start
from arfm_ros.learn.objectives.distilled import distilled_spec
from arfm_ros.learn.objectives.flow_loss import FlowConfig
from arfm_ros.learn.signals.context import features_of
from arfm_ros.learn.signals.rl_signal import make_signal
from arfm_ros.learn.signals.source import F32, parse_source
from arfm_ros.robots.embodiment import Embodiment, default, read_urdf

DELAY = "velocity_net.delay."  # weights of the input that tells of late chunks
STARTED_FROM = "started_from"  # in the provenance
DT_NS = 50_000_000


def start(plan: Plan, command: str = "", say: Callable[[str], None] = print) -> Checkpoint:
    """Train as planned and return the last checkpoint, in each of the processes of torchrun.

    Raises `ConfigError` if the run folder already holds a run and `resume` is not set.
    """
    if (plan.out / NAME).exists() and not plan.resume:
        raise ConfigError(f"{plan.out} holds a run: add --resume or choose another --out")
    group = join_group()
    try:
        return train(*prepare(plan, command, say if group.leads else _say_nothing, group))
    finally:
        group.leave()


def prepare(
    plan: Plan, command: str, say: Callable[[str], None], group: Group = ALONE
) -> tuple[Trainer, Run]:
    """Read the episodes and make the trainer: all that comes before the first step."""
    torch.manual_seed(plan.train.seed)
    begin = _previous(plan := _resuming(plan, say))
    plan = _as_told(_inheriting(plan, begin))
    config = _read_as(plan, begin)
    shape = begin.config if begin else _sized(plan.model, config)
    shape = _with_inputs(shape, plan.train)
    cache = plan.cache or plan.out / "cache"
    frames = load_together(plan.data, cache, config, group)
    rows, held = split_episodes(frames, plan.train.held_out, plan.train.seed)
    outlier = plan.train.outlier
    given = begin.spec if begin else fit_statistics(plan.statistics, cache, config, group, outlier)
    kept, spec = fit_rows(frames, config, rows, given, outlier)
    spec = _taught(spec, plan, frames, shape)
    if begin is None or begin.spec.phrases:  # an older bundle does not say what it was taught
        spec = replace(spec, phrases=_phrases(spec, frames))
    warm = _read(plan.warm_start) if plan.warm_start and not begin else None
    model = _network(shape, begin, plan.new_velocity)
    if warm:
        say(warm_start(model, warm.average))
    sampler = make_sampler(frames, kept, spec, plan.train.augment, plan.train.seed)
    sampler = _aimed(sampler, model, plan.train, begin, say)
    if plan.train.drawn:
        sampler = drawn_by_weight(sampler, model, plan.train, plan.out, plan.resume)
    trainer = Trainer(model, sampler, plan.train, group, _reference(plan, shape, begin))
    facts = provenance(plan, frames, command) | {"precision": trainer.precision}
    if begin and plan.resume:
        check_same_run(begin.provenance, facts)
        trainer.restore(begin)
        facts |= {n: v for n, v in begin.provenance.items() if n == STARTED_FROM}
    elif before := begin or warm:
        facts[STARTED_FROM] = stage(before)
    introduce(frames, model, say)
    name_outliers(len(rows) - len(kept), len(rows), outlier, say)
    return trainer, Run(plan.out, rows_of(sampler, held), facts, say)


def _with_inputs(shape: ModelConfig, train: TrainConfig) -> ModelConfig:
    """Add the inputs of the velocity that the training asks for."""
    if train.objective.conditioned:
        shape = replace(shape, conditioned=True, guidance=train.objective.guidance)
    return replace(shape, delay_input=True) if train.flow.delay_input else shape


def _resuming(plan: Plan, say: Callable[[str], None]) -> Plan:
    """Begin where there is nothing to go on from: the run was stopped before it could save."""
    if not plan.resume or (plan.out / NAME).exists():
        return plan
    say(f"{plan.out} holds no checkpoint yet: beginning")
    return replace(plan, resume=False)


def _inheriting(plan: Plan, begin: Checkpoint | None) -> Plan:
    """Go on training what the network already learned about late chunks."""
    flow = plan.train.flow
    knows = begin is not None and begin.spec.rtc.mode == "prefix" and not plan.new_velocity
    if begin is None or not knows or flow.delay_max:
        return plan
    before = begin.provenance.get("options", {}).get("flow", {})
    plain = FlowConfig()
    same = {
        name: before[name]
        for name in ("delay_share", "delay_bias", "delay_noise")
        if name in before and getattr(flow, name) == getattr(plain, name)
    }
    flow = replace(flow, delay_max=begin.spec.rtc.delay_max, **same)
    return replace(plan, train=replace(plan.train, flow=flow))


def _as_told(plan: Plan) -> Plan:
    """Take from the episodes what nobody said: dt, and that no objects are beside the state."""
    recorded = look_at(plan.data, plan.topics)
    body = None if recorded is None or plan.robot is not None else recorded.body
    model = replace(plan.model, objects=()) if body else plan.model
    dt_ns = plan.dt_ns or (body.dt_ns if body else DT_NS)
    return replace(plan, dt_ns=dt_ns, model=model)


def _taught(spec: PolicySpec, plan: Plan, frames: Frames, shape: ModelConfig) -> PolicySpec:
    """Say what the run teaches: its tasks, late chunks, a count of steps."""
    words = {**spec.instructions, **dict(zip(frames.tasks, frames.instructions))}
    spec = replace(spec, instructions=words, rtc=_rtc(plan.train.flow.delay_max, shape))
    return spec if plan.resume else distilled_spec(spec, plan.train.distil, shape.guidance)


def _phrases(spec: PolicySpec, frames: Frames) -> tuple[str, ...]:
    """List the instructions that were taught until now, and those of `frames`; too many: none."""
    found = {*spec.phrases, *spec.instructions.values(), *frames.instructions} - {""}
    return tuple(sorted(found)) if len(found) <= TASKS else ()


def _rtc(delay_max: int, shape: ModelConfig) -> Rtc:
    """What the network learns about late chunks."""
    if not delay_max:
        return Rtc()
    return Rtc("prefix", 0, delay_max, latency_input=shape.delay_input)


def _say_nothing(text: str) -> None:
    """Keep quiet: another process says it."""


def _network(shape: ModelConfig, begin: Checkpoint | None, new_velocity: bool) -> FlowPolicy:
    """Make the network; inputs that averaged weights lack, of returns and delays, are new."""
    model = FlowPolicy(shape)
    if begin is None:
        return model
    anew = ("velocity_net.",) if new_velocity else ()
    given = {k: v for k, v in begin.average.items() if not k.startswith(anew)}
    lacking = model.load_state_dict(given, strict=False)
    new = ("returns.", DELAY, *anew)
    wrong = [name for name in lacking.missing_keys if not name.startswith(new)]
    if wrong or lacking.unexpected_keys:
        raise ConfigError(
            f"the checkpoint's weights do not fit the network: {wrong + lacking.unexpected_keys}"
        )
    return model


def _reference(plan: Plan, shape: ModelConfig, begin: Checkpoint | None) -> FlowPolicy | None:
    if not (plan.train.objective.needs_reference or plan.train.distil):
        return None
    weights = begin.average if begin else None
    return open_reference(plan.out, lambda: FlowPolicy(shape), weights, plan.resume)


def _aimed(
    sampler: Sampler,
    model: FlowPolicy,
    config: TrainConfig,
    begin: Checkpoint | None,
    say: Callable[[str], None],
) -> Sampler:
    """Give the sampler the rows and the R* that the objective asks for."""
    objective, rows = config.objective, sampler.rows
    values = np.zeros(len(sampler.frames.episode))
    if objective.needs_signal:
        signal = make_signal(sampler.frames, config.signal, _seen(sampler, config, begin))
        values = signal.values
        for note in signal.notes:
            say(note)
    wanted = objective.target(values[rows])
    if model.returns is not None and wanted is not None:
        model.returns.target.fill_(wanted)
    sampler = rows_of(sampler, objective.rows(sampler.frames, rows, values))
    return replace(sampler, signal=values)


def _seen(sampler: Sampler, config: TrainConfig, begin: Checkpoint | None) -> F32 | None:
    """Return the context of the policy that is started from, for signals that look at it."""
    source = config.signal.source
    if not source or not parse_source(source).needs_policy:
        return None
    if begin is None:
        raise ConfigError(f"signal {source} looks at what a policy sees: begin with one (--init)")
    return features_of(begin, sampler.frames)


def _read_as(plan: Plan, begin: Checkpoint | None) -> FramesConfig:
    """Decide how frames are read: as `begin` needs them, else as the episodes have them."""
    recorded = look_at(plan.data, plan.topics)
    if begin is not None:
        spaces = _spaces(plan, begin.spec.actions)
        robot = Embodiment.of_policy(begin.spec, len(begin.config.objects))
        robot = replace(robot, action=robot.state) if spaces else robot
        config = frames_config(begin.config, robot, begin.spec.dt_ns)
        folder = plan.out if plan.resume else plan.init
        who = f"the policy in {folder} (give episodes of its robot, or train without --init)"
    else:
        spaces = _spaces(plan, plan.actions)
        config = frames_config(plan.model, _robot(plan, recorded), plan.dt_ns)
        named = ", --robot; --topics: commands, next_state, groups" if plan.robot else ""
        who = f"what is asked for (--camera, --dt{named})"
    check_recorded(recorded, config, who)
    chosen = {"success_only": plan.success_only, "authority": plan.authority}
    config = replace(config, interventions=_corrections(plan), **chosen)
    return replace(config, topics=plan.topics, spaces=spaces)


def _corrections(plan: Plan) -> Interventions | None:
    """Leave out what speaks against the policy where no signal takes it as that."""
    chosen, train = plan.interventions, plan.train
    heard = train.objective.needs_signal and train.signal.reward.takeover
    return chosen if chosen is None or heard else replace(chosen, blame_s=0.0)


def _spaces(plan: Plan, actions: tuple[Mapping[str, Plain], ...]) -> Spaces | None:
    """Make the spaces that actions are learned in. Raises `ConfigError` without a robot."""
    if not actions:
        return None
    if plan.robot is None:
        raise ConfigError("actions in a space need the robot that they move: --robot")
    return spaces_of(plan.robot, plan.topics.groups, actions)


def _robot(plan: Plan, recorded: Recorded | None) -> Embodiment:
    """Take the robot that is named, else what the episodes tell of theirs."""
    if plan.robot is not None:
        robot = Embodiment.of(plan.robot, plan.topics.groups)
    else:
        robot = embodiment_of(recorded, read_urdf(plan.urdf) if plan.urdf else {})
    return robot.seeing(plan.state)


def _sized(model: ModelConfig, config: FramesConfig) -> ModelConfig:
    """Fit a network to the state and the actions of a robot."""
    state = len(config.robot.state) + len(model.objects)
    actions = config.spaces.axes() if config.spaces else config.robot.action
    return replace(model, state=state, actions=len(actions))


def frames_config(
    model: ModelConfig, robot: Embodiment | None = None, dt_ns: int = 50_000_000
) -> FramesConfig:
    """Return how frames have to be read for a network of this shape on that robot."""
    return FramesConfig(
        cameras=model.cameras,
        robot=robot or default(),
        dt_ns=dt_ns,
        horizon=model.horizon,
        tokens=model.tokens,
        vocabulary=model.vocabulary,
        objects=model.objects,
    )


def _previous(plan: Plan) -> Checkpoint | None:
    if plan.resume:
        return load_checkpoint(plan.out)
    return _read(plan.init) if plan.init is not None else None


def _read(folder: Path) -> Checkpoint:
    return bundle_checkpoint(folder) if (folder / POLICY).is_file() else load_checkpoint(folder)
