"""Parameters in the convention of a library: what is handed over, and what is not asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from conformance.case import Case
from conformance.errors import RegistrationError
from conformance.implementations import im2col
from conformance.judging import Verdict, judge
from conformance.registration.implementation import Implementation
from conformance.registration.registry import Registry, implementation, using
from conformance.runfile.words import CONFORMS
from conformance.scripts.standalone import script_of

CONV = "conv2d:float32:x=2,4,7,6:w=6,2,3,2:bias:{}groups=2:integers@1"
POOL = "max_pool2d:float32:x=2,3,7,6:kernel=3,2:{}integers@1"


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    with using(Registry()):
        yield


def handed(convention: str, case: str, function: Callable[..., Any] | None = None) -> Any:
    """Return the parameters that a function is handed in a convention, or the reason of a gap."""
    seen: dict[str, Any] = {}

    def noting(*arrays: Any, **parameters: Any) -> Any:
        seen.update(parameters)
        raise NotImplementedError

    parsed = Case.parse(case)
    made = implementation("noting", parameters=convention)
    made.register(parsed.operator, function or noting)
    verdict = judge(made, case)
    return seen or verdict.message


@pytest.mark.parametrize(
    ("convention", "case", "due"),
    [
        (
            "torch",
            CONV.format("stride=2,1:padding=1/1,0/0:"),
            {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 1), "groups": 2},
        ),
        (
            "torch",
            CONV.format("padding=1/1,0/1:"),
            {"stride": (1, 1), "padding": "same", "dilation": (1, 1), "groups": 2},
        ),
        (
            "torch",
            POOL.format("stride=2,2:"),
            {
                "kernel_size": (3, 2),
                "stride": (2, 2),
                "padding": (0, 0),
                "dilation": (1, 1),
                "ceil_mode": False,
            },
        ),
        (
            "tensorflow",
            CONV.format("stride=2,3:padding=1/1,0/0:"),
            {"strides": (2, 3), "padding": "SAME", "dilations": (1, 1)},
        ),
        (
            "tensorflow",
            POOL.format("stride=2,2:"),
            {"ksize": (3, 2), "strides": (2, 2), "padding": "VALID"},
        ),
        (
            "tensorflow",
            "conv_transpose1d:float32:x=1,2,3:w=2,3,4:stride=2:padding=1/1:integers@0",
            {
                "output_shape": (1, 3, 6),
                "strides": (2,),
                "padding": "SAME",
                "dilations": (1,),
            },
        ),
        (
            "numbers",
            CONV.format("stride=2,2:padding=1/1,1/1:"),
            {"stride": 2, "padding": 1, "dilation": 1, "groups": 2},
        ),
        ("torch", CONV.format("padding=1/0,0/0:"), "PyTorch pads both ends of an axis alike"),
        (
            "torch",
            CONV.format("stride=2,1:padding=1/1,0/1:"),
            "PyTorch pads both ends of an axis alike",
        ),
        ("numbers", CONV.format("stride=2,1:"), "one number is the same on every axis"),
        ("tensorflow", POOL.format("ceil_mode:"), "TensorFlow has no ceil_mode"),
        ("tensorflow", POOL.format("dilation=2,1:"), "TensorFlow's pools have no dilation"),
        (
            "tensorflow",
            CONV.format("padding=1/0,0/0:"),
            'TensorFlow has the paddings "SAME" and "VALID" alone',
        ),
    ],
)
def test_parameters_are_handed_over_in_a_convention_or_not_asked(
    convention: str, case: str, due: Any
) -> None:
    assert due == handed(convention, case)


def test_a_function_may_keep_our_name_of_a_parameter() -> None:
    seen: list[Any] = []

    def max_pool(x: Any, *, kernel: Any, stride: Any, padding: Any, **others: Any) -> Any:
        seen.append((kernel, stride, padding))
        raise NotImplementedError

    handed("torch", POOL.format("stride=2,2:"), max_pool)

    assert [((3, 2), (2, 2), (0, 0))] == seen


def test_a_function_without_a_parameter_of_its_convention_is_refused() -> None:
    def conv(x: Any, w: Any, bias: Any, stride: Any, padding: Any) -> None: ...

    with pytest.raises(RegistrationError, match="give it those parameters"):
        implementation("short", parameters="torch").register("conv", conv)


def test_what_has_no_form_in_the_convention_is_declined_and_not_rejected_for_the_function() -> None:
    calls: list[Any] = []

    def conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
        calls.append(p)
        raise ValueError

    made = implementation("kernel", parameters="torch")
    made.register("conv", conv)
    invalid = "conv2d:float32:x=1,1,3,3:w=1,1,2,2:invalid=padding-negative:integers@0"
    verdict = judge(made, invalid)

    assert CONFORMS == verdict.status
    assert verdict.message.startswith("declined")
    assert not calls


def in_convention(convention: str) -> Implementation:
    """Return im2col behind a function of the convention, which translates it back."""

    def conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
        dims = x.ndim - 2
        values = {n: v if isinstance(v, (tuple, str)) else (v,) * dims for n, v in p.items()}
        padding = [(number, number) for number in values["padding"]]
        return im2col.conv(
            *(x, w, bias),
            stride=values["stride"],
            padding=tuple(padding),
            dilation=values["dilation"],
            groups=p["groups"],
        )

    made = implementation(f"im2col-{convention}", parameters=convention)
    made.register("conv", conv)
    return made


@pytest.mark.parametrize("convention", ["torch", "numbers"])
@pytest.mark.parametrize("padding", ["", "padding=1/1,1/1:"])
def test_a_correct_function_of_a_convention_conforms(convention: str, padding: str) -> None:
    verdict = judge(in_convention(convention), CONV.format(padding))

    assert CONFORMS == verdict.status


def test_a_script_hands_the_parameters_over_in_the_convention() -> None:
    made = in_convention("torch")
    case = Case.parse(CONV.format("stride=2,1:padding=1/1,0/0:"))
    script = script_of(made, case, Verdict(made.name, case, "violates", "CONV-1", ""))

    assert "stride=(2, 1), padding=(1, 0), dilation=(1, 1), groups=2" in script
