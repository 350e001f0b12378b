"""A page of many episodes: a picture of each, how long, whether it succeeded, what is wrong."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.edit.row import Row
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.series import cameras_of, decode_image, image_topic, resized
from arfm_ros.episodes.show.picture import BAD, GOOD, INK, OPEN

WIDTH = 240
STYLE = f"""
body {{ font: 14px system-ui, sans-serif; color: {INK}; margin: 1.2rem }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .8rem }}
a {{ color: inherit; text-decoration: none }} article {{ border: 1px solid #e8ebf0 }}
article:hover {{ border-color: #7b8494 }} img {{ width: 100%; display: block }}
p {{ margin: .3rem .5rem }} b {{ color: #fff; border-radius: .2rem; padding: 0 .4rem }}
.quiet {{ color: #7b8494 }} .bad {{ color: {BAD} }} .none {{ background: #e8ebf0; height: 8rem }}
"""
WORDS = {True: ("success", GOOD), False: ("failure", BAD), None: ("no label", OPEN)}


def write_folder_page(rows: Iterable[tuple[Row, str]], out: Path) -> int:
    """Write a page of episodes, each with what to link to ('': nothing); return how many."""
    cards = [_card(row, link) for row, link in rows]
    out.write_text(
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Episodes</title><style>{STYLE}</style></head>
<body><p>{len(cards)} episodes</p><main>
{"".join(cards)}
</main></body></html>
""",
        encoding="utf-8",
    )
    return len(cards)


def _card(row: Row, link: str) -> str:
    word, colour = WORDS[row.success]
    verdict = row.verdict or row.state
    wrong = f'<p class="bad">{html.escape(row.why)}</p>' if row.why else ""
    who = " · ".join(filter(None, (row.operator, row.bundle[:12], "human" if row.human else "")))
    card = (
        f"<article>{_picture(row.folder)}"
        f'<p><b style="background:{colour}">{word}</b> {html.escape(row.task)}</p>'
        f'<p class="quiet">{row.seconds:.1f} s · {row.bytes / 1e6:.1f} MB · '
        f"{html.escape(verdict)}</p>"
        f'<p class="quiet">{html.escape(row.folder.name)}</p>'
        f'<p class="quiet">{html.escape(who)}</p>{wrong}</article>'
    )
    return f'<a href="{html.escape(link, quote=True)}">{card}</a>' if link else card


def _picture(folder: Path) -> str:
    """Give the last picture of the first camera, where it shows how it ended."""
    try:
        rgb = last_picture(folder)
    except EpisodeError:
        rgb = None
    if rgb is None:
        return '<div class="none"></div>'
    height = round(rgb.shape[0] * WIDTH / rgb.shape[1])
    bgr = np.ascontiguousarray(resized(rgb, height, WIDTH)[..., ::-1])
    ok, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])
    text = base64.b64encode(jpeg.tobytes() if ok else b"").decode()
    return f'<img alt="" loading="lazy" src="data:image/jpeg;base64,{text}">'


def last_picture(folder: Path) -> np.ndarray | None:
    """Decode the last picture of an episode's first camera; None where it has none."""
    reader = EpisodeReader(folder)
    for camera in cameras_of(reader):
        last = None
        for record in reader.records({image_topic(reader, camera)}):
            last = record
        if last is not None:
            return decode_image(last)
    return None
