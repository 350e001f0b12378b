"""How observations count in training: the objective, its knobs, and R*."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from arfm_ros.core.errors import ConfigError

if TYPE_CHECKING:
    from arfm_ros.learn.signals.rl_signal import SignalConfig

OBJECTIVES = (
    "fm", "filtered_bc", "filtered_signal", "rwr", "return", "advantage", "preference", "arfm",
)  # fmt: skip
# flag -> (objective that has the knob, its field, help); defaults are the objective's own
KNOBS: dict[str, tuple[str, str, str]] = {
    "--lambda": ("arfm", "lam", "worth of signal in variance (2; the paper's is 5e-4)"),
    "--alpha-min": ("arfm", "alpha_min", "lower bound of the scale"),
    "--alpha-max": ("arfm", "alpha_max", "upper bound of the scale"),
    "--ess-min": ("arfm", "ess_min", "least effective sample size, a share of the batch"),
    "--moments": ("arfm", "moments", "batch for success or failure, or gaussian as in the paper"),
    "--normaliser": (
        "arfm",
        "normaliser",
        "task: a softmax for each, data: a constant for each of all data, batch: as in the paper",
    ),
    "--beta": ("rwr", "beta", "inverse temperature"),
    "--weight-max": ("rwr", "weight_max", "largest weight"),
    "--z-score": ("rwr", "z_score", "0: beta stands for R* as it is, not for the batch's spread"),
    "--keep-above": ("filtered_signal", "quantile", "quantile of R* above which is kept"),
    "--guidance": ("advantage", "guidance", "how far beyond what good data does, 1: as it does"),
    "--drop": ("advantage", "drop", "share of the observations that are not told"),
    "--preference-beta": ("preference", "beta", "how fast a difference of losses saturates"),
    "--anchor": ("preference", "anchor", "weight of plain flow matching of the better ones"),
    "--margin": ("preference", "margin", "least difference of R*"),
    "--return-quantile": ("return", "quantile", "of the data's R*, asked for at run time"),
}


def add_objective(parser: argparse.ArgumentParser) -> None:
    """Declare what `objective_knobs` and `signal_config` read."""
    parser.add_argument(
        "--objective",
        choices=OBJECTIVES,
        help="how the observations count (default: fm, all the same)",
    )
    for flag, (name, field, text) in KNOBS.items():
        kind = str if field in {"moments", "normaliser"} else float
        parser.add_argument(flag, type=kind, help=f"{name}: {text}")
    parser.add_argument(
        "--paper", action="store_true", help="arfm: lambda, moments and normaliser of the paper"
    )
    parser.add_argument(
        "--drawn",
        action="store_true",
        help="arfm, rwr: draw observations by their weight, in place of weighing drawn ones",
    )
    parser.add_argument("--reward", help="terms of R* and their weights: success=1,progress=0.5")
    parser.add_argument(
        "--signal",
        default="",
        metavar="NAME[:KNOB=VALUE,...]",
        help="R* by a signal of `arfm signals`, in place of --reward",
    )
    parser.add_argument("--raw-signal", action="store_true", help="R* without the z-score")
    parser.add_argument(
        "--group", choices=("observation", "episode"), help="what R*'s mean counts"
    )


def objective_knobs(args: argparse.Namespace) -> dict[str, Any]:
    """Collect the objective's own knobs. Raises `ConfigError` for one of another objective."""
    from arfm_ros.learn.objectives.arfm import PAPER

    if args.paper and args.objective != "arfm":
        raise ConfigError(f"--paper needs --objective arfm, not {args.objective or 'fm'}")
    given: dict[str, Any] = dict(PAPER) if args.paper else {}
    for flag, (objective, field, _) in KNOBS.items():
        value = getattr(args, flag.removeprefix("--").replace("-", "_"))
        if value is None:
            continue
        if objective != args.objective:
            raise ConfigError(
                f"{flag} needs --objective {objective}, not {args.objective or 'fm'}"
            )
        given[field] = value
    return given


def signal_config(args: argparse.Namespace) -> SignalConfig:
    """Say what R* is. Raises `ConfigError` where two things are asked for."""
    from arfm_ros.learn.signals.rl_signal import Reward, SignalConfig, parse_reward

    if args.reward and args.signal:
        raise ConfigError("--reward and --signal: R* is one of them")
    reward = parse_reward(args.reward) if args.reward else Reward()
    group = args.group or "observation"
    return SignalConfig(reward, not args.raw_signal, group, args.signal)
