"""What words mean: a verb, a displacement of the tool, or an instruction for the policy."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from arfm_ros.core.errors import ConfigError

STOP, PAUSE, RESUME, HOME, OPEN, CLOSE, NEXT = (
    "stop",
    "pause",
    "resume",
    "home",
    "open",
    "close",
    "next",
)
VERBS = (STOP, PAUSE, RESUME, HOME, OPEN, CLOSE, NEXT)
INSTRUCTION, NUDGE, NOTHING = "instruction", "nudge", "nothing"
WORDS = "words.yaml"  # the shipped table, in config/
TEXT_MAX = 1000  # characters
MOVE_MAX_M, TURN_MAX_RAD = 0.1, 0.6
FRAMES = ("base", "tool")


@dataclass(frozen=True, slots=True)
class Nudge:
    """A displacement of the tool: m, and a rotation vector in rad, both in `frame`."""

    move: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    frame: str = "base"

    def __post_init__(self) -> None:
        if self.frame not in FRAMES:
            raise ConfigError(f"frame is '{self.frame}', needs one of: {', '.join(FRAMES)}")
        way, angle = float(np.linalg.norm(self.move)), float(np.linalg.norm(self.turn))
        if not (way <= MOVE_MAX_M and angle <= TURN_MAX_RAD and way + angle > 0.0):
            raise ConfigError(
                f"moves by {way:g} m and {angle:g} rad, needs something, at most {MOVE_MAX_M} m "
                f"and {TURN_MAX_RAD} rad"
            )


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a text is: a verb, `nudge`, `instruction`, or `nothing` with the reason."""

    kind: str
    text: str  # as said, without spaces around it and control characters, at most TEXT_MAX
    nudge: Nudge | None = None
    refusal: str = ""


class Lexicon:
    """The table of phrases."""

    def __init__(self, phrases: Mapping[str, str | Nudge]) -> None:
        self._phrases = {_plain(phrase): what for phrase, what in phrases.items()}

    def read(self, said: str) -> Meaning:
        """Say what a text means; whatever comes, it is one meaning and no error."""
        if len(said) > TEXT_MAX:
            refusal = f"{len(said)} characters are too many, at most {TEXT_MAX} are read"
            return Meaning(NOTHING, said[:40], refusal=refusal)
        text = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in said).strip()
        found = self._phrases.get(_plain(text))
        if isinstance(found, Nudge):
            return Meaning(NUDGE, text, found)
        return Meaning(found or (INSTRUCTION if text else NOTHING), text)


def load_lexicon(path: Path) -> Lexicon:
    """Read a table of words; raises `ConfigError` naming the file and the phrase."""
    try:
        raw = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    try:
        return Lexicon(_verbs(raw) | _nudges(raw))
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error}") from error


def _verbs(raw: Any) -> dict[str, str | Nudge]:
    if not isinstance(raw, Mapping) or not set(raw) <= {"verbs", "nudges"}:
        raise ConfigError("needs `verbs` and `nudges`, and nothing else")
    found: dict[str, str | Nudge] = {verb: verb for verb in VERBS}
    for verb, phrases in (raw.get("verbs") or {}).items():
        if verb not in VERBS or not isinstance(phrases, list):
            raise ConfigError(f"verbs: '{verb}' needs to be one of {', '.join(VERBS)}, a list")
        found |= {str(phrase): verb for phrase in phrases}
    return found


def _nudges(raw: Mapping[str, Any]) -> dict[str, str | Nudge]:
    found: dict[str, str | Nudge] = {}
    for phrase, given in (raw.get("nudges") or {}).items():
        try:
            values = {key: _number(key, value) for key, value in given.items()}
            found[str(phrase)] = Nudge(**values)
        except (TypeError, ValueError, AttributeError, ConfigError) as error:
            raise ConfigError(f"nudges: '{phrase}': {error}") from error
    return found


def _number(key: str, value: Any) -> Any:
    if key == "frame":
        return value
    numbers = tuple(float(one) for one in value)
    if len(numbers) != 3:
        raise ConfigError(f"{key} has {len(numbers)} numbers, needs 3")
    return numbers


def _plain(text: str) -> str:
    """Make what does not count alike: case, spaces, punctuation, forms of letters."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(c if c.isalnum() else " " for c in folded).split())
