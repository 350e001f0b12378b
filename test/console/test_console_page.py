"""The page in a headless Chromium, beside the running simulation with its two cameras.

With ARFM_SCREENSHOTS=FOLDER it leaves pictures of the page there: dark, light, a tablet.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("aiohttp")
pytest.importorskip("websockets")
playwright = pytest.importorskip("playwright.sync_api")

from console_rig import Stack  # noqa: E402

pytestmark = pytest.mark.slow
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WAIT_MS = 90_000
MS = 1_000_000


@pytest.fixture
def browser() -> Iterator[Any]:
    found = [path for name in BROWSERS if (path := shutil.which(name))]
    if not found:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on PATH")
    with playwright.sync_playwright() as p:
        made = p.chromium.launch(
            executable_path=found[0], args=["--no-sandbox", "--disable-gpu"], timeout=WAIT_MS
        )
        yield made
        made.close()


@pytest.fixture
def stack(ros_domain: int, tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path / "logs", cameras=("scene", "wrist"))
    yield made
    made.close()


def opened(browser: Any, stack: Stack, trouble: list[str], **options: Any) -> Any:
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(WAIT_MS)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda m: trouble.append(m.text) if m.type == "error" else None)
    page.goto(stack.url)
    until(page, "document.querySelectorAll('#nodes tbody tr').length > 0")
    return page


def picture(page: Any, name: str) -> None:
    folder = os.environ.get("ARFM_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"console_{name}.png"), full_page=True)


def wait(page: Any, condition: Any, seconds: float = 60.0) -> None:
    end_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end_s
        page.wait_for_timeout(20)


def until(page: Any, expression: str) -> None:
    """Wait for an expression; `wait_for_function` evaluates in the page, which forbids that."""
    wait(page, lambda: page.evaluate(expression))


def press(page: Any, stack: Stack, condition: Any) -> None:
    """Press until the condition holds; only a press that fell silent is made anew."""
    page.mouse.down()

    def done() -> bool:
        if not stack.engaged[-1][1] and "silent" in page.inner_text("#drive-why"):
            page.mouse.up()
            page.wait_for_timeout(300)
            page.mouse.down()
        return bool(condition())

    wait(page, done, 10.0)


def driven(stack: Stack, for_s: float = 0.2) -> bool:
    """Tell whether the deadman has been held for so long."""
    since_ns = time.monotonic_ns() - round(for_s * 1e9)
    held = list(stack.engaged)
    later = [on for at, on in held if at > since_ns]
    return len(later) > 2 and all(later)


def press_every_control_in_turn(page: Any, stack: Stack) -> None:
    """Go from control to control: one that loses the focus does not end the press of the next."""
    page.mouse.up()
    for name in ("z+", "x-", "rz+", "z-"):
        page.wait_for_timeout(200)
        page.hover(f"[data-jog='{name}']")
        press(page, stack, lambda: driven(stack))
        page.mouse.up()
    press(page, stack, lambda: driven(stack))


def test_an_operator_drives_stops_and_goes_on_in_a_browser(browser: Any, stack: Stack) -> None:
    trouble: list[str] = []
    page = opened(browser, stack, trouble, viewport={"width": 1400, "height": 1000},
                  color_scheme="dark")  # fmt: skip
    for name in ("scene", "wrist"):
        until(
            page,
            f"Number(document.querySelector('canvas[aria-label=\"camera {name}\"]')"
            ".dataset.shown) > 3",
        )
    assert page.is_disabled("[data-ask=engage]")
    page.click("#take")
    until(page, "!document.querySelector('[data-ask=engage]').disabled")
    page.click("[data-ask=engage]")
    wait(page, lambda: stack.authority[-1][1] not in {"idle", "estop"})
    rest = stack.positions[-1][1]
    page.hover("[data-jog='z-']")
    press(page, stack, lambda: abs(stack.positions[-1][1] - rest).max() > 0.02)
    assert page.inner_text("#held").startswith("held")
    picture(page, "dark")
    press_every_control_in_turn(page, stack)
    up_ns = time.monotonic_ns()
    page.mouse.up()
    stack.first(stack.engaged, up_ns - MS, lambda on: not on)
    pad = page.locator("#pad").bounding_box()
    page.mouse.move(pad["x"] + 50, pad["y"] + 50)
    press(page, stack, lambda: driven(stack))
    page.mouse.move(pad["x"] + 50, pad["y"] + 90, steps=3)
    hidden_ns = time.monotonic_ns()
    page.evaluate("window.dispatchEvent(new Event('blur'))")
    stack.first(stack.engaged, hidden_ns, lambda on: not on)
    page.mouse.up()
    begin_ns = time.monotonic_ns()
    page.keyboard.press("Escape")
    stack.first(stack.authority, begin_ns, lambda a: a == "estop")
    page.wait_for_selector("#trouble >> text=Somebody pressed the e-stop")
    picture(page, "estop")
    for ask in ("release_estop", "reset", "engage"):
        page.click(f"[data-ask={ask}]")
        page.wait_for_timeout(300)
    wait(page, lambda: stack.authority[-1][1] not in {"idle", "estop"})
    page.fill("#instruction", "lift the cube")
    page.press("#instruction", "Enter")
    wait(page, lambda: "lift the cube" in stack.said)
    watch_another(browser, stack, trouble)
    assert trouble == []


def watch_another(browser: Any, stack: Stack, trouble: list[str]) -> None:
    """A second page, on a tablet in light colours, watches; its keyboard reaches everything."""
    page = opened(browser, stack, trouble, viewport={"width": 820, "height": 1180},
                  color_scheme="light", has_touch=True)  # fmt: skip
    page.wait_for_selector("#holder >> text=you watch")
    assert page.is_disabled("[data-ask=engage]") and page.is_enabled("#estop")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, select')].filter((e) =>"
        " !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).map((e) => e.outerHTML)"
    )
    assert unnamed == []
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "take"
    picture(page, "tablet")
    page.set_viewport_size({"width": 1400, "height": 1000})
    page.wait_for_timeout(500)
    picture(page, "light")
