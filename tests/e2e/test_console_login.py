"""The console of a production process: nobody gets in without the token, and support reads why a generation failed."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, expect

from support.browser import LIMIT_MS, Tab, running_chromium
from support.machines import API_TOKEN, Machines
from support.openai_stub import MODERATION, OpenAIStub
from support.shop import Shop

pytestmark = pytest.mark.slow

VIEWER_TOKEN = "viewer-token-this-must-never-be-logged"

expect.set_options(timeout=LIMIT_MS)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


def test_login_the_story_of_a_failure_its_pictures_and_logout(
    shop: Shop, machines: Machines, openai: OpenAIStub, chromium: Browser
) -> None:
    openai.always(MODERATION)
    process = machines.serve(API_TOKEN=API_TOKEN, VIEWER_TOKEN=VIEWER_TOKEN)
    url = process.wait_for("started")["url"]
    order = shop.buy("b2b", resell=True)
    shop.push(order)
    shop.wait_for_end(order)
    shop.wait_until_settled()

    for path in ("hello", "now", "live", "refunds", f"sessions/{order.session_id}"):
        assert httpx.get(f"{url}/console/api/{path}").status_code == 401

    tab = Tab(chromium)
    page = tab.page
    page.goto(f"{url}/console#/sessions/{order.session_id}")
    token = page.get_by_label("API token")
    expect(token).to_be_focused()
    assert tab.accessibility_findings() == []
    token.fill("a guess")
    page.keyboard.press("Enter")
    expect(page.get_by_text("That is no token for the console")).to_be_visible()
    # The browser notes each 401 itself; that is all it may note.
    assert all("401" in one for one in tab.complaints)
    tab.complaints.clear()

    token.fill(API_TOKEN)
    page.keyboard.press("Enter")
    # The link that was followed is where one arrives.
    happened, credit = page.locator(".verdict .card").nth(0), page.locator(".verdict .card").nth(1)
    expect(happened).to_contain_text("Failed")
    expect(happened).to_contain_text("Your image was flagged by the safety filter")
    expect(credit).to_contain_text("Given back")
    expect(credit).to_contain_text("refund")
    assert "shopper@example.com" not in page.content()

    page.get_by_role("button", name="Show person").click()
    picture = page.get_by_role("img", name="Person")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0

    cookie = tab.cookies()["wearon_console"]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/console")
    assert API_TOKEN not in cookie["value"]
    expect(page.get_by_role("link", name="Try-on studio")).to_have_count(0)

    page.route("**/logout", lambda route: route.abort())
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("The worker does not answer")).to_be_visible()
    expect(happened).to_be_visible()  # still logged in, and the page does not look as if not
    page.unroute("**/logout")
    tab.complaints.clear()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("API token")).to_be_visible()
    assert "wearon_console" not in tab.cookies()

    expect(page.get_by_text("Read only", exact=True)).to_have_count(0)
    page.get_by_label("API token").fill(VIEWER_TOKEN)
    page.keyboard.press("Enter")
    expect(happened).to_contain_text("Failed")
    expect(page.get_by_text("Read only", exact=True)).to_be_visible()
    page.get_by_role("link", name="Now").first.click()
    expect(page.get_by_role("heading", name="Throughput")).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    assert tab.complaints == []
    entries = httpx.get(f"{url}/console/api/audit-log", headers={"Authorization": f"Bearer {API_TOKEN}"}).json()
    assert [(one["action"], one["by"]) for one in entries[::-1]] == [
        ("login_refused", "nobody"),
        ("log_in", "operator"),
        ("show_picture", "operator"),
        ("log_in", "viewer"),
    ]
    assert API_TOKEN not in process.log
    assert VIEWER_TOKEN not in process.log
    tab.close()


def test_without_a_token_there_is_no_console(machines: Machines) -> None:
    url = machines.serve("--no-consumer", "--no-worker").wait_for("started")["url"]
    for path in ("/console", "/console/static/js/main.js", "/console/api/now"):
        assert httpx.get(f"{url}{path}").status_code == 404
