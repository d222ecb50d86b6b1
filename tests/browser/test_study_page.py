"""A study's page in a browser: what one clicks, sorts, filters and switches does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pages import Open, drawn, fits
from playwright.sync_api import expect

from joulefront.results import Results
from odd_studies import HOSTILE, ODD, many

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

WIDTHS = (390, 1280)
HARMLESS = {"Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes", "Orbital rotation", "Reset camera to default"}


def column(page: Page, place: int) -> list[str]:
    """What the trials' table shows in a column, from the top."""
    return page.locator(f"#trials tbody tr > :nth-child({place})").all_inner_texts()


def plotted(page: Page, section: str, what: str) -> Any:
    """Something of a plot, as plotly has it."""
    return page.evaluate(f"document.querySelector('#{section} .js-plotly-plot').{what}")


def offered(page: Page) -> set[str]:
    """The buttons that plotly puts above the plots; one of its own sends the plot to its makers."""
    titles = page.locator(".modebar-btn").evaluate_all("buttons => buttons.map(button => button.dataset.title)")
    return set(titles)


def test_a_click_on_a_point_opens_its_journey(open_page: Open, study: Results) -> None:
    page = open_page(study)
    others = (
        "node.data.map((one, place) => ['front', 'knee'].includes(one.name) ? -1 : place).filter(place => place >= 0)"
    )
    page.evaluate(
        f"(node => Plotly.restyle(node, {{visible: false}}, {others}))(document.querySelector('#front .chart'))"
    )
    page.locator("#front .scatterlayer .trace:has(.point)").nth(-1).locator(".point").first.click(force=True)
    dialog = page.locator("dialog[open]")
    dialog.wait_for()
    expect(dialog.locator("h2")).to_have_text(re.compile(rf"^Trial {study.knee.number}(?!\d)"))
    expect(page).to_have_url(re.compile(f"#trial-{study.knee.number}$"))
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    expect(page).not_to_have_url(re.compile("#"))


def test_a_link_opens_a_journey_with_everything(open_page: Open, study: Results) -> None:
    trial = study.front[0]
    page = open_page(study, fragment=f"#trial-{trial.number}")
    heading = page.locator("dialog[open] h2")
    expect(heading).to_have_text(re.compile(rf"^Trial {trial.number}(?!\d)"))
    told = page.locator("dialog[open]").inner_text()
    assert f"{trial.measurement.latency_s.value * 1e3:.4g}" in told
    assert "simulated" in told
    assert trial.artifact.sha256 in told
    assert trial.candidate.sha256 in told
    assert "temperature_c" in told
    assert "test accuracy" in told
    sibling = next(one for one in study.trials if one.genome == trial.genome and one is not trial)
    page.locator("dialog[open]").get_by_role("link", name=f"trial {sibling.number}", exact=True).click()
    expect(heading).to_have_text(re.compile(rf"^Trial {sibling.number}(?!\d)"))  # hashchange comes after the click


def test_a_failed_and_an_unknown_trial_have_their_say(open_page: Open, study: Results) -> None:
    page = open_page(study, fragment="#trial-5")
    assert "written to fail: <b>trial 5</b>" in page.locator("dialog .failure").inner_text()
    page.evaluate("location.hash = '#trial-999'")
    page.locator("dialog h2", has_text="No trial 999").wait_for()


def test_the_table_is_sorted_by_click_and_by_keyboard(open_page: Open, study: Results) -> None:
    page = open_page(study)
    page.get_by_text("all trials", exact=True).click()
    head = page.locator("#trials thead th", has_text="latency, ms")
    place = page.locator("#trials thead th").all_inner_texts().index(head.inner_text()) + 1
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    shown = [float(text.split()[0]) for text in column(page, place) if text]
    assert shown == sorted(shown)
    assert len(shown) == len(study.trials) - 1
    assert column(page, place)[-1] == ""  # what failed comes last
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    shown = [float(text.split()[0]) for text in column(page, place) if text]
    assert shown == sorted(shown, reverse=True)
    assert column(page, place)[-1] == ""


def test_the_table_is_filtered_by_words_and_by_limits(open_page: Open, study: Results) -> None:
    page = open_page(study)
    page.get_by_text("all trials", exact=True).click()
    search = page.get_by_role("searchbox")
    settled = [trial for trial in study.trials if trial.fidelity == "full"]
    for text, expected in (
        ("failed", {trial.number for trial in study.trials if trial.failure}),
        ("knee", {study.knee.number}),
        ("latency<0.02 full", {trial.number for trial in settled if trial.objectives["latency_s"] < 2e-5}),
        ("conv1=32", {trial.number for trial in study.trials if trial.genome[0] == 7}),
    ):
        search.fill(text)
        assert expected
        expect(page.locator("#trials tbody th")).to_have_text([str(number) for number in sorted(expected)])


def test_the_front_is_switched_to_other_quantities_scales_and_3d(open_page: Open, study: Results) -> None:
    page = open_page(study)
    assert "Pan" in offered(page)
    assert not offered(page) - HARMLESS
    before = plotted(page, "front", "data.find(trace => trace.name === 'front').x")
    assert before == pytest.approx([trial.objectives["latency_s"] * 1e3 for trial in study.front])
    page.locator("#front select").first.select_option("energy_j")
    energies = [trial.objectives["energy_j"] for trial in study.front]
    assert plotted(page, "front", "data.find(trace => trace.name === 'front').x") == pytest.approx(
        [1e3 * one for one in energies]
    )
    bars = plotted(page, "front", "data.find(trace => trace.name === 'front').error_x.array")
    assert bars[0] == pytest.approx((study.front[0].intervals["energy_j"][1] - energies[0]) * 1e3)
    assert plotted(page, "front", "layout.xaxis.title.text") == "energy, mJ (simulated)"
    scale = plotted(page, "front", "_fullLayout.xaxis.type")
    page.locator("#front").get_by_role("checkbox", name="logarithmic x axis").click()
    assert {scale, plotted(page, "front", "_fullLayout.xaxis.type")} == {"log", "linear"}
    page.get_by_text("3-D", exact=True).click()
    page.wait_for_selector("#front .gl-container canvas")
    assert {one["type"] for one in plotted(page, "front", "data")} == {"scatter3d"}
    page.locator("#front .modebar-btn[data-title='Orbital rotation']").wait_for(state="attached")
    assert "Pan" in offered(page)
    assert not offered(page) - HARMLESS
    page.get_by_text("2-D", exact=True).click()
    assert plotted(page, "front", "layout.xaxis.title.text") == "energy, mJ (simulated)"


def test_the_hypervolume_is_shown_over_networks_and_over_time(open_page: Open, study: Results) -> None:
    page = open_page(study)
    assert plotted(page, "search", "data[0].x[0]") == 1
    page.get_by_text("time", exact=True).click()
    assert plotted(page, "search", "_fullLayout.xaxis.type") == "date"


def test_the_theme_is_switched_and_remembered(open_page: Open, study: Results) -> None:
    page = open_page(study, scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    paper = plotted(page, "front", "layout.paper_bgcolor")
    page.get_by_role("button", name="Switch to light colours").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    assert plotted(page, "front", "layout.paper_bgcolor") != paper
    page.reload()
    page.get_by_role("button", name="Switch to dark colours").wait_for()
    drawn(page)


@pytest.mark.parametrize(("name", "begin"), [("SVG", b"<svg"), ("PNG", b"\x89PNG")])
def test_a_plot_is_saved_for_a_paper(open_page: Open, study: Results, name: str, begin: bytes) -> None:
    page = open_page(study, scheme="dark")
    with page.expect_download() as download:
        page.locator("#front").get_by_role("button", name=f"Save this plot as {name}").click()
    assert download.value.suggested_filename == f"{study.name}-front.{name.lower()}"
    saved = Path(download.value.path()).read_bytes()
    assert saved.startswith(begin)
    if name == "SVG":
        assert b"rgb(255, 255, 255)" in saved  # a paper is white, whatever the page


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("odd", ODD)
def test_every_odd_study_fits_and_complains_of_nothing(open_page: Open, odd: str, width: int, tmp_path: Path) -> None:
    results = ODD[odd](tmp_path / "study")
    page = open_page(results, width=width)
    assert fits(page)
    if results.trials:
        page.evaluate(f"location.hash = '#trial-{results.trials[-1].number}'")
        page.locator("dialog[open] h2").wait_for()
        assert page.evaluate("(d => d.scrollWidth <= d.clientWidth)(document.querySelector('dialog'))")


def test_nothing_that_others_wrote_is_read_as_html(open_page: Open, tmp_path: Path) -> None:
    page = open_page(ODD["hostile"](tmp_path / "study"), fragment="#trial-0")
    assert page.evaluate("window.owned") is None
    assert page.locator("img").count() == 0
    assert page.locator("a[href^=http]").count() == 0
    assert page.locator("svg a").count() == 0
    assert HOSTILE[:40] in page.locator("dialog[open]").inner_text()
    assert page.locator("#widths").inner_text()


def test_two_thousand_trials_are_sorted_and_filtered(open_page: Open, study: Results) -> None:
    results = many(study)
    page = open_page(results)
    page.get_by_text("all trials", exact=True).click()
    page.locator("#trials thead th", has_text="parameters").get_by_role("button").click()
    expect(page.locator("#trials tbody tr")).to_have_count(300)
    fewest = min(results.trials, key=lambda trial: trial.candidate.params).candidate.params
    place = page.locator("#trials thead th").all_inner_texts().index("parameters") + 1
    assert column(page, place)[0] == f"{fewest:,}"
    page.evaluate("(box => { box.scrollTop = box.scrollHeight; })(document.querySelector('#trials .box'))")
    expect(page.locator("#trials tbody tr")).to_have_count(600)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("#trials tbody tr")).to_have_count(2000)
    page.emulate_media(media="screen")
    page.get_by_role("searchbox").fill("conv1=32")
    expect(page.locator("#trials tbody tr")).to_have_count(sum(trial.genome[0] == 7 for trial in results.trials))


def test_it_is_printed_in_light_colours(open_page: Open, study: Results) -> None:
    page = open_page(study, scheme="dark")
    paper = page.locator("#front .main-svg").first
    expect(paper).to_have_css("background-color", "rgb(21, 26, 33)")
    page.emulate_media(media="print")
    expect(page.locator("nav")).to_be_hidden()
    expect(page.locator("section").first).to_have_css("color", "rgb(29, 36, 45)")
    expect(paper).to_have_css("background-color", "rgb(255, 255, 255)")
    expect(paper).to_have_attribute("width", "680")  # a sheet of A4 would cut off what is wider
    page.emulate_media(media="screen", color_scheme="dark")
    expect(paper).to_have_css("background-color", "rgb(21, 26, 33)")
    expect(paper).not_to_have_attribute("width", "680")


def test_a_browser_that_is_too_old_is_told_so(chromium: Any, study: Results, tmp_path: Path) -> None:
    from joulefront.report.page import study_page, write

    write(tmp_path / "page.html", study_page(study))
    context = chromium.new_context()
    context.add_init_script("delete window.DecompressionStream")
    page = context.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.get_by_text("this browser is too old").wait_for()
    assert page.locator(".headline").inner_text()
    context.close()
