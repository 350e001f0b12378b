"""Rebuild the command that a verb was called with, without this machine's folders."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import Any


def rebuild(
    verb: str,
    args: argparse.Namespace,
    unset_is_0: Collection[str] = (),
    positional: Collection[str] = (),
) -> str:
    """Return `./arfm VERB ...`; paths are cut to their names, options left at nothing drop out.

    `unset_is_0` names options whose 0 means that they were not given, `positional` those that
    have no flag.
    """
    words = [f"./arfm {verb}"]
    for name, value in vars(args).items():
        if value is None or value is False or value in ("", (), (None,)) or callable(value):
            continue
        if value == 0 and name in unset_is_0:
            continue
        words += _option(name, value) if name not in positional else _words(value)
    return " ".join(words)


def _option(name: str, value: Any) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if value is True:
        return [flag]
    if isinstance(value, list):
        return [word for one in _words(value) for word in (flag, one)]
    return [flag, *_words(value)]


def _words(value: Any) -> list[str]:
    if isinstance(value, tuple):  # one word that lists several: --delay-ms 0,50
        return [",".join(str(getattr(one, "word", one)) for one in value)]
    values = value if isinstance(value, list) else [value]
    return [one.name if isinstance(one, Path) else str(one) for one in values]
