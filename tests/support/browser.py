"""Headless Chromium for the console's tests: Debian's, driven by Playwright, with nothing but loopback in reach."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, ViewportSize, sync_playwright

AXE = Path(__file__).parents[1] / "node_modules/axe-core/axe.min.js"

LIMIT_MS = 30_000
"""For anything to appear that a test waits for."""

TORN = r"""() => {
  const whole = /\d[\d.,]*\s(?:ms|s|min|h|d|MB|KB|cm|kg|%)(?![\p{L}\d])(?:\s\d+\s(?:s|min|h))?|\d+\sof\s\d+|\$\d[\d.]*|\b\d\d:\d\d(?::\d\d)?\b|[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}|\breq_\w+|\bgpt-image-[\w.-]*\w|\b\d{4}-\d\d-\d\d\b|[\w.-]+:\d+:[\da-f]{6}\b/gu;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const torn = [];
  for (let text; (text = texts.nextNode()); ) {
    for (const found of text.data.matchAll(whole)) {
      const range = document.createRange();
      range.setStart(text, found.index);
      range.setEnd(text, found.index + found[0].length);
      const lines = new Set([...range.getClientRects()].filter((box) => box.width).map((box) => Math.round(box.top)));
      if (lines.size > 1) torn.push(found[0]);
    }
  }
  return torn;
}"""  # noqa: E501
"""Durations, times, amounts and ids that stand on two lines."""

DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 360, "height": 740}

ARGUMENTS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",  # /dev/shm is small in containers
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
    # Nothing but loopback resolves, whatever asks.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


def chromium_path() -> str:
    """Where the browser is; the test fails without one, it is not skipped."""
    for name in ("chromium", "google-chrome", "chromium-browser"):
        if found := shutil.which(name):
            return found
    pytest.fail("there is no chromium: run scripts/test-services.sh")


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """The browser, for the length of a block."""
    path = chromium_path()
    # Chromium's own sandbox does not work for root.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*ARGUMENTS, *sandbox])
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page that remembers every complaint, and reaches loopback only."""

    def __init__(self, browser: Browser, viewport: ViewportSize = DESKTOP, scheme: str = "light") -> None:
        self._context = browser.new_context(
            viewport=viewport,
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        self._context.route("**/*", _loopback_only)
        self.complaints: list[str] = []
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(LIMIT_MS)
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def accessibility_findings(self) -> list[str]:
        """What axe-core calls serious or critical on the page as it is now."""
        if not AXE.exists():
            pytest.fail("there is no axe-core: run scripts/test-services.sh")
        self.page.evaluate(AXE.read_text())
        found: dict[str, Any] = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{violation['impact']} {violation['id']}: {json.dumps([node['target'] for node in violation['nodes']])}"
            for violation in found["violations"]
            if violation["impact"] in {"serious", "critical"}
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        wide: int = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return max(0, wide)

    def torn(self) -> list[str]:
        """Durations, times, amounts and ids that are broken over lines."""
        found: list[str] = self.page.evaluate(TORN)
        return found

    def cookies(self) -> dict[str, Any]:
        """By name."""
        return {str(cookie.get("name")): cookie for cookie in self._context.cookies()}

    def close(self) -> None:
        """Close it with all it remembers."""
        self._context.close()


def _loopback_only(route: Route) -> None:
    parts = urlsplit(route.request.url)
    if parts.hostname in {"127.0.0.1", "localhost"} or parts.scheme in {"data", "blob"}:
        route.continue_()
    else:
        route.abort()
