"""All kinds of faults."""

from __future__ import annotations

from collections.abc import Sequence

from arfm_ros.core.errors import ConfigError
from arfm_ros.faults.inject import processes, streams, voices
from arfm_ros.faults.judging.expected import Kind


def all_kinds() -> tuple[Kind, ...]:
    """Return every kind, in the order of the report."""
    return (*processes.kinds(), *streams.kinds(), *voices.kinds())


def chosen(only: Sequence[str]) -> tuple[Kind, ...]:
    """Return the kinds whose names begin with one of `only`; `ConfigError` where none does."""
    kinds = all_kinds()
    found = tuple(kind for kind in kinds if not only or kind.name.startswith(tuple(only)))
    if not found:
        names = ", ".join(kind.name for kind in kinds)
        raise ConfigError(f"no fault begins with {', '.join(only)}; there are: {names}")
    return found
