"""Sub-goals: what is said when, and plans that cannot be."""

import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.words.plan import PlanRun, Step, load_plan

S = 1_000_000_000
STEPS = (Step("pick", topic="done"), Step("wait here", time_s=2.0), Step("place", next=True))


def test_each_step_is_said_once_when_the_one_before_is_done():
    run = PlanRun(STEPS, 0)
    assert (run.take(), run.take()) == ("pick", "")
    run.told("other", True, S)
    run.told("done", False, S)
    run.hear("instruction", S)
    assert run.tick(100 * S) == "" and run.take() == ""
    run.told("done", True, 100 * S)
    assert run.take() == "wait here"
    assert run.tick(101 * S) == "" and run.take() == ""
    run.tick(102 * S)
    assert run.take() == "place" and run.number == 3
    run.hear("next", 103 * S)
    assert run.step is None and run.take() == "" and run.tick(104 * S) == ""
    run.hear("next", 105 * S)
    run.told("done", True, 105 * S)


def test_a_pause_stops_the_clock_and_stop_ends_the_plan():
    run = PlanRun((Step("a", time_s=2.0), Step("b", time_s=2.0)), 0)
    run.take()
    run.hear("pause", S)
    run.tick(50 * S)
    assert run.take() == ""
    run.hear("resume", 60 * S)
    run.tick(60 * S + S // 2)
    assert run.take() == ""
    run.tick(61 * S)
    assert run.take() == "b"
    run.hear("stop", 61 * S)
    run.tick(99 * S)
    assert run.step is None and run.take() == ""


def test_a_step_that_is_not_done_in_its_time_pauses_until_resume_or_next():
    run = PlanRun((Step("a", topic="done", timeout_s=3.0), Step("b", next=True)), 0)
    run.take()
    assert run.tick(3 * S) == "pause" and "'a' is not done in 3 s" in run.trouble
    assert run.tick(4 * S) == ""
    run.told("done", True, 4 * S)
    assert run.take() == ""
    run.hear("resume", 10 * S)
    assert run.trouble == "" and run.tick(12 * S) == "" and run.tick(13 * S) == "pause"
    run.hear("next", 14 * S)
    assert run.take() == "b" and run.trouble == ""


def test_a_plan_is_read_from_yaml(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text("- {say: pick, topic: done, timeout_s: 5}\n- {say: place, next: true}\n")
    assert load_plan(path) == (Step("pick", topic="done", timeout_s=5), Step("place", next=True))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs a list"),
        ("say: a", "needs a list"),
        ("- a", "step 1 needs `say`"),
        ("- {say: a}", "step 1: 'a' needs one of"),
        ("- {say: a, next: true, time_s: 3}", "needs one of"),
        ("- {say: a, time_s: -3}", "needs one of"),
        ("- {say: ' ', next: true}", "needs words"),
        ("- {say: a, next: true, wait: 3}", "step 1 needs `say`"),
        ("- {say: a, time_s: soon}", "step 1"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_step(tmp_path, text, said):
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_plan(path)
    assert said in str(error.value)
