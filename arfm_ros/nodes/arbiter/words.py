"""Words at the arbiter: they stop, move, nudge; and questions, which hold the policy's motion."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from rclpy.node import Node
from std_msgs.msg import String

from arfm_ros.core.errors import ConfigError, SpecError
from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.nodes.arbiter.answers import Answers
from arfm_ros.nodes.ros import topics
from arfm_ros.words.lexicon import (
    INSTRUCTION,
    NEXT,
    NOTHING,
    NUDGE,
    PAUSE,
    RESUME,
    STOP,
    Lexicon,
    Meaning,
    Nudge,
)
from arfm_ros.words.motions import Motions
from arfm_ros.words.questions import Asking, answer_message, read_question

# none is lost, and who comes late does not hear an old one again
WORDS = replace(topics.INSTRUCTION, reader=topics.EVENT)


class WordInputs:
    """Do what an operator says, without a policy; texts that are none are the policy's."""

    def __init__(
        self,
        node: Node,
        arbiter: Arbiter,
        lock: Lock,
        lexicon: Lexicon,
        motions: Callable[[], Motions],
        answers: Answers,
    ) -> None:
        self._arbiter, self._lock, self._lexicon = arbiter, lock, lexicon
        self._motions, self._answers = motions, answers
        self.nudges = True  # the tool is nudged; otherwise corrections are the policy's
        self._asking = Asking()
        self._own = ""  # the last answer that was given here
        topics.subscription(node, WORDS, self._on_word)
        topics.subscription(node, topics.QUESTION, self._on_question)
        topics.subscription(node, topics.ANSWER, self._on_answer)
        self._answer = topics.publisher(node, topics.ANSWER)

    def check(self) -> None:
        """Give the default answer in its time."""
        question, default = self._asking.question, self._asking.expire(time.monotonic_ns())
        if question is not None and default:
            self._own = answer_message(question.id, default)
            self._answer.publish(String(data=self._own))
            self._answered(question.text, default)

    def _on_word(self, message: String) -> None:
        meaning = self._lexicon.read(message.data)
        if meaning.kind in {INSTRUCTION, NEXT}:
            return
        if meaning.kind == NUDGE and not self.nudges:
            self._answers.tell(meaning.text, "correction for the policy", "", "word")
            return
        refusal = meaning.refusal or ("" if meaning.kind != NOTHING else "it is empty")
        self._answers.tell(meaning.text, meaning.kind, refusal or self._do(meaning), "word")

    def _do(self, meaning: Meaning) -> str:
        """Do what is meant; return '' or why it is refused."""
        authority, kind = self._arbiter.authority, meaning.kind
        if meaning.nudge is not None:
            return self._nudge(meaning.text, meaning.nudge)
        with self._lock:
            now_ns = time.monotonic_ns()
            if kind in {STOP, PAUSE}:
                authority.pause(f"{kind}: waits for 'resume'", now_ns)
                return ""
            if kind == RESUME:
                return authority.resume(now_ns)
            return authority.go(kind, self._motions().goals(kind), True, now_ns)

    def _nudge(self, text: str, nudge: Nudge) -> str:
        limiter = self._arbiter.limiter
        if limiter is None:
            return "not engaged"
        try:
            goals = self._motions().nudged(nudge, limiter.position)
        except ConfigError as error:
            return str(error)
        with self._lock:
            return self._arbiter.authority.go(text, goals, False, time.monotonic_ns())

    def _on_question(self, message: String) -> None:
        try:
            question = read_question(message.data)
        except SpecError as error:
            self._answers.tell(message.data, "question", str(error))
            return
        refusal = self._asking.ask(question, time.monotonic_ns())
        if not refusal:
            with self._lock:
                self._arbiter.authority.ask(f"asks: {question.text}", time.monotonic_ns())
        self._answers.tell(question.text, "question", refusal, "question")

    def _on_answer(self, message: String) -> None:
        if message.data == self._own:
            return
        question = self._asking.question
        try:
            answer = self._asking.answer(message.data)
        except SpecError as error:
            self._answers.tell(message.data, "answer", str(error))
            return
        self._answered("" if question is None else question.text, answer)

    def _answered(self, question: str, answer: str) -> None:
        """Let motion go on; an answer that is a word is done too."""
        meaning = self._lexicon.read(answer)
        with self._lock:
            self._arbiter.authority.ask("", time.monotonic_ns())
        does = meaning.kind not in {INSTRUCTION, NOTHING, NEXT, RESUME}
        refusal = self._do(meaning) if does else ""
        self._answers.tell(f"{question}: {answer}", "answer", refusal, "answer")
