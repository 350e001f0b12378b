"""An episode as one HTML page that needs nothing else: films, plots, events, drops."""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from arfm_ros.episodes.audit import EpisodeAudit, audit
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.show.film import film
from arfm_ros.episodes.show.picture import (
    AUTHORITY,
    BAD,
    CHUNKS,
    COMMANDED,
    EVENTS,
    GOOD,
    INK,
    MEASURED,
    OPEN,
    OTHER,
    STAGES,
)
from arfm_ros.episodes.show.story import Chunk, Story, read_story

COLUMNS, ROW_PX = 2, 190
QUIET_GRID = "#e8ebf0"
STYLE = f"""
body {{ font: 14px system-ui, sans-serif; color: {INK}; margin: 1.2rem auto; max-width: 1500px }}
h1 {{ font-size: 1.3rem }} h1 b {{ color: #fff; border-radius: .3rem; padding: .1rem .6rem }}
.cameras {{ display: flex; gap: .6rem; flex-wrap: wrap }} figure {{ margin: 0; flex: 1 1 20rem }}
video {{ width: 100%; background: #000 }} figcaption, .quiet {{ color: #7b8494 }}
.damage {{ color: {BAD} }}
table {{ border-collapse: collapse; margin: .8rem 0 }}
td, th {{ padding: .2rem .8rem; border-bottom: 1px solid {QUIET_GRID}; text-align: left }}
"""
# One film leads; the others and the line in the plots follow it.
SCRIPT = """
const films = [...document.querySelectorAll("video")];
const plot = document.querySelector(".js-plotly-plot");
const axes = Object.keys(plot.layout).filter(k => k.startsWith("xaxis")).map(
  k => k.replace("axis", ""));
const fixed = (plot.layout.shapes || []).slice();
let due = 0;
function show(film) {
  const t = film.currentTime + Number(film.dataset.begin);
  for (const other of films)
    if (other !== film) other.currentTime = t - Number(other.dataset.begin);
  if (performance.now() < due) return;
  due = performance.now() + 200;
  Plotly.relayout(plot, {shapes: fixed.concat(axes.map(x => ({type: "line", xref: x,
    yref: x.replace("x", "y") + " domain", x0: t, x1: t, y0: 0, y1: 1,
    line: {color: "#1d2430", width: 1}})))});
}
if (films.length) {
  films[0].addEventListener("timeupdate", () => show(films[0]));
  films[0].addEventListener("seeked", () => show(films[0]));
  plot.on("plotly_click", at => { films[0].currentTime =
    Math.max(0, at.points[0].x - Number(films[0].dataset.begin)); });
}
"""


def write_page(folder: Path, out: Path) -> Path:
    """Write the page of an episode to `out`. Raises `EpisodeError` for what is no episode."""
    story, report, reader = read_story(folder), audit(folder), EpisodeReader(folder)
    out.write_text(_page(story, report, _films(reader, story)), encoding="utf-8")
    return out


def _films(reader: EpisodeReader, story: Story) -> list[str]:
    parts = []
    for camera in story.strips:
        made = film(reader, camera, story.begin_ns)
        if made is not None:
            parts.append(
                f'<figure><video controls muted playsinline data-begin="{made.begin_s:.3f}" '
                f'src="data:video/mp4;base64,{made.base64}"></video>'
                f"<figcaption>{html.escape(camera)}, {made.frames} pictures</figcaption></figure>"
            )
    return parts


def _page(story: Story, report: EpisodeAudit, films: list[str]) -> str:
    title = html.escape(story.folder.name)
    notes = (f"damaged: {html.escape(one)}" for one in story.damage)
    damage = "".join(f'<p class="damage">{note}</p>' for note in notes)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>
<body>
{_head(story)}{damage}
<div class="cameras">{"".join(films)}</div>
{_plots(story)}
<p class="quiet">Click into a plot: the films go there. Drag: zoom. Double click: back.</p>
<h2>Events</h2>{_events(story)}
<h2>Topics</h2>{_topics(report, story)}
<script>{SCRIPT}</script></body></html>
"""


def _head(story: Story) -> str:
    known = {True: ("SUCCESS", GOOD), False: ("FAILURE", BAD)}
    success = story.label.get("success")
    word, colour = known[success] if isinstance(success, bool) else ("NO LABEL", OPEN)
    about = [story.folder.name, f"{story.duration_s:.1f} s", f"{len(story.chunks)} chunks"]
    if story.shaking is not None:
        about.append(f"shaking {story.shaking:.3f}")
    about += [f"{k}: {v}" for k, v in story.label.items() if k != "success"]
    words = html.escape(story.instruction or str(story.label.get("task", "")))
    return (
        f'<h1><b style="background:{colour}">{word}</b> {words}</h1>'
        f'<p class="quiet">{html.escape("   ".join(about))}</p>'
    )


def _plots(story: Story) -> str:
    """Draw bands, axes and latencies with one time axis."""
    from plotly.subplots import make_subplots

    names = [*story.measured, *(n for n in story.commanded if n not in story.measured)]
    rows = -(-len(names) // COLUMNS)
    bands, late = len(story.authority) + bool(story.events), bool(story.latencies)
    heights = [0.2 * max(1, bands)] + [1.0] * rows + [0.9] * late
    wide = [{"colspan": COLUMNS}, None]
    specs = [wide, *([{}] * COLUMNS for _ in range(rows)), *[wide] * late]
    titles = ["", *names, *[""] * (rows * COLUMNS - len(names)), *["latency, ms"] * late]
    figure = make_subplots(
        rows=len(heights), cols=COLUMNS, row_heights=heights, specs=specs, subplot_titles=titles,
        shared_xaxes="all", vertical_spacing=0.04 if rows < 6 else 0.02, horizontal_spacing=0.05,
    )  # fmt: skip
    _bands(figure, story)
    for n, name in enumerate(names):
        for line in _axis(story, name, legend=n == 0):
            figure.add_trace(line, row=2 + n // COLUMNS, col=1 + n % COLUMNS)
    for line in _latencies(story):
        figure.add_trace(line, row=len(heights), col=1)
    _look(figure, story, ROW_PX * sum(heights) + 120)
    return str(figure.to_html(full_html=False, include_plotlyjs=True))


def _look(figure: Any, story: Story, height_px: float) -> None:
    figure.update_layout(
        height=height_px, template="plotly_white", margin={"l": 60, "r": 20, "t": 60, "b": 40},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 1, "xanchor": "right"},
    )  # fmt: skip
    figure.update_xaxes(range=[0, story.duration_s], gridcolor=QUIET_GRID, showticklabels=True)
    figure.update_yaxes(gridcolor=QUIET_GRID)
    figure.update_annotations(font_size=12)
    groups = [*story.authority, *(["events"] if story.events else [])]
    figure.update_yaxes(
        tickvals=list(range(len(groups))), ticktext=groups, range=[-0.5, len(groups) - 0.3],
        row=1, col=1,
    )  # fmt: skip


def _bands(figure: Any, story: Story) -> None:
    from plotly import graph_objects as go

    for row, said in enumerate(story.authority.values()):
        ends = [t for t, _ in said[1:]] + [story.duration_s]
        for (begin, word), end in zip(said, ends):
            bar = {"x": [max(end - max(begin, 0.0), 0.0)], "base": max(begin, 0.0), "y": [row]}
            figure.add_trace(
                go.Bar(
                    **bar, orientation="h", width=0.8, text=word, textposition="inside",
                    insidetextanchor="middle", marker_color=AUTHORITY.get(word, OTHER),
                    showlegend=False, hovertemplate=f"{word}, {begin:.2f} to {end:.2f} s",
                    name="",
                ),
                row=1, col=1,
            )  # fmt: skip
    if story.events:
        row = len(story.authority)
        marks = {"color": [EVENTS.get(e.kind, OPEN) for e in story.events], "size": 9}
        figure.add_trace(
            go.Scatter(
                x=[max(e.t_s, 0.0) for e in story.events], y=[row] * len(story.events),
                mode="markers", marker=marks | {"symbol": "triangle-down"}, showlegend=False,
                text=[html.escape(f"{e.kind}: {e.text}") for e in story.events], name="",
                hovertemplate="%{x:.2f} s %{text}",
            ),
            row=1, col=1,
        )  # fmt: skip
    figure.update_layout(barmode="overlay", bargap=0)


def _axis(story: Story, name: str, legend: bool) -> Iterable[Any]:
    """Give the lines of one axis: chunks as they were planned, then measured and commanded."""
    from plotly import graph_objects as go

    for parity, colour in enumerate(CHUNKS):
        xs, ys = _fan(story.chunks[parity::2], name)
        if xs:
            yield go.Scatter(
                x=xs, y=ys, mode="lines", line={"color": colour, "width": 1}, opacity=0.7,
                name=("chunks", "chunks between")[parity], legendgroup=f"c{parity}",
                showlegend=legend, hoverinfo="skip",
            )  # fmt: skip
    for lines, colour, word in (
        (story.measured, MEASURED, "measured"),
        (story.commanded, COMMANDED, "commanded"),
    ):
        if name in lines:
            dash = "dot" if word == "commanded" else "solid"
            yield go.Scatter(
                x=lines[name].t_s.round(4), y=lines[name].value.round(5), mode="lines", name=word,
                line={"color": colour, "width": 1.5, "dash": dash}, legendgroup=word,
                showlegend=legend,
            )  # fmt: skip


def _fan(chunks: Iterable[Chunk], name: str) -> tuple[list[float | None], list[float | None]]:
    """Join the paths of chunks into one line with holes."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    for chunk in chunks:
        if name in chunk.names:
            xs += [*chunk.due_s.round(4).tolist(), None]
            ys += [*chunk.position[:, chunk.names.index(name)].round(5).tolist(), None]
    return xs, ys


def _latencies(story: Story) -> Iterable[Any]:
    from plotly import graph_objects as go

    for n, (stage, line) in enumerate(story.latencies.items()):
        yield go.Scatter(
            x=line.t_s.round(4), y=line.value.round(2), mode="lines+markers", name=stage,
            line={"color": STAGES[n % len(STAGES)], "width": 1}, marker={"size": 4},
        )  # fmt: skip


def _events(story: Story) -> str:
    rows = "".join(
        f"<tr><td>{e.t_s:.2f} s</td><td>{html.escape(e.kind)}</td>"
        f"<td>{html.escape(e.text)}</td></tr>"
        for e in story.events
    )
    return f"<table>{rows}</table>" if rows else "<p>none</p>"


def _topics(report: EpisodeAudit, story: Story) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(t.type_name)}</td><td>{t.count}</td>"
        f"<td>{t.rate_hz:.1f}</td><td>{t.gap_max_s * 1000:.0f}</td><td>{t.lost}</td>"
        f"<td>{_gaps(story, name)}</td></tr>"
        for name, t in report.topics.items()
    )
    head = "".join(
        f"<th>{word}</th>"
        for word in ("topic", "type", "messages", "Hz", "largest gap, ms", "lost", "gaps at, s")
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


def _gaps(story: Story, topic: str) -> str:
    gaps = sorted(story.gaps.get(topic, ()), key=lambda gap: -gap.seconds)
    words = ", ".join(f"{gap.t_s:.2f}" for gap in sorted(gaps[:5], key=lambda gap: gap.t_s))
    return f"{words} ({len(gaps)} in all)" if len(gaps) > 5 else words
