"""A policy's specification as JSON: written, and read where a stranger may have written it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from arfm_ros.core.errors import SpecError
from arfm_ros.core.solvers.sampler import Sampler
from arfm_ros.core.values.history import History
from arfm_ros.core.values.normalize import Affine
from arfm_ros.core.values.strict import (
    Bounds,
    array,
    check_depth,
    flag,
    integer,
    number,
    record,
    rows,
    table,
    text,
)

FORMAT = 1
CAMERAS, AXES, LEVELS, TASKS = 16, 1024, 10_000, 10_000  # at most
PIXELS = 2**26  # of all that a network sees at once
HORIZON = 4096
SIDE: Bounds = (1, 4096)
WORDS: Bounds = (0, 2**24)
FINITE: Bounds = (-1e12, 1e12)
RANGES: Mapping[str, Bounds] = {
    "horizon": (1, HORIZON),
    "dt_ns": (100_000, 60_000_000_000),
    "steps": (1, 1000),
    "flow_width": (0, 8192),
    "past": (0, HORIZON),
    "spare": (0, HORIZON),
}
NESTED: Mapping[str, Mapping[str, Bounds]] = {
    "cameras": {"height": SIDE, "width": SIDE},
    "rtc": {"delay_min": (0, HORIZON), "delay_max": (0, HORIZON)},
    "language": {"length": (0, 2**16), "vocabulary": WORDS, "pad_id": WORDS, "state_bins": WORDS},
    "history": {"count": (1, 64), "spacing_ns": (0, 60_000_000_000)},
}
NEEDED = ("name", "cameras", "state", "action", "horizon", "dt_ns", "state_norm", "action_norm")
NEEDED_TOO = ("relative", "steps", "rtc", "language", "instructions")
_TEXTS = ("kind", "prediction", "solver")
OPTIONAL = ("flow_width", "past", "spare", "sampler", "history", "actions", "phrases")
OPTIONAL_TOO = ("state_in_step",)
GROUPS, OPTIONS = 64, 32  # at most: groups that have actions, options of one of them
Plain = str | float | bool


def read_fields(source: str, kinds: Mapping[str, type]) -> dict[str, Any]:
    """Return the arguments of a `PolicySpec`; `kinds` are the classes of its parts.

    Raises `SpecError` naming what is missing, unknown, of another type or out of bounds.
    """
    raw = _load(source)
    known = {*NEEDED, *NEEDED_TOO, *OPTIONAL, *OPTIONAL_TOO}
    missing = [name for name in (*NEEDED, *NEEDED_TOO) if name not in raw]
    unknown = [str(name) for name in raw if name not in known]
    if missing or unknown:
        what = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(unknown)[:80]}"
        raise SpecError(f"policy spec is incomplete or malformed: it {what}")
    found: dict[str, Any] = {"name": text(raw["name"], "name")}
    found |= {n: integer(raw[n], n, bounds) for n, bounds in RANGES.items() if n in raw}
    for name in ("rtc", "language", "history"):
        if name in raw:
            found[name] = record(kinds.get(name, History), raw[name], name, NESTED[name])
    for name, most in (("cameras", CAMERAS), ("state", AXES), ("action", AXES)):
        found[name] = _named(kinds[name], raw[name], name, most)
    for name in ("state_norm", "action_norm"):
        found[name] = _affine(raw[name], name)
    relative = rows(raw["relative"], "relative", AXES)
    found["relative"] = tuple(flag(one, "relative") for one in relative)
    found["instructions"] = _instructions(raw["instructions"])
    if "sampler" in raw:
        found["sampler"] = _sampler(raw["sampler"])
    if "actions" in raw:
        found["actions"] = action_spaces(raw["actions"])
    phrases = rows(raw.get("phrases", []), "phrases", TASKS)
    found["phrases"] = tuple(text(one, "phrases") for one in phrases)
    found["state_in_step"] = text(raw.get("state_in_step", ""), "state_in_step")
    _check_pixels(found["cameras"], found.get("history", History()).count)
    return found


def write_fields(fields: dict[str, Any], plain_solver: str) -> str:
    """Write the fields of a `PolicySpec`; what it does not use is left out.

    So a version that knows no such thing reads it too.
    """
    for name in ("actions", "phrases", "state_in_step", "spare"):
        if not fields[name]:
            del fields[name]
    if fields["sampler"]["solver"] == plain_solver:
        del fields["sampler"]["solver"]
    rested = [(fields["rtc"], "latency_input"), (fields["language"], "bare")]
    rested.append((fields["sampler"], "only_steps"))
    for part, name in (*rested, *((camera, "exact") for camera in fields["cameras"])):
        if not part[name]:
            del part[name]
    return json.dumps({"format": FORMAT, **fields}, indent=1, default=_array_to_list)


def _array_to_list(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"cannot write {type(value).__name__} to JSON")


def _load(source: str) -> dict[str, Any]:
    try:
        raw = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"policy spec is not JSON: {error}") from error
    raw = table(raw, "policy spec")
    check_depth(raw)
    found = raw.pop("format", None)
    if found != FORMAT:
        raise SpecError(f"policy spec has format {found!r:.20}, this version reads {FORMAT}")
    return raw


def _named(cls: type, raw: object, where: str, most: int) -> tuple[Any, ...]:
    """Read cameras or axes; no two may have the same name."""
    bounds = NESTED.get(where, {})
    found: tuple[Any, ...] = tuple(
        record(cls, one, f"{where}[{k}]", bounds) for k, one in enumerate(rows(raw, where, most))
    )
    names = [one.name for one in found]
    twice = sorted({name for name in names if names.count(name) > 1 or not name})
    if twice:
        raise SpecError(f"{where} has the name '{twice[0]}' twice, or none")
    return found


def _affine(raw: object, where: str) -> Affine:
    given = table(raw, where)
    if given.keys() != {"offset", "scale"}:
        raise SpecError(f"{where} has {', '.join(map(str, given))[:80]}, needs offset and scale")
    return Affine(array(given["offset"], where), array(given["scale"], where))


def _instructions(raw: object) -> dict[str, str]:
    given = table(raw, "instructions")
    if len(given) > TASKS:
        raise SpecError(f"instructions are {len(given)}, at most {TASKS} are read")
    return {text(task, "a task"): text(words, "instructions") for task, words in given.items()}


def _sampler(raw: object) -> Sampler:
    given = dict(table(raw, "sampler"))
    alphas = array(given.pop("alphas_cumprod", []), "sampler.alphas_cumprod")
    if alphas.size > LEVELS:
        raise SpecError(f"sampler has {alphas.size} levels of noise, at most {LEVELS} are read")
    plain = {key: text(given.pop(key), f"sampler.{key}") for key in _TEXTS if key in given}
    clip = number(given.pop("clip", 0.0), "sampler.clip")
    only = integer(given.pop("only_steps", 0), "sampler.only_steps", (0, RANGES["steps"][1]))
    if given:
        raise SpecError(f"sampler has {', '.join(map(str, given))[:80]}, which is not known")
    return Sampler(alphas_cumprod=alphas, clip=clip, only_steps=only, **plain)


def action_spaces(raw: object) -> tuple[dict[str, Plain], ...]:
    """Read action spaces; what a space and its options are is up to `robots.actions`."""
    given = rows(raw, "actions", GROUPS)
    found = tuple(_space(one, f"actions[{k}]") for k, one in enumerate(given))
    groups = [one["group"] for one in found]
    twice = sorted({str(name) for name in groups if groups.count(name) > 1})
    if twice:
        raise SpecError(f"actions have group '{twice[0]}' twice, needs one space for a group")
    return found


def _space(raw: object, where: str) -> dict[str, Plain]:
    given = table(raw, where)
    if len(given) > OPTIONS:
        raise SpecError(f"{where} has {len(given)} entries, at most {OPTIONS} are read")
    lacking = [key for key in ("group", "space") if not text(given.get(key, ""), f"{where}.{key}")]
    if lacking:
        raise SpecError(f"{where} lacks {' and '.join(lacking)}")
    return {text(key, where): _plain(value, f"{where}.{key}") for key, value in given.items()}


def _plain(raw: object, where: str) -> Plain:
    if isinstance(raw, (bool, str)):
        return raw if isinstance(raw, bool) else text(raw, where)
    return number(raw, where, FINITE)


def _check_pixels(cameras: Iterable[Any], count: int) -> None:
    pixels = count * sum(camera.height * camera.width for camera in cameras)
    if pixels > PIXELS:
        raise SpecError(f"a network that sees {pixels} pixels at once, at most {PIXELS} are taken")
