"""A page opened in a browser, and everything that it complains of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

Open = Callable[..., Page]


def drawn(page: Page) -> None:
    """Waits until every plot of the page stands. The page's policy allows no wait_for_function."""
    expect(page.locator("figure:not([hidden]) > .chart:not(.js-plotly-plot)")).to_have_count(0)


def fits(page: Page) -> bool:
    """Whether nothing but what has a box of its own would scroll sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


@contextmanager
def opened(browser: Browser, path: Path, width: int, fragment: str, scheme: str) -> Iterator[Page]:
    """The page in ``path`` once its plots stand; afterwards, that it complained of nothing and asked for nothing."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []

    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{path.as_uri()}{fragment}")
    page.wait_for_selector("section")
    drawn(page)
    yield page
    assert complaints == []
    assert [url for url in asked if not url.startswith((path.as_uri(), "data:", "blob:"))] == []
    context.close()
