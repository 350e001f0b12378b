"""A bundle that somebody changed is a `BundleError`: no traceback, no hang, no dead node."""

from __future__ import annotations

import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from policy_rig import Robot, write_bundle
from test_swap import ask_for, check_motion_went_on, driving, hashes, parameter, prove

from arfm_ros.core.errors import BundleError, EngineError
from arfm_ros.engines import load_bundle, load_policy
from arfm_ros.engines.bundle import file_sha256
from arfm_ros.engines.gate.proof import require_pass
from arfm_ros.engines.gate.replay import load_reference, replay
from arfm_ros.engines.store import Target, read_manifest, write_manifest
from arfm_ros.nodes.policy.bundle import warm_up

__all__ = ["driving"]  # a fixture
FEW, MANY = 300, 3000

VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**63,
    10**400,
    -(10**30),
    1e308,
    -1e-320,
    float("nan"),
    float("inf"),
    -float("inf"),
    "",
    "\x00",
    "../../secret",
    "x" * 10_000,
    "16",
    [],
    {},
    [[]],
    {"": {}},
    [1] * 2000,
    [None] * 8,
    "ws://192.0.2.1:1",
)
DEEP = 100_000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prove(write_bundle(tmp_path_factory.mktemp("models") / "good", guided=True))


def places(raw: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the path of every value in JSON."""
    keys = raw if isinstance(raw, dict) else range(len(raw)) if isinstance(raw, list) else ()
    for key in keys:
        yield (*path, key)
        yield from places(raw[key], (*path, key))


def at(raw: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        raw = raw[key]
    return raw


def change_json(folder: Path, name: str, rng: random.Random) -> str:
    """Replace, remove, add or nest one value of a JSON file; or break its text."""
    path = folder / name
    raw = json.loads(path.read_text())
    chosen = sorted(places(raw), key=len)
    # Arrays of statistics hold most of the values: half of the time something above them.
    shallow = [one for one in chosen if len(one) <= 4]
    where = rng.choice(shallow if rng.random() < 0.5 else chosen)
    holder, key = at(raw, where[:-1]), where[-1]
    kind = rng.choice(("value", "value", "value", "drop", "add", "deep", "text", "swap"))
    if kind == "value":
        holder[key] = rng.choice(VALUES)
    elif kind == "drop":
        del holder[key]
    elif kind == "add" and isinstance(holder, dict):
        holder[rng.choice(("remote", "steps", "x", "", "\x00"))] = rng.choice(VALUES)
    elif kind == "swap":
        holder[key] = json.loads(json.dumps(at(raw, rng.choice(chosen))))
    text = json.dumps(raw) if kind not in {"deep", "text"} else nested(json.dumps(raw), kind, rng)
    path.write_text(text)
    return f"{name}: {kind} at {where}"


def nested(text: str, kind: str, rng: random.Random) -> str:
    cut = rng.randrange(len(text))
    if kind == "text":
        return text[:cut] + rng.choice(("", "{", "\\u", "\x00", "1e9999")) + text[cut + 1 :]
    depth = rng.choice((40, 900, DEEP))
    return f'{{"spec": {"[" * depth}{"]" * depth}, "sha256": {{}}, "passed": true}}'


def change_bytes(folder: Path, name: str, rng: random.Random) -> str:
    """Flip, cut, repeat or replace bytes of a file."""
    path = folder / name
    data = bytearray(path.read_bytes())
    kind = rng.choice(("flip", "flip", "cut", "empty", "repeat", "noise"))
    begin = rng.randrange(len(data))
    if kind == "flip":
        for _ in range(rng.choice((1, 4, 32))):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == "cut":
        del data[begin:]
    elif kind == "empty":
        data.clear()
    elif kind == "repeat":
        data[begin:begin] = data[begin : begin + 500]
    else:
        data[begin : begin + 64] = rng.randbytes(64)
    path.write_bytes(bytes(data))
    return f"{name}: {kind} at {begin}"


def change_arrays(folder: Path, name: str, rng: random.Random) -> str:
    """Give reference.npz an array of another type, shape or content, or none."""
    path = folder / name
    with np.load(path) as raw:
        rows = {key: raw[key] for key in raw.files}
    key = rng.choice(sorted(rows))
    value = rows[key]
    changes: tuple[Callable[[], Any], ...] = (
        lambda: value.astype(str),
        lambda: value.ravel()[:0],
        lambda: value[None],
        lambda: np.full(value.shape, np.nan) if value.dtype.kind == "f" else np.zeros(3),
        lambda: np.repeat(value, 3, axis=0),
        lambda: np.float32(7),
        lambda: np.zeros(value.shape, np.complex64),
        lambda: value[..., :-1] if value.ndim > 1 else value,
        lambda: np.array([{}], dtype=object),
    )
    if rng.random() < 0.2:
        del rows[key]
    else:
        rows[key] = rng.choice(changes)()
    buffer = io.BytesIO()
    np.savez(buffer, **rows)
    path.write_bytes(buffer.getvalue())
    return f"{name}: {key}"


def change_size(folder: Path, name: str, rng: random.Random) -> str:
    """Claim an array of an absurd size in reference.npz."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }" % 10 ** rng.choice((
        11,
        15,
        30,
    ))
    header = header.ljust(118) + b"\n"
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("state.npy", data)
    return f"{name}: huge"


def hash_again(folder: Path, _: str, rng: random.Random) -> str:
    """Make the hashes right, as somebody who means it would; the graph is another one."""
    name = rng.choice(sorted(path.name for path in folder.glob("*.onnx")))
    said = change_bytes(folder, name, rng)
    raw = json.loads((folder / "policy.json").read_text())
    raw["sha256"][name] = file_sha256(folder / name)
    (folder / "policy.json").write_text(json.dumps(raw))
    return f"hashed again, {said}"


MUTATIONS: tuple[tuple[Callable[[Path, str, random.Random], str], str, int], ...] = (
    (change_json, "policy.json", 10),
    (change_json, "parity.json", 2),
    (change_bytes, "policy.json", 2),
    (change_bytes, "parity.json", 1),
    (change_bytes, "prefix.onnx", 1),
    (change_bytes, "reference.npz", 2),
    (change_arrays, "reference.npz", 3),
    (change_size, "reference.npz", 1),
    (hash_again, "", 3),
)


def mutate(good: Path, folder: Path, seed: int) -> str:
    """Copy a bundle and break one thing of it; say what."""
    rng = random.Random(seed)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(good, folder)
    kinds = [(change, name) for change, name, weight in MUTATIONS for _ in range(weight)]
    change, name = rng.choice(kinds)
    return change(folder, name, rng)


def use(folder: Path) -> None:
    """Do with a bundle what a node does that swaps to it, and a check before."""
    bundle = load_bundle(folder)
    if bundle.remote is not None:
        raise BundleError("on a server")
    policy = load_policy(folder, threads=1)
    require_pass(bundle, policy.runtime)
    try:
        warm_up(policy, bundle.spec)
        replay(policy, load_reference(folder))
    except EngineError as error:  # the graph runs, and fails: named, and refused all the same
        raise BundleError(str(error)) from error


def try_many(good: Path, folder: Path, seeds: range) -> list[str]:
    """Return what was neither refused as it should be nor as good as before."""
    wrong = []
    for seed in seeds:
        said = mutate(good, folder, seed)
        try:
            use(folder)
        except BundleError as error:
            if len(str(error)) > 2000:
                wrong.append(f"{seed} {said}: a message of {len(str(error))} characters")
        except BaseException as error:  # noqa: BLE001  whatever it is, it is the finding
            wrong.append(f"{seed} {said}: {type(error).__name__}: {str(error)[:200]}")
    return wrong


def test_the_bundle_that_is_mutated_is_a_good_one(bundle: Path) -> None:
    use(bundle)
    assert replay(load_policy(bundle, threads=1), load_reference(bundle)).passed


def test_every_mutation_is_a_bundle_error_or_harmless(bundle: Path, tmp_path: Path) -> None:
    assert try_many(bundle, tmp_path / "mutated", range(FEW)) == []


@pytest.mark.slow
def test_thousands_of_mutations_are_bundle_errors_or_harmless(
    bundle: Path, tmp_path: Path
) -> None:
    assert try_many(bundle, tmp_path / "mutated", range(FEW, FEW + MANY)) == []


def test_a_mutated_manifest_of_a_built_engine_is_a_bundle_error(
    bundle: Path, tmp_path: Path
) -> None:
    good = tmp_path / "onnx-fp16"
    good.mkdir()
    (good / "step.onnx").write_bytes(b"built")
    write_manifest(good, Target("onnx", "1", "fp16", (89,)), load_bundle(bundle), {})
    assert read_manifest(good, "again").target.sm == (89,)
    for seed in range(200):
        folder = tmp_path / "mutated"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(good, folder)
        change_json(folder, "engine.json", random.Random(seed))
        try:
            read_manifest(folder, "again")
        except BundleError:
            pass


def test_a_running_node_survives_every_mutated_bundle_that_it_is_told_to_swap_to(
    driving: tuple[Robot, Path], tmp_path: Path
) -> None:
    robot, good = driving
    old = load_bundle(good).sha256
    seeds = [seed for seed in range(60) if is_refused(good, tmp_path / f"{seed}", seed)][:12]
    for seed in seeds:
        folder = tmp_path / f"{seed}"
        ask_for(robot, folder)
        robot.hears(f"bundle '{folder}' refused: ")
    assert parameter(robot) == str(good)
    robot.hears_more_chunks(3)
    assert set(hashes(robot)) == {old}
    check_motion_went_on(robot)


def is_refused(good: Path, folder: Path, seed: int) -> bool:
    """Mutate a bundle and tell whether a node has to refuse it; some mutations do no harm.

    Nor does another reference: the node runs these very weights, and does not check them again.
    """
    if "reference" in mutate(good, folder, seed):
        return False
    try:
        use(folder)
    except BundleError:
        return True
    return False
