"""The page in a real browser: what its script adds, and that nothing else runs or is fetched."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from conformance.reports import Report
from conformance.reports.as_json import as_json
from conformance.reports.html import html
from tests.test_reports import CASE, RUNS, Write, cell, implementation, violation, write

__all__ = ["write"]  # a fixture

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

GROUPED = "conv2d:float32:x=1,2,3,3:w=2,1,2,2:groups=2:integers@0"
DILATED = "conv1d:float64:x=1,1,4:w=1,1,2:dilation=3:integers@0"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as engine:
        options = [] if os.getuid() else ["--no-sandbox"]  # which root cannot have
        chromium = engine.chromium.launch(executable_path=CHROMIUM, args=options)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a report; in the end no error and no request must have been."""
    wrong: list[str] = []
    contexts = []

    def opened(report: Report, query: str = "", **options: Any) -> Any:
        path = tmp_path / "report.html"
        path.write_text(html(report), encoding="utf-8")
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        allowed = path.as_uri()
        page.on("request", lambda r: r.url.split("#")[0] == allowed or wrong.append(r.url))
        page.goto(f"{allowed}#{quote(query)}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def some(write: Write) -> Report:
    return write(
        implementation=[implementation("naive"), implementation("mine", "violates")],
        cell=[
            cell("naive", worst=0.25),
            cell("naive", "max_pool", dims=1, worst=0.0),
            cell("mine", worst=0.75, verdict="violates", violating=3),
            cell("mine", dtype="float64", dims=1, worst=0.5, verdict="violates"),
        ],
        violation=[
            violation("mine", case=GROUPED, requirement="CONV-6"),
            violation("mine", case=DILATED, requirement="CONV-5", dtype="float64", dims=1),
        ],
    )


class TestQuery:
    """What is shown follows the address, and the address what is shown."""

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("", 6),
            ("op:conv status:violates groups>1", 1),
            ("dilation>=3", 1),
            ("groups=1 kind:violation", 1),
            ("impl:n*", 2),
            ("-impl:naive", 4),
            ("dtype:float64,int8", 2),
            ("worst>0.4 kind:cell", 2),
            ("req:CONV-5,CONV-6", 2),
            ("text:CONV-6 mine", 1),
            ("op:max_pool dims:2", 0),
        ],
    )
    def test_an_address_shows_the_rows_that_match(
        self, write: Write, opened: Callable[..., Any], query: str, expected: int
    ) -> None:
        page = opened(some(write), query)

        assert page.locator("#count").inner_text() == f"{expected} of 6 rows"
        assert page.locator("#results tbody .opener").count() == expected

    def test_typing_choosing_and_sorting_are_kept_in_the_address(
        self, write: Write, opened: Callable[..., Any]
    ) -> None:
        page = opened(some(write))
        page.fill("#query", "kind:cell")
        page.select_option("select[name=implementation]", "mine")
        page.click("th[data-column=worst] button")
        page.click("th[data-column=worst] button")

        assert page.input_value("#query") == "kind:cell impl:mine sort:-worst"
        assert page.url.endswith("#kind:cell%20impl:mine%20sort:-worst")
        worst = page.locator("#results tbody tr td:last-child").all_inner_texts()
        assert worst == ["0.75", "0.5"]
        page.reload()
        assert page.locator("#count").inner_text() == "2 of 6 rows"
        assert page.get_attribute("th[data-column=worst]", "aria-sort") == "descending"

    def test_ten_thousand_rows_are_shown_some_at_a_time(
        self, write: Write, opened: Callable[..., Any]
    ) -> None:
        cells = [cell(f"i{i}", dims=d) for i in range(3400) for d in (1, 2, 3)]
        page = opened(write(cell=cells[:10_000]), "dims:3")

        assert page.locator("#count").inner_text() == "3,333 of 10,000 rows, the first 100"
        page.click("#more")
        assert page.locator("#results tbody .opener").count() == 200


class TestLinks:
    """Each cell and each violation has an address."""

    def test_a_permalink_opens_its_cell(self, write: Write, opened: Callable[..., Any]) -> None:
        page = opened(some(write), "mine/conv1d/float64")

        cell_ = page.locator("[id='mine/conv1d/float64']")
        assert cell_.is_visible()
        assert page.locator("[id='naive/max_pool1d/float32']").is_hidden()
        assert page.locator("#results th[scope=row]").all_inner_texts() == ["mine", "mine"]
        assert page.url.endswith("#mine/conv1d/float64")

    def test_a_row_opens_down_to_its_case_and_the_command_that_shows_it(
        self, write: Write, opened: Callable[..., Any]
    ) -> None:
        page = opened(some(write), "groups>1")
        page.click("#results .opener")

        assert f"convformance replay '{GROUPED}' mine" in page.inner_text("#results .detail")
        page.click("#results .opener")
        assert page.locator("#results .detail").count() == 0

    def test_commands_and_scripts_are_copied(
        self, write: Write, opened: Callable[..., Any]
    ) -> None:
        permissions = ["clipboard-read", "clipboard-write"]
        page = opened(some(write), permissions=permissions)
        page.click("article pre:has-text('replay') + .copies >> nth=0")

        page.wait_for_function("document.activeElement.textContent === 'Copied'")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == f"convformance replay '{CASE}' mine"


class TestOtherRuns:
    """A run's JSON that is opened in the page."""

    def test_a_run_gives_the_rows_of_its_own_page(
        self, write: Write, opened: Callable[..., Any], tmp_path: Path
    ) -> None:
        report = some(write)
        (tmp_path / "run.json").write_text(json.dumps(as_json(report)))
        page = opened(report)
        own = page.locator("#results").inner_text()
        page.set_input_files("#file", tmp_path / "run.json")
        page.wait_for_selector("#other:visible")

        assert page.inner_text("#other") == "run.json: 1 violates, 1 conforms"
        assert page.locator("#results").inner_text() == own
        assert page.locator("#verdicts").is_hidden()
        page.click("#back")
        assert page.locator("#verdicts").is_visible()

    @pytest.mark.parametrize("text", ["", "[]", '{"implementations": 1}', "\x00"])
    def test_another_file_is_refused_in_one_sentence(
        self, write: Write, opened: Callable[..., Any], tmp_path: Path, text: str
    ) -> None:
        (tmp_path / "other.json").write_text(text)
        page = opened(some(write))
        page.set_input_files("#file", tmp_path / "other.json")
        page.wait_for_function("document.getElementById('said').textContent !== ''")

        said = page.inner_text("#said")
        assert said.startswith('other.json is not what "convformance report --json" writes: ')
        assert page.locator("#count").inner_text() == "6 of 6 rows"


@pytest.mark.parametrize("run", RUNS)
def test_no_run_is_wider_than_the_screen_or_runs_anything(
    write: Write, opened: Callable[..., Any], run: str
) -> None:
    page = opened(write(**RUNS[run]), "kind:cell")
    for width in (420, 800, 1400):
        page.set_viewport_size({"width": width, "height": 900})

        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelectorAll('script').length") in (0, 2)


def test_a_hostile_run_that_is_opened_stays_text(
    write: Write, opened: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "run.json").write_text(json.dumps(as_json(write(**RUNS["hostile"]))))
    page = opened(some(write))
    page.set_input_files("#file", tmp_path / "run.json")
    page.wait_for_selector("#other:visible")

    assert "<script>alert(1)</script>" in page.inner_text("#results")
    assert page.locator("#results script, #other-verdicts script").count() == 0


def test_all_is_there_without_a_script(write: Write, opened: Callable[..., Any]) -> None:
    page = opened(some(write), java_script_enabled=False)
    text = page.inner_text("body")

    assert "CONV-6: each group reads its own channels" in text
    assert GROUPED in text
    assert "Explore" not in text
