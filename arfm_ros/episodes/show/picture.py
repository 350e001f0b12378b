"""Draw an episode as a picture: camera strips, authority, joints with chunks, latencies."""

from __future__ import annotations

import io
from typing import Any

from arfm_ros.episodes.show.story import Chunk, Story

INK, QUIET, PAPER = "#1d2430", "#7b8494", "#ffffff"
MEASURED, COMMANDED = "#1f5fa8", "#d1495b"
CHUNKS = ("#f2a65a", "#6cb9a8")  # alternate, so that the seams show
GOOD, BAD, OPEN, OTHER = "#2e8b57", "#c0392b", "#7b8494", "#cfd4dc"
AUTHORITY = {
    "policy": "#6cb9a8",
    "human": "#f2c14e",
    "expert": "#9fc5b0",
    "settle": "#a9c5e8",
    "words": "#b98bd0",
    "hold": "#c9b6e4",
    "idle": "#dfe3ea",
    "estop": "#c0392b",
}
EVENTS = {
    "estop": "#c0392b",
    "error": "#c0392b",
    "refused": "#d1495b",
    "question": "#b98bd0",
    "answer": "#b98bd0",
    "instruction": "#1f5fa8",
    "label": "#2e8b57",
}
STAGES = ("#1f5fa8", "#6cb9a8", "#f2a65a", "#d1495b", "#8e6bbf", "#7b8494", "#3c3c3c")
COLUMNS = 4
WIDTH_IN = 16.0
DPI = 110
SPAN_MIN = 0.02  # rad


def draw(story: Story) -> bytes:
    """Draw to a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    style = {"font.size": 9, "axes.edgecolor": QUIET, "axes.linewidth": 0.6, "text.color": INK}
    style |= {"xtick.color": QUIET, "ytick.color": QUIET, "axes.labelcolor": QUIET}
    names = _joint_names(story)
    heights = _heights(story, len(names))
    with plt.rc_context(style):
        figure = plt.figure(figsize=(WIDTH_IN, sum(heights) + 1.5), facecolor=PAPER)
        top = 1 - 1.05 / figure.get_figheight()
        grid = figure.add_gridspec(
            len(heights), 1, height_ratios=heights, left=0.05, right=0.985,
            top=top, bottom=0.45 / figure.get_figheight(), hspace=0.26,
        )  # fmt: skip
        _title(figure, story)
        rows = iter(range(len(heights)))
        for camera, strip in story.strips.items():
            _strip(figure, grid[next(rows)], camera, strip)
        _authority(figure, grid[next(rows)], story)
        _joints(figure, grid[next(rows)], story, names)
        if story.latencies:
            _latencies(figure.add_subplot(grid[next(rows)]), story)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, facecolor=PAPER)
        plt.close(figure)
    return buffer.getvalue()


def _joint_names(story: Story) -> list[str]:
    names = [*story.measured, *(n for n in story.commanded if n not in story.measured)]
    return sorted(names, key=lambda name: name in story.tools)  # keeps the order otherwise


def _heights(story: Story, joints: int) -> list[float]:
    strips = [
        WIDTH_IN * 0.93 / len(strip) * strip[0][1].shape[0] / strip[0][1].shape[1] + 0.2
        for strip in story.strips.values()
    ]
    rows = max(1, -(-joints // COLUMNS))
    bands = 0.3 * max(1, len(story.authority))
    return [*strips, bands, 2.1 * rows, *([1.7] if story.latencies else [])]


def _title(figure: Any, story: Story) -> None:
    success = story.label.get("success")
    word, colour = {True: ("SUCCESS", GOOD), False: ("FAILURE", BAD)}.get(
        success if isinstance(success, bool) else None,  # type: ignore[arg-type]
        ("NO LABEL", OPEN),
    )
    height = figure.get_figheight()
    task = str(story.label.get("task", "")) or story.folder.name
    figure.text(
        0.05, 1 - 0.32 / height, f" {word} ", color=PAPER, weight="bold", size=12, va="center",
        bbox={"boxstyle": "round,pad=0.3", "facecolor": colour, "edgecolor": "none"},
    )  # fmt: skip
    headline = f"{task}: “{story.instruction}”" if story.instruction else task
    figure.text(0.125, 1 - 0.32 / height, headline, size=15, weight="bold", va="center")
    about = [story.folder.name, f"{story.duration_s:.1f} s", f"{len(story.chunks)} chunks"]
    if story.shaking is not None:
        about.append(f"shaking {story.shaking:.3f}")  # power above 3 Hz
    about += [f"{k}: {v}" for k, v in story.label.items() if k not in ("task", "success")]
    figure.text(
        0.985, 1 - 0.32 / height, "   ".join(about), size=9, color=QUIET, ha="right", va="center"
    )
    if story.damage:
        note = "; ".join(story.damage)
        figure.text(0.05, 1 - 0.62 / height, f"damaged: {note}", size=9, color=BAD, va="center")


def _strip(figure: Any, slot: Any, camera: str, strip: list[tuple[float, Any]]) -> None:
    grid = slot.subgridspec(1, len(strip), wspace=0.03)
    for n, (t_s, rgb) in enumerate(strip):
        axes = figure.add_subplot(grid[n])
        axes.imshow(rgb)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(f"{t_s:.1f} s", size=8, color=QUIET, pad=2)
        if n == 0:
            axes.set_ylabel(camera, size=10, color=INK)


def _authority(figure: Any, slot: Any, story: Story) -> None:
    grid = slot.subgridspec(max(1, len(story.authority)), 1, hspace=0.1)
    for n, (group, said) in enumerate(story.authority.items()):
        axes = figure.add_subplot(grid[n])
        _band(axes, said, story.duration_s)
        name = "authority" if len(story.authority) == 1 else group
        axes.set_ylabel(name, rotation=0, ha="right", va="center", size=9)
        if n == 0:
            _marks(axes, story)


def _band(axes: Any, said: list[tuple[float, str]], duration_s: float) -> None:
    ends = [t for t, _ in said[1:]] + [duration_s]
    shown: set[str] = set()
    for (begin, word), end in zip(said, ends):
        begin = max(begin, 0.0)
        axes.axvspan(begin, end, color=AUTHORITY.get(word, OTHER), linewidth=0)
        wide = (end - begin) / max(duration_s, 1e-9)
        if wide > 0.04:
            axes.text((begin + end) / 2, 0.5, word, ha="center", va="center", size=9)
        elif word not in shown:
            axes.text(begin, 1.1, word, ha="left", va="bottom", size=7, color=QUIET)
        shown.add(word)
    axes.set_yticks([])
    axes.set_xlim(0, max(duration_s, 1e-3))
    axes.set_xticks([])


def _marks(axes: Any, story: Story) -> None:
    """Mark what happened above the bands, a colour a kind; the page tells the words."""
    for event in story.events:
        if 0.0 <= event.t_s <= story.duration_s:
            colour = EVENTS.get(event.kind, QUIET)
            axes.plot(event.t_s, 1.0, "v", color=colour, ms=5, clip_on=False, zorder=5)


def _joints(figure: Any, slot: Any, story: Story, names: list[str]) -> None:
    rows = max(1, -(-len(names) // COLUMNS))
    grid = slot.subgridspec(rows, COLUMNS, hspace=0.32, wspace=0.16)
    for n, name in enumerate(names):
        axes = figure.add_subplot(grid[n // COLUMNS, n % COLUMNS])
        for number, chunk in enumerate(story.chunks):
            _chunk(axes, chunk, name, CHUNKS[number % len(CHUNKS)])
        for lines, colour, text in (
            (story.measured, MEASURED, "measured"),
            (story.commanded, COMMANDED, "commanded"),
        ):
            if name in lines:
                line = lines[name]
                dashes = "-" if text == "measured" else (0, (4, 2))
                axes.plot(line.t_s, line.value, color=colour, lw=1.3, ls=dashes, label=text)
        unit = "0 closed, 1 open" if name in story.tools else "rad"
        axes.set_title(f"{name}  [{unit}]", size=9, loc="left", color=INK, pad=3)
        axes.set_xlim(0, max(story.duration_s, 1e-3))
        _scale(axes, opening=name in story.tools)
        axes.grid(color="#e8ebf0", lw=0.6)
        axes.tick_params(labelsize=8, length=2)
        if n + COLUMNS >= len(names):
            axes.set_xlabel("s", size=8, labelpad=1)
    _legend(figure, story)


def _scale(axes: Any, opening: bool) -> None:
    """Leave a margin, and do not blow the noise of a joint at rest up to a mountain range."""
    axes.margins(y=0.08)
    low, high = axes.get_ylim()
    missing = max(SPAN_MIN - (high - low), 0.0)
    axes.set_ylim(low - missing / 2, high + missing / 2)
    if opening:
        axes.set_ylim(-0.08, 1.08)
    axes.ticklabel_format(useOffset=False)


def _chunk(axes: Any, chunk: Chunk, name: str, colour: str) -> None:
    if name in chunk.names:
        values = chunk.position[:, chunk.names.index(name)]
        axes.plot(chunk.due_s, values, color=colour, lw=0.7, alpha=0.75, zorder=1)
        axes.plot(chunk.due_s[:1], values[:1], ".", color=colour, ms=2.5, zorder=1)


def _legend(figure: Any, story: Story) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], color=MEASURED, lw=1.5, label="measured"),
        Line2D([], [], color=COMMANDED, lw=1.5, ls=(0, (4, 2)), label="commanded"),
    ]
    if story.chunks:
        marks += [
            Line2D([], [], color=CHUNKS[0], lw=1.2, label="chunk (dot: first action)"),
            Line2D([], [], color=CHUNKS[1], lw=1.2, label="next chunk"),
        ]
    at = (0.985, 1 - 0.66 / figure.get_figheight())
    figure.legend(
        handles=marks, loc="center right", bbox_to_anchor=at, ncols=4, frameon=False, fontsize=9
    )


def _latencies(axes: Any, story: Story) -> None:
    import numpy as np

    for n, (stage, line) in enumerate(story.latencies.items()):
        median = float(np.median(line.value))
        axes.plot(
            line.t_s, line.value, ".-", color=STAGES[n % len(STAGES)], lw=0.8, ms=3,
            label=f"{stage}  p50 {median:.1f}  max {line.value.max():.1f} ms",
        )  # fmt: skip
    axes.set_ylabel("latency [ms]")
    axes.set_xlabel("s", size=8, labelpad=1)
    axes.set_xlim(0, max(story.duration_s, 1e-3))
    highest = max(float(line.value.max()) for line in story.latencies.values())
    axes.set_ylim(0, 1.35 * highest)  # room for the legend
    axes.grid(color="#e8ebf0", lw=0.6)
    axes.legend(fontsize=8, ncols=4, frameon=False, loc="upper right")
