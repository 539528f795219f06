"""Invalid calls: each one really is invalid, by a second reading of SPEC.md, and stays small."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.calling import Observation, observe, to_layout
from conformance.case import Case
from conformance.cases import invalid
from conformance.cases.data import make_inputs
from conformance.cases.invalid import MISTAKES
from conformance.cases.invalid.bases import bases as invalid_bases
from conformance.cases.ranges import Ranges
from conformance.cases.strategies import cases as drawn_cases
from conformance.cases.validity import validate
from conformance.dtypes import DTYPES, FLOATS
from conformance.errors import CaseError
from conformance.operators import FORWARD, GRADIENTS, OPERATORS
from conformance.registration.registry import get
from conformance.requirements import ACCEPTED, conventions, requirements
from conformance.signatures import SIGNATURES

NUMPY = ("naive", "im2col", "kernel-matrix", "stride-trick", "shifted-matmul")
ENDS_OF_TYPES = ("wraps-below", "lowest", "wraps", "31-bits", "62-bits")
TIER = {
    (operator, dims): invalid.cases(operator, dims, DTYPES)
    for operator in OPERATORS
    for dims in (1, 2, 3)
}
EVERY = [case for cases in TIER.values() for case in cases]


def called(case: Case) -> dict[str, Any]:
    """Return the arguments of an invalid case by name."""
    inputs, parameters = invalid.apply(case, make_inputs(case), case.parameters)
    return dict(zip(SIGNATURES[case.operator].arguments, inputs, strict=True)) | parameters


def attempted(name: str, case: Case) -> Observation:
    one, signature = get(name), SIGNATURES[case.operator]
    inputs, parameters = invalid.apply(case, make_inputs(case), case.parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return observe(
            one.functions[case.operator], inputs, parameters, one.layout, signature=signature
        )


# --- SPEC.md read a second time -----------------------------------------------------------------


def broken(operator: str, a: dict[str, Any]) -> set[str]:
    """Return the requirements that make a call invalid; those on sizes only if all else holds."""
    found = broken_kinds(a) | broken_axes(operator, a) | broken_parameters(a)
    return found or broken_sizes(operator, a)


def broken_kinds(a: dict[str, Any]) -> set[str]:
    dtypes = {value.dtype for value in a.values() if isinstance(value, np.ndarray)}
    found = {"REJECT-20"} if len(dtypes) > 1 else set()
    return found | {"REJECT-18" for dtype in dtypes if dtype.kind in "bOUS"}


def broken_axes(operator: str, a: dict[str, Any]) -> set[str]:
    """Check the numbers of axes of the arrays, and of the entries of shapes and parameters."""
    image = a.get("x", a.get("grad"))
    assert image is not None
    found = set() if 3 <= image.ndim <= 5 else {"REJECT-13"}
    for name in ("w", "grad"):
        if name in a and a[name].ndim != image.ndim:
            found.add("REJECT-13")
    for name in ("input_shape", "weight_shape"):
        if name in a and len(a[name]) != image.ndim:
            found |= {"REJECT-13", "REJECT-16"}
    names = ("kernel", "stride", "dilation", "output_padding", "padding")
    lengths = [len(a[name]) for name in names if name in a]
    if any(length != image.ndim - 2 for length in lengths):
        found.add("REJECT-14")
    if lengths and len(set(lengths)) == 1 and lengths[0] != image.ndim - 2:
        found.add("REJECT-13")  # the parameters agree: it is the array that differs
    return found


def broken_parameters(a: dict[str, Any]) -> set[str]:
    """Check the entries of the parameters by themselves."""
    found: set[str] = set()
    least = {
        "stride": ("REJECT-3", 1),
        "dilation": ("REJECT-4", 1),
        "kernel": ("REJECT-6", 1),
        "output_padding": ("REJECT-11", 0),
    }
    entries = [(*rule, v) for name, rule in least.items() for v in a.get(name, ())]
    entries += [("REJECT-7", 1, a["groups"])] if "groups" in a else []
    entries += [
        ("REJECT-15", 0, v) for v in (*a.get("input_shape", ()), *a.get("weight_shape", ()))
    ]
    for pair in a.get("padding", ()):
        found |= {"REJECT-14"} if len(pair) != 2 else set()
        entries += [("REJECT-5", 0, v) for v in pair]
    for requirement, smallest, value in entries:
        if not isinstance(value, int):
            found.add("REJECT-17")
        elif value < smallest:
            found.add(requirement)
    return found


def broken_sizes(operator: str, a: dict[str, Any]) -> set[str]:
    """Check what holds between arrays and parameters that are valid by themselves."""
    found: set[str] = set()
    if operator == "conv_bias_grad":
        return found
    x = a["x"].shape if "x" in a else a["input_shape"]
    w = a["w"].shape if "w" in a else a.get("weight_shape")
    transposed = operator == "conv_transpose"
    if 0 in x[2:] or (w is not None and 0 in (*w[2:], w[1 if transposed else 0])):
        found.add("REJECT-15")
    if x[1] == 0:
        found.add("REJECT-21")
    channels = x[1]
    if w is not None:
        groups = a["groups"]
        channels = w[1] * groups if transposed else w[0]
        if x[1] % groups or channels % groups:
            found.add("REJECT-8")
        if (w[0] if transposed else w[1] * groups) != x[1]:
            found.add("REJECT-9")
    if a.get("bias") is not None and a["bias"].shape != (channels,):
        found.add("REJECT-10")
    kernel = a["kernel"] if w is None else w[2:]
    dilation = a.get("dilation", (1,) * len(kernel))
    out = []
    for axis, (k, s, d, (before, after)) in enumerate(
        zip(kernel, a["stride"], dilation, a["padding"], strict=True)
    ):
        if transposed:
            r = a["output_padding"][axis]
            if not r < max(s, d):
                found.add("REJECT-11")
            out.append((x[2 + axis] - 1) * s - before - after + d * (k - 1) + r + 1)
        else:
            padded = x[2 + axis] + before + after
            out.append((padded - d * (k - 1) - 1) // s + 1)
            if a.get("ceil_mode"):
                out[-1] = -((d * (k - 1) + 1 - padded) // s) + 1
                out[-1] -= (out[-1] - 1) * s >= x[2 + axis] + before
        if w is None and d == 1 and 2 * max(before, after) > k:
            found.add("REJECT-19")
    if min(out) < 1:
        found.add("REJECT-12")
    if "grad" in a and a["grad"].shape != (x[0], channels, *out):
        found.add("REJECT-16")
    return found


@pytest.mark.parametrize("operator", OPERATORS)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_mutation_of_any_valid_case_is_invalid(operator: str, data: st.DataObject) -> None:
    """Whatever the case, also after shrinking: the requirement that is cited is broken."""
    gradient = GRADIENTS.get(operator)
    base = data.draw(drawn_cases(gradient.forward.name if gradient else operator, Ranges()))
    base = gradient.derived(base) if gradient else base
    inputs, parameters = make_inputs(base), base.parameters
    names = SIGNATURES[operator].arguments

    assert set() == broken(operator, dict(zip(names, inputs, strict=True)) | parameters)
    for mistake in MISTAKES.values():
        changed = mistake.apply(base, inputs, parameters)
        if changed is not None:
            arguments = dict(zip(names, changed[0], strict=True)) | changed[1]
            assert mistake.requirement in broken(operator, arguments), (base.id, mistake.name)


@pytest.mark.parametrize(("operator", "dims"), TIER)
def test_every_case_of_the_tier_breaks_what_it_cites(operator: str, dims: int) -> None:
    """The same for the cases that are run by default."""
    wrong = [
        case.id
        for case in TIER[operator, dims]
        if MISTAKES[case.invalid].requirement not in broken(operator, called(case))
    ]

    assert [] == wrong


@pytest.mark.parametrize("name", NUMPY)
def test_the_numpy_implementations_reject_every_case(name: str) -> None:
    """Hand-written kernels that check their arguments raise, and leave their inputs alone."""
    functions = get(name).functions
    seen = {case: attempted(name, case) for case in EVERY if case.operator in functions}
    silent = [case.id for case, one in seen.items() if not (one.raised or one.unsupported)]

    assert [] == silent
    assert [] == [case.id for case, one in seen.items() if one.changed]


@pytest.mark.parametrize("name", NUMPY)
def test_the_base_cases_are_computed(name: str) -> None:
    """Nothing but the mistake stands in the way of a result."""
    one = get(name)
    bases = {case.replace(invalid="") for case in EVERY if case.operator in one.functions}
    refused = []
    for case in bases:
        if one.gap(case) is None:
            arrays = to_layout(make_inputs(case), one.layout, SIGNATURES[case.operator].roles)
            result = one.functions[case.operator](*arrays, **case.parameters)
            refused += [] if isinstance(result, np.ndarray) else [case.id]

    assert [] == refused


# --- the catalogue ------------------------------------------------------------------------------


def test_each_mutation_is_made_for_every_operator_that_it_lists() -> None:
    """No mistake lies idle, but for a narrower dtype or several axes that some case lacks."""
    made = {(case.invalid, case.operator) for case in EVERY}
    listed = {(m.name, operator) for m in MISTAKES.values() for operator in m.operators}

    assert set() == listed - made


def test_every_rejection_that_the_spec_demands_is_tried() -> None:
    """REJECT-1 and REJECT-2 say what rejecting is; all others have a mistake."""
    demanded = {id for id in requirements() if id.startswith("REJECT-")}

    assert demanded - {"REJECT-1", "REJECT-2"} == {m.requirement for m in MISTAKES.values()}


def test_every_parameter_of_every_operator_is_made_invalid() -> None:
    """All but the flags, for which the spec names no invalid value."""
    flags = {"ceil_mode", "count_include_pad"}
    changed = {
        (case.operator, name)
        for case in EVERY
        for name, value in called(case).items()
        if name in case.parameters and value is not case.parameters[name]
    }
    parameters = {
        (operator, name)
        for operator, signature in SIGNATURES.items()
        for name in signature.parameters
        if name not in flags
    }

    assert set() == parameters - changed


def test_every_mistake_that_a_convention_accepts_is_there() -> None:
    assert {*ACCEPTED} == {mistake.name for mistake in MISTAKES.values() if mistake.convention}


def test_conventions_are_those_of_the_requirement() -> None:
    """A mistake is excused by an alternative of its own requirement, never by the default."""
    for mistake in MISTAKES.values():
        expected = requirements()[mistake.requirement].convention
        convention, alternative = mistake.convention or (None, None)

        assert expected == convention
        if convention is not None:
            found = conventions()[convention]
            assert alternative in set(found.alternatives) - {found.default}


# --- the cases ----------------------------------------------------------------------------------


def test_case_ids_are_read_back() -> None:
    """An invalid case can be pasted like any other."""
    assert EVERY == [Case.parse(case.id) for case in EVERY]


def test_no_case_comes_twice() -> None:
    assert len(EVERY) == len(set(EVERY))


def test_nothing_is_large() -> None:
    """A mistake costs no memory and no time, whoever makes it."""
    for case in EVERY:
        for name, value in called(case).items():
            if isinstance(value, np.ndarray):
                assert value.size < 50_000
            elif name in case.parameters:
                flat = np.ravel(np.array(value, object)).tolist()
                ends = case.invalid.removeprefix(f"{name}-") in ENDS_OF_TYPES
                assert ends or all(abs(v) < 100 for v in flat if isinstance(v, int))


def test_numbers_that_wrap_are_those_of_a_valid_call_in_32_bits() -> None:
    wrapped = [case for case in EVERY if "-wraps" in case.invalid]

    assert {"stride", "dilation", "kernel", "padding", "groups", "output_padding"} == {
        case.invalid.partition("-wraps")[0] for case in wrapped
    }
    for case in wrapped:
        for name, value in case.replace(invalid="").parameters.items():
            there, here = (np.array(v, np.int64) for v in (called(case)[name], value))
            assert np.array_equal(there.astype(np.int32), here.astype(np.int32))


@pytest.mark.parametrize(("operator", "dims"), TIER)
def test_each_mistake_is_made_from_both_base_cases_in_the_first_dtype(
    operator: str, dims: int
) -> None:
    bases = [base.replace(dtype="float32") for base in invalid_bases(operator, dims)]
    made = {case for case in TIER[operator, dims] if case.dtype == "float32"}
    expected = {
        case
        for base in bases
        for name in MISTAKES
        if invalid.applies(case := base.replace(invalid=name))
    }

    assert expected == made


@pytest.mark.parametrize(("operator", "dims"), TIER)
def test_an_implementation_of_one_dtype_is_handed_every_mistake(operator: str, dims: int) -> None:
    """Nothing hides in the gaps of an implementation that declares float32 alone."""
    first = {case.invalid for case in TIER[operator, dims] if case.dtype == "float32"}

    assert {case.invalid for case in TIER[operator, dims]} == first


def test_the_other_dtypes_take_turns() -> None:
    """Every dtype that the operator takes is met."""
    assert {*FLOATS, "int32", "int64"} == {case.dtype for case in TIER["conv", 1]}


def test_a_dtype_that_the_operator_does_not_take_is_left_out() -> None:
    assert [] == invalid.cases("avg_pool", 2, ("int8",))


@pytest.mark.parametrize("operator", FORWARD)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_an_input_without_batch_is_so_in_both_layouts(operator: str, dims: int) -> None:
    """(C, *S) for one implementation is (*S, C) for another: the axis that misses is the batch."""
    case = next(c for c in TIER[operator, dims] if c.invalid == "x-without-batch")
    inputs, _ = invalid.apply(case, make_inputs(case), case.parameters)
    last = to_layout(inputs, "NHWC", SIGNATURES[operator].roles)[0]

    assert case.x[1:] == inputs[0].shape
    assert (*case.x[2:], case.x[1]) == last.shape


def test_the_arguments_handed_in_stay_as_they_were() -> None:
    """Prepared inputs are shared by all implementations."""
    for case in EVERY:
        inputs, parameters = make_inputs(case), case.parameters
        invalid.apply(case, inputs, parameters)

        assert parameters == case.parameters
        for mine, fresh in zip(inputs, make_inputs(case), strict=True):
            assert np.array_equal(mine, fresh)


# --- messages -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("invalid=stride-zero", "stride=(0, 1): stride below 1"),
        ("invalid=stride-zero-last", "stride=(1, 0): stride below 1"),
        ("invalid=padding-nan", "padding=((nan, 0), (0, 0)): NaN in padding"),
        ("invalid=groups-none", "groups=None: None for groups"),
        (
            "invalid=w-one-channel",
            "w of shape (3, 1, 2, 3): channels of the weight that do not match the input's",
        ),
        ("invalid=w-wider", "w of dtype float64: not the dtype of the other arrays"),
    ],
)
def test_a_description_shows_what_was_handed_over(case: str, expected: str) -> None:
    assert expected == invalid.describe(
        Case.parse(f"conv2d:float32:x=1,2,5,6:w=3,2,2,3:{case}:integers@0")
    )


@pytest.mark.parametrize("function", [invalid.describe, invalid.applies])
def test_an_unknown_mutation_is_an_error_that_names_similar_ones(function: Any) -> None:
    case = Case(operator="conv", x=(1, 1, 3), w=(1, 1, 2), invalid="stride-null")

    with pytest.raises(CaseError, match=r"^case conv1d:.*'stride-null' is unknown; .*stride-"):
        function(case)


def test_a_mutation_of_another_operator_does_not_apply() -> None:
    case = Case(operator="conv", x=(1, 1, 3), w=(1, 1, 2), invalid="kernel-zero")

    assert not invalid.applies(case)
    with pytest.raises(CaseError, match="does not apply; it applies to max_pool, avg_pool"):
        invalid.apply(case, make_inputs(case), case.parameters)


def test_a_mutation_that_the_base_case_has_nothing_for_does_not_apply() -> None:
    """A bias that is not there cannot be too long."""
    case = Case(operator="conv", x=(1, 1, 3), w=(1, 1, 2), invalid="bias-too-long")

    assert not invalid.applies(case)
    with pytest.raises(CaseError, match="does not apply; give the base case"):
        invalid.describe(case)


def test_the_base_of_every_case_is_valid() -> None:
    """`validate` is what tells a valid call from an invalid one; the mistake comes after it."""
    for case in EVERY:
        validate(case.replace(invalid=""))
