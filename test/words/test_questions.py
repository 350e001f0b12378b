"""Questions: one at a time, answered by an option or the default, and junk is refused."""

import pytest

from arfm_ros.core.errors import SpecError
from arfm_ros.words.questions import Asking, Question, answer_message, read_question

S = 1_000_000_000
ONE = Question("1", "go on?", ("go on", "stop"), "stop", 2.0)


def test_a_question_is_read_as_it_was_written():
    assert read_question(ONE.message()) == ONE


def test_an_option_answers_and_the_default_does_in_its_time():
    asking = Asking()
    assert asking.ask(ONE, 0) == "" and asking.ask(ONE, S) == ""
    assert "is not answered yet" in asking.ask(Question("2", "?", ("a", "b"), "a", 1.0), S)
    with pytest.raises(SpecError, match="needs one of: go on, stop"):
        asking.answer(answer_message("1", "perhaps"))
    with pytest.raises(SpecError, match="which nobody asks"):
        asking.answer(answer_message("7", "stop"))
    assert asking.answer(answer_message("1", "go on")) == "go on" and asking.question is None
    asking.ask(ONE, 10 * S)
    assert asking.expire(12 * S - 1) == "" and asking.expire(12 * S) == "stop"
    assert asking.expire(13 * S) == ""
    with pytest.raises(SpecError, match="which nobody asks"):
        asking.answer(answer_message("1", "stop"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "go on?",
        "[]",
        "{}",
        "[" * 5000,
        "x" * 100_000,
        ONE.message().replace("2.0", "NaN"),
        ONE.message().replace("2.0", "-1"),
        ONE.message().replace("2.0", '"soon"'),
        ONE.message().replace('"stop"]', "3]"),
        ONE.message().replace('["go on", "stop"]', '["stop"]'),
        ONE.message().replace('"default": "stop"', '"default": "no"'),
        ONE.message().replace("go on?", ""),
    ],
)
def test_junk_is_no_question(text):
    with pytest.raises(SpecError):
        read_question(text)
