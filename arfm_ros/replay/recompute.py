"""Compute every chunk of an episode again and compare: bit by bit, and where it first differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from arfm_ros.core.errors import ArfmError, BundleError
from arfm_ros.core.values.data import ActionChunk, Observation, Policy
from arfm_ros.core.values.recall import Recall, check_sum
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.replay.recorded import Made, Sights, read_made

EXACT, EARLIER, INPUTS, SHORT, REUSED, MISSING, DIFFERS = (
    "exact",
    "before the recording",  # its observation is older than the first of the recorded ones
    "inputs differ",  # the recording does not hold what the policy saw
    "cut short",  # by its deadline: fewer steps than asked
    "reused",  # with the context of an earlier observation
    "not recorded",
    "differs",
)


@dataclass(frozen=True, slots=True)
class Again:
    """What became of one chunk; `why` in words where it is not exact."""

    made: Made
    outcome: str
    why: str = ""
    chunk: ActionChunk | None = None  # as it was computed now


def recompute(
    reader: EpisodeReader, policy: Policy, spec: PolicySpec, sha256: str, engine: str = ""
) -> Iterator[Again]:
    """Compute the chunks of an episode again, one after the other.

    Raises `BundleError` for chunks of another bundle than `sha256`, `EpisodeError` for an episode
    that does not say what they were made of.
    """
    made = read_made(reader)
    others = sorted({one.bundle_sha256 for one in made} - {sha256})
    if others:
        raise BundleError(
            f"the chunks were made by bundle {others[0][:12]}, this one is {sha256[:12]}: name "
            "the one that was recorded (info: bundle_sha256), or ask another with --against"
        )
    sights = Sights(reader, spec)
    for one in made:
        yield _again(one, sights, policy, spec, engine)


def _again(one: Made, sights: Sights, policy: Policy, spec: PolicySpec, engine: str) -> Again:
    recall = one.recall
    if recall.reused:
        return Again(
            one, REUSED, "pictures of earlier observations (parameters reuse, reuse_views)"
        )
    asked = recall.steps or spec.steps
    if one.steps != asked:
        return Again(one, SHORT, f"{one.steps} of {asked} steps (parameter deadline)")
    try:
        observation = sights.observation(recall)
    except ArfmError as error:
        early = min(one.recall.stamps_ns[0].values()) < sights.begin_ns
        return Again(one, EARLIER if early else MISSING, str(error))
    chunk = compute(policy, spec, observation, one)
    wrong = _other_inputs(observation, recall)
    if check_sum(chunk.actions) == recall.actions:
        return Again(one, EXACT, chunk=chunk)
    if wrong:
        return Again(one, INPUTS, wrong, chunk)
    other = f"; it ran on {recall.engine}, this is {engine}" if engine != recall.engine else ""
    return Again(one, DIFFERS, f"same inputs, other actions{other}", chunk)


def compute(
    policy: Policy, spec: PolicySpec, observation: Observation, one: Made, bound: bool = True
) -> ActionChunk:
    """Compute a chunk with the noise of a recorded one, and what bound that (`bound`)."""
    rng = np.random.default_rng((one.seed, one.number))
    noise = rng.standard_normal(spec.flow_shape, dtype=np.float32)
    follows = _follows(one.recall, spec, observation.stamp_ns) if bound else None
    return policy.sample(policy.encode(observation), noise, follows, one.recall.steps or None)


def _follows(recall: Recall, spec: PolicySpec, stamp_ns: int) -> ActionChunk | None:
    if recall.follows is None:
        return None
    chunk = ActionChunk(recall.follows, stamp_ns, spec.dt_ns, spec.action_names)
    return replace(chunk, info=replace(chunk.info, prefix_length=recall.prefix_length))


def _other_inputs(observation: Observation, recall: Recall) -> str:
    """Say which inputs are others than those that the policy saw."""
    found = [
        f"the picture of {name} is another than the policy saw (it saw raw ones, JPEG is "
        "recorded: images:=raw, or compressed:=true of the policy)"
        for name, image in observation.images.items()
        if check_sum(image) != recall.images.get(name)
    ]
    if check_sum(observation.state) != recall.state:
        found.append("the joint states are others")
    return "; ".join(found)
