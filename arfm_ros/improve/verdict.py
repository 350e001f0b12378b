"""Whether a new policy takes the place of the old one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from arfm_ros.core.values.statistics import Comparison, compare


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision, why, and what it rests on."""

    activate: bool
    reason: str
    overall: Comparison  # a: old, b: new, over the starts of all tasks
    tasks: Mapping[str, Comparison]


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
