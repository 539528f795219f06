"""Relations between operators: adjoints, and averages that are convolutions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from conformance.calling import Array
from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.checks.relations.claims import Claim, RelatedCall, Sides, widened
from conformance.operators import GRADIENTS, OPERATORS


def transpose(whole: RelatedCall) -> Iterator[Claim]:
    """Claim that <conv(z, w), x> = <z, conv_transpose(x, w)>, for a random z."""
    case = whole.case
    if case.operator != "conv_transpose" or any(
        extra >= step for extra, step in zip(case.output_padding, case.stride, strict=True)
    ):
        return
    x, w, _ = whole.inputs
    shape, seed = OPERATORS[case.operator].output_shape(case), case.seed + 1
    back = case.replace(operator="conv", x=shape, bias=False, output_padding=(), seed=seed)
    z = make_inputs(back)[0]
    forward = RelatedCall(back, (z, w, None), _total(x))
    plain = RelatedCall(case.replace(bias=False), (x, w, None), _total(z))
    says = "<conv(z, w), x>, where <z, conv_transpose(x, w)> is due"
    yield Claim("RELATE-7", says, (plain, forward), _products(z, x))


def gradient(whole: RelatedCall) -> Iterator[Claim]:
    """Claim that <forward(v), grad> = <v, gradient>, where v is the argument of the gradient."""
    case = whole.case
    if case.operator not in GRADIENTS:
        return
    grad = whole.arguments["grad"]
    if case.operator == "conv_bias_grad":
        right = widened(grad).sum(axis=(0, *range(2, grad.ndim)))
        slack = _rounding(grad.size, float(np.abs(widened(grad)).sum()))
        says = "the sums of grad over the batch and all positions"
        yield Claim("RELATE-8", says, (whole,), lambda y: Sides(y[0], right, slack))
        return
    forward = GRADIENTS[case.operator].forward
    forward_inputs = make_inputs(case.replace(operator=forward.name, seed=case.seed + 1))
    arguments = dict(zip(forward.arguments, forward_inputs, strict=True))
    arguments |= {
        name: value
        for name, value in whole.arguments.items()
        if name in arguments and isinstance(value, np.ndarray)
    }
    of = "w" if case.operator == "conv_weight_grad" else "x"
    call = RelatedCall(case.replace(operator=forward.name), tuple(arguments.values()), _total(grad))
    own = RelatedCall(case, whole.inputs, _total(arguments[of]))
    products = _products(arguments[of], grad)

    def sides(y: Sequence[Array]) -> Sides:
        gives = np.where(np.isfinite(y[1]), y[1], 0)  # max_pool gives -inf for padding alone
        return products((y[0], gives if forward.name == "max_pool" else y[1]))

    says = f"<{forward.name}(...), grad>, where <{of}, {case.operator}(...)> is due"
    yield Claim("RELATE-8", says, (own, call), sides)


def _products(v: Array, u: Array) -> Callable[[Sequence[Array]], Sides]:
    """Return a function that compares <v, y[0]> with <u, y[1]>."""

    def sides(y: Sequence[Array]) -> Sides:
        products = [(widened(v), y[0]), (widened(u), y[1])]
        left, right = (np.asarray([np.vdot(a, b)]) for a, b in products)
        sizes = [float(np.vdot(np.abs(a), np.abs(b))) for a, b in products]
        return Sides(left, right, sum(map(_rounding, (v.size, u.size), sizes)))

    return sides


def _rounding(count: int, total: float) -> float:
    """Return the most that adding ``count`` float64 numbers rounds by: 0 up to a total of 2**53."""
    return 0.0 if total <= 2.0**53 else count * 2.0**-52 * total


def _total(array: Array) -> float:
    return float(np.abs(widened(array)).sum())


def average(whole: RelatedCall) -> Iterator[Claim]:
    """Claim that avg_pool times the window's size is a conv of each channel with ones."""
    case = whole.case
    if case.operator != "avg_pool" or case.ceil_mode or not case.count_include_pad:
        return
    (x,) = whole.inputs
    assert case.kernel is not None
    planes = x.reshape(-1, 1, *x.shape[2:])
    ones = np.ones((1, 1, *case.kernel), x.dtype)
    plain = Case(operator="conv", x=planes.shape, w=ones.shape, dtype=case.dtype, seed=case.seed)
    forward = plain.replace(stride=case.stride, padding=case.padding)
    count = ones.size
    calls = (
        RelatedCall(case, whole.inputs, float(count)),
        RelatedCall(forward, (planes, ones, None)),
    )
    says = "conv with a kernel of ones, where the average times the window's size is due"
    yield Claim("RELATE-10", says, calls, lambda y: Sides(y[0] * count, y[1].reshape(y[0].shape)))
