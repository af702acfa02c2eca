"""Image models that go away while tasks come: nobody fails, nothing is paid twice, and all of it is said."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

import httpx
import pytest
from playwright.sync_api import Browser, expect

from support.browser import LIMIT_MS, Tab, running_chromium
from support.exposition import scrape
from support.machines import API_TOKEN, Machines
from support.openai_stub import COST_USD, COST_USD_1_5, OpenAIStub
from support.processes import run_wearon, wait_until
from support.shop import Shop

pytestmark = pytest.mark.slow

expect.set_options(timeout=LIMIT_MS)

OLD, FIRST_FALLBACK = "gpt-image-1.5", "gpt-image-2.6-flare"
BEFORE, LAST_DAY = date(2026, 11, 30), date(2026, 12, 1)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


def health_of(url: str) -> dict[str, object]:
    report: dict[str, object] = httpx.get(f"{url}/health").json()
    return report


def told_by(env: Mapping[str, str], *arguments: str) -> str:
    """What a command prints, in one line."""
    done = run_wearon(*arguments, env={"COLUMNS": "400", **env})
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


def test_a_model_disappears_between_two_tasks(
    shop: Shop, machines: Machines, openai: OpenAIStub, production_env: dict[str, str]
) -> None:
    openai.today = BEFORE
    process = machines.serve(API_TOKEN=API_TOKEN, OPENAI_MODEL=OLD, OPENAI_IMAGE_COMPLEXITY="low")
    url = str(process.wait_for("started")["url"])
    unsent = [line for line in process.lines if line["event"] == "the image model does not take a setting"]
    assert [line["setting"] for line in unsent] == ["OPENAI_IMAGE_COMPLEXITY"]
    assert process.wait_for("the last day of an image model is near")["last_day"] == "2026-12-01"

    first = shop.buy("b2b")
    shop.push(first)
    shop.wait_for_end(first)
    assert not any("makes the pictures" in str(one) for one in health_of(url)["refusals"])  # type: ignore[attr-defined]

    openai.today = LAST_DAY
    second = shop.buy("b2c")
    shop.push(second)
    shop.wait_for_end(second)
    others = [shop.buy() for _ in range(3)]
    for order in others:
        shop.push(order)
    for order in others:
        shop.wait_for_end(order)
    shop.wait_until_settled()

    costs = {order.session_id: shop.check_books(order)["estimated_cost_usd"] for order in (first, second, *others)}
    assert all(shop.check_books(order)["status"] == "completed" for order in (first, second, *others))
    assert costs.pop(first.session_id) == Decimal(COST_USD_1_5)
    assert set(costs.values()) == {Decimal(COST_USD)}
    asked = [request.fields["model"] for request in openai.requests]
    assert asked == [OLD, OLD, *[FIRST_FALLBACK] * 4], "once in vain, for the whole fleet"
    assert openai.pictures_sent == 5
    assert [request.fields.get("complexity") for request in openai.paid] == [None, *["low"] * 4]

    gone = process.wait_for("image model cannot be used")
    assert (gone["model"], gone["session_id"]) == (OLD, second.session_id)
    assert process.wait_for("session completed", session_id=second.session_id)["model"] == FIRST_FALLBACK
    health = health_of(url)
    assert "openai_fallback_model" in str(health["incidents"])
    assert f"{FIRST_FALLBACK} makes the pictures: {OLD} cannot be used (status 404" in str(health["refusals"])
    metrics = scrape(url)
    assert metrics.value("wearon_image_model_pictures_total", model=FIRST_FALLBACK, place="fallback") == 4
    assert metrics.value("wearon_image_model_pictures_total", model=OLD, place="first") == 1
    assert metrics.value("wearon_openai_requests_total", outcome="model_unavailable") == 1
    assert (
        metrics.value("wearon_image_model_shutdown_timestamp_seconds", model=OLD)
        == datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    )

    def said_by_status() -> str | None:
        told = told_by(production_env, "status", "--once")
        return told if f"{FIRST_FALLBACK} makes the pictures" in told else None

    told = wait_until(said_by_status, lambda: "the status does not name the model that works")
    assert f"{FIRST_FALLBACK} makes the pictures: {OLD} cannot be used" in told
    assert "2026-12-01" in told
    assert f"made by {FIRST_FALLBACK}" in told_by(production_env, "session", second.session_id)
    assert f"made by {OLD}" in told_by(production_env, "session", first.session_id)


def test_without_any_model_nobody_fails_until_one_is_back(shop: Shop, machines: Machines, openai: OpenAIStub) -> None:
    openai.not_allowed.update(("gpt-image-2.6-sunburst", FIRST_FALLBACK, "gpt-image-2"))
    process = machines.serve(API_TOKEN=API_TOKEN)
    url = str(process.wait_for("started")["url"])
    order = shop.buy()
    shop.push(order)
    process.wait_for("put back", session_id=order.session_id)
    health = health_of(url)
    assert health["status"] == "degraded"
    assert "no image model can be used" in str(health["refusals"])
    assert openai.pictures_sent == 0
    openai.not_allowed.clear()
    shop.wait_for_end(order)
    shop.wait_until_settled()
    assert shop.check_books(order)["status"] == "completed"
    assert openai.pictures_sent == 1


def test_the_console_says_which_model_works_and_why(
    shop: Shop, machines: Machines, openai: OpenAIStub, chromium: Browser
) -> None:
    openai.today = LAST_DAY
    process = machines.serve(API_TOKEN=API_TOKEN, OPENAI_MODEL=OLD)
    url = str(process.wait_for("started")["url"])
    order = shop.buy()
    shop.push(order)
    shop.wait_for_end(order)
    shop.wait_until_settled()
    tab = Tab(chromium)
    page = tab.page
    page.goto(f"{url}/console#/now")
    page.get_by_label("API token").fill(API_TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"{FIRST_FALLBACK} makes the pictures: {OLD} cannot be used (status 404")).to_be_visible()
    expect(page.get_by_text("2026-12-01").first).to_be_visible()
    expect(page.get_by_text(f"wanted: {OLD}; half within")).to_be_visible()
    page.goto(f"{url}/console#/sessions/{order.session_id}")
    expect(page.get_by_text("Image model")).to_be_visible()
    expect(page.get_by_text(FIRST_FALLBACK).first).to_be_visible()
    assert [one for one in tab.complaints if "401" not in one] == [], "before the token the browser notes that itself"
