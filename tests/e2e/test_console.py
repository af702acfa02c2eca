"""The console in a real browser, against a real local-mode process with real tasks."""

import asyncio
import json
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis as sync_redis
from playwright.sync_api import Browser, expect

from support.browser import LIMIT_MS, PHONE, Tab, running_chromium
from support.processes import SERVE, WorkerProcess, wait_until, worker
from support.redis import free_port
from wearon.local_redis import LocalRedis
from wearon.platform.local import DEMO_USER_ID
from wearon.samples import MAN_L, TSHIRT

pytestmark = pytest.mark.slow

expect.set_options(timeout=LIMIT_MS)

ACTION = {"X-WearOn-Console": "1"}
VIEWS = ["now", "sessions", "desk", "size", "try-on"]
HOSTILE = "<img src=x onerror=\"document.title='taken over'\"><script>document.title='taken over'</script>"


class Local:
    """A running `wearon serve` of local mode, and the producer's side of it."""

    def __init__(self, process: WorkerProcess, home: Path) -> None:
        started = process.wait_for("started")
        process.wait_for("pose processes are warm")
        self.process = process
        self.url = str(started["url"])
        self.home = home
        with ThreadPoolExecutor() as outside_the_browsers_loop:
            # With the password, which no log shows.
            url = outside_the_browsers_loop.submit(asyncio.run, LocalRedis.find(home / "redis")).result()
        assert url
        self.redis = sync_redis.Redis.from_url(url)

    def push(self, document: str) -> None:
        """LPUSH anything."""
        self.redis.lpush("wearon:tasks:generation", document)

    def post(self, path: str, **how: Any) -> Any:
        """One of the console's own calls, again while the pose process is busy."""

        def call() -> httpx.Response | None:
            answer = httpx.post(f"{self.url}/console/api/{path}", headers=ACTION, timeout=30, **how)
            return None if answer.status_code == 503 else answer

        return wait_until(call, lambda: f"{path} is always busy").raise_for_status().json()

    def upload(self, picture: bytes) -> str:
        """Keep a picture; its URL."""
        return str(self.post("pictures", content=picture)["url"])

    def completed_session(self) -> str:
        """A session that went the whole way."""
        pictures = [self.upload(sample.read()) for sample in (MAN_L, TSHIRT)]
        session = str(self.post("try-on", json={"pictures": pictures})["session_id"])
        self.process.wait_for("session completed", session_id=session)
        return session

    def task(self, session_id: str) -> str:
        """A task for a session that may not exist."""
        pictures = [self.upload(sample.read()) for sample in (MAN_L, TSHIRT)]
        task = {
            "task_id": str(uuid4()),
            "channel": "b2c",
            "user_id": DEMO_USER_ID,
            "session_id": session_id,
            "image_urls": pictures,
            "prompt": "",
            "request_id": "req_early",
            "version": 1,
            "created_at": datetime.now(UTC).isoformat(),
        }
        return json.dumps(task)

    def dead_letter(self, document: str) -> str:
        """Push what is no task; the id of its letter."""
        before = len([line for line in self.process.lines if line["event"] == "dead letter"])
        self.push(document)

        def look() -> str | None:
            letters = [line for line in self.process.lines if line["event"] == "dead letter"]
            return str(letters[-1]["letter"]) if len(letters) > before else None

        return wait_until(look, lambda: self.process.log)

    def create_session(self, session_id: str) -> None:
        """What the platform's API does, late."""
        with sqlite3.connect(self.home / "platform.sqlite3", timeout=10) as database:
            database.execute(
                "insert into generation_sessions (id, user_id, status, created_at) values (?, ?, 'queued', ?)",
                (session_id, DEMO_USER_ID, datetime.now(UTC).isoformat()),
            )
        database.close()


def settings(home: Path, port: int = 0) -> dict[str, str]:
    return {
        "WEARON_MODE": "local",
        "WEARON_HOME": str(home),
        "PORT": str(port),
        "LOCAL_REDIS_PORT": "0",
        "POSE_PROCESSES": "1",
        "PICTURE_PROCESSES": "1",
    }


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    folder = tmp_path_factory.mktemp("console")
    with worker(SERVE, settings(folder / "home"), folder) as process:
        local = Local(process, folder / "home")
        yield local
        local.redis.close()


@pytest.fixture(scope="module")
def session(local: Local) -> str:
    """A session that went the whole way, for those who only look."""
    return local.completed_session()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Tab]:
    """A desktop page; whatever the browser complains about fails the test."""
    tab = Tab(chromium)
    yield tab
    # A busy pose process (503) is asked again by the page; the browser notes it all the same.
    assert [one for one in tab.complaints if "503" not in one] == []
    tab.close()


def figure(tab: Tab, label: str) -> Any:
    return tab.page.locator(".figure", has_text=label).locator(".value")


def test_what_happens_is_shown_without_a_reload(local: Local, tab: Tab) -> None:
    tab.page.goto(f"{local.url}/console")
    expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()
    expect(tab.page.get_by_text("No job is running")).to_be_visible()
    tab.page.evaluate("window.since = 'the beginning'")
    letters = int(figure(tab, "Dead letters").inner_text())
    completed = int(figure(tab, "Completed, last hour").inner_text())

    local.dead_letter("not a task")
    expect(figure(tab, "Dead letters")).to_have_text(str(letters + 1))
    local.completed_session()
    expect(figure(tab, "Completed, last hour")).to_have_text(str(completed + 1))
    assert tab.page.evaluate("window.since") == "the beginning"


def test_it_says_that_nothing_comes_any_more_and_comes_back_by_itself(
    chromium: Browser, stack: ExitStack, tmp_path: Path
) -> None:
    env = settings(tmp_path / "home", free_port())
    command = (*SERVE, "--no-worker", "--no-consumer")
    process = stack.enter_context(worker(command, env, tmp_path))
    url = process.wait_for("started")["url"]
    tab = Tab(chromium)
    tab.page.goto(f"{url}/console")
    expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()

    process.signal(signal.SIGSTOP)  # alive, but silent
    expect(tab.page.get_by_text("Not up to date")).to_be_visible()
    process.signal(signal.SIGCONT)
    expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()

    assert process.stop() == 0
    assert not any("Cancel" in line or "graceful" in line for line in process.raw), "an open stream kept the API"
    expect(tab.page.get_by_text("Disconnected, trying again")).to_be_visible()
    again = stack.enter_context(worker(command, env, tmp_path))
    again.wait_for("started")
    expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()
    tab.close()


def test_a_session_is_found_and_tells_its_story(local: Local, session: str, tab: Tab) -> None:
    tab.page.goto(f"{local.url}/console#/sessions")
    tab.page.get_by_label("Session, request, user or store id").fill(session)
    tab.page.get_by_role("button", name="Find").click()
    tab.page.wait_for_url(f"**/console#/sessions/{session}")
    expect(tab.page.locator(".verdict .pill").first).to_have_text("Completed")
    for step in ("Fetch and prepare", "Make the picture", "Upload and sign"):
        expect(tab.page.locator(".timeline li", has_text=step).first).to_be_visible()

    tab.page.get_by_role("button", name="Show result").click()
    picture = tab.page.get_by_role("img", name="Result")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0

    tab.page.get_by_label("Session, request, user or store id").fill(str(uuid4()))
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_text("No session has this id")).to_be_visible()


def test_a_dead_letter_is_read_and_retried(local: Local, tab: Tab) -> None:
    session = str(uuid4())
    letter = local.dead_letter(local.task(session))
    tab.page.goto(f"{local.url}/console#/desk")
    case = tab.page.locator(f"[data-letter='{letter}']")
    case.get_by_text("Read the document").click()
    expect(case.locator("pre")).to_contain_text(session)

    local.create_session(session)
    case.get_by_role("button", name="Retry").click()
    expect(tab.page.get_by_text(f"{letter} was pushed again.")).to_be_visible()
    expect(case).to_have_count(0)
    local.process.wait_for("session completed", session_id=session)


def test_discarding_asks_first_and_hostile_text_stays_text(local: Local, tab: Tab) -> None:
    tab.page.goto(f"{local.url}/console#/desk")
    expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()
    letter = local.dead_letter(json.dumps({"version": 1, "channel": HOSTILE, "session_id": HOSTILE}))
    case = tab.page.locator(f"[data-letter='{letter}']")
    case.get_by_text("Read the document").click()
    expect(case.locator("pre")).to_contain_text("onerror")
    assert "taken over" not in tab.page.title()

    case.get_by_role("button", name="Discard").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(case).to_be_visible()
    case.get_by_role("button", name="Discard").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Discard").click()
    expect(case).to_have_count(0)


def test_the_size_studio_measures_a_sample_and_says_what_it_cannot_read(local: Local, tab: Tab) -> None:
    tab.page.goto(f"{local.url}/console#/size")
    tab.page.get_by_role("button", name="Sample 2").click()
    expect(tab.page.get_by_label("Height", exact=True)).to_have_value(str(MAN_L.height_cm))
    tab.page.get_by_role("button", name="Measure").click()
    photo = tab.page.get_by_role("img", name="The photo with landmarks")
    expect(photo).to_be_visible()
    assert photo.evaluate("image => image.naturalHeight") == 1024
    shares = [float(text.removesuffix(" %")) for text in tab.page.locator(".size-bar .num").all_inner_texts()]
    assert len(shares) == 6
    assert abs(sum(shares) - 100) <= 3
    expect(tab.page.locator(".size-answer .letter")).to_have_text(MAN_L.size)
    assert tab.page.locator(".measures tbody tr").count() == 4
    expect(tab.page.get_by_role("heading", name="% sure")).to_be_visible()

    tab.page.get_by_label("Photo: choose a file").set_input_files(
        {"name": "shirt.jpg", "mimeType": "image/jpeg", "buffer": TSHIRT.read()}
    )
    tab.page.get_by_role("button", name="Measure").click()
    expect(tab.page.get_by_text("No size can be told from this photo.")).to_be_visible()
    tab.page.get_by_label("Photo: choose a file").set_input_files(
        {"name": "page.jpg", "mimeType": "image/jpeg", "buffer": b"<html>no picture</html>"}
    )
    tab.page.get_by_role("button", name="Measure").click()
    expect(tab.page.get_by_text("This is not a picture that we can read")).to_be_visible()
    # The browser itself notes each refusal; that is all it may note.
    assert all(any(status in one for status in ("400", "422", "503")) for one in tab.complaints)
    tab.complaints.clear()


def test_the_try_on_studio_shows_the_steps_and_the_result_beside_the_original(local: Local, tab: Tab) -> None:
    tab.page.goto(f"{local.url}/console#/try-on")
    expect(tab.page.get_by_role("button", name="Try it on")).to_be_disabled()
    tab.page.get_by_role("button", name="a man").click()
    tab.page.get_by_role("button", name="a T-shirt").click()
    tab.page.get_by_role("button", name="Try it on").click()
    expect(tab.page.locator(".try-steps li").first).to_be_visible()
    result = tab.page.get_by_role("img", name="The person wearing the garment")
    expect(result).to_be_visible()
    assert result.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    expect(tab.page.get_by_role("img", name="The person as photographed")).to_be_visible()
    expect(tab.page.locator(".try-steps .done")).to_have_count(6)
    tab.page.get_by_role("link", name="Open its session").click()
    expect(tab.page.locator(".verdict .pill").first).to_have_text("Completed")


def test_every_view_fits_a_phone(local: Local, session: str, chromium: Browser) -> None:
    local.dead_letter("not a task " + "x" * 300)
    tab = Tab(chromium, PHONE)
    for view in (*VIEWS, f"sessions/{session}"):
        tab.page.goto(f"{local.url}/console#/{view}")
        expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()
        expect(tab.page.locator("main .skeleton")).to_have_count(0)
        assert tab.overflow() == 0, view
    bar = tab.page.locator(".rail").bounding_box()
    assert bar is not None
    assert bar["height"] < 100, "the bar at the bottom leaves room for the page"
    tab.page.get_by_role("link", name="Size").click()
    expect(tab.page.get_by_role("heading", name="Size studio")).to_be_visible()
    assert tab.complaints == []
    tab.close()


def test_everything_is_reached_by_keyboard(local: Local, session: str, tab: Tab) -> None:
    letter = local.dead_letter(f"no task of {session}")
    page = tab.page
    page.goto(f"{local.url}/console#/now")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()

    def tab_to(selector: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"{selector} is not reached by Tab")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    tab_to(".plot")
    now = page.evaluate("document.activeElement.getAttribute('aria-valuetext')")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.getAttribute('aria-valuetext')") != now

    page.reload()
    tab_to("nav a[data-path='sessions']")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Sessions", exact=True)).to_be_focused()
    tab_to("#term")
    page.keyboard.type(session)
    page.keyboard.press("Enter")
    expect(page.locator(".verdict .pill").first).to_have_text("Completed")

    page.goto(f"{local.url}/console#/desk")
    expect(page.locator(f"[data-letter='{letter}']")).to_be_visible()
    tab_to(f"[data-letter='{letter}'] .danger")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(f"[data-letter='{letter}'] .danger")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(local: Local, session: str, chromium: Browser, scheme: str) -> None:
    letter = local.dead_letter(f"no task, {scheme}")
    tab = Tab(chromium, scheme=scheme)
    for view in (*VIEWS, f"sessions/{session}"):
        tab.page.goto(f"{local.url}/console#/{view}")
        expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()
        expect(tab.page.locator("main .skeleton")).to_have_count(0)
        assert tab.accessibility_findings() == [], view
    tab.page.goto(f"{local.url}/console#/size")
    tab.page.get_by_role("button", name="Sample 1").click()
    tab.page.get_by_role("button", name="Measure").click()
    expect(tab.page.locator(".measured")).to_be_visible()
    assert tab.accessibility_findings() == [], "a measured person"
    tab.page.goto(f"{local.url}/console#/desk")
    tab.page.locator(f"[data-letter='{letter}'] .danger").click()
    assert tab.accessibility_findings() == [], "a dialog"
    assert tab.complaints == []
    tab.close()


def test_the_theme_is_chosen_and_kept(local: Local, tab: Tab) -> None:
    tab.page.goto(f"{local.url}/console#/now")
    tab.page.get_by_role("button", name="Switch to dark").click()
    dark = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.page.reload()
    expect(tab.page.get_by_role("button", name="Switch to light")).to_be_visible()
    assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    tab.page.get_by_role("button", name="Switch to light").click()
    assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
