"""What a reason means in plain words, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Advice:
    """A reason in plain words."""

    plain: str
    todo: str


RESET = "When it is right, press Reset, then Engage."
KNOWN: tuple[tuple[str, str, str], ...] = (
    ("e-stop pressed", "Somebody pressed the e-stop: the arm brakes and holds.",
     "Look at the arm. Release the e-stop, press Reset, then Engage."),
    ("e-stop released", "The e-stop is released, the arm still holds.", "Press Reset."),
    ("e-stop heartbeat", "The e-stop device fell silent; silence counts as pressed.",
     "Start its device or mend its cable, then press Reset."),
    ("joint state is stale|joint states are", "The arm's position has not been told for a while.",
     "Is the robot's driver running, is the network up? The arm goes on by itself when it is."),
    ("no joint state", "The robot does not tell where it is.",
     "Start the robot's driver (or the simulation) and look at its log."),
    ("joint state jumped", "The measured position jumped farther than the arm can move.",
     f"Is a second driver publishing joint states? Stop it. {RESET}"),
    ("repeat to the last bit", "The position stays the same to the last bit while the arm is sent "
     "elsewhere: its driver hangs.", f"Restart the driver. {RESET}"),
    ("does not move with its command", "The arm does not move though it is told to.",
     f"Is its controller active, is it unlocked, are its brakes open? {RESET}"),
    ("does not follow its command", "The arm is farther from its command than it should be.",
     f"Is it blocked or in contact, is its controller active? Clear the way. {RESET}"),
    ("itself was silent", "The control loop was late, so everything under way was ended.",
     f"The machine is too busy: close other programs. {RESET}"),
    ("publishers", "Two programs speak on a topic that may have one speaker only.",
     "Stop the one that does not belong there; the message names both."),
    ("keep_out|workspace|work space|outside", "The motion would leave the room that it may use.",
     "Drive the arm away from the border, or change workspace/keep_out of the robot."),
    ("teleop target is", "The person's device is silent: the arm holds.",
     "Let go of the deadman and press it again; look at the connection."),
    ("chunks come", "The policy is too slow: the arm waits at the end of each chunk.",
     "Fewer flow steps ('steps'), a faster engine, or less other work on this machine."),
    ("chunk is|no chunk|chunk ended|observation", "The policy has nothing newer to play.",
     "Look at the policy's line under Health; the arm holds meanwhile."),
    ("beyond the limit", "The policy asked for a position beyond a joint limit.",
     "Take over and bring the arm to a usual posture; look at the policy and its units."),
    ("not engaged", "Nothing is commanded: the arm is idle.", "Press Engage to let it move."),
    ("waits for 'resume'|paused|question|waiting for an answer", "The arm waits for a person.",
     "Answer the question, or say resume."),
    ("pose", "The arm's own pose and its joints contradict each other.",
     f"Is the right robot description (tool) in use? {RESET}"),
    ("disk|room", "The recorder has trouble with its disk.", "Free some space, then start again."),
)  # fmt: skip


def advise(reason: str) -> Advice | None:
    """Return the plain words for a reason, None for none."""
    if not reason.strip():
        return None
    for pattern, plain, todo in KNOWN:
        if re.search(pattern, reason):
            return Advice(plain, todo)
    return Advice(reason, f"Look at Health and the node's log. {RESET}")
