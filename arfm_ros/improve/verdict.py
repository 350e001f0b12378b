"""Whether a new policy takes the place of the old one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from arfm_ros.core.values.statistics import Comparison, compare, paired_bootstrap


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision, why, and what it rests on."""

    activate: bool
    reason: str
    overall: Comparison  # a: old, b: new, over the starts of all tasks
    tasks: Mapping[str, Comparison]


@dataclass(frozen=True, slots=True)
class Relief:
    """How often a person took over in an episode, with the old and with the new policy."""

    n: int  # starts
    old: float  # mean
    new: float
    difference: float  # new - old
    interval: tuple[float, float]  # of the difference, 95 %, paired bootstrap

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"interventions an episode: old {self.old:.2f}, new {self.new:.2f} of {self.n}; "
            f"difference {self.difference:+.2f} [{low:+.2f}, {high:+.2f}]"
        )


def judge(old: Mapping[str, Sequence[bool]], new: Mapping[str, Sequence[bool]]) -> Verdict:
    """Compare successes per task, entry i of both from the same start.

    The new policy is not worse when it succeeds on at least as many starts in all, and there is
    no task of which the whole 95 % interval of the paired difference (Newcombe's) lies below 0.
    So an equal policy passes on every second set of starts, and one that is worse by much or on
    one task never does: what passes may be worse by no more than N starts can tell.
    """
    tasks = {task: compare(old[task], new[task]) for task in old}
    overall = compare(
        [success for task in old for success in old[task]],
        [success for task in old for success in new[task]],
    )
    worse = [task for task, row in tasks.items() if row.score_interval[1] < 0]
    count = f"{overall.both + overall.only_b} of {overall.n} starts against "
    count += f"{overall.both + overall.only_a}"
    if overall.difference < 0:
        return Verdict(False, f"worse: {count}", overall, tasks)
    if worse:
        return Verdict(False, f"worse on {', '.join(worse)} ({count} in all)", overall, tasks)
    return Verdict(True, f"not worse: {count}", overall, tasks)


def relieve(old: Sequence[float], new: Sequence[float]) -> Relief:
    """Compare how often a person took over, entry i of both from the same start."""
    interval = paired_bootstrap(old, new)
    means = float(np.mean(old)), float(np.mean(new))
    return Relief(len(old), *means, means[1] - means[0], interval)


def demand_better(verdict: Verdict, relief: Relief) -> Verdict:
    """Let only a policy pass that succeeds more often, or as often with fewer interventions.

    Not to be worse is not enough for one that a person worked for.
    """
    better = verdict.overall.difference > 0 or relief.difference < 0
    if not verdict.activate or better:
        return verdict
    reason = f"not better: as many successes, {relief}"
    return replace(verdict, activate=False, reason=reason)
