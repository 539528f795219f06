"""Winograd's algorithm: a tile of outputs from fewer products, and those through matrix products.

A kernel of 3 at two neighbouring outputs takes 6 products. F(2, 3) takes 4, of sums that are made
beforehand of the four inputs d and of the kernel g, and sums of the products give the outputs::

    y0 = d0*g0 + d1*g1 + d2*g2        y = A ((G g) * (B d))      A (2, 4), G (4, 3), B (4, 4)
    y1 = d1*g0 + d2*g1 + d3*g2        where * multiplies number by number

>>> B, G, A = matrices(2)
>>> A
array([[ 1.,  1.,  1.,  0.],
       [ 0.,  1., -1.,  1.]])

F(m, 3) makes m outputs of n = m + 2 products. Along two axes of an image one after the other, a
tile of m*m outputs takes n*n products in the place of 9*m*m: F(2, 3) saves a factor of 2.25,
F(4, 3) of 4, F(6, 3) of 5.06. For many channels and tiles each of
the n*n products is one matrix product, which is where the time goes::

    patches   x (N, C, *S)    --cut and B on each axis-->  V (n*n, C, T)
    kernels   w (O, C, 3, 3)  --G on each axis-->  U (n*n, O, C)
    tiles     U @ V  (n*n, O, T)  --A on each axis-->  (m, m, O, T)  -->  y (N, O, *out)

A tile's patch is a window of n inputs along an axis, and the windows lie m apart. Along the last
axis they are cut and transformed first, while their rows are not yet doubled. A block of tiles goes
through all steps before the next one, so that they find it in the caches. What is saved has a
price: the transforms, of which those of the kernels do not shrink with the image, and accuracy.
`tile_of` counts, and takes the m that needs the fewest operations.

The matrices come from evaluating polynomials (Toom and Cook): a correlation is the transpose of a
product of polynomials, which is known from its values at n - 1 points and from its leading
coefficient. Any points do, but their powers make the error: 0, 1, -1, 1/2, -2 for F(4, 3) have a
third of the bound below that the usual 0, 1, -1, 2, -2 have (B. Barabasz and others, Error
Analysis and Improving the Accuracy of Winograd Convolution, 2020).

The error. An output of one axis is the sum over j of A[p, j] * (G g)[j] * (B d)[j]. By Cauchy and
Schwarz, the magnitudes of all that is added up are at most ::

    s * norm(d) * norm(g),  s = max over p of sum over j of |A[p, j]| * norm(G[j]) * norm(B[j])

and in D axes s**D times that, since the rows of Kronecker products have products of norms. A term
meets n roundings an axis in B, as many in A, 3**D + 2*D in G, whose numbers are rounded, too, and
C/G + 1 in the sum over the channels and the bias; the bound that this is held to (DECLARE-4) counts
C/G * 3**D of them. So it is met with the amplification ::

    s**D * (2*D*n + 3**D + 2*D + 2) / 3**D

which is largest for a single channel. Source: A. Lavin, S. Gray, Fast Algorithms for Convolutional
Neural Networks, 2016.
"""

import math
from functools import reduce

import numpy as np

from conformance import Unsupported, implementation, only
from conformance.dtypes import FLOATS
from conformance.implementations._arguments import Array
from conformance.implementations._call import Call
from conformance.implementations._frame import Frame
from conformance.implementations.im2col_tiled import blocks, inside

POINTS = {2: (0, 1, -1), 4: (0, 1, -1, 0.5, -2), 6: (0, 1, -1, 2, -2, 0.5, -0.5)}
"""The points at which polynomials are evaluated, by the outputs of a tile on an axis."""
TILES = {1: (2, 4, 6), 2: (2, 4), 3: (2,)}
"""The tiles by the number of axes. On two axes F(6, 3) was no faster here than F(4, 3), and bounds
its error by six times as much; on three axes F(4, 3) does so by 27 times as much as F(2, 3)."""
BLOCK = 64
"""The tiles of a block at least; as many as channels, if these are more, make U and V alike."""
SLOWER = 4
"""How many times as long as in the matrix products a multiplication takes in the transforms."""


def matrices(m: int) -> tuple[Array, Array, Array]:
    """Return the matrices B (n, n), G (n, 3) and A (m, n) that make m outputs of n = m + 2."""
    points = np.array(POINTS[m], np.float64)
    others = [np.delete(points, j) for j in range(len(points))]
    inner, kernel, outer = np.zeros((m + 2, m + 2)), np.zeros((m + 2, 3)), np.zeros((m, m + 2))
    for j, (point, rest) in enumerate(zip(points, others, strict=True)):
        inner[j, : m + 1] = np.poly(rest)[::-1]
        kernel[j] = point ** np.arange(3) / np.prod(point - rest)
        outer[:, j] = point ** np.arange(m)
    inner[-1] = np.poly(points)[::-1]
    kernel[-1, -1] = outer[-1, -1] = 1  # the leading coefficient
    return inner, kernel, outer


MATRICES = {m: matrices(m) for m in POINTS}
KERNELS = {
    (m, dims): reduce(np.kron, [kernel] * dims)
    for m, (_, kernel, _) in MATRICES.items()
    for dims in TILES
}
"""G on all axes at once: (n**D, 3**D)."""


def amplification(m: int, dims: int) -> float:
    """Return the factor of the bound that the docstring derives."""
    inner, kernel, outer = MATRICES[m]
    norms = np.linalg.norm(inner, axis=1) * np.linalg.norm(kernel, axis=1)
    scale = (np.abs(outer) @ norms).max() ** dims
    return float(scale * (2 * dims * (m + 2) + 3**dims + 2 * dims + 2) / 3**dims)


winograd = Frame(
    implementation(
        "winograd",
        family="numpy",
        dtypes=FLOATS,
        error="normwise",
        tile=(max(POINTS),),
        amplification=math.ceil(max(amplification(m, d) for d in TILES for m in TILES[d])),
        supports=only(kernel=3, stride=1, dilation=1),
    ),
    pads=False,
)


def tile_of(n: int, c: int, o: int, call: Call) -> int:
    """Return the outputs of a tile on each axis with which there is the least to multiply."""
    dims = len(call.out)

    def work(m: int) -> float:
        coefficients = (m + 2) ** dims
        tiles = n * math.prod(-(-size // m) for size in call.out)
        transforms = tiles * dims * (m + 2) * (c + o) + c * o // call.groups * 3**dims
        return float(coefficients * (tiles * (c * o // call.groups) + SLOWER * transforms))

    return min(TILES[dims], key=work)


def padded(x: Array, block: tuple[slice, ...], m: int, call: Call) -> Array:
    """Return what the tiles of a ``block`` read of x (N, C, *S), as (C, N, *S)."""
    images, *box = block
    counts = [m * (side.stop - side.start) + 2 for side in box]
    axes = zip(box, call.padding, counts, x.shape[2:], strict=True)
    found = [inside(side.start * m - b, 1, count, size) for side, (b, _), count, size in axes]
    put, take = zip(*found, strict=True)
    part = np.zeros((x.shape[1], images.stop - images.start, *counts), x.dtype)
    part[:, :, *put] = x[images, :, *take].swapaxes(0, 1)
    return part


def patches(matrix: Array, array: Array, axis: int) -> Array:
    """Cut an axis into windows of n that lie n - 2 apart, and multiply each by a matrix (n, n).

    The coefficients become the first axis of the result, and the windows take the axis's place.
    """
    n, size = len(matrix), array.shape[axis]
    shape, strides = list(array.shape), list(array.strides)
    shape[axis], strides[axis] = (size - 2) // (n - 2), (n - 2) * strides[axis]
    strides = [array.strides[axis], *strides]
    view: Array = np.ndarray((n, *shape), array.dtype, array, 0, strides)
    return (matrix @ view.reshape(n, math.prod(shape))).reshape(n, *shape)


def outputs(matrix: Array, array: Array, dims: int) -> Array:
    """Multiply each of the first ``dims`` axes of an array by a matrix (m, n)."""
    for axis in range(dims):
        before, after = array.shape[:axis], array.shape[axis + 1 :]
        flat = array.reshape(math.prod(before), array.shape[axis], math.prod(after))
        array = (matrix @ flat).reshape(*before, len(matrix), *after)
    return array


def tiled(x: Array, w: Array, call: Call) -> Array:
    """Return conv of x (N, C, *S) with w (O, C/G, *3), tile by tile."""
    if {*call.kernel} != {3} or {*call.stride, *call.dilation} != {1}:
        raise Unsupported("only kernels of size 3, with stride 1 and dilation 1")
    (n, c), o, dims, groups = x.shape[:2], len(w), len(call.out), call.groups
    m = tile_of(n, c, o, call)
    inner, _, outer = (matrix.astype(x.dtype) for matrix in MATRICES[m])
    u = KERNELS[m, dims].astype(x.dtype) @ w.reshape(-1, 3**dims).T  # (n**D, O * C/G)
    u = u.reshape(-1, groups, o // groups, c // groups)

    tiles = tuple([-(-size // m) for size in call.out])
    y = np.empty((n, o, *[t * m for t in tiles]), x.dtype)
    places = y.reshape(n, o, *[side for t in tiles for side in (t, m)])
    across, within = range(2, 2 + 2 * dims, 2), range(3, 3 + 2 * dims, 2)
    places = places.transpose(*within, 1, 0, *across)  # a view: (*m, O, N, *tiles)
    ahead = (slice(None),) * (dims + 1)
    for block in blocks(n, tiles, max(BLOCK, min(c, o) // groups)):
        v = padded(x, block, m, call)  # (C, N, *S)
        for done in range(dims):  # the last axis first
            v = patches(inner, v, v.ndim - 1 - done)  # (n, ..., C, N, *S), at last N * *S = T
        v = v.reshape(len(u), groups, c // groups, -1)
        products = (u @ v).reshape(*(m + 2,) * dims, o, -1)  # U @ V, (n**D, G, O/G, T)
        part = outputs(outer, products, dims)  # (*m, O, T)
        runs = np.moveaxis(places[*ahead, *block], dims - 1, 0), np.moveaxis(part, dims - 1, 0)
        for place, values in zip(*runs, strict=True):  # long runs: a tile's last axis one by one
            place[...] = values.reshape(place.shape)
    return y[:, :, *[slice(size) for size in call.out]]


@winograd
def conv(x: Array, w: Array, call: Call) -> Array:
    """Compute tiles of m outputs an axis from patches of m + 2 inputs."""
    return tiled(x, w, call)


@winograd
def conv_transpose(x: Array, w: Array, call: Call) -> Array:
    """With a stride of 1 this is conv with the kernel flipped, over x with a border of zeros."""
    (c, per_group), groups = w.shape[:2], call.groups
    weight = np.flip(w, tuple(range(2, w.ndim))).reshape(groups, c // groups, per_group, -1)
    weight = weight.swapaxes(1, 2).reshape(groups * per_group, c // groups, *call.kernel)
    padding = tuple([(2 - before, 0) for before, _ in call.padding])
    return tiled(x, weight, call._replace(size=call.out, out=call.size, padding=padding))


conv_input_grad, conv_bias_grad = winograd.gradients(conv_transpose)
