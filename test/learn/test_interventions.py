"""Who drove at each tick of real episodes, and what of it is learned."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import learn_rig
import numpy as np
import pytest
import torch
from learn_rig import DT_NS, HOME, NAMES, blind_exported, plan, silent, write_episode

from arfm_ros.cli import train as verb
from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.datasets.wishes import human_wishes, policy_wishes
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.windows import read_episode
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.evaluate.collect import CollectOptions, Collector
from arfm_ros.learn.data.drove import Drove, who_drove
from arfm_ros.learn.data.frames import Frames, FramesConfig, load_frames
from arfm_ros.learn.data.interventions import (
    BLAMED,
    LABEL,
    OWN,
    Interventions,
    blamed_ticks,
    own_ticks,
    takeovers,
)
from arfm_ros.learn.loop.begin import frames_config, prepare
from arfm_ros.learn.objectives.arfm import Arfm
from arfm_ros.learn.signals.rewards import TERMS
from arfm_ros.learn.signals.rl_signal import Reward, SignalConfig, make_signal
from arfm_ros.sim.drive.driver import DriverConfig
from arfm_ros.study.blind import BLIND
from arfm_ros.wire import messages

SEED = 5  # the person takes over once and lifts the cube
CONFIG, CORRECTED = frames_config(BLIND), DriverConfig(human="scripted")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blind_exported(tmp_path_factory)


@pytest.fixture(scope="module")
def root(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Collect an episode in which the person corrects the policy."""
    folder = tmp_path_factory.mktemp("collected")
    assert Collector(CollectOptions(bundle, CORRECTED)).record("lift", SEED, folder / "one")
    return folder


def ticks(folder: Path) -> tuple[EpisodeReader, np.ndarray, np.ndarray, np.ndarray]:
    """Give a reader, the stamps and commands of the ticks, and who commanded in all."""
    arrays = read_episode(folder, {}, NAMES, NAMES, DT_NS)
    return (
        EpisodeReader(folder),
        arrays.command_stamp_ns,
        arrays.commands,
        arrays.authority,
    )


def drove(*words: str) -> Drove:
    """Make ticks of 0.1 s of a robot with one group."""
    at = np.arange(len(words)) * 100_000_000
    return Drove(at, ("arm",), np.array(words)[:, None])


def frames_of(root: Path, cache: Path, config: FramesConfig = CONFIG, **chosen: object) -> Frames:
    wanted = replace(config, interventions=Interventions(**chosen))  # type: ignore
    return load_frames([root], cache, wanted)


def test_a_simulated_episode_holds_what_both_wanted_who_drove_each_group_and_what_was_sent(
    root: Path,
) -> None:
    reader, at_ns, sent, authority = ticks(root / "one")
    who = who_drove(reader, at_ns)
    assert who.groups == ("arm", "gripper") and np.isfinite(sent).all()
    assert (who.acting == authority[:, None]).all()
    human, policy = human_wishes(reader, NAMES, at_ns), policy_wishes(reader, NAMES, at_ns)
    assert np.isfinite(human[who.person]).all()
    assert np.isnan(human[: who.person.argmax()]).all()
    assert np.isfinite(policy[who.person]).all()  # also while nobody listened to it
    assert np.abs(policy - human)[who.person].max() > 0.1
    engaged = [m.data for _, m in reader.messages("/teleop/engaged")]
    assert engaged[0] is True and len(engaged) <= 2
    label = reader.label()
    assert label["interventions"] == 1 == len(takeovers(who))
    assert label["human_s"] == pytest.approx(who.person.sum() * 0.01, abs=0.011)


def test_being_corrected_is_what_the_ticks_say(bundle: Path, root: Path) -> None:
    collector, seen = Collector(CollectOptions(bundle, CORRECTED)), []
    collector._rollouts.run("lift", SEED, lambda task, decision: seen.append(decision.authority))
    reader = EpisodeReader(root / "one")
    begin_ns = min(record.log_time_ns for record in reader.records())
    at_ns = begin_ns + np.arange(len(seen)) * 10_000_000
    assert who_drove(reader, at_ns).acting[:, 0].tolist() == seen


def test_a_live_recording_tells_of_each_group_and_an_older_one_of_the_whole_robot(
    tmp_path: Path,
) -> None:
    at_ns = (np.arange(12) + 1) * DT_NS
    old = who_drove(EpisodeReader(write_episode(tmp_path / "old", 0)), at_ns)
    assert old.groups == ("robot",) and old.person.tolist() == [False] * 9 + [True] * 3
    writer = EpisodeWriter(tmp_path / "new")
    for k, (arm, gripper) in enumerate([("policy", "policy"), ("human", "policy")]):
        rows = {"arm": {"acting": arm}, "gripper": {"acting": gripper}}
        writer.write("/arbiter/owners", *messages.diagnostic_arrays(10 + k, rows), 99)
    new = who_drove(EpisodeReader(writer.close()), np.array([9, 10, 11]))
    assert new.acting.tolist() == [["", ""], ["policy", "policy"], ["human", "policy"]]
    assert new.person.tolist() == [False, False, True]
    assert new.policy.tolist() == [False, True, False]


def test_a_takeover_is_from_the_policy_and_not_after_a_disturbance() -> None:
    assert takeovers(
        drove("hold", "policy", "hold", "human", "human", "policy", "human")
    ).tolist() == [3, 6]
    assert takeovers(drove("expert", "disturbed", "expert")).tolist() == []
    assert takeovers(drove("policy", "expert")).tolist() == [1]
    assert takeovers(drove("human", "human")).tolist() == []


def test_the_time_before_a_takeover_is_the_policy_s_alone() -> None:
    who = drove(*["policy"] * 5, "hold", *["human"] * 4, *["policy"] * 5)
    assert np.flatnonzero(blamed_ticks(who, 300_000_000)).tolist() == [3, 4]
    assert np.flatnonzero(blamed_ticks(who, 10**10)).tolist() == [0, 1, 2, 3, 4]
    assert not blamed_ticks(who, 0).any()


def test_the_policy_s_own_success_is_the_stretch_in_which_the_task_was_solved() -> None:
    who = drove(*["policy"] * 3, *["human"] * 3, *["policy"] * 4, "human")
    assert np.flatnonzero(own_ticks(who, 800_000_000)).tolist() == [6, 7, 8, 9]
    assert not own_ticks(who, 400_000_000).any()  # a person solved it
    assert not own_ticks(who, None).any()


def test_labels_are_the_person_s_and_the_second_before_speaks_against_the_policy(
    root: Path, tmp_path: Path
) -> None:
    frames = frames_of(root, tmp_path / "cache")
    reader, at_ns, sent, _ = ticks(root / "one")
    who = who_drove(reader, at_ns)
    taken_ns = at_ns[takeovers(who)[0]]
    assert (frames.kinds == BLAMED).sum() == pytest.approx(20, abs=1)
    assert (frames.kinds == LABEL).sum() == pytest.approx(who.person.sum() / 5, abs=1)
    first = frames.chunk[frames.kinds == LABEL][0]
    begin = np.searchsorted(at_ns, taken_ns)
    apart = np.abs(sent[begin : begin + 20] - first[0]).max(axis=1).min()
    assert apart < 1e-4  # the first label begins where the person does
    columns = {term: frames.returns[:, TERMS.index(term)] for term in ("takeover", "success")}
    assert (columns["takeover"] == np.where(frames.kinds == BLAMED, -1.0, 0.0)).all()
    assert (columns["success"][frames.kinds == LABEL] == 1.0).all()
    assert frames.notes[0] == "1 takeovers in 1 of 1 episodes"


@pytest.mark.parametrize(("blame_s", "count"), [(0.5, 10), (0.0, 0)])
def test_how_long_a_takeover_speaks_against_the_policy_is_a_choice(
    root: Path, tmp_path: Path, blame_s: float, count: int
) -> None:
    frames = frames_of(root, tmp_path / "cache", blame_s=blame_s)
    assert (frames.kinds == BLAMED).sum() == pytest.approx(count, abs=bool(count))


def test_what_speaks_against_the_policy_weighs_less_than_a_label(
    root: Path, tmp_path: Path
) -> None:
    frames = frames_of(root, tmp_path / "cache")
    blamed, label = frames.kinds == BLAMED, frames.kinds == LABEL
    signal = make_signal(frames, SignalConfig()).values
    assert signal[blamed].max() < 0 < signal[label].min()
    losses = torch.full((len(signal),), 0.1)
    losses[::2] = 0.2
    weights, _ = Arfm(lam=2.0, moments="batch").weights(losses, torch.from_numpy(signal))
    assert float(weights[blamed].max()) < 0.1 * float(weights[label].min())
    off = make_signal(frames, SignalConfig(Reward(takeover=0.0)))
    assert not off.values.any()  # the switch: nothing tells them apart


def test_only_an_objective_with_a_signal_sees_what_speaks_against_the_policy(
    root: Path, bundle: Path, tmp_path: Path
) -> None:
    def kinds(name: str, **options: object) -> set[int]:
        task = replace(plan(root, tmp_path / name, held_out=0.0, **options), init=bundle)
        trainer, run = prepare(replace(task, interventions=Interventions()), "", silent)
        assert run.provenance["options"]["interventions"] == {"own": False, "blame_s": 1.0}
        return set(trainer.sampler.frames.kinds.tolist())

    assert kinds("fm") == {LABEL}
    assert kinds("arfm", objective=Arfm()) == {LABEL, BLAMED}
    quiet = SignalConfig(Reward(takeover=0.0))
    assert kinds("quiet", objective=Arfm(), signal=quiet) == {LABEL}


def test_demonstrations_are_labels_beside_the_corrections(
    root: Path, bundle: Path, tmp_path: Path
) -> None:
    both = replace(CONFIG, interventions=Interventions(own=True))
    frames = load_frames([root, bundle.parent / "demos"], tmp_path / "cache", both)
    shown = frames.episode != np.flatnonzero(np.bincount(frames.episode, frames.kinds == BLAMED))
    assert len(frames.tasks) == 3 and (frames.kinds[shown] == LABEL).all()
    assert "1 takeovers in 1 of 3 episodes" in frames.notes


def test_where_the_policy_ended_in_success_its_own_steps_count_by_choice(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "data" / "one")
    words = ["policy"] * 30 + ["human"] * 30 + ["policy"] * 40
    writer.write("/instruction", *messages.string("lift the cube"), 0)
    for i, word in enumerate(words):
        now = (i + 1) * DT_NS
        writer.write("/arbiter/authority", *messages.string(word), now)
        for topic, part in (
            ("/joint_states", slice(0, 7)),
            ("/gripper/joint_states", slice(7, 8)),
        ):
            writer.write(topic, *messages.joint_state(now, NAMES[part], HOME[part]), now)
        writer.write("/arbiter/command", *messages.joint_state(now, NAMES, HOME), now)
        poses = {f"pose_{n}": "0 0 0 0 0 0 1" for n in ("cube", "puck", "marker", "zone", "bin")}
        task = {"success": str(i >= 80).lower(), "progress": i / 100, **poses}
        writer.write("/task/state", *messages.diagnostic_array(now, "lift", task), now)
    writer.label({"task": "lift", "success": True}, len(words) * DT_NS)
    writer.close()
    own = frames_of(tmp_path / "data", tmp_path / "own", own=True)
    without = frames_of(tmp_path / "data", tmp_path / "without")
    # the first chunk within a stretch is that of the observation before it
    assert np.bincount(own.kinds, minlength=4).tolist()[1:] == [16, 41, 20]
    assert np.bincount(without.kinds, minlength=4).tolist()[1:] == [16, 0, 20]
    assert OWN == 2


def test_data_without_interventions_is_named_and_so_is_who_drove(
    bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        EpisodeError, match=r"in any of 2 episodes \(who drove: expert 100%\).*--t"
    ):
        frames_of(bundle.parent / "demos", tmp_path / "cache")


def test_a_name_that_nobody_has_and_streams_that_are_missing_are_told(tmp_path: Path) -> None:
    for name, word in (("pilot", "pilot"), ("silent", "")):
        writer = EpisodeWriter(tmp_path / name / "one")
        for i in range(3):
            now = (i + 1) * DT_NS
            writer.write("/joint_states", *messages.joint_state(now, NAMES, HOME), now)
            writer.write("/arbiter/command", *messages.joint_state(now, NAMES, HOME), now)
            poses = {
                f"pose_{n}": "0 0 0 0 0 0 1" for n in ("cube", "puck", "marker", "zone", "bin")
            }
            writer.write("/task/state", *messages.diagnostic_array(now, "lift", poses), now)
            if word:
                writer.write("/arbiter/authority", *messages.string(word), now)
        writer.close()
    with pytest.raises(
        EpisodeError, match="'pilot' drove robot, needs one of idle, policy, human"
    ):
        frames_of(tmp_path / "pilot", tmp_path / "a")
    with pytest.raises(EpisodeError, match="neither arbiter/owners nor arbiter/authority.*record"):
        frames_of(tmp_path / "silent", tmp_path / "b")


def test_takeovers_shorter_than_a_chunk_are_named(tmp_path: Path) -> None:
    wide = replace(learn_rig.CONFIG, horizon=40)
    data = write_episode(tmp_path / "data" / "one", 0, frames=8).parent
    # beyond the end of an episode its last command holds, so that a person has to let go
    writer = EpisodeWriter(data / "two")
    source = EpisodeReader(data / "one")
    for record in source.records():
        if record.topic != "/arbiter/authority":
            writer.write(record.topic, record.type_name, bytes(record.cdr), record.log_time_ns)
    for at, word in ((1, "policy"), (5, "human"), (7, "policy")):
        writer.write("/arbiter/authority", *messages.string(word), at * DT_NS)
    writer.close()
    with pytest.raises(EpisodeError, match="none of 1 takeovers lasted a whole chunk of 2 s"):
        frames_of(data / "two", tmp_path / "cache", wide)


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)

    def refused(*words: str) -> str:
        with pytest.raises(ConfigError) as caught:
            verb.run(parser.parse_args(["data", "--out", str(tmp_path), "--steps", "1", *words]))
        return str(caught.value)

    assert "--blame-s needs --interventions" in refused("--blame-s", "0.5")
    assert "--own-successes needs" in refused("--own-successes")
    assert "--authority with" in refused("--interventions", "--authority", "human")
    assert "--blame-s -1: needs seconds" in refused("--interventions", "--blame-s", "-1")
    assert "--authority 'humn' is unknown, needs some of" in refused("--authority", "humn")
