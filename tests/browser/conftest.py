"""A Chromium, and pages for it to open."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pages import Open, opened
from playwright.sync_api import Browser, Page, sync_playwright

from joulefront.comparison import compare
from joulefront.report.comparison_document import document
from joulefront.report.page import comparison_page, study_page, write
from joulefront.results import Results, read
from written import write_study


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser that is there: these tests were asked for by their marker, so that without one they fail."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.fail(f"no browser: expected one of {', '.join(names)} on the PATH; on Debian, apt-get install chromium")
    # 3-D needs WebGL, which a machine without a graphics card computes.
    arguments = [
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a page of these results, or this file: ``open_page(results, width=390, fragment="#trial-3")``."""
    with ExitStack() as stack:

        def open_it(what: Results | Path, width: int = 1280, fragment: str = "", scheme: str = "light") -> Page:
            path = what if isinstance(what, Path) else tmp_path / f"page-{width}.html"
            if not isinstance(what, Path):
                write(path, study_page(what))
            return stack.enter_context(opened(chromium, path, width, fragment, scheme))

        yield open_it


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A settled study with energy, of which a network failed."""
    return read(write_study(tmp_path_factory.mktemp("study"), energy=True, fails=lambda number: number == 5))


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison's page, of two devices."""
    folder = tmp_path_factory.mktemp("two")
    slow = write_study(folder, "slow", device="slow")
    fast = write_study(folder, "fast", device="fast", latency=lambda widths: 1e-7 * (4 + 0.3 * widths["conv2"]))
    studies = [read(slow), read(fast)]
    write(folder / "compare.html", comparison_page(studies, document(compare(studies))))
    return folder / "compare.html"
