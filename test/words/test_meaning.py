"""What a policy was taught to understand is obeyed, said in other words too; nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from arfm_ros.engines.bundle import load_bundle
from arfm_ros.sim.tasks import make_task
from arfm_ros.words.meaning import misunderstood

PHRASES = load_bundle(Path(__file__).parents[2] / "models" / "fr3_tabletop").spec.phrases


@pytest.mark.parametrize("task", ["reach", "lift", "push", "place"])
def test_what_the_shipped_policy_was_taught_is_understood(task: str) -> None:
    for phrase in make_task(task).instructions:
        assert misunderstood(phrase, PHRASES) == ""
        assert misunderstood(f"  {phrase.upper()}, please! ", PHRASES) == ""


@pytest.mark.parametrize(
    "text", ["pick up the red block", "push the puck", "put the cube in the bin"]
)
def test_other_words_for_the_same_are_understood(text: str) -> None:
    assert misunderstood(text, PHRASES) == ""


@pytest.mark.parametrize(
    "text, says",
    [
        ("open the drawer", "does not know drawer, open"),
        ("lift the blue ball", "is like none"),
        ("cube", "is like none"),
        ("the red cube", "is like none"),
        ("", "is like none"),
        ("\u65e5\u672c\u8a9e", "is like none"),
        ("x" * 10_000, "does not know x"),
    ],
)
def test_what_means_nothing_is_refused_with_what_can_be_said(text: str, says: str) -> None:
    why = misunderstood(text, PHRASES)
    assert says in why and "say '" in why and len(why) < 600


def test_a_phrase_without_latin_letters_is_understood_as_it_was_taught() -> None:
    taught = "\u62ff\u8d77\u65b9\u5757"
    assert misunderstood(taught, (taught,)) == "" and misunderstood("lift", (taught,))


def test_a_policy_that_does_not_say_what_it_was_taught_takes_everything() -> None:
    assert misunderstood("open the drawer", ()) == ""
