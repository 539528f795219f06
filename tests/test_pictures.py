"""What the page draws: wrong results as grids, the feature matrix, and the spread of the errors."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from conformance import run
from conformance.case import Case
from conformance.features import INVALID, NAMES, Count, features_of
from conformance.features import written as features_written
from conformance.judging import Prepared
from conformance.operators import OPERATORS
from conformance.reports import Report, load
from conformance.reports.distribution import distributions
from conformance.reports.features_table import feature_matrix
from conformance.reports.grids import Grid, svg
from conformance.reports.html import html
from conformance.reports.picture import drawn, in_words, window
from conformance.reports.roster import fastest, roster, what_was_run
from conformance.runfile import shares
from conformance.runfile.tables import Known
from tests.defects import kernels, unregistered
from tests.test_reports import HOSTILE, Page, Write, cell, implementation, timing, violation, write

__all__ = ["write"]  # a fixture

GROUPED = "conv2d:float32:x=1,2,3,3:w=2,1,2,2:groups=2:integers@0"


def doubled_groups(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
    y = kernels.conv(x, w, bias, **parameters)
    return 2 * y if parameters["groups"] > 1 else y


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return the report of a run on a conv that is wrong where there are groups."""
    folder = tmp_path_factory.mktemp("run")
    chosen: dict[str, Any] = {"operators": ["conv"], "dims": [1], "dtypes": ["float32"]}
    chosen |= {"checks": ["result"], "examples": 40, "suites": (), "cache": False}
    kernel = unregistered("mine", {"conv": doubled_groups}, {"dtypes": "float32"})
    run([kernel], **chosen, output=folder)
    return load(folder / "run.sqlite")


def marks(report: Report) -> dict[str, str]:
    """Return the mark of the first implementation by feature."""
    groups = feature_matrix(report).groups
    return {name: row[0].word for group in groups for name, row in group.rows}


class TestRun:
    """What a run notes for the pictures."""

    def test_a_wrong_result_is_noted_with_its_arrays(self, wrong: Report) -> None:
        (found,) = wrong.violations
        data = json.loads(found.picture)
        prepared = Prepared.of(Case.parse(found.case))
        exact = prepared.reference.exact

        assert next(iter(data["arrays"])) == "x"
        assert data["arrays"]["exact"]["shape"] == list(exact.shape)
        assert [float(v) for v in data["arrays"]["exact"]["values"]] == exact.ravel().tolist()
        assert [float(v) for v in data["arrays"]["got"]["values"]] == (2 * exact).ravel().tolist()
        assert data["wrong"] == np.flatnonzero(exact).tolist()

    def test_cases_are_counted_by_feature_and_by_error(self, wrong: Report) -> None:
        (judged,) = wrong.cells
        ((_, (histogram,)),) = distributions(wrong)[1]

        assert histogram is not None
        assert histogram.cases == judged.compared
        assert histogram.beyond == judged.violating > 0

    def test_only_the_features_are_marked_that_the_failure_needs(self, wrong: Report) -> None:
        found = marks(wrong)

        assert found["groups > 1"] == found["conv"] == found["float32"] == "violates"
        assert found["stride > 1"] == found["padding"] == "conforms"
        assert "ceil_mode" not in found


class TestFeatures:
    """The table of features by implementations."""

    @pytest.mark.parametrize("name", NAMES)
    def test_each_feature_is_met_by_a_case(self, name: str) -> None:
        cases = {
            "conv2d:float32:x=0,4,5,5:w=4,1,2,2:bias:stride=2,1:padding=1/0,0/0:dilation=2,1:"
            "groups=4:memory=channels_last:nan@0",
            "conv_transpose1d:float32:x=1,1,3:w=1,1,2:stride=2:output_padding=1:inf@0",
            "avg_pool1d:float32:x=1,1,3:kernel=2:ceil_mode:exclude_pad:memory=reversed:zeros@0",
            "max_pool1d:float32:x=1,1,3:kernel=2:subnormal@0",
            "max_pool1d:float32:x=1,1,3:kernel=2:huge@0",
            "max_pool1d:float32:x=1,1,3:kernel=2:invalid=stride-zero:integers@0",
        }

        assert [c for c in cases if name in features_of(Case.parse(c))] != []

    def test_a_plain_case_has_none_and_an_invalid_one_nothing_else(self) -> None:
        plain = Case.parse("conv1d:float32:x=1,1,3:w=1,1,1:integers@0")

        assert features_of(plain) == []
        assert features_of(plain.replace(invalid="stride-zero", stride=(2,))) == [INVALID]

    @pytest.mark.parametrize(
        ("count", "expected"),
        [
            (Count(compared=5), "conforms"),
            (Count(compared=5, unsupported=1), "partly"),
            (Count(unsupported=1), "unsupported"),
            (Count(compared=5, violating=1), "violates"),
            (Count(compared=5, known=1), "known difference"),
        ],
    )
    def test_a_mark_says_what_came_of_the_cases(
        self, write: Write, count: Count, expected: str
    ) -> None:
        known = Known(
            **dict.fromkeys(("link", "versions", "script", "engine_script", "replay"), ""),
            implementation="a",
            requirement="CONV-6",
            operator="conv",
            count=1,
            case=GROUPED,
            covers="groups",
            reason="so it is",
            message="",
            status="known difference",
        )
        report = write(
            implementation=[implementation("a")],
            cell=[cell("a", features=features_written({"groups > 1": count}))],
            violation=[violation("a", case=GROUPED)] if count.violating else [],
            known=[known],
        )

        assert marks(report)["groups > 1"] == expected
        assert ('<a href="#known/1">1</a>' in html(report)) == bool(count.known)

    def test_an_older_run_has_operators_dims_and_dtypes(self, write: Write) -> None:
        report = write(implementation=[implementation("a")], cell=[cell("a", unsupported=20)])

        assert marks(report) == {"conv": "partly", "2-D": "partly", "float32": "partly"}


class TestPictures:
    """Arrays as SVG."""

    def test_every_number_is_drawn_in_its_plane(self) -> None:
        text = svg([Grid("x", (1, 2, 2, 3), [*map(str, range(12))], {"wrong": {4}})], "a picture")

        Page(text)
        assert re.findall(r">([^<>]+)</text>", text) == [
            *("x (1 x 2 x 2 x 3)", "[0, 0]", *map(str, range(6)), "[0, 1]", *map(str, range(6, 12)))
        ]
        assert re.findall(r'<g class="wrong"><rect[^>]*/><path[^>]*/><text[^>]*>(\d)', text) == [
            "4"
        ]

    @pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 2, 3), (0, 1, 3), (1, 2, 2, 2, 2)])
    def test_arrays_of_any_shape_are_drawn(self, shape: tuple[int, ...]) -> None:
        size = int(np.prod(shape))

        assert svg([Grid("x", shape, ["1"] * size)], "").count("<rect") == size

    @pytest.mark.parametrize(
        "picture",
        [
            "",
            "[]",
            "{",
            '{"wrong": [0], "arrays": {"x": {"shape": [2], "values": ["1"]}}}',
            HOSTILE,
        ],
    )
    def test_what_is_no_picture_is_not_drawn(self, picture: str) -> None:
        assert drawn(violation("a", picture=picture)) is None

    def test_a_hostile_picture_stays_text(self, write: Write) -> None:
        arrays = {HOSTILE: {"shape": [1], "values": [HOSTILE]}}
        picture = json.dumps({"arrays": arrays, "wrong": [0]})
        page = Page(html(write(violation=[violation("a", picture=picture)])))

        assert "svg" in page.tags
        assert page.tags.count("script") == 2

    @pytest.mark.parametrize(
        "text",
        [
            GROUPED,
            "conv1d:float64:x=2,2,7:w=3,2,2:stride=2:padding=2/1:dilation=3:integers@0",
            "avg_pool2d:float32:x=1,2,4,3:kernel=2,2:stride=2,1:padding=1/0,0/1:ceil_mode:integers@0",
            "max_pool1d:float32:x=1,2,5:kernel=3:stride=2:padding=1/1:ceil_mode:integers@0",
        ],
    )
    def test_the_framed_window_is_what_an_element_is_made_of(self, text: str) -> None:
        case = Case.parse(text)
        operator, inputs = OPERATORS[case.operator], Prepared.of(case).inputs
        exact = operator.reference(case, inputs).exact
        for element in range(exact.size):
            inside = np.isin(np.arange(inputs[0].size), [*window(text, element)])
            for changed in (inside, ~inside):
                x = np.where(changed.reshape(case.x), inputs[0] + 1000, inputs[0])
                result = operator.reference(case, (x, *inputs[1:])).exact

                depends = bool(inside.any()) and changed is inside
                assert depends == (result.flat[element] != exact.flat[element])

    def test_a_case_is_told_in_words(self) -> None:
        assert in_words(GROUPED) == (
            "A 2-D convolution in float32 of 1 image with 2 channels of 3 x 3, a weight of 2 x 1 "
            "kernels of 2 x 2, 2 groups; data: small integers, seed 0."
        )
        assert in_words("no case") == ""


def test_each_share_of_the_bound_has_its_range() -> None:
    found = [shares.range_of(share) for share in (0.0, 1e-9, 0.001, 0.2, 1.0, 1.0001, np.inf)]

    assert found == [0, 1, 1, 4, 7, 8, 8]
    assert shares.read("") == shares.read("[1, 2]") == (0,) * shares.RANGES


class TestFirstScreen:
    """Who conforms, who does not and where, how fast, and what was run."""

    def test_the_worst_come_first_with_where_they_fail(self, write: Write) -> None:
        report = write(
            implementation=[implementation("good"), implementation("bad", "violates")],
            cell=[cell("good"), cell("bad", verdict="violates"), cell("bad", "max_pool")],
        )

        found = [(word, [(m.name, m.where) for m in members]) for word, members in roster(report)]
        assert found == [("violates", [("bad", ("conv",))]), ("conforms", [("good", ())])]
        assert what_was_run(report) == (
            "tier default · 2 operators · 1 dtype · seed 17 · A CPU · 2025-03-14T09:26:53+00:00"
        )

    def test_the_fastest_is_one_whose_outputs_are_right(self, write: Write) -> None:
        rows = [
            timing("wrong", median=1e-6, verified="element 3 is off"),
            timing("torch", median=1e-3),
            timing("naive"),
            timing("naive", layer="vgg/conv1"),
        ]

        assert fastest(write(timing=rows)) == "torch on 1, naive on 1 of 2 timed layers"
        assert fastest(write(cell=[cell("a")])) == ""
