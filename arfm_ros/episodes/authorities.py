"""Who may have commanded, as `arbiter/authority` and `arbiter/owners` of an episode say it."""

from __future__ import annotations

from collections.abc import Iterable

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.decision import AUTHORITIES, HUMAN
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.series import texts

EXPERT = "expert"  # a scripted demonstration
DISTURBED = "disturbed"  # the simulator threw the arm off on purpose
PERSONS = (HUMAN, EXPERT)  # whose commands show how it is done
OWNERS, AUTHORITY = "arbiter/owners", "arbiter/authority"
WHOLE = "robot"  # the one group of an episode that tells of none
KNOWN = (*AUTHORITIES, EXPERT, DISTURBED)


def unknown(names: Iterable[str]) -> list[str]:
    """List the names that nobody who commands has."""
    return sorted(set(names) - set(KNOWN))


def check_authorities(names: Iterable[str], flag: str) -> None:
    """Raise `ConfigError`, naming the option `flag`, for a name that nobody has."""
    wrong = unknown(names)
    if wrong:
        raise ConfigError(f"{flag} '{wrong[0]}' is unknown, needs some of: {', '.join(KNOWN)}")


def said_owners(reader: EpisodeReader) -> dict[str, list[tuple[int, str]]]:
    """Read who acts in each group: from a stamp in ns on, and who.

    From `arbiter/owners`; without it `arbiter/authority` for the whole robot; empty without both.
    """
    topic = reader.find(OWNERS)
    told: dict[str, list[tuple[int, str]]] = {}
    for stamp, message in reader.messages(topic) if topic else ():
        for status in message.status:
            words = {pair.key: pair.value for pair in status.values}
            told.setdefault(status.name, []).append((stamp, words.get("acting", "")))
    for said in told.values():
        said.sort(key=lambda pair: pair[0])
    said = texts(reader, AUTHORITY)
    return told or ({WHOLE: said} if said else {})
