"""A comparison's page in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pages import Open, fits
from playwright.sync_api import expect

from joulefront.comparison import compare
from joulefront.records import Failure, Visit
from joulefront.report.comparison_document import document
from joulefront.report.page import comparison_page, write
from joulefront.results import Results, read
from joulefront.store import Store
from odd_studies import HOSTILE
from written import write_study

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


def test_an_address_leads_to_a_network(open_page: Open, compared: Path) -> None:
    page = open_page(compared, fragment="#network-3")
    expect(page.locator("#network-3")).to_be_in_viewport()
    expect(page.locator("tr:target")).to_have_count(1)


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


def begun(folder: Path) -> list[Results]:
    """Two studies of which nothing is known yet."""
    return [read(write_study(folder, name, count=0)) for name in ("one", "other")]


def unlike(folder: Path) -> list[Results]:
    """Three studies: on two devices, with what one measured of the other's front; and one of another model, searching."""
    slow = write_study(folder, "slow", device="slow", count=12)
    fast = write_study(folder, "fast-" + "long-" * 20, count=12, latency=lambda widths: 1e-7 * widths["conv2"])
    with Store.open(fast, writable=True) as store:
        for session in ("2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"):
            visitors = [("slow", trial) for trial in read(slow).front]
            made = []
            for home, trial in [*visitors, (fast.name, read(fast).unpruned)]:
                fails = (home, trial) == visitors[1]
                seen = None if fails else replace(trial.measurement, warnings=(HOSTILE,))
                failure = Failure(HOSTILE, HOSTILE) if fails else None
                made.append(Visit(session, home, trial.number, trial.candidate, trial.artifact, seen, failure))
            store.add_visits(made)
    other = write_study(folder, "other", count=12, settled=False, task={"model": "another"})
    return [read(slow), read(fast), read(other)]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("make", [begun, unlike])
def test_odd_comparisons_fit_and_complain_of_nothing(
    open_page: Open, make: Callable[[Path], list[Results]], width: int, tmp_path: Path
) -> None:
    studies = make(tmp_path)
    write(tmp_path / "compare.html", comparison_page(studies, document(compare(studies))))
    page = open_page(tmp_path / "compare.html", width=width)
    assert fits(page)
    assert page.locator("img").count() == 0
    if make is unlike:
        assert "the models of slow and other differ" in page.locator("#survival").inner_text()
        assert page.locator("#drift dt").count() == 2
        assert "Screening figures of other" in page.locator(".notes").inner_text()
        verdicts = page.locator("#networks tbody").inner_text()
        assert "is no choice" in verdicts
        assert "visitor, trial" in verdicts
        page.locator("#agreement select").select_option("0-2")
        assert page.locator("#agreement .empty").inner_text()
