"""What is wrong with the bytes of a message."""

from __future__ import annotations

from arfm_ros.core.errors import EpisodeError, SpecError


class WireError(SpecError, EpisodeError):
    """A message cannot be read: to a policy an input that does not fit, to a reader a damage."""
