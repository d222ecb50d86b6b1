"""The pictures of the README: pages, figures and the terminal, drawn from two studies' results.

python docs/gallery.py results/demo results/demo-sse docs

It needs the ``dev`` extra (playwright) and a Chromium on the PATH.
"""

import io
import re
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from rich.console import Console

import joulefront
from joulefront.report.live import Watched
from joulefront.report.picture import Picture

_DESKTOP, _PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}


def main(one: Path, other: Path, out: Path) -> None:
    study, comparison = joulefront.open(one), joulefront.compare(one, other)
    study.figure(out / "front.png")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        report, compared = Path(folder) / "report.html", Path(folder) / "compare.html"
        study.report(report)
        comparison.report(compared)
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for page, size, scheme, name in (
            (report, _DESKTOP, "light", "report"),
            (compared, _DESKTOP, "light", "compare"),
            (report, _PHONE, "dark", "phone"),
        ):
            shown: Page = browser.new_page(viewport=size, color_scheme=scheme)
            shown.goto(page.as_uri())
            shown.wait_for_selector(".main-svg")
            shown.wait_for_timeout(1000)  # until the plots lie still
            shown.screenshot(path=out / f"{name}.png")
        browser.close()
    console = Console(record=True, width=116, height=30, force_terminal=True, file=io.StringIO())
    progress = Watched(one).look()
    assert progress is not None
    console.print(Picture(progress, datetime.now(UTC)))
    drawn = console.export_svg(title=f"joulefront watch results/{one.name}")
    local = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL)  # rich has them fetched; the reader's own will do
    (out / "watch.svg").write_text(local, encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
