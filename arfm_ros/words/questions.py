"""A question of the policy's side: motion holds until somebody or the default answers."""

from __future__ import annotations

import json
from dataclasses import dataclass

from arfm_ros.core.errors import SpecError

NS = 1_000_000_000
TEXT_MAX, OPTIONS_MAX = 500, 10
LONGEST_S = 3600.0
STOP = "stop"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, what may be answered, and the answer when nobody does in time."""

    id: str
    text: str
    options: tuple[str, ...]
    default: str
    timeout_s: float

    def __post_init__(self) -> None:
        options = ", ".join(self.options)
        if not self.id or not self.text or len(self.id) + len(self.text) > TEXT_MAX:
            raise SpecError(f"question needs an id and a text, together at most {TEXT_MAX} long")
        if not 2 <= len(set(self.options)) == len(self.options) <= OPTIONS_MAX:
            raise SpecError(f"question has options '{options}', needs 2 to {OPTIONS_MAX} others")
        if self.default not in self.options:
            raise SpecError(f"question has default '{self.default}', needs one of: {options}")
        if not 0.0 < self.timeout_s <= LONGEST_S:
            raise SpecError(f"question has timeout_s {self.timeout_s}, needs (0, {LONGEST_S:g}]")

    def message(self) -> str:
        """Write the message on `policy/question`."""
        names = ("id", "text", "options", "default", "timeout_s")
        return json.dumps({name: getattr(self, name) for name in names})


def read_question(text: str) -> Question:
    """Read a message of `policy/question`; raises `SpecError`."""
    raw = _object(text, "question", ("id", "text", "options", "default", "timeout_s"))
    options, timeout_s = raw["options"], raw["timeout_s"]
    if not isinstance(options, list) or not all(isinstance(one, str) for one in options):
        raise SpecError("question has options that are no list of texts")
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)):
        raise SpecError(f"question has timeout_s {timeout_s!r}, needs a number of seconds")
    words = [raw[name] for name in ("id", "text", "default")]
    if not all(isinstance(word, str) for word in words):
        raise SpecError("question needs texts as id, text and default")
    return Question(words[0], words[1], tuple(options), words[2], float(timeout_s))


class Asking:
    """At most one question at a time; the first one asked is answered first."""

    def __init__(self) -> None:
        self._open: Question | None = None
        self._until_ns = 0

    @property
    def question(self) -> Question | None:
        """The one that waits for an answer."""
        return self._open

    def ask(self, question: Question, now_ns: int) -> str:
        """Take a question; return '' or why it is refused."""
        if self._open is not None and self._open.id != question.id:
            return f"question '{self._open.id[:40]}' is not answered yet"
        if self._open is None:
            self._open, self._until_ns = question, now_ns + round(question.timeout_s * NS)
        return ""

    def answer(self, text: str) -> str:
        """Take a message of `policy/answer`; return what was answered.

        Raises `SpecError` for what is no answer to the question that waits.
        """
        raw = _object(text, "answer", ("id", "answer"))
        question = self._open
        if question is None or raw["id"] != question.id:
            raise SpecError(f"answer is to '{str(raw['id'])[:40]}', which nobody asks")
        if raw["answer"] not in question.options:
            options = ", ".join(question.options)
            raise SpecError(f"answer is '{str(raw['answer'])[:40]}', needs one of: {options}")
        self._open = None
        return str(raw["answer"])

    def expire(self, now_ns: int) -> str:
        """Return the default answer once its time has come; '' before."""
        question = self._open
        if question is None or now_ns < self._until_ns:
            return ""
        self._open = None
        return question.default


def answer_message(question: str, answer: str) -> str:
    """Write the message on `policy/answer`."""
    return json.dumps({"id": question, "answer": answer})


def _object(text: str, what: str, keys: tuple[str, ...]) -> dict[str, object]:
    if len(text) > 10 * TEXT_MAX:
        raise SpecError(f"{what} has {len(text)} characters, at most {10 * TEXT_MAX} are read")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{what} is no JSON: {str(error)[:80]}") from error
    if not isinstance(raw, dict) or not set(keys) <= set(raw):
        raise SpecError(f"{what} needs a JSON object with {', '.join(keys)}")
    return raw
