"""Which environment a command runs in, and which extras of the package it needs there."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

OWN, LEROBOT = ".venv", ".venv-vla"  # LeRobot's pins do not go with ours
BENCHMARKS = {
    "metaworld": ".venv-metaworld",
    "libero": ".venv-libero",
}  # --env, which is an extra too: nor do these
ACTED = {"metaworld": (12_500_000, 4), "libero": (50_000_000, 7)}  # dt [ns], numbers of an action
LIBRARIANS = ("export", "bench", "train")  # verbs that open another library's checkpoint
AGAINST, TUNED = "--against=", "--policy="
SOURCES = {
    "transformers:": ("train", "vla"),
    "lerobot:": ("lerobot",),
    "openpi:": ("lerobot",),
    "--vla": ("lerobot",),
    "remote:": ("remote",),
}
KINEMATICS = "arms"  # of any arm but the FR3, of tool poses, of a person's device
FRANKA = ("fr3", "franka")
SLOW = "--slow"  # tests of transformers' pi0 are among them
INT4 = "int4"  # of `export`: its quantiser computes with torch
FEWEST = "fewest"  # `export --steps fewest` runs the simulator
PAGE = ("--console", "--teleop=console")  # what of `up` opens the console
NODE = "--policy-node"  # `sync` speaks to it through ROS 2
ENGINES = {"tensorrt_rtx": "rtx", "torch": "train", "openvino": "openvino"}
BENCHES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("stack", "tick", "teleop", "record", "discovery", "seams"), ()),
    "train": ("train",),
    "fleet": ("fleet", "s3server"),
    "gpu": ("train",),
}


def environment_of(words: Sequence[str]) -> str:
    """Return the folder of the environment that a command runs in."""
    verb, *rest = words or [""]
    if benchmark := _benchmark(words):
        return BENCHMARKS[benchmark]
    lerobot = verb in LIBRARIANS and any(map(_of_lerobot, _plain(rest)))
    return LEROBOT if lerobot or (verb == "test" and "--vla" in rest) else OWN


def extras_wanted(root: Path, words: Sequence[str], ros: bool) -> tuple[str, ...]:
    """Return the extras of a command: those of its verb, or of the source that it names.

    `ros`: an installed ROS 2 is used, which takes the place of the extra of that name.
    """
    if benchmark := _benchmark(words):
        more = ["dev"] if words[0] == "test" else _of_bundles(root, words[1:])
        return tuple(dict.fromkeys([benchmark, *more]))
    return tuple(dict.fromkeys(_extras(root, words, ros)))


def _extras(root: Path, words: Sequence[str], ros: bool) -> list[str]:
    verb, *rest = words or ["help"]
    from_source = [
        extras for word in _plain(rest) for start, extras in SOURCES.items() if _is(word, start)
    ]
    found = [*(from_source[-1] if from_source else extras_of(root, verb, ros))]
    if verb == "export" and any((Path(word) / "policy.json").is_file() for word in rest):
        if INT4 not in rest:
            found = ["engine" if extra == "train" else extra for extra in found]
        found += ["sim"] if FEWEST in rest else []
    found += _of_bundles(root, rest)
    if verb == "up" and _opens_page(rest):
        found.append("console")
    if "sim" in found and _moves_by_kinematics(root, verb, rest):
        found.append(KINEMATICS)
    if _datasets(verb, rest):
        found.append("datasets")
    found += _to_look(root, words, ros)
    if verb == "test" and SLOW in rest and not from_source:
        found.append("vla")
    if verb == "sync" and not ros and any(word.startswith(NODE) for word in rest):
        found.append("ros")
    if verb == "bench" and not from_source:  # any other counts a bundle's graphs
        found += BENCHES.get(rest[0] if rest else "stack", ("engine",))
    return found


def _of_bundles(root: Path, words: Sequence[str]) -> list[str]:
    """List what the bundles among the words of a command need, and the engines that it names."""
    found = [ENGINES[engine] for engine in _engines(words) if engine in ENGINES]
    values = {*words, *(word.partition("=")[2] for word in words)}
    folders = [place for value in sorted(values) for place in _places(root, value)]
    found += ["words"] * any(map(_has_words, folders))
    return found + ["remote"] * any(map(_has_server, folders))


def _to_look(root: Path, words: Sequence[str], ros: bool) -> list[str]:
    """List what looking at an episode needs, beside what `show` itself does."""
    if "show" not in words[:2]:
        return []
    rerun = any(word.endswith(".rrd") for word in words) or "--rerun" in words
    found = list(extras_of(root, "show", ros)) if words[0] == "episodes" else []
    return found + ["rerun"] * rerun


def _benchmark(words: Sequence[str]) -> str:
    """Return the benchmark in which a command acts, whose pins need an environment; '': none."""
    verb, *rest = words or [""]
    pairs = [word.partition("=")[::2] for word in rest] + list(zip(rest, rest[1:]))
    flag = "--benchmark" if verb == "test" else "--env"
    named = [re.split("[:_]", value)[0] for key, value in pairs if key == flag]
    return next((name for name in named if name in BENCHMARKS), "")


def _moves_by_kinematics(root: Path, verb: str, words: Sequence[str]) -> bool:
    """Tell whether a command that simulates has another arm, a device, or a bundle of poses."""
    pairs = [word.partition("=")[::2] for word in words] + list(zip(words, words[1:]))
    robots = [value for key, value in pairs if key == "--robot" and value]
    robots += [word for word in words[:1] if verb == "up" and not word.startswith("-")]
    if any(robot not in FRANKA for robot in robots) or (verb, *words[:1]) == ("bench", "teleop"):
        return True
    if any(key == "--teleop" for key, _ in pairs):
        return True
    values = {*words, *(value for _, value in pairs)}
    return any(_by_kinematics(place) for value in values for place in _places(root, value))


def _places(root: Path, word: str) -> tuple[Path, ...]:
    """List where a bundle of this name would be."""
    return (Path(word), root / "models" / word) if word and not word.startswith("-") else ()


def _by_kinematics(bundle: Path) -> bool:
    try:
        spec = json.loads((bundle / "policy.json").read_text())["spec"]
        names = [axis["name"] for axis in spec["action"]]
    except (OSError, ValueError, KeyError, TypeError):
        return False  # no bundle, or one whose error is told later
    poses = any("tool" in str(action.get("space")) for action in spec.get("actions") or ())
    return poses or "fr3_joint1" not in names


def missing_files(root: Path, words: Sequence[str]) -> str:
    """Name what a command cannot do without, before gigabytes are installed for it; '' if nothing.

    A checkpoint may be a folder or a name of the hub whose cache is there (`export` looks closer).
    """
    verb, *rest = words or [""]
    if verb == "eval" and (benchmark := _benchmark(words)):
        return _unfit(root, rest, benchmark)
    if verb not in LIBRARIANS:
        return ""
    for word in _plain(rest):
        library, _, place = word.partition(":")
        if library not in {"lerobot", "openpi", "transformers"} or not place:
            continue
        if not Path(place).exists() and not _hub_name(place):
            return f"there is no folder {place}: give {library}:FOLDER, the folder of a checkpoint"
    pairs = dict(zip(rest, rest[1:]))
    told = [word.partition("=")[2] for word in rest if word.startswith("--interface=")]
    for file in [*told, *([pairs["--interface"]] if "--interface" in pairs else [])]:
        if not Path(file).is_file():
            return f"there is no file {file}: give --interface FILE (docs/vla.md)"
    return ""


def _unfit(root: Path, words: Sequence[str], benchmark: str) -> str:
    """Say why the bundle among the words of `eval` cannot act in a benchmark; '' if it may."""
    if {"-h", "--help"} & {*words}:
        return ""
    places = [place for word in words for place in _places(root, word)]
    bundle = next((place for place in places if (place / "policy.json").is_file()), None)
    if bundle is None:
        return f"none of '{' '.join(words)}' is a bundle: give its folder, or its name in models"
    try:
        spec = json.loads((bundle / "policy.json").read_text())["spec"]
        dt_ns, count = spec["dt_ns"], len(spec["action"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # its error is told later
    wanted_ns, wanted = ACTED[benchmark]
    if (dt_ns, count) == (wanted_ns, wanted):
        return ""
    return (
        f"{bundle.name} has {count} actions of {dt_ns / 1e6:g} ms, {benchmark} takes {wanted} "
        f"of {wanted_ns / 1e6:g} ms (docs/environments.md)"
    )


def _plain(words: Sequence[str]) -> list[str]:
    return [word.removeprefix(AGAINST).removeprefix(TUNED) for word in words]


def _of_lerobot(word: str) -> bool:
    return word.startswith(("lerobot:", "openpi:"))


def _hub_name(place: str) -> bool:
    cache = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface") / "hub"
    return (cache / f"models--{place.replace('/', '--')}").is_dir()


def _has_words(folder: Path) -> bool:
    """Tell whether it is a bundle that reads instructions with a tokenizer of its own."""
    return (folder / "policy.json").is_file() and (folder / "tokenizer.json").is_file()


def _has_server(folder: Path) -> bool:
    """Tell whether it is a bundle whose network is on a server."""
    try:
        return bool(json.loads((folder / "policy.json").read_text()).get("remote"))
    except (OSError, ValueError, AttributeError):
        return False  # no bundle, or one whose error is told later


def _datasets(verb: str, words: Sequence[str]) -> bool:
    """Tell whether a command reads or writes datasets of other tools."""
    if verb == "episodes":
        return words[:1] == ["convert"]
    given = (Path(word) for word in words if not word.startswith("-"))
    return verb == "train" and any((path / "meta" / "info.json").is_file() for path in given)


def extras_of(root: Path, verb: str, ros: bool) -> tuple[str, ...]:
    """Return the literal EXTRAS of a verb's file, which is not imported."""
    folder = root / "arfm_ros" / "cli"
    file = next(filter(Path.is_file, (folder / f"{verb}.py", folder / verb / "__init__.py")), None)
    if file is None:
        return ()
    for node in ast.parse(file.read_text()).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(node, ast.AnnAssign):
            target = node.target
        if isinstance(target, ast.Name) and target.id == "EXTRAS":
            named = ast.literal_eval(node.value)  # type: ignore[attr-defined]
            return tuple(extra for extra in named if not (ros and extra == "ros"))
    return ()


def _is(word: str, start: str) -> bool:
    return word == start if start.startswith("--") else word.startswith(start)


def _opens_page(words: Sequence[str]) -> bool:
    pairs = zip(words, words[1:])
    return any(word in PAGE for word in words) or ("--teleop", "console") in pairs


def _engines(words: Sequence[str]) -> list[str]:
    told = [word.removeprefix("--engine=") for word in words if word.startswith("--engine=")]
    return told + [after for before, after in zip(words, words[1:]) if before == "--engine"]
