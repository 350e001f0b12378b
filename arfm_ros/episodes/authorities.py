"""Who may have commanded, as `arbiter/authority` and `arbiter/owners` of an episode say it."""

from __future__ import annotations

from collections.abc import Iterable

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.decision import AUTHORITIES, HUMAN

EXPERT = "expert"  # a scripted demonstration
DISTURBED = "disturbed"  # the simulator threw the arm off on purpose
PERSONS = (HUMAN, EXPERT)  # whose commands show how it is done
KNOWN = (*AUTHORITIES, EXPERT, DISTURBED)


def unknown(names: Iterable[str]) -> list[str]:
    """List the names that nobody who commands has."""
    return sorted(set(names) - set(KNOWN))


def check_authorities(names: Iterable[str], flag: str) -> None:
    """Raise `ConfigError`, naming the option `flag`, for a name that nobody has."""
    wrong = unknown(names)
    if wrong:
        raise ConfigError(f"{flag} '{wrong[0]}' is unknown, needs some of: {', '.join(KNOWN)}")
