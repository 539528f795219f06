"""Gradients of a forward function by the differentiation of its library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from conformance.arrays import LIBRARIES
from conformance.errors import RegistrationError
from conformance.judging import Verdict, judge
from conformance.registration.implementation import Implementation
from conformance.registration.registry import Registry, implementation, using
from conformance.runfile.words import CONFORMS, VIOLATES
from tests.test_arrays import KERNELS, torch_conv

CASES = {
    "conv_input_grad": "conv_input_grad2d:{}:x=2,3,5,4:w=4,3,3,2:stride=1,2:integers@3",
    "conv_weight_grad": "conv_weight_grad2d:{}:x=2,3,5,4:w=4,3,3,2:stride=1,2:integers@3",
    "conv_bias_grad": "conv_bias_grad2d:{}:x=2,3,5,4:integers@3",
}
DIFFERENTIATING = [name for name, traits in LIBRARIES.items() if traits.differentiates]


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    with using(Registry()):
        yield


def registered(arrays: str, function: Callable[..., Any], **declared: Any) -> Implementation:
    pytest.importorskip(LIBRARIES[arrays].module)
    made = implementation("kernel", arrays=arrays, gradients="autograd", **declared)
    made.register("conv", function)
    return made


@pytest.mark.parametrize("arrays", DIFFERENTIATING)
@pytest.mark.parametrize("operator", CASES)
def test_gradients_are_judged_without_a_function_of_their_own(arrays: str, operator: str) -> None:
    function, layout = KERNELS[arrays]
    verdict = judge(registered(arrays, function, layout=layout), CASES[operator].format("float32"))

    assert CONFORMS == verdict.status


@pytest.mark.parametrize(
    "forward",
    [
        lambda *arrays, **p: torch_conv(*arrays, **p),
        lambda x, *others, **p: torch_conv(x, *others, **p),
        lambda x, w, bias, stride, padding, dilation, groups: torch_conv(
            x, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups
        ),
    ],
)
def test_the_parameters_of_a_gradient_are_those_of_its_forward_function(forward: Any) -> None:
    case = CASES["conv_weight_grad"].format("float32")

    assert CONFORMS == judge(registered("torch", forward), case).status


@pytest.mark.parametrize("operator", ["max_pool", "avg_pool"])
def test_the_gradient_of_a_pool_is_judged_in_the_convention_of_its_function(operator: str) -> None:
    functional = pytest.importorskip("torch").nn.functional
    made = implementation("pool", arrays="torch", parameters="torch", gradients="autograd")
    made.register(operator, lambda x, **p: getattr(functional, f"{operator}2d")(x, **p))
    verdict = judge(made, f"{operator}_grad2d:float32:x=2,3,5,4:kernel=2,3:stride=1,2:integers@1")

    assert CONFORMS == verdict.status


def with_backward(change: Callable[[Any], Any]) -> Verdict:
    """Judge a torch.autograd.Function whose gradient of the weight is changed."""
    torch = pytest.importorskip("torch")
    functional, gradients = torch.nn.functional, torch.nn.grad

    class Conv(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any, stride: Any) -> Any:
            ctx.save_for_backward(x, w)
            ctx.stride = stride
            return functional.conv2d(x, w, None, stride)

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            x, w = ctx.saved_tensors
            dx = gradients.conv2d_input(x.shape, w, grad, ctx.stride)
            return dx, change(gradients.conv2d_weight(x, w.shape, grad, ctx.stride)), None

    def conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
        return Conv.apply(x, w, p["stride"])

    return judge(registered("torch", conv), CASES["conv_weight_grad"].format("float32"))


def test_a_function_with_a_derivative_of_its_own_conforms() -> None:
    assert CONFORMS == with_backward(lambda gradient: gradient).status


def test_a_wrong_derivative_of_a_right_function_is_found() -> None:
    assert VIOLATES == with_backward(lambda gradient: gradient.flip(-1)).status


def test_a_wrong_custom_vjp_of_jax_is_found() -> None:
    jax = pytest.importorskip("jax")
    function, _ = KERNELS["jax"]

    def conv(x: Any, w: Any, bias: Any, **p: Any) -> Any:
        @jax.custom_vjp
        def call(x: Any, w: Any) -> Any:
            return function(x, w, None, **p)

        def forward(x: Any, w: Any) -> Any:
            return call(x, w), (x, w)

        def backward(kept: Any, grad: Any) -> Any:
            dx, dw = jax.vjp(lambda *arrays: function(*arrays, None, **p), *kept)[1](grad)
            return dx, -dw

        call.defvjp(forward, backward)
        return call(x, w)

    made = registered("jax", conv)
    statuses = [
        judge(made, CASES[operator].format("float32")).status
        for operator in ("conv_input_grad", "conv_weight_grad")
    ]

    assert [CONFORMS, VIOLATES] == statuses


def test_a_registered_gradient_comes_before_differentiation() -> None:
    made = registered("torch", torch_conv)

    @made
    def conv_bias_grad(grad: Any) -> Any:
        return grad.sum((0, *range(2, grad.ndim))) + 1

    statuses = [
        judge(made, CASES[operator].format("float32")).status
        for operator in ("conv_bias_grad", "conv_input_grad")
    ]

    assert [VIOLATES, CONFORMS] == statuses


def test_the_gradients_are_listed_as_operators() -> None:
    made = registered("torch", torch_conv)

    assert ("conv", *CASES) == made.operators


def test_a_library_that_does_not_differentiate_is_refused_in_one_line() -> None:
    with pytest.raises(RegistrationError) as error:
        implementation("kernel", arrays="dlpack", gradients="autograd")

    assert "a library that differentiates: torch, jax, tensorflow, mlx" in str(error.value)
    assert "\n" not in str(error.value)
