"""Histories of calls: what is handed over, and what comes back of each call."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from conformance.calling import Answer, HistoryCall, perform
from conformance.errors import Unsupported

Array = np.ndarray[Any, Any]

X = np.arange(1.0, 5.0, dtype=np.float32).reshape(1, 1, 4)


def call(x: Array = X, **changes: Any) -> HistoryCall:
    fields: dict[str, Any] = {"what": "a call", "operator": "max_pool", "inputs": (x,)}
    return HistoryCall(**fields | {"parameters": {}} | changes)


def answers(function: Any, *calls: HistoryCall, **options: Any) -> list[Answer]:
    return perform({"max_pool": function}, calls, **options)


def test_each_call_has_an_answer_with_a_copy_of_the_output() -> None:
    buffer = X.copy()

    def into_one_buffer(x: Array) -> Array:
        buffer[...] = x
        return buffer

    first, second = answers(into_one_buffer, call(), call(X + 1))

    assert [X.tolist(), (X + 1).tolist()] == [a.seen.output.tolist() for a in (first, second)]


def test_inputs_are_copied_for_every_call() -> None:
    seen: list[Array] = []

    def keep(x: Array) -> Array:
        seen.append(x)
        return x + 1

    answers(keep, call(), call())

    assert not np.shares_memory(seen[0], seen[1])
    assert not np.shares_memory(seen[0], X)


def test_refilled_arrays_are_those_of_the_earlier_call() -> None:
    seen: list[Array] = []

    def keep(x: Array) -> Array:
        seen.append(x)
        return x + 1

    answers(keep, call(), call(2 * X, refill=0))

    assert seen[0] is seen[1]
    assert (2 * X).tolist() == seen[1].tolist()


def test_the_bits_of_equal_calls_are_compared() -> None:
    numbers = iter((0, 0, 1))
    found = answers(lambda x: x + next(numbers), call(), call(like=0), call(like=0))

    assert [None, True, False] == [answer.same for answer in found]
    assert None is found[1].seen.output  # it is that of the first call
    assert (X + 1).tolist() == found[2].seen.output.tolist()


def test_a_nan_has_the_bits_of_a_nan() -> None:
    found = answers(lambda x: x * np.float32(np.nan), call(), call(like=0))

    assert True is found[1].same


def test_memory_that_is_handed_out_twice_is_named() -> None:
    buffer = X.copy()
    found = answers(lambda x: buffer, call(), call(), call())

    assert [(), (0,), (0, 1)] == [answer.shares for answer in found]


def test_an_output_that_a_later_call_changes_is_named() -> None:
    handed: list[Array] = []

    def spoil(x: Array) -> Array:
        if len(handed) == 2:
            handed[0][...] = 0
        handed.append(x + 1)
        return handed[-1]

    found = answers(spoil, call(), call(), call(), call())

    assert [2, None, None, None] == [answer.changed_by for answer in found]


def test_an_output_changed_long_after_is_seen_at_the_end() -> None:
    handed: list[Array] = []

    def spoil(x: Array) -> Array:
        if len(handed) == 39:
            handed[0][...] = 0
        handed.append(x + 1)
        return handed[-1]

    found = answers(spoil, *[call()] * 40)

    assert 39 == found[0].changed_by


def test_exceptions_and_gaps_are_answers() -> None:
    problems = iter((ValueError("no such slot"), Unsupported("too small"), SystemExit(3)))

    def refuse(x: Array) -> Array:
        raise next(problems)

    found = [answer.seen for answer in answers(refuse, call(), call(like=0), call())]

    assert ["ValueError: no such slot", None, "SystemExit: 3"] == [seen.raised for seen in found]
    assert "too small" == found[1].unsupported


def test_what_is_no_array_is_handed_back_as_it_is() -> None:
    found = answers(lambda x: x.tolist(), call(), call(like=0))

    assert [None, None] == [answer.same for answer in found]
    assert X.tolist() == found[1].seen.output


def test_channels_last_arrays_come_back_channels_first() -> None:
    shapes: list[tuple[int, ...]] = []

    def note(x: Array) -> Array:
        shapes.append(x.shape)
        return x + 1

    (found,) = answers(note, call(np.zeros((2, 3, 4, 5))), layout="NHWC")

    assert [(2, 4, 5, 3)] == shapes
    assert (2, 3, 4, 5) == found.seen.output.shape


def test_no_call_but_the_first_begins_when_time_is_up() -> None:
    assert 1 == len(answers(lambda x: x + 1, *[call()] * 5, seconds=-1))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_calls_and_answers_can_be_sent(protocol: int) -> None:
    calls = pickle.loads(pickle.dumps((call(), call(like=0)), protocol))
    found = pickle.loads(pickle.dumps(answers(lambda x: x + 1, *calls), protocol))

    assert (X + 1).tolist() == found[0].seen.output.tolist()
