"""What words mean, whatever is said; and the table that an operator edits."""

import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.installed import share
from arfm_ros.words.lexicon import VERBS, WORDS, Lexicon, Nudge, load_lexicon

LEXICON = load_lexicon(share("config", WORDS))


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("stop", "stop"),
        ("  STOP!! ", "stop"),
        ("Stop it.", "stop"),
        ("ｓｔｏｐ", "stop"),
        ("go on", "resume"),
        ("A bit   to the LEFT, ", "nudge"),
        ("put the cube on the plate", "instruction"),
        ("stop the cube", "instruction"),
        ("なにか🙂", "instruction"),
        ("", "nothing"),
        (" \x00\x07\n", "nothing"),
        ("x" * 10_000, "nothing"),
        ("stop " * 2_000, "nothing"),
    ],
)
def test_a_text_has_one_meaning(said, kind):
    meaning = LEXICON.read(said)
    assert meaning.kind == kind and len(meaning.text) <= 1000
    assert (meaning.nudge is not None) == (kind == "nudge")
    assert bool(meaning.refusal) == (len(said) > 1000)


def test_every_verb_is_known_even_to_an_empty_table(tmp_path):
    path = tmp_path / "words.yaml"
    path.write_text("verbs: {}\n")
    assert [load_lexicon(path).read(verb).kind for verb in VERBS] == list(VERBS)


def test_the_shipped_nudge_is_two_centimetres_to_the_left():
    assert LEXICON.read("a bit to the left").nudge == Nudge((0.0, 0.02, 0.0))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "cannot read"),
        ("- a", "needs `verbs`"),
        ("verbs: {jump: [jump]}", "'jump' needs to be one of stop"),
        ("nudges: {left: {move: [0, 1, 0]}}", "'left': moves by 1 m"),
        ("nudges: {left: {move: [0, .nan, 0]}}", "moves by nan m"),
        ("nudges: {left: {move: [0, 1]}}", "move has 2 numbers"),
        ("nudges: {left: {turn: [0, 0, 0.1], frame: moon}}", "frame is 'moon'"),
        ("nudges: {left: {shift: [0, 0, 0]}}", "'left'"),
        ("nudges: {left: }", "'left'"),
    ],
)
def test_a_table_that_cannot_be_is_refused_by_name(tmp_path, text, said):
    path = tmp_path / "words.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="words.yaml") as error:
        load_lexicon(path)
    assert said in str(error.value)


def test_a_lexicon_may_be_made_of_phrases():
    assert Lexicon({"hop": Nudge((0.0, 0.0, 0.01))}).read("Hop").kind == "nudge"
