"""What the console speaks with and that may be absent: then it says so and goes on."""

from __future__ import annotations

from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.topics import EVENT, LATCHED, Service, Topic

OWNERS = Topic("arbiter/owners", "diagnostic_msgs/msg/DiagnosticArray", LATCHED, LATCHED)
REQUEST = Topic("arbiter/request", "std_msgs/msg/String", EVENT, EVENT)
REQUEST_ANSWER = Topic("arbiter/answer", "std_msgs/msg/String", EVENT, EVENT)
QUESTION = Topic("policy/question", "std_msgs/msg/String", EVENT, EVENT)
ANSWER = Topic("policy/answer", "std_msgs/msg/String", EVENT, EVENT)
TAKEOVER = Service("arbiter/takeover", "std_srvs/srv/SetBool")
RECORDER_DISCARD = Service("recorder/discard", "std_srvs/srv/Trigger")

# what a page asks for -> service, and what it is told: True, False, or None for a Trigger
ASKED: dict[str, tuple[Service, bool | None]] = {
    "engage": (topics.ARBITER_ENGAGE, True),
    "idle": (topics.ARBITER_ENGAGE, False),
    "reset": (topics.ARBITER_RESET, None),
    "estop": (topics.ESTOP_PRESS, True),
    "release_estop": (topics.ESTOP_PRESS, False),
    "takeover": (TAKEOVER, True),
    "give_back": (TAKEOVER, False),
    "record": (topics.RECORDER_START, None),
    "stop": (topics.RECORDER_STOP, None),
    "success": (topics.RECORDER_LABEL, True),
    "failure": (topics.RECORDER_LABEL, False),
    "discard": (RECORDER_DISCARD, None),
}
