"""The model card of a bundle, written from its JSON files so that it cannot disagree with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arfm_ros.core.values.joining import GUIDANCES
from arfm_ros.engines.bundle import PARITY, POLICY
from arfm_ros.robots.embodiment import OPENING

CARD = "README.md"
EVALUATIONS, PERTURBED, SAID = "evaluations.json", "perturbed.json", "told.json"
TOLD = "told:"  # before a task whose words were said, in `evaluate.sweep`'s report
WAYS = {  # of following on, as in parity.json
    "none": "without guidance",
    "identity": "guided, Jacobian taken as 1",
    "exact": "guided, exact Jacobian throughout",
    "mixed": "guided, exact Jacobian in the first steps, 1 in the others",
    "prefix": "with the trained prefix",
}


def write_card(bundle: Path, evaluations: Mapping[str, Any] | None = None) -> Path:
    """Write `bundle`/README.md and keep `evaluations` beside it.

    `evaluations` maps a task to {"success_rate", "n", "interval": [low, high], "command"};
    without it those kept by an earlier call are used.
    """
    kept = bundle / EVALUATIONS
    if evaluations is not None:
        kept.write_text(json.dumps(evaluations, indent=1) + "\n")
    results = json.loads(kept.read_text()) if kept.exists() else {}
    policy = json.loads((bundle / POLICY).read_text())
    parity = json.loads((bundle / PARITY).read_text())
    parts = [_head(policy), _inputs(policy["spec"]), _training(policy["provenance"])]
    parts += [_success(results), _perturbed(bundle), _told(bundle)]
    parts += [_runtime(parity), guidance(parity, policy["spec"]), _limits()]
    path = bundle / CARD
    path.write_text("\n".join(part for part in parts if part))
    return path


def keep_changed(bundle: Path, report: Mapping[str, Any], command: str) -> None:
    """Keep success in changed worlds and with other words beside `bundle`, and in its card.

    `report` is what `evaluate.sweep.report` made with several `changes`.
    """
    rows = [
        {key: cell.get(key, "") for key in ("perturb", "task", "success_rate", "n", "interval")}
        for cell in report["cells"]
        if cell["bundle"] == str(bundle)
    ]
    own = [row for row in rows if not row["perturb"]]
    for name, wanted in ((PERTURBED, False), (SAID, True)):
        found = [r for r in rows if r["perturb"] and r["perturb"].startswith(TOLD) == wanted]
        if found:
            text = json.dumps({"command": command, "rows": [*own, *found]}, indent=1)
            (bundle / name).write_text(text + "\n")
    write_card(bundle)


def _perturbed(bundle: Path) -> str:
    """Say how a policy does in worlds that it did not learn from; "" where nobody measured it."""
    return _table(bundle / PERTURBED, "## Success in changed worlds\n", "change", "")


def _told(bundle: Path) -> str:
    """Say how often a task is done although another one's words are said."""
    says = (
        "In the world of a task the words of another one are said: how often is the world's task "
        "done all the same? 0 % obeys the words."
    )
    return _table(bundle / SAID, f"## Another task's words\n\n{says}\n", "told", TOLD)


def _table(path: Path, head: str, what: str, before: str) -> str:
    """Make a table, a row for each change and a column for each task; "" without the file."""
    if not path.is_file():
        return ""
    kept = json.loads(path.read_text())
    tasks = list(dict.fromkeys(row["task"] for row in kept["rows"]))
    lines = [head, f"| {what} | {' | '.join(tasks)} |", f"|---|{'---|' * len(tasks)}"]
    for change in dict.fromkeys(row["perturb"] for row in kept["rows"]):
        found = {row["task"]: row for row in kept["rows"] if row["perturb"] == change}
        cells = [_percent(found.get(task)) for task in tasks]
        name = change.removeprefix(before) or "as learned"
        lines.append(f"| {name} | {' | '.join(cells)} |")
    end = f"95 % Wilson intervals; measured with `{kept['command']}`."
    return "\n".join([*lines, "", end, ""])


def _percent(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    low, high = row["interval"]
    return f"{100 * row['success_rate']:.0f} % ({100 * low:.0f}–{100 * high:.0f}, N {row['n']})"


def _head(policy: dict[str, Any]) -> str:
    spec = policy["spec"]
    said = "\n".join(f'- {task}: "{text}"' for task, text in sorted(spec["instructions"].items()))
    return (
        f"# {spec['name']}\n\n"
        "A flow-matching policy: camera images, joint positions and an instruction in, "
        f"a chunk of {spec['horizon']} actions out. It learned from pixels; no object pose is an "
        f"input.\n\nTasks and the instructions it was trained with:\n{said}\n"
    )


def _inputs(spec: dict[str, Any]) -> str:
    cameras = ", ".join(f"`{c['name']}` {c['width']}x{c['height']}" for c in spec["cameras"])
    names = ", ".join(axis["name"] for axis in spec["action"])
    grippers = [axis for axis in spec["action"] if axis["unit"] == OPENING]
    return (
        "## Inputs and outputs\n\n"
        f"- cameras: {cameras} (RGB, resized with cv2.INTER_AREA)\n"
        f"- state and actions: {names}\n"
        f"- an action every {spec['dt_ns'] / 1e6:g} ms; joints relative to the measured state"
        f"{', gripper absolute' if grippers else ''}; {spec['steps']} flow steps by default\n"
    )


def _training(provenance: dict[str, Any]) -> str:
    stages = [provenance]
    while "started_from" in stages[0]:
        stages.insert(0, stages[0]["started_from"])
    heads = [""] if len(stages) == 1 else [f"Stage {i + 1}\n\n" for i in range(len(stages))]
    parts = [head + _stage(stage) for head, stage in zip(heads, stages)]
    return "## Training\n\n" + "\n".join(parts)


def _stage(provenance: dict[str, Any]) -> str:
    machine = provenance.get("machine", {})
    rows = "\n".join(
        f"| {task} | {d['episodes']} | {d['observations']} |"
        for task, d in provenance.get("data", {}).items()
    )
    validation = provenance.get("validation", {})
    measured = "; ".join(f"{name} {value:.4f}" for name, value in validation.items())
    made_by = "".join(f"- data: `{line}`\n" for line in provenance.get("data_commands", []))
    remark = provenance.get("remark", "")
    return (
        "| task | episodes | observations |\n|---|---|---|\n"
        f"{rows}\n\n"
        f"{made_by}"
        f"- command: `{provenance.get('command', '')}`\n"
        f"- {provenance.get('parameters', 0) / 1e6:.2f} M parameters, "
        f"{provenance.get('steps', 0)} steps in {provenance.get('seconds', 0) / 60:.1f} minutes "
        f"on {machine.get('processor')}, {machine.get('cores')} cores, torch "
        f"{machine.get('torch')}\n"
        f"- held-out episodes: {measured}\n" + (f"- {remark}\n" if remark else "")
    )


def _success(results: Mapping[str, Any]) -> str:
    head = "## Success in closed loop\n"
    if not results:
        return f"{head}\nNot measured yet: `./arfm eval` with this folder measures it.\n"
    lines = [head, "| task | success | N | 95 % Wilson interval |", "|---|---|---|---|"]
    for task, row in sorted(results.items()):
        low, high = row["interval"]
        lines.append(
            f"| {task} | {100 * row['success_rate']:.1f} % | {row['n']} "
            f"| {100 * low:.1f} – {100 * high:.1f} % |"
        )
    commands = sorted({str(row["command"]) for row in results.values() if row.get("command")})
    return "\n".join([*lines, "", *(f"Measured with `{command}`." for command in commands), ""])


def _runtime(parity: dict[str, Any]) -> str:
    timing = parity.get("timing", {})
    fastest = timing.get("ratio_to_fastest_torch")
    return (
        "## Runtime\n\n"
        f"- ONNX against torch on {parity['observations']} held-out observations: "
        f"{parity['max_step_error']:.1e} per step, {parity['max_chunk_error']:.1e} for the chunk "
        f"(normalised units), cosine {parity['cosine']:.7f}\n"
        f"- one chunk, onnxruntime on {timing.get('threads')} threads: "
        f"{timing.get('onnxruntime_ms')} ms; eager torch in the same run: "
        f"{timing.get('torch_ms')} ms on as many, {timing.get('torch_one_thread_ms')} ms on one "
        f"(onnxruntime is {fastest} times faster than the better; medians; load average of the "
        f"machine {timing.get('load_average')})\n"
        "- check it on your machine: `./arfm check` with this folder\n"
    )


def guidance(parity: dict[str, Any], spec: Mapping[str, Any]) -> str:
    """Say how well chunks follow on and what that costs; "" where it was not measured."""
    error, cost = parity.get("freeze_error"), parity.get("guidance_cost")
    if not error or not cost:
        return ""
    ways = "; ".join(f"{WAYS[name]} {value}" for name, value in error.items())
    trained = spec["rtc"]["mode"] == "prefix"
    runs = "prefix" if trained else spec["rtc"].get("guidance", GUIDANCES[0])
    step = "such a step" if trained else "a step with the exact Jacobian"
    return (
        "## Real-time chunking\n\n"
        "Chunks follow on from the one in force. Largest deviation of the 4 frozen actions "
        f"(normalised units, mean over the observations): {ways}. What runs is: {WAYS[runs]}. "
        f"Such a chunk takes {cost['chunk_ratio']:.2f} times a plain one, {step} "
        f"{cost['step_ratio']:.2f} times a plain step.\n"
    )


def _limits() -> str:
    return (
        "## Limits\n\n"
        "Trained on simulated demonstrations only. It does not transfer to a real robot or "
        "another scene without training on data from there.\n"
    )
