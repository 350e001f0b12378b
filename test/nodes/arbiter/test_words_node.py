"""Words, questions and requests at the arbiter's process, from publishers with default QoS."""

import json
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool
from test_arbiter_node import AMPLITUDE_RAD, CHUNK_SOURCE, RATE_RAD_S, rig

from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.convert import time_to_ns
from arfm_ros.robots.fr3 import facts as fr3

__all__ = ["rig"]


def publisher(rig, row, kind=String):
    made = rig.node.create_publisher(kind, row.name, 10)
    rig.until(lambda: made.get_subscription_count() >= 1)
    return made


def heard(rig, row, kind=String):
    found = []
    topics.subscription(rig.node, row, found.append)
    return found


def owners(found):
    if not found:
        return {}
    return values(found[-1])


def values(message):
    return {s.name: {v.key: v.value for v in s.values} for s in message.status}


def acting(message):
    return {name: row["acting"] for name, row in values(message).items()}


def answer(rig, answers, said):
    def found():
        told = [json.loads(message.data) for message in answers]
        return next((one for one in told[::-1] if one["said"] == said), None)

    return rig.until(found)


def wait(rig, time_s):
    end = time.monotonic() + time_s
    rig.until(lambda: time.monotonic() > end)


def repeat(rig, say, text, condition):
    """Say it until it was done: a starved arbiter drops what is under way."""

    def said():
        say.publish(String(data=text))
        wait(rig, 3.0)
        return condition()

    rig.until(said)


def still(rig):
    return rig.commands()[1][-1:].size and not rig.heard["arbiter/command"][-1].velocity[0]


def test_words_stop_move_and_give_back_without_a_policy(rig):
    answers, labels = heard(rig, topics.ARBITER_ANSWER), heard(rig, topics.EPISODE_LABEL)
    told = heard(rig, topics.OWNERS, DiagnosticArray)
    say = publisher(rig, topics.INSTRUCTION)
    say.publish(String(data="home"))
    assert "not engaged" in answer(rig, answers, "home")["refused"]
    rig.engage()

    def moved():
        return np.abs(rig.commands()[1][-1][:7] - np.asarray(fr3.HOME)).max()

    repeat(rig, say, "A bit to the LEFT!", lambda: moved() > 0.01)
    rig.authority("hold")
    assert owners(told)["arm"]["owner"] == "policy"
    repeat(rig, say, "close", lambda: rig.commands()[1][-1][7] < 0.01)
    repeat(rig, say, "home", lambda: moved() < 1e-3 and owners(told)["arm"]["owner"] == "words")
    say.publish(String(data="stop"))
    rig.until(lambda: owners(told)["arm"]["owner"] == "policy")
    rig.health("stop: waits for 'resume'", authority="hold")
    say.publish(String(data="resume"))
    assert answer(rig, answers, "resume")["refused"] == ""
    for junk in ("x" * 10_000, "なにか🙂", "fly to the moon"):
        before = rig.commands()[1][-1]
        say.publish(String(data=junk))
        wait(rig, 0.3)
        assert np.allclose(before, rig.commands()[1][-1], atol=1e-6)  # it comes to rest for good
    assert "too many" in answer(rig, answers, "x" * 40)["refused"]
    words = [json.loads(message.data)["word"] for message in labels]
    assert {"home", "nudge", "close", "stop", "resume"} <= {word["as"] for word in words}
    assert all(int(word["stamp_ns"]) > 0 for word in words)


def test_the_service_does_what_the_topic_does_once_and_says_what_it_was(rig):
    said = heard(
        rig, topics.Topic("instruction", "std_msgs/msg/String", topics.EVENT, topics.EVENT)
    )
    answers = heard(rig, topics.ARBITER_ANSWER)

    def call(*texts):
        kind = ParameterType.PARAMETER_STRING
        values = [ParameterValue(type=kind, string_value=text) for text in texts]
        given = [Parameter(name="say", value=value) for value in values]
        answer = rig.call(topics.INSTRUCT, SetParameters.Request(parameters=given))
        return [(one.successful, one.reason) for one in answer.results]

    assert call("home") == [(False, "home: not engaged")]
    rig.engage()
    assert call("stop") == [(True, "stop")]
    rig.health("stop: waits for 'resume'", authority="hold")
    assert call("resume", "lift the cube", "x" * 2_000)[:2] == [
        (True, "resume"),
        (True, "instruction"),
    ]
    rig.until(lambda: "lift the cube" in [message.data for message in said])
    wait(rig, 0.5)
    told = [json.loads(message.data)["said"] for message in answers]
    assert told.count("stop") == 1 and told.count("resume") == 1
    not_text = Parameter(name="n", value=ParameterValue(type=2, integer_value=3))
    answer = rig.call(topics.INSTRUCT, SetParameters.Request(parameters=[not_text]))
    assert "is no string" in answer.results[0].reason


def test_a_question_holds_the_policy_until_it_is_answered(rig):
    answers = heard(rig, topics.ARBITER_ANSWER)
    told = heard(rig, topics.OWNERS, DiagnosticArray)
    given = heard(rig, topics.ANSWER)
    ask, reply = publisher(rig, topics.QUESTION), publisher(rig, topics.ANSWER)
    rig.start("-c", CHUNK_SOURCE, str(AMPLITUDE_RAD), str(RATE_RAD_S))
    rig.engage()
    rig.authority("policy")
    question = {"id": "1", "text": "go on?", "options": ["yes", "stop"], "default": "stop"}
    ask.publish(String(data="what?"))
    assert "no JSON" in answer(rig, answers, "what?")["refused"]
    ask.publish(String(data=json.dumps(question | {"timeout_s": 60.0})))
    rig.authority("hold")
    rig.until(lambda: still(rig))
    assert owners(told)["arm"]["owner"] == "policy"
    reply.publish(String(data=json.dumps({"id": "1", "answer": "perhaps"})))
    rig.until(lambda: any("needs one of: yes, stop" in one.data for one in answers))
    assert rig.said() == "hold"
    reply.publish(String(data=json.dumps({"id": "1", "answer": "yes"})))
    rig.authority("policy")
    ask.publish(String(data=json.dumps(question | {"id": "2", "timeout_s": 0.5})))
    rig.until(lambda: any(json.loads(one.data) == {"id": "2", "answer": "stop"} for one in given))
    rig.health("stop: waits for 'resume'", authority="hold")


def test_requests_and_the_takeover_service_change_the_owners(rig):
    answers = heard(rig, topics.ARBITER_ANSWER)
    told = heard(rig, topics.OWNERS, DiagnosticArray)
    request = publisher(rig, topics.ARBITER_REQUEST)
    target = publisher(rig, topics.TELEOP_TARGET, JointState)
    engaged = publisher(rig, topics.TELEOP_ENGAGED, Bool)
    rig.engage()
    request.publish(String(data="arm=human"))
    assert "no fresh target" in answer(rig, answers, "arm=human")["refused"]
    assert not rig.call(topics.ARBITER_TAKEOVER, SetBool.Request(data=True)).success
    wanted = JointState(name=list(fr3.JOINT_NAMES), position=list(np.asarray(fr3.HOME) + 0.05))

    def taken():
        target.publish(wanted)
        return rig.call(topics.ARBITER_TAKEOVER, SetBool.Request(data=True)).success

    rig.until(taken)
    rig.until(lambda: owners(told).get("arm", {}).get("owner") == "human")
    assert owners(told)["gripper"]["owner"] == "policy"
    assert owners(told)["arm"]["weight"] == "1.000"
    assert rig.call(topics.ARBITER_TAKEOVER, SetBool.Request(data=False)).success
    rig.until(lambda: owners(told)["arm"]["owner"] == "policy")

    def at_a_command():
        """A recording says of each command whose it was; who is starved misses some, so again."""
        taken()
        wait(rig, 0.3)
        rig.call(topics.ARBITER_TAKEOVER, SetBool.Request(data=False))
        wait(rig, 0.3)
        sent = {time_to_ns(message.header.stamp) for message in rig.heard["arbiter/command"]}
        others = [b for a, b in zip(told, told[1:]) if acting(a) != acting(b)]
        return [
            1 for b in others if time_to_ns(b.header.stamp) in sent and acting(b)["arm"] == "human"
        ]

    rig.until(at_a_command)
    rig.until(lambda: owners(told)["arm"]["owner"] == "policy")
    request.publish(String(data="mode=shadow"))
    rig.until(lambda: owners(told)["arm"]["mode"] == "shadow")
    assert owners(told)["gripper"]["owner"] == "human"
    request.publish(String(data="gripper=policy"))
    assert "mode shadow forbids" in answer(rig, answers, "gripper=policy")["refused"]
    apart = heard(rig, topics.DISAGREEMENT, DiagnosticArray)
    rig.start("-c", CHUNK_SOURCE, str(AMPLITUDE_RAD), str(RATE_RAD_S))
    engaged.publish(Bool(data=True))

    def drive():
        target.publish(wanted)
        return apart and owners(apart).get("arm", {}).get("rad")

    assert 0.0 < float(rig.until(drive)) < 0.5
    assert rig.said() == "human"
