"""Where the robot was, for seconds."""

from __future__ import annotations

from arfm_ros.core.values.path import StatePath

MS = 1_000_000


def test_a_second_of_motion_is_kept_sparsely() -> None:
    path = StatePath[int](["arm"], spacing_ns=10 * MS, span_ns=1000 * MS)
    for ms in range(0, 3000, 2):
        path.add("arm", ms * MS, ms)
    found = path.between(0, 10_000 * MS)
    assert len(found) == 100 and found[-1] == (2990 * MS, {"arm": 2990})
    assert [at for at, _ in path.between(2900 * MS, 2950 * MS)] == [
        ms * MS for ms in range(2910, 2950, 10)
    ]


def test_states_of_several_sources_are_told_together_once_all_have_spoken() -> None:
    path = StatePath[str](["left", "right"], spacing_ns=10 * MS)
    path.add("left", 5 * MS, "a")
    path.add("right", 12 * MS, "b")
    path.add("camera", 13 * MS, "not of this path")
    path.add("left", 20 * MS, "c")
    assert path.between(0, 100 * MS) == [
        (12 * MS, {"left": "a", "right": "b"}),
        (20 * MS, {"left": "c", "right": "b"}),
    ]


def test_a_clock_that_begins_anew_begins_the_path_anew() -> None:
    path = StatePath[int](["arm"], spacing_ns=10 * MS)
    for ms in (1000, 1010, 1020, 5, 15):
        path.add("arm", ms * MS, ms)
    assert [at for at, _ in path.between(-1, 2000 * MS)] == [5 * MS, 15 * MS]
