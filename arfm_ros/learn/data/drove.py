"""Who drove each group of a robot, tick by tick, in live recordings and in simulated episodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import EpisodeError
from arfm_ros.core.sharing.modes import POLICY
from arfm_ros.episodes.authorities import (
    AUTHORITY,
    KNOWN,
    OWNERS,
    PERSONS,
    said_owners,
    unknown,
)
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.windows import held

I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Drove:
    """Who acted in each of G groups at M ticks; '' where nobody said so yet."""

    stamp_ns: I64  # [M]
    groups: tuple[str, ...]
    acting: NDArray[np.str_]  # [M, G]

    @property
    def person(self) -> Bools:
        """Ticks [M] at which a person drove any group: the whole command is what that made of it.

        A scripted expert counts as a person.
        """
        return np.asarray(np.isin(self.acting, PERSONS).any(axis=1))

    @property
    def policy(self) -> Bools:
        """Ticks [M] at which the policy drove a group and no person any."""
        return np.asarray((self.acting == POLICY).any(axis=1) & ~self.person)


def who_drove(reader: EpisodeReader, at_ns: I64) -> Drove:
    """Read who acted at ticks [M]: `arbiter/owners`, without it `arbiter/authority` for all.

    Raises `EpisodeError` where neither was recorded, and for a name that is none of an authority.
    """
    told = said_owners(reader)
    if not told:
        raise EpisodeError(
            f"{reader.folder} has neither {OWNERS} nor {AUTHORITY}: nobody knows who drove; "
            "record them (recorder_node does, unless `topics` names others)"
        )
    for group, said in told.items():
        wrong = unknown(word for _, word in said)
        if wrong:
            raise EpisodeError(
                f"{reader.folder}: '{wrong[0]}' drove {group}, needs one of {', '.join(KNOWN)}"
            )
    acting = np.stack([held(said, at_ns) for said in told.values()], axis=1)
    return Drove(at_ns, tuple(told), acting)
