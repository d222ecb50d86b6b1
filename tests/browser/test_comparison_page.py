"""A comparison's page in a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import Open, fits
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_complains_of_nothing(open_page: Open, compared: Path, width: int) -> None:
    page = open_page(compared, width=width)
    assert fits(page)
    assert page.locator(".badge.simulated").count()
    assert page.locator("#survival tbody tr").count() == 2


def test_a_point_leads_to_its_network(open_page: Open, compared: Path) -> None:
    page = open_page(compared)
    page.locator("#fronts .scatterlayer .trace:has(.point)").nth(-1).locator(".point").first.click(force=True)
    expect(page).to_have_url(re.compile("#network-"))
    row = page.locator(f"#networks tr{page.evaluate('location.hash')}")
    assert "on the front" in row.inner_text()


def test_lines_between_devices_are_switched(open_page: Open, compared: Path) -> None:
    page = open_page(compared)
    traces = "document.querySelector('#fronts .js-plotly-plot')._fullData"
    shown = f"{traces}.filter(one => one.meta === 'joined' && one.visible === true).length"
    assert page.evaluate(shown)
    page.get_by_text("join the same network").click()
    assert page.evaluate(shown) == 0


def test_other_quantities_and_orders(open_page: Open, compared: Path) -> None:
    page = open_page(compared)
    page.locator("#fronts select").first.select_option("params")
    assert page.evaluate("document.querySelector('#fronts .js-plotly-plot').layout.xaxis.title.text") == "parameters"
    head = page.locator("#networks thead th", has_text="fast: latency")
    place = page.locator("#networks thead th").all_inner_texts().index(head.inner_text()) + 1
    head.get_by_role("button").click()
    texts = page.locator(f"#networks tbody tr > :nth-child({place})").all_inner_texts()
    shown = [float(text.split()[0]) for text in texts if text]
    assert shown == sorted(shown)
    assert shown
    page.get_by_role("searchbox").fill("not measured")
    expect(page.locator("#networks tbody tr")).not_to_have_count(len(texts))
    assert all("not measured" in text for text in page.locator("#networks tbody tr").all_inner_texts())
