"""Draw the pictures of docs/console.md: uv run python scripts/console_pictures.py docs/images

Now, a session and the refunds are shown with the hand-made status of the tests; the size studio measures a sample in a
local mode of its own. It needs Chromium (scripts/test-services.sh).
"""

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import console_side
from support.browser import Tab, running_chromium
from support.processes import SERVE, worker
from wearon.api.app import create_app
from wearon.api.roles import Access, Role
from wearon.operations.models import FleetStatus, SessionHistory
from wearon.operations.reasons import advise
from wearon.tryon.retry_policy import Reason

DESK = ViewportSize(width=1280, height=1440)
PHONE = ViewportSize(width=360, height=740)

TOKEN = "token-of-the-pictures"

COLOURS = 256
"""A picture of 24 bits is three times as large, and looks the same."""

LOCAL = {"WEARON_MODE": "local", "PORT": "0", "LOCAL_REDIS_PORT": "0", "POSE_PROCESSES": "1", "PICTURE_PROCESSES": "1"}


console_side.HOSTILE = "the server had an error"  # of the tests' texts, what tries to be markup


def a_calm_status() -> FleetStatus:
    """The status of the tests, without what fills a page with incidents."""
    fleet = console_side.a_status()
    fleet.incidents = [one for one in fleet.incidents if one.code in {"refunds_late", "dead_letters"}]
    assert fleet.queues
    fleet.queues.in_lines, fleet.queues.longest_lines = 9, {"b2c": 6, "b2b:0b2c2c9e-6f0e-4f0e-9f57-2d3a6c1b9a10": 3}
    return fleet


class ShownStatus(console_side.HandMadeStatus):
    """What the page is to show of the fleet."""

    async def read(self) -> FleetStatus:
        """The same each time."""
        return a_calm_status()


class ShownSessions(console_side.HandMadeSessions):
    """What the page is to show of a session."""

    async def read(self, session_id: str) -> SessionHistory | None:
        """The only one there is, with what is to be said about it."""
        history = await super().read(session_id)
        advice = advise(Reason.OPENAI, "ServiceUnavailable: server_error")
        return history and history.model_copy(update={"advice": advice})


@contextmanager
def a_console() -> Iterator[str]:
    """A console with what is to be shown; its URL."""
    console = console_side.HandMadeConsole(local=False, token=TOKEN)
    shown: dict[str, Any] = {"status": ShownStatus(), "sessions": ShownSessions()}
    app = create_app(replace(console.services, **shown), Access({Role.OPERATOR: TOKEN}))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = server.force_exit = True
    thread.join()


def opened(browser: Browser, url: str, view: str, viewport: ViewportSize, scheme: str = "light") -> Page:
    """A page that shows the view."""
    page = Tab(browser, viewport, scheme).page
    page.goto(f"{url}/console#/{view}")
    page.get_by_label("API token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    page.get_by_text("Live", exact=True).wait_for()
    page.locator("main .skeleton").wait_for(state="detached")
    page.mouse.move(0, 0)
    page.wait_for_timeout(1000)
    return page


def kept(page: Page, place: Path, width: int) -> None:
    """Its picture, of that width, with few colours."""
    page.screenshot(path=place)
    with Image.open(place) as shot:
        small = shot.convert("RGB").resize((width, round(shot.height * width / shot.width)), Image.Resampling.LANCZOS)
    save(small, place)


def save(picture: Image.Image, place: Path) -> None:
    """With few colours: the most frequent ones as they are, and means of all, the rare as good as the others."""
    pixels = np.asarray(picture).reshape(-1, 3)
    colours, which, counts = np.unique(pixels, axis=0, return_inverse=True, return_counts=True)
    frequent = colours[np.argsort(-counts)[: COLOURS // 2]]
    means = Image.fromarray(colours[None]).quantize(COLOURS // 2).getpalette() or []
    palette = np.concatenate([frequent, np.array(means, dtype=np.uint8).reshape(-1, 3)])[:COLOURS]
    distances = ((colours[:, None].astype(int) - palette[None]) ** 2).sum(axis=2)
    nearest = distances.argmin(axis=1).astype(np.uint8)[which.reshape(-1)]
    few = Image.fromarray(nearest.reshape(picture.height, picture.width), "P")
    few.putpalette(palette.tobytes())
    few.save(place, optimize=True)


def draw_phone(browser: Browser, url: str, place: Path) -> None:
    """Three views beside each other."""
    views = (("now", "light"), (f"sessions/{console_side.SESSION}", "dark"), ("desk", "light"))
    sheet = Image.new("RGB", (3 * PHONE["width"] + 2 * 20, PHONE["height"]), "white")
    for index, (view, scheme) in enumerate(views):
        page = opened(browser, url, view, PHONE, scheme)
        page.screenshot(path=place)
        with Image.open(place) as shot:
            sheet.paste(shot.convert("RGB"), (index * (PHONE["width"] + 20), 0))
    save(sheet, place)


def draw_size(browser: Browser, place: Path) -> None:
    """The size studio with a sample that was measured."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**LOCAL, "WEARON_HOME": str(Path(folder) / "home")}
        with worker((*SERVE, "--no-worker", "--no-consumer"), env, Path(folder)) as process:
            url = process.wait_for("started")["url"]
            process.wait_for("pose processes are warm")
            page = Tab(browser, ViewportSize(width=1280, height=1266)).page
            page.goto(f"{url}/console#/size")
            page.get_by_role("button", name="Sample 2").click()
            page.get_by_role("button", name="Measure").click()
            page.locator(".measured img").wait_for()
            page.evaluate("scrollTo(0, 0)")
            page.wait_for_timeout(1000)
            kept(page, place, 1000)


def main(folder: Path) -> None:
    """Draw them all."""
    with running_chromium() as browser:
        with a_console() as url:
            kept(opened(browser, url, "now", DESK), folder / "console-now.png", 1000)
            session = opened(browser, url, f"sessions/{console_side.SESSION}", DESK, "dark")
            kept(session, folder / "console-session.png", 1000)
            draw_phone(browser, url, folder / "console-phone.png")
        draw_size(browser, folder / "console-size.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
