"""The options of training on corrections, of `arfm train` and `arfm improve`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arfm_ros.learn.data.interventions import Interventions

KNOBS = ("own_successes", "blame_s")


def add_interventions(parser: argparse.ArgumentParser, text: str) -> None:
    """Declare the options; `text` says what --interventions does here."""
    parser.add_argument("--interventions", action="store_true", help=text)
    parser.add_argument(
        "--own-successes",
        action="store_true",
        help="with --interventions: learn also what the policy did itself where that ended in "
        "success without a person",
    )
    parser.add_argument(
        "--blame-s",
        type=float,
        help="with --interventions: so long before a takeover speaks against the policy, where "
        "the objective has a signal with the term takeover (default: 1)",
    )


def interventions_of(args: argparse.Namespace) -> Interventions | None:
    """Return what was asked for; raise `ConfigError` for what does not go together."""
    from arfm_ros.core.errors import ConfigError
    from arfm_ros.learn.data.interventions import Interventions

    given = [name for name in KNOBS if getattr(args, name) not in {None, False}]
    if not args.interventions:
        if given:
            raise ConfigError(f"--{given[0].replace('_', '-')} needs --interventions")
        return None
    if getattr(args, "authority", ""):
        raise ConfigError("--authority with --interventions: these say whose steps count")
    plain = Interventions()
    blame_s = plain.blame_s if args.blame_s is None else args.blame_s
    return Interventions(args.own_successes, blame_s)
