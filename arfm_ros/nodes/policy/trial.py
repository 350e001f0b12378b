"""Who drives: the policy in use, and the one before it while the new one may still fail."""

from __future__ import annotations

from arfm_ros.nodes.policy.values import Loaded

CHUNKS = 20  # of a new policy during which the one before stays at hand


class Trial:
    """A policy takes over on trial; the one before it comes back if it fails. One thread uses it.

    `loaded` may be read by any thread.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded  # what drives now
        self.before: Loaded | None = None  # what comes back if the new one fails
        self._left = 0  # chunks that it may still fail on

    def begin(self, loaded: Loaded) -> bool:
        """Let another policy drive; tell whether it is another one.

        Where the last one has not made a chunk yet, the one before it stays at hand.
        """
        if loaded is self.loaded:
            return False
        untried = self.before is not None and self._left == CHUNKS
        if not untried:
            self.before = self.loaded
        self.loaded, self._left = loaded, CHUNKS
        return True

    def passed(self) -> None:
        """Note that it made a chunk."""
        self._left -= 1
        if self._left <= 0:
            self.before = None

    def fail(self) -> bool:
        """Let the policy before drive again; tell whether there is one."""
        if self.before is None:
            return False
        self.loaded, self.before = self.before, None
        return True
