"""The page's files."""

import re

from wearon.api.console.pages import FOLDER


def test_all_modules_are_preloaded() -> None:
    """A slow line pays one round trip for all of them, and not one for each module that names others."""
    modules = {path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("js/**/*.js")}
    page = (FOLDER / "index.html").read_text()
    preloaded = set(re.findall(r'<link rel="modulepreload" href="/console/static/([^"]+)">', page))
    assert preloaded == modules - {"js/main.js", "js/theme.js"}
