"""The console in a real browser, against a real local-mode process with real tasks."""

import asyncio
import hashlib
import json
import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest
import redis as sync_redis
from PIL import Image
from playwright.sync_api import Browser, Route, expect

from support.browser import LIMIT_MS, PHONE, Tab, running_chromium
from support.processes import SERVE, WorkerProcess, wait_until, worker
from support.redis import free_port
from wearon.local.platform import DEMO_USER_ID
from wearon.local.redis_server import LocalRedis
from wearon.samples import MAN_L, TSHIRT

pytestmark = pytest.mark.slow

expect.set_options(timeout=LIMIT_MS)

ACTION = {"X-WearOn-Console": "1"}
GIF = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
"""One pixel: a browser shows it, and the worker does not read it."""
PAIRS = Path(__file__).parents[1] / "data" / "sizing" / "pairs"
VIEWS = ["now", "sessions", "desk", "size", "try-on"]
HOSTILE = "<img src=x onerror=\"document.title='taken over'\"><script>document.title='taken over'</script>"
TURNED = "\u202eturned\u200b"
"""What would stand the other way round, and hold what nobody sees."""


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

    expect(tab.page).to_have_title("Now · WearOn local")
    tab.page.set_viewport_size({"width": 390, "height": 500})
    tab.page.evaluate("window.scrollTo(0, 700)")
    wait_until(lambda: tab.page.evaluate("history.state?.y === 700"), lambda: "history.state?.y === 700")
    tab.page.get_by_role("link", name="Size").click()
    expect(tab.page).to_have_title("Size studio · WearOn local")
    assert tab.page.evaluate("window.scrollY") == 0
    tab.page.go_back()
    wait_until(lambda: tab.page.evaluate("window.scrollY === 700"), lambda: "window.scrollY === 700")


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
    old = tab.page.locator(".as-of")
    expect(old).to_contain_text(re.compile(r"figures as of \d\d:\d\d:\d\d"))
    expect(tab.page.locator("main.blind")).to_be_visible()
    assert tab.accessibility_findings() == []
    process.signal(signal.SIGCONT)
    expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()
    expect(old).to_be_hidden()

    expect(figure(tab, "Dead letters")).to_have_text("0")
    with ThreadPoolExecutor() as outside_the_browsers_loop:
        redis_url = outside_the_browsers_loop.submit(asyncio.run, LocalRedis.find(tmp_path / "home" / "redis")).result()
    with sync_redis.Redis.from_url(str(redis_url)) as redis:
        redis.lpush("wearon:dead-letters", "{}")
        expect(figure(tab, "Dead letters")).to_have_text("1")
        redis.client_pause(20_000)
    expect(old).to_contain_text("Redis does not answer: figures as of")
    expect(figure(tab, "Dead letters")).to_have_text("1")
    expect(old).to_be_hidden()

    assert process.stop() == 0
    assert not any("Cancel" in line or "graceful" in line for line in process.raw), "an open stream kept the API"
    expect(tab.page.get_by_text("Stopped, waiting for its return")).to_be_visible()
    expect(old).to_contain_text("The worker was stopped: figures as of")
    again = stack.enter_context(worker(command, env, tmp_path))
    again.wait_for("started")
    expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()
    again.signal(signal.SIGKILL)
    expect(tab.page.get_by_text("Disconnected, trying again")).to_be_visible()
    tab.close()


def test_a_session_is_found_and_tells_its_story(local: Local, session: str, tab: Tab) -> None:
    tab.page.goto(f"{local.url}/console#/sessions")
    tab.page.get_by_label("Session, request, user or store id").fill(session)
    tab.page.get_by_role("button", name="Find").click()
    tab.page.wait_for_url(f"**/console#/sessions/{session}")
    expect(tab.page.locator(".verdict .pill").first).to_have_text("Completed")
    expect(tab.page).to_have_title(f"{session[:8]} completed · WearOn local")
    for step in ("Fetch and prepare", "Make the picture", "Upload and sign"):
        expect(tab.page.locator(".timeline li", has_text=step).first).to_be_visible()

    tab.page.get_by_role("button", name="Show result").click()
    picture = tab.page.get_by_role("img", name="Result")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0

    tab.page.get_by_label("Session, request, user or store id").fill(str(uuid4()))
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_text("No session has this id")).to_be_visible()


def test_a_session_that_waits_is_cancelled_after_a_question(local: Local, session: str, tab: Tab) -> None:
    assert session, "it made the account that the credit goes to"
    waiting = str(uuid4())
    local.create_session(waiting)
    tab.page.goto(f"{local.url}/console#/sessions/{waiting}")
    tab.page.get_by_role("button", name="Cancel the session").click()
    tab.page.get_by_role("button", name="Leave it").click()
    expect(tab.page.locator(".verdict .pill").first).to_have_text("Queued")
    tab.page.get_by_role("button", name="Cancel the session").click()
    tab.page.get_by_role("button", name="Cancel it").click()
    expect(tab.page.get_by_text("Cancelled; its credit was refunded, if one was taken.")).to_be_visible()
    expect(tab.page.locator(".verdict .pill").first).to_have_text("Failed")
    expect(tab.page.get_by_role("button", name="Cancel the session")).to_have_count(0)


def test_sessions_are_listed_filtered_paged_and_found_by_a_part_of_an_id(local: Local, session: str, tab: Tab) -> None:
    now = time.time()
    others = {str(uuid4()): now - 10 - age for age in range(70)}
    line = {"owner_id": str(uuid4()), "channel": "b2b", "status": "failed", "attempt": 1, "reason": "moderation"}
    line["refund"] = "given_back"
    local.redis.zadd("wearon:sessions", {one: round(at * 1e6) for one, at in others.items()})
    text = json.dumps(line, separators=(",", ":"))
    local.redis.hset("wearon:sessions:lines", mapping=dict.fromkeys(others, text))
    rows = tab.page.locator(".hits li")

    tab.page.goto(f"{local.url}/console#/now")
    tab.page.locator(".figure", has_text="Completed, last hour").click()
    tab.page.wait_for_url("**/console#/sessions?status=completed&since=60m")
    expect(rows.locator("a.mono, a .mono", has_text=session)).to_be_visible()
    expect(rows.filter(has_text="Failed")).to_have_count(0)

    tab.page.get_by_label("Status").select_option("failed")
    tab.page.get_by_label("Channel").select_option("b2b")
    tab.page.wait_for_url("**status=failed&channel=b2b&since=60m")
    expect(tab.page).to_have_title("Sessions failed · WearOn local")
    expect(rows).to_have_count(50)
    expect(rows.first).to_contain_text("Refunded")
    tab.page.get_by_role("button", name="Show more").dblclick()  # the same page is not shown twice
    expect(rows).to_have_count(70)
    shown = rows.locator(".mono").all_inner_texts()
    assert shown == sorted(others, key=lambda one: -others[one])
    rows.first.get_by_role("link", name="store").click()
    tab.page.wait_for_url("**owner_id=**")
    expect(tab.page.get_by_role("button", name="Remove the filter")).to_be_visible()

    some = list(others)[33]
    find = tab.page.get_by_label("Session, request, user or store id")
    for pasted in (f"Hello, what about {some[9:23]}? It failed.", some[:8].upper()):
        tab.page.goto(f"{local.url}/console#/sessions?since=6h")
        find.fill(pasted)
        find.press("Enter")
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text(some)
    tab.page.goto(f"{local.url}/console#/sessions")
    find.fill(f"session_id={session} is done")
    find.press("Enter")
    tab.page.wait_for_url(f"**/console#/sessions/{session}")
    tab.page.goto(f"{local.url}/console#/sessions?text=zzzzzz99")
    expect(tab.page.get_by_text("No session has this id")).to_be_visible()
    local.redis.zrem("wearon:sessions", *others)


@contextmanager
def one_of_each(local: Local) -> Iterator[tuple[str, str, str, str]]:
    """Sessions of which one waits, one has failed, one's refund is to be reviewed, and one hangs on another worker.

    What makes them is taken back in any case: the other tests share this worker, and a pause would hold theirs up.
    """
    waits, fails, reviewed, runs = (str(uuid4()) for _ in range(4))
    other = {"owner_id": DEMO_USER_ID, "channel": "b2c", "status": "failed", "attempt": 1, "reason": "openai"}
    now = datetime.now(UTC)
    local.redis.zadd("wearon:sessions", {fails: round(now.timestamp() * 1e6), reviewed: round(now.timestamp() * 1e6)})
    known = ["failed:openai.key_refused.generate", "retried:openai.key_refused.generate"]
    for one, refund, why in ((fails, "given_back", known), (reviewed, "by_hand", ["failed:openai.away.generate"])):
        text = json.dumps({**other, "causes": why, "refund": refund}, separators=(",", ":"))
        local.redis.hset("wearon:sessions:lines", one, text)
    local.redis.hset("wearon:refunds:by-hand", f"b2c:{reviewed}", "{}")
    minute = f"wearon:stats:minute:{now:%Y%m%d%H%M}"
    causes = dict.fromkeys((f"{kind}:openai.key_refused.generate" for kind in ("failed", "refunded", "retried")), 1)
    causes["lost:openai.key_refused.generate"] = 65_000
    for name, number in {"failed": 1, "reason:openai": 1, **causes}.items():
        local.redis.hincrby(minute, name, number)
    refusal = {"dependency": "openai", "kind": "key_refused", "words": "OpenAI refuses our key", "since_s": 600.0}
    job = {"session_id": runs, "request_id": "", "channel": "b2c", "step": "generate", "step_s": 400, "age_s": 401,
           "attempt": 1}  # fmt: skip
    report = {"host": "elsewhere", "pid": 1, "version": "1", "capacity": 1, "busy": 1, "refusals": [refusal],
              "jobs": [job]}  # fmt: skip
    local.redis.zadd("wearon:workers", {"elsewhere": (time.time() + 600) * 1000})
    local.redis.hset("wearon:reports", "elsewhere", json.dumps(report))
    local.post("pause", json={"store": "b2c", "reason": "a test"})
    local.create_session(waits)
    local.push(local.task(waits))
    try:
        yield waits, fails, reviewed, runs
    finally:
        local.redis.hdel("wearon:refunds:by-hand", f"b2c:{reviewed}")
        local.redis.zrem("wearon:sessions", fails, reviewed)
        local.redis.zrem("wearon:workers", "elsewhere")
        for name, number in {"failed": 1, "reason:openai": 1, **causes}.items():
            local.redis.hincrby(minute, name, -number)
        local.post("resume", json={"store": "b2c"})


def test_every_number_of_sessions_on_now_leads_to_these_sessions(local: Local, session: str, tab: Tab) -> None:
    with one_of_each(local) as (waits, fails, reviewed, runs):
        _follow_every_number(tab, f"{local.url}/console#/now", session, waits, fails, reviewed, runs)
    local.process.wait_for("session completed", session_id=waits)


def _follow_every_number(tab: Tab, now: str, session: str, waits: str, fails: str, reviewed: str, runs: str) -> None:
    page, rows = tab.page, tab.page.locator(".hits li")

    def leads_to(link: Any, address: str, *sessions: str, count: int | None = None) -> None:
        link.click()
        page.wait_for_url(re.compile(re.escape(f"#/sessions?{address}")))
        for one in sessions:
            expect(rows.filter(has_text=one)).to_be_visible()
        if count is None:
            expect(rows.filter(has_text=re.compile("[0-9a-f-]{36}"))).not_to_have_count(0)
        else:
            expect(rows).to_have_count(count)
        page.go_back()

    page.goto(now)
    expect(figure(tab, "Tasks waiting")).to_have_text("1")
    leads_to(page.locator(".figure", has_text="Tasks waiting"), "status=waiting", waits)
    line = page.locator("section.card", has_text="Waiting for a turn")
    leads_to(line.get_by_role("link", name="b2c"), "status=waiting&channel=b2c", waits)
    completed = page.locator(".chart .readout a", has_text="completed")
    leads_to(completed, "status=completed&since=60m", session)
    leads_to(page.locator(".chart .readout a", has_text="failed"), "status=failed&since=60m", fails, reviewed)
    reasons = page.locator("section.card", has_text="Failures by reason")
    leads_to(reasons.get_by_role("link", name="Image model"), "status=failed&reason=openai&since=60m", fails)
    leads_to(page.locator(".figure", has_text="today"), "status=completed&since=20", session)
    leads_to(page.get_by_role("link", name="1 needs review"), "refund=by_hand", reviewed)
    card = page.locator("[data-incident=openai_key_refused]")
    cause = "cause=failed%3Aopenai.key_refused."
    for what, refund in (("1 session failed", ""), ("1 credit refunded", "&refund=given_back"), ("$0.0650 lost", "")):
        # As many as the number says, and no failure for another cause.
        address = f"status=failed&{cause}{refund}&since=20"
        leads_to(card.get_by_role("link", name=what), address, fails, count=1)
    retried = card.get_by_role("link", name="1 attempt retried")
    leads_to(retried, "cause=retried%3Aopenai.key_refused.&since=20", fails, count=1)
    leads_to(page.locator(".figure", has_text="Jobs running"), "status=running", runs)
    one_process = page.locator(".process", has_text="elsewhere")
    leads_to(one_process.get_by_role("link", name="1 of 1 busy"), "status=running&worker=elsewhere", runs, count=1)
    hanging = page.locator("[data-incident=job_hangs]")
    leads_to(hanging.get_by_role("link", name="1 of 1 running jobs"), "status=running", runs)
    assert tab.accessibility_findings() == []

    plot = page.get_by_role("slider", name="Throughput")
    plot.focus()
    shown = re.search(r"\d\d:\d\d", plot.get_attribute("aria-valuetext") or "")
    assert shown, plot.get_attribute("aria-valuetext")
    leads_to_minute = re.compile(r"#/sessions\?since=[^&]+%3A00Z&until=[^&]+%3A00.000Z")
    plot.press("Enter")
    page.wait_for_url(leads_to_minute)
    page.go_back()
    box = plot.bounding_box()
    assert box
    plot.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    page.wait_for_url(leads_to_minute)
    since = parse_qs(urlsplit(page.url).fragment.partition("?")[2])["since"][0]
    # The minute that was pressed, although focus begins at the last one.
    assert datetime.now(UTC) - datetime.fromisoformat(since) > timedelta(minutes=20)


def test_a_running_session_tells_its_story(local: Local, tab: Tab) -> None:
    session_id, worker = str(uuid4()), "elsewhere"
    local.create_session(session_id)
    began = datetime.now(UTC) - timedelta(seconds=30)
    job = {
        "session_id": session_id, "request_id": "req_runs", "channel": "b2c", "owner_id": DEMO_USER_ID, "attempt": 1,
        "step": "rate_limit", "step_s": 4.0, "age_s": 30.0, "began_at": began.isoformat(),
        "steps": [["start", 0.0, 0.012], ["photos", 0.1, 1.4], ["generate", 1.5, None], ["rate_limit", 26.0, None]],
    }  # fmt: skip
    report = {"host": "elsewhere", "pid": 1, "version": "1", "capacity": 1, "busy": 1, "jobs": [job]}
    # The lease first: what is of no living worker is tidied away.
    local.redis.zadd("wearon:workers", {worker: (time.time() + 120) * 1000})
    local.redis.hset("wearon:running", f"b2c:{DEMO_USER_ID}:{session_id}", worker)
    local.redis.hset("wearon:reports", worker, json.dumps(report))

    # What all watchers are shown is up to a second old, and the list is read once.
    listed = f"{local.url}/console/api/session-list?status=running"
    wait_until(lambda: session_id in httpx.get(listed).text or None, lambda: httpx.get(listed).text)
    tab.page.goto(f"{local.url}/console#/sessions?status=running")
    tab.page.get_by_role("link", name=session_id).click()
    expect(tab.page.locator(".verdict .answer").first).to_contain_text("it waits for the fleet's rate limit")
    steps = tab.page.locator(".timeline li.step")
    expect(steps.filter(has_text="Start the session")).to_contain_text("12 ms")
    expect(steps.filter(has_text="Make the picture")).to_have_class(re.compile("open"))
    expect(tab.page.locator(".timeline li", has_text="Attempt 1")).to_contain_text("on elsewhere")

    # A line that is slower than the changes: what changes is shown nevertheless, and the focus stays where it was.
    slow = "const f = fetch; window.fetch = async (...a) => (await new Promise((go) => setTimeout(go, 2600)), f(...a))"
    tab.page.evaluate(f"() => {{ {slow} }}")
    cancel = tab.page.get_by_role("button", name="Cancel the session")
    cancel.focus()
    job["steps"] = [*job["steps"][:2], ["generate", 1.5, 20.0], ["upload", 21.5, None]]  # type: ignore[index]
    job["step"] = "upload"
    local.redis.hset("wearon:reports", worker, json.dumps(report))
    expect(steps.filter(has_text="Upload and sign")).to_have_class(re.compile("open"))
    expect(cancel).to_be_focused()
    local.redis.hdel("wearon:running", f"b2c:{DEMO_USER_ID}:{session_id}")
    local.redis.zrem("wearon:workers", worker)


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


def test_a_store_is_paused_and_resumed(local: Local, tab: Tab) -> None:
    store = str(uuid4())
    tab.page.goto(f"{local.url}/console")
    tab.page.get_by_role("button", name="Pause…").click()
    dialog = tab.page.get_by_role("dialog", name="Pause")
    dialog.get_by_label("Store").fill("no id")
    dialog.get_by_role("button", name="Pause").click()
    expect(dialog.get_by_role("alert")).to_contain_text("neither the id of a store nor b2c")
    assert tab.accessibility_findings() == []
    tab.complaints = [one for one in tab.complaints if "409" not in one]
    dialog.get_by_label("Store").fill(store)
    dialog.get_by_label("Reason").fill("it leaves us")
    dialog.get_by_role("button", name="Pause").click()
    card = tab.page.locator("[data-incident=paused]", has_text=store)
    expect(card).to_contain_text("is paused by this machine (console): it leaves us")
    assert tab.accessibility_findings() == []
    card.get_by_role("button", name="Resume").click()
    expect(card).to_have_count(0)

    tab.page.goto(f"{local.url}/console#/desk")
    tab.page.locator("#audit-log summary").click()
    resumed, paused = (tab.page.locator("#audit-log li", has_text=store).nth(place) for place in range(2))
    expect(resumed).to_contain_text("this machine (console)")
    expect(resumed).to_contain_text("reason: it leaves us")
    expect(paused.locator("strong")).to_have_text("pause")
    assert tab.accessibility_findings() == []


def test_discarding_asks_first_and_hostile_text_stays_text(local: Local, tab: Tab) -> None:
    tab.page.goto(f"{local.url}/console#/desk")
    expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()
    letter = local.dead_letter(json.dumps({"version": 1, "channel": TURNED, "session_id": HOSTILE}, ensure_ascii=False))
    case = tab.page.locator(f"[data-letter='{letter}']")
    case.get_by_text("Read the document").click()
    expect(case.locator("pre")).to_contain_text("onerror")
    expect(case.locator("pre")).to_contain_text(r"\u202eturned\u200b")
    assert not (set(TURNED) - set("turned")) & set(tab.page.locator("body").inner_text())
    assert "taken over" not in tab.page.title()

    local.redis.lpush("wearon:dead-letters", "{}")  # it has no time, and hides no other
    expect(tab.page.locator("[data-group]", has_text="this entry is no dead letter")).to_be_visible()
    local.redis.lrem("wearon:dead-letters", 1, "{}")
    case.get_by_role("button", name="Discard").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(case).to_be_visible()
    case.get_by_role("button", name="Discard").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Discard").click()
    expect(case).to_have_count(0)


def test_hundreds_of_dead_letters_are_grouped_paged_retried_and_discarded(local: Local, tab: Tab) -> None:
    """Of 300, 40 can be retried: of those the sessions of 2 are there."""
    sessions = [str(uuid4()) for _ in range(40)]
    for session in sessions[:2]:
        local.create_session(session)
    task = json.loads(local.task("x"))
    newer = [json.dumps({**task, "session_id": str(uuid4()), "version": 7}) for _ in range(260)]
    usable = [json.dumps({**task, "session_id": session}) for session in sessions]
    for reason, documents in (("version 7 is not known to this worker", newer), ("no such session", usable)):
        letters = [
            {
                "id": hashlib.sha256(document.encode()).hexdigest()[:12],
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "reason": reason,
                "payload": document,
            }
            for document in documents
        ]
        local.redis.lpush("wearon:dead-letters", *map(json.dumps, letters))
    page = tab.page
    page.goto(f"{local.url}/console#/desk")
    group = page.locator("[data-group]", has_text="260 x version 7")
    expect(group).to_contain_text("none can be retried")
    expect(group).to_contain_text("Deploy a worker that knows the version")
    expect(group.get_by_role("button", name="Retry")).to_have_count(0)
    group.get_by_text("Read them").click()
    expect(group.locator("[data-letter]")).to_have_count(25)
    group.get_by_role("button", name="Older").click()
    expect(group.get_by_role("status")).to_have_text("26 to 50")
    assert tab.accessibility_findings() == []

    others = page.locator("[data-group]", has_text="40 x version 1")
    others.get_by_role("button", name="Retry 40").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Push 2 documents again?")
    expect(dialog).to_contain_text("38 would come back at once, because the session is not there")
    dialog.get_by_role("button", name="Retry 2").click()
    # The page's requests pass through this thread: it must not wait for the process before they are sent.
    expect(page.get_by_text("2 documents were pushed again.")).to_be_visible()
    for session in sessions[:2]:
        local.process.wait_for("session completed", session_id=session)
    expect(page.locator("[data-group]", has_text="38 x version 1")).to_be_visible()

    group.get_by_role("button", name="Discard all 260").click()
    dialog.get_by_role("button", name="Discard 260").click()
    expect(group).to_have_count(0)
    page.locator("[data-group]", has_text="38 x version 1").get_by_role("button", name="Discard all 38").click()
    dialog.get_by_role("button", name="Discard 38").click()
    expect(page.get_by_text("38 dead letters were discarded.")).to_be_visible()


def test_the_size_studio_measures_a_sample_and_says_what_it_cannot_read(local: Local, tab: Tab) -> None:
    tab.page.goto(f"{local.url}/console#/size")
    tab.page.get_by_role("button", name="Sample 2").click()
    expect(tab.page.get_by_label("Height", exact=True)).to_have_value(str(MAN_L.height_cm))
    tab.page.get_by_role("button", name="Measure").click()
    photo = tab.page.get_by_role("img", name="The photo with landmarks")
    expect(photo).to_be_visible()
    assert photo.evaluate("image => image.naturalHeight") == 1024
    shares = [float(text.split()[0]) for text in tab.page.locator(".size-bar .num").all_inner_texts()]
    assert len(shares) == 6
    assert abs(sum(shares) - 100) <= 3
    expect(tab.page.locator(".size-answer .letter")).to_have_text(MAN_L.size)
    assert tab.page.locator(".measures tbody tr").count() == 5
    expect(tab.page.get_by_role("heading", name="% sure")).to_be_visible()

    tab.page.get_by_label("Photo: choose a file").set_input_files(
        {"name": "shirt.jpg", "mimeType": "image/jpeg", "buffer": TSHIRT.read()}
    )
    tab.page.get_by_role("button", name="Measure").click()
    expect(tab.page.get_by_text("No size can be told from this photo.")).to_be_visible()
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
    tab.page.get_by_label("Photo: choose a file").set_input_files(
        {"name": "IMG_1.HEIC", "mimeType": "image/heic", "buffer": heic}
    )
    expect(tab.page.get_by_text("take the photo as JPEG")).to_be_visible()
    expect(tab.page.locator(".drop img")).to_have_count(0)
    expect(tab.page.get_by_role("button", name="Measure")).to_be_disabled()
    tab.page.get_by_label("Photo: choose a file").set_input_files(
        {"name": "moving.gif", "mimeType": "image/gif", "buffer": GIF}
    )
    tab.page.get_by_role("button", name="Measure").click()
    expect(tab.page.get_by_text("This is not a picture that we can read")).to_be_visible()
    # The browser itself notes each refusal; that is all it may note.
    assert all(any(status in one for status in ("400", "422", "503")) for one in tab.complaints)
    tab.complaints.clear()


def test_the_size_studio_takes_two_photos_or_none_and_says_what_to_ask_next(local: Local, tab: Tab) -> None:
    tab.page.goto(f"{local.url}/console#/size")
    tab.page.get_by_label("Photo: choose a file").set_input_files(PAIRS / "pair_003.jpg")
    tab.page.get_by_label("Photo from the side: choose a file").set_input_files(PAIRS / "pair_003_side.jpg")
    tab.page.get_by_role("button", name="Measure").click()
    for name in ("The photo with landmarks", "The photo from the side"):
        photo = tab.page.get_by_role("img", name=name)
        expect(photo).to_be_visible()
        assert photo.evaluate("image => image.decode().then(() => image.naturalHeight)") == 1024
    expect(tab.page.get_by_text("Measured from the photo, the photo from the side and the height.")).to_be_visible()
    expect(tab.page.locator(".ask li[title='weight_kg']")).to_contain_text("Range narrower by")
    assert tab.accessibility_findings() == []

    for label in ("Photo: remove", "Photo from the side: remove"):
        tab.page.get_by_role("button", name=label).click()
    expect(tab.page.get_by_role("button", name="Measure")).to_be_disabled()
    tab.page.get_by_label("Weight", exact=True).fill("65")
    tab.page.get_by_role("button", name="Measure").click()
    expect(tab.page.get_by_text("Measured from the height and the weight.")).to_be_visible()
    expect(tab.page.locator(".photos")).to_have_count(0)
    assert tab.accessibility_findings() == []


def test_the_size_studio_takes_feet_inches_and_stones(local: Local, tab: Tab) -> None:
    tab.page.goto(f"{local.url}/console#/size")
    tab.page.get_by_label("Unit of the height").select_option("ft in")
    expect(tab.page.get_by_label("Height, inches")).to_have_value("6.9")
    tab.page.get_by_label("Unit of the weight").select_option("st lb")
    tab.page.get_by_label("Height", exact=True).fill("5")
    tab.page.get_by_label("Height, inches").fill("13")
    tab.page.get_by_label("Weight", exact=True).fill("10")
    measure = tab.page.get_by_role("button", name="Measure")
    measure.click()
    wrong = "document.querySelector('form').reportValidity() ? '' : document.activeElement.validationMessage"
    assert tab.page.evaluate(wrong) == "Write less than one ft here."
    tab.page.get_by_label("Height, inches").fill("7")
    tab.page.get_by_label("Weight, pounds").fill("4")
    assert tab.accessibility_findings() == []
    with tab.page.expect_request("**/console/api/measure*") as asked:
        measure.click()
    query = parse_qs(urlsplit(asked.value.url).query)
    assert (float(query["height_cm"][0]), float(query["weight_kg"][0])) == pytest.approx((170.18, 65.317), abs=1e-3)
    expect(tab.page.locator(".measured")).to_be_visible()
    # There and back nothing changes, and every tenth of an inch and of a pound is kept.
    drift = """async () => {
      const { HEIGHT, WEIGHT, split, join } = await import("/console/static/js/units.js");
      return Math.max(...[HEIGHT, WEIGHT].flatMap(({ least, most, units }) => Object.values(units).flatMap((unit) => {
        const tenth = unit.parts.at(-1)[1] / 10;
        const steps = Array.from({ length: Math.floor((most - least) / tenth) }, (_, n) => least + n * tenth);
        return steps.map((metric) => Math.abs(join(split(metric, unit), unit) - metric) / tenth);
      })));
    }"""
    assert tab.page.evaluate(drift) <= 0.5001


def test_the_size_studio_takes_a_shop_s_chart_and_says_how_its_sizes_sit(local: Local, tab: Tab) -> None:
    tab.page.goto(f"{local.url}/console#/size")
    tab.page.get_by_label("Weight", exact=True).fill("65")
    tab.page.get_by_text("A shop's size chart").click()
    chart = tab.page.get_by_label("Size chart, as in the API")
    chart.fill(
        '{"sizes": [{"name": "eins", "waist": {"min": 60, "max": 110}}, {"name": "zwei", "waist": {"min": 110}}]}'
    )
    tab.page.get_by_role("button", name="Measure").click()
    expect(tab.page.get_by_role("heading", name="Size eins")).to_be_visible()
    expect(tab.page.get_by_role("row", name="eins regular")).to_be_visible()
    expect(tab.page.locator("[title='size_name_refused']")).to_contain_text("eins, zwei")
    assert tab.accessibility_findings() == []
    tab.page.set_viewport_size({"width": 320, "height": 640})
    sizes = [
        {"name": f"W{inch}/L34", "waist": {"min": inch * 2.54, "max": (inch + 1) * 2.54}} for inch in range(24, 40)
    ]
    for size in sizes:
        size.update({"chest": size["waist"], "hip": size["waist"]})
    chart.fill(json.dumps({"sizes": sizes}))
    tab.page.get_by_role("button", name="Measure").click()
    expect(tab.page.locator(".size-bar li")).to_have_count(16)
    assert tab.overflow() == 0
    chart.fill('{"sizes": [{"name": "S", "waist": {"min": 20, "max": 30}}]}')
    tab.page.get_by_role("button", name="Measure").click()
    expect(tab.page.get_by_role("heading", name="No size of this chart")).to_be_visible()
    expect(tab.page.get_by_text("The largest size is likely too small. 100 % sure, by the waist.")).to_be_visible()
    chart.fill('{"sizes": [{"name": "S", "waist": {"min": 40, "max": 30}}]}')
    tab.page.get_by_role("button", name="Measure").click()
    expect(tab.page.get_by_text("size_chart.sizes.0.waist: Value error, min 40 is above max 30")).to_be_visible()
    assert all("422" in one for one in tab.complaints)
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


def test_the_try_on_studio_says_which_picture_it_cannot_use_and_at_which_step(local: Local, tab: Tab) -> None:
    page, button = tab.page, tab.page.get_by_role("button", name="Try it on")
    told: list[str] = []

    def without_its_end(route: Route) -> None:
        """The row says that it has failed before the history does."""
        answer = route.fetch()
        history = answer.json()
        if history["session"]["status"] == "failed":
            told.append("failed")
        if told and len(told) <= 2:
            history["events"] = []
        route.fulfill(response=answer, json=history)

    page.route("**/console/api/sessions/*", without_its_end)
    page.goto(f"{local.url}/console#/try-on")
    wall = Image.new("RGB", (600, 900), "steelblue")
    jpeg = BytesIO()
    wall.save(jpeg, "JPEG")
    person, garment = page.get_by_label("Person: choose a file"), page.get_by_label("Garment: choose a file")
    person.set_input_files({"name": "wall.jpg", "mimeType": "image/jpeg", "buffer": jpeg.getvalue()})
    page.get_by_role("button", name="a T-shirt").click()
    button.click()
    steps = page.locator(".try-steps")
    expect(steps.locator(".failed")).to_have_text(re.compile("Generate"))
    assert len(told) >= 3
    expect(steps.locator(".done")).to_have_count(3)
    expect(page.get_by_text("The preview found no person in the first picture.")).to_be_visible()
    expect(page.get_by_text("Choose a photo that shows the whole person from the front.")).to_be_visible()
    expect(page.get_by_text("1 credit was refunded")).to_be_visible()
    expect(page.get_by_text("There is no result")).to_be_visible()

    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(2000)
    for field, label in ((person, "Person"), (garment, "Garment")):
        field.set_input_files({"name": "me.heic", "mimeType": "image/heic", "buffer": heic})
        whole = page.locator(".field", has=field)
        expect(whole.get_by_role("alert")).to_contain_text("HEIC, as phones make it, cannot be read")
        expect(whole.get_by_text("Drop a picture here")).to_be_visible()
        expect(whole.get_by_role("img", name="The chosen picture")).to_have_count(0)
        expect(button, label).to_be_disabled()
    broken = "[...document.images].filter((one) => one.complete && !one.naturalWidth).map((one) => one.src)"
    assert page.evaluate(broken) == []
    assert tab.accessibility_findings() == []


def test_every_view_fits_a_phone(local: Local, session: str, chromium: Browser) -> None:
    local.dead_letter("not a task " + "x" * 300)
    tab = Tab(chromium, PHONE)
    for view in (*VIEWS, f"sessions/{session}"):
        tab.page.goto(f"{local.url}/console#/{view}")
        expect(tab.page.get_by_text("Live", exact=True)).to_be_visible()
        expect(tab.page.locator("main .skeleton")).to_have_count(0)
        assert (tab.overflow(), tab.torn()) == (0, []), view
    bar = tab.page.locator(".rail").bounding_box()
    assert bar is not None
    assert bar["height"] < 100, "the bar at the bottom leaves room for the page"
    tab.page.get_by_role("link", name="Size").click()
    expect(tab.page.get_by_role("heading", name="Size studio")).to_be_visible()
    assert tab.complaints == []
    tab.close()


def test_no_duration_amount_or_id_is_torn_over_lines(local: Local, tab: Tab) -> None:
    worker, store, session_id = "gen-b.internal.example:77:9f3c2a", str(uuid4()), str(uuid4())
    job = {
        "session_id": session_id, "request_id": f"req_{uuid4().hex}", "channel": "b2c", "owner_id": DEMO_USER_ID,
        "attempt": 2, "step": "generate", "step_s": 400.0, "age_s": 419.0, "steps": [["generate", 19.0, None]],
    }  # fmt: skip
    refusals = [
        {"dependency": "supabase", "kind": "slow", "words": f"Supabase needed 4.2 s for {session_id}", "since_s": 75.0},
        {
            "dependency": "openai",
            "kind": "fallback_model",
            "words": "gpt-image-2.6-sunburst is gone since 2026-11-20: gpt-image-2 makes the pictures",
            "since_s": 1,
        },
        {"dependency": "openai", "kind": "away", "words": "OpenAI has not answered for 6 min 40 s", "since_s": 75.0},
    ]
    report = {"host": "gen-b.internal.example", "pid": 77, "version": "1", "capacity": 8, "busy": 1, "loop_lag_s": 2.31,
              "jobs": [job], "refusals": refusals}  # fmt: skip
    local.create_session(session_id)
    local.post("pause", json={"store": store, "reason": f"from 18:20 to 22:45, see {uuid4()} and {uuid4()}"})
    local.redis.zadd("wearon:workers", {worker: (time.time() + 300) * 1000})
    local.redis.hset("wearon:running", f"b2c:{DEMO_USER_ID}:{session_id}", worker)
    local.redis.hset("wearon:reports", worker, json.dumps(report))
    tab.page.goto(f"{local.url}/console#/now")
    expect(tab.page.locator(".incident", has_text="6 min 40 s")).to_be_visible()
    expect(tab.page.locator(".job", has_text=session_id)).to_contain_text("min")
    for view, there in (("now", ".job"), (f"sessions/{session_id}", ".timeline"), ("sessions", ".hits li")):
        tab.page.goto(f"{local.url}/console#/{view}")
        expect(tab.page.locator(there).first).to_be_visible()
        for width in (360, 390, 600, 800, 1024, 1200, 1440):
            tab.page.set_viewport_size({"width": width, "height": 900})
            assert (tab.torn(), tab.overflow()) == ([], 0), (view, width)
    local.redis.hdel("wearon:running", f"b2c:{DEMO_USER_ID}:{session_id}")
    local.redis.hdel("wearon:reports", worker)
    local.redis.zrem("wearon:workers", worker)
    local.post("resume", json={"store": store})


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
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    assert page.url == f"{local.url}/console#/now"
    tab_to(".plot")
    now = page.evaluate("document.activeElement.getAttribute('aria-valuetext')")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.getAttribute('aria-valuetext')") != now

    page.reload()
    tab_to("nav a[data-path='sessions']")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Sessions", level=1)).to_be_focused()
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
