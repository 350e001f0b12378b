"""What is learned of episodes in which a person corrected a policy.

HG-DAgger (Kelly et al. 2019, arXiv 1810.02890): the person's commands are the labels. Beside them,
by choice, what the policy did itself where that ended in success, and the time before each
takeover, as evidence against the policy.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.core.values.data import F32
from arfm_ros.episodes.windows import EpisodeArrays
from arfm_ros.learn.data.drove import Bools, Drove
from arfm_ros.learn.data.usable import throughout
from arfm_ros.learn.signals.rewards import TERMS

if TYPE_CHECKING:
    from arfm_ros.learn.data.frames import FramesConfig

OTHER, LABEL, OWN, BLAMED = range(4)  # kinds of observations
Kinds = NDArray[np.int8]
NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Interventions:
    """What counts beside the person's commands."""

    own: bool = False  # what the policy did itself where that ended in success
    blame_s: float = 1.0  # so long before a takeover speaks against the policy; 0: left out

    def __post_init__(self) -> None:
        if not 0.0 <= self.blame_s < math.inf:
            raise ConfigError(f"--blame-s {self.blame_s:g}: needs seconds, 0 or more")


def takeovers(drove: Drove) -> NDArray[np.int64]:
    """List the ticks at which a person took over from the policy.

    It need not have been the tick before: the arbiter may have held in between.
    """
    begins = np.flatnonzero(drove.person[1:] & ~drove.person[:-1]) + 1
    ends = np.concatenate([[0], np.flatnonzero(drove.person[:-1] & ~drove.person[1:]) + 1])
    since = ends[np.searchsorted(ends, begins, side="left") - 1]
    from_policy = [bool(drove.policy[a:b].any()) for a, b in zip(since, begins)]
    return np.asarray(begins[np.array(from_policy, np.bool_)], np.int64)


def blamed_ticks(drove: Drove, blame_ns: int) -> Bools:
    """Tell which ticks [M] of the policy lie at most `blame_ns` before a takeover."""
    at = drove.stamp_ns[takeovers(drove)]
    found = np.zeros(len(drove.stamp_ns), np.bool_)
    for stamp in at.tolist() if blame_ns else ():
        found |= (drove.stamp_ns < stamp) & (drove.stamp_ns >= stamp - blame_ns)
    return found & drove.policy


def own_ticks(drove: Drove, success_ns: int | None) -> Bools:
    """Tell which ticks [M] of the policy belong to the stretch that ended in success.

    `success_ns`: when the task was solved for good; None: it was not. A stretch is what lies
    between two ticks of persons.
    """
    if success_ns is None or not len(drove.stamp_ns):
        return np.zeros(len(drove.stamp_ns), np.bool_)
    number = np.cumsum(drove.person)  # the same within a stretch
    at = min(int(np.searchsorted(drove.stamp_ns, success_ns)), len(number) - 1)
    return np.asarray(drove.policy & (number == number[at]) & ~drove.person[at])


def kinds_of(
    arrays: EpisodeArrays, drove: Drove, success_ns: int | None, config: FramesConfig
) -> Kinds:
    """Sort the observations [T]: LABEL, OWN, BLAMED, or OTHER, of which nothing is learned.

    A label's whole chunk was commanded while a person drove, an own one's by the policy. What is
    blamed is the step that follows the observation: its chunk is what was sent, the person's
    correction too.
    """
    chosen = config.interventions
    assert chosen is not None
    kinds = np.full(len(arrays.stamp_ns), OTHER, np.int8)
    blamed = blamed_ticks(drove, round(chosen.blame_s * NS))
    at = np.searchsorted(drove.stamp_ns, arrays.stamp_ns, side="right")
    kinds[blamed[at.clip(max=len(blamed) - 1)]] = BLAMED
    if chosen.own:
        kinds[throughout(own_ticks(drove, success_ns), arrays, config)] = OWN
    kinds[throughout(drove.person, arrays, config)] = LABEL
    return kinds


def judged(returns: F32, kinds: Kinds) -> F32:
    """Let the terms [T, len(TERMS)] say what the intervention says of each observation.

    A person's command counts as a success, whatever became of the episode. The takeover speaks
    against the time before it and against nothing earlier: -1 there, not summed to the end.
    """
    found: F32 = returns.copy()
    found[:, TERMS.index("takeover")] = -(kinds == BLAMED).astype(np.float32)
    found[kinds == LABEL, TERMS.index("success")] = 1.0
    return found


@dataclass(slots=True)
class Tally:
    """Counts takeovers over episodes, and says where there is nothing to learn from."""

    taken: list[int] = field(default_factory=list)  # takeovers of each episode
    ticks: Counter[str] = field(default_factory=Counter)  # by who acted, of all groups together
    kinds: Counter[int] = field(default_factory=Counter)  # of the observations

    def add(self, drove: Drove, kinds: Kinds) -> None:
        """Count an episode."""
        self.taken.append(len(takeovers(drove)))
        self.ticks.update(drove.acting.ravel().tolist())
        self.kinds.update(kinds.tolist())

    def check(self, chunk_s: float) -> None:
        """Raise `EpisodeError` where nobody took over, or never for as long as a chunk."""
        if self.taken and not any(self.taken):
            total = self.ticks.total()
            who = ", ".join(f"{n or 'nobody'} {c / total:.0%}" for n, c in self.ticks.items())
            raise EpisodeError(
                f"nobody took over from the policy in any of {len(self.taken)} episodes (who "
                f"drove: {who}): record with a person (arfm improve --interventions, arfm up "
                "--teleop), or train without --interventions"
            )
        if self.taken and not self.kinds[LABEL]:
            raise EpisodeError(
                f"none of {sum(self.taken)} takeovers lasted a whole chunk of {chunk_s:g} s: let "
                "the person drive for longer"
            )

    def notes(self) -> tuple[str, ...]:
        """Say what was found; nothing where nobody looked."""
        if not self.taken:
            return ()
        corrected = sum(count > 0 for count in self.taken)
        return (
            f"{sum(self.taken)} takeovers in {corrected} of {len(self.taken)} episodes",
            f"observations followed by a person's commands {self.kinds[LABEL]}, by the policy's "
            f"own way to success {self.kinds[OWN]}, just before a takeover {self.kinds[BLAMED]}",
        )
