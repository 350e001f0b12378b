"""Words at the arbiter: they stop, move, nudge; and questions, which hold the policy's motion."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from rcl_interfaces.msg import ParameterType, SetParametersResult
from rcl_interfaces.srv import SetParameters
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
PASSED_ON = replace(topics.INSTRUCTION, writer=topics.EVENT)


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
        self._pass_on = topics.publisher(node, PASSED_ON)
        self._passed: deque[str] = deque(maxlen=100)  # said here, and not yet heard back
        topics.service(node, topics.INSTRUCT, self._on_call)

    def check(self) -> None:
        """Give the default answer in its time."""
        question, default = self._asking.question, self._asking.expire(time.monotonic_ns())
        if question is not None and default:
            self._own = answer_message(question.id, default)
            self._answer.publish(String(data=self._own))
            self._answered(question.text, default)

    def _on_word(self, message: String) -> None:
        if self._passed and message.data == self._passed[0]:
            self._passed.popleft()
            return
        self._hear(message.data)

    def _on_call(
        self, request: SetParameters.Request, response: SetParameters.Response
    ) -> SetParameters.Response:
        """Take each text as if it came by the topic, pass it on there, and say what it was."""
        for one in request.parameters:
            if one.value.type != ParameterType.PARAMETER_STRING:
                reason = f"'{one.name[:40]}' is no string: type 4, string_value"
                response.results.append(SetParametersResult(successful=False, reason=reason))
                continue
            said = one.value.string_value
            kind, refusal = self._hear(said)
            if not refusal:
                self._passed.append(said)
                self._pass_on.publish(String(data=said))
            result = SetParametersResult(successful=not refusal, reason=refusal or kind)
            response.results.append(result)
        return response

    def _hear(self, said: str) -> tuple[str, str]:
        """Do what was said; return what it is, and '' or why it is refused."""
        meaning = self._lexicon.read(said)
        if meaning.kind in {INSTRUCTION, NEXT}:
            return meaning.kind, ""
        if meaning.kind == NUDGE and not self.nudges:
            self._answers.tell(meaning.text, "correction for the policy", "", "word")
            return "correction for the policy", ""
        refusal = meaning.refusal or ("" if meaning.kind != NOTHING else "it is empty")
        refusal = refusal or self._do(meaning)
        self._answers.tell(meaning.text, meaning.kind, refusal, "word")
        return meaning.kind, refusal

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
