"""A convolution in Triton: blocks of output pixels, of output channels and of input channels.

The last block of each is masked. ``triton-conv-clamped`` is the same kernel with a fault: it keeps
the last block of input channels in bounds by reading the last channel again, which it so adds
several times. With a multiple of `BLOCK_C` channels nobody would notice.

    convformance run --interpret --plugin triton_conv.py     # Triton's interpreter, without a GPU
"""

import torch
import triton
import triton.language as tl

from conformance import Unsupported, implementation

BLOCK_P, BLOCK_O, BLOCK_C = 32, 16, 16


@triton.jit
def kernel(
    x, w, bias, y, pixels, C, H, W, O, KH, KW, OH, OW,
    stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w,
    HAS_BIAS: tl.constexpr, CLAMPED: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)  # pixels of all images in a row
    o = tl.program_id(1) * BLOCK_O + tl.arange(0, BLOCK_O)
    n, i, j = p // (OH * OW), p // OW % OH, p % OW
    total = tl.zeros((BLOCK_P, BLOCK_O), tl.float32)
    for a in range(KH):
        for b in range(KW):
            row = i * stride_h - pad_h + a * dilation_h
            column = j * stride_w - pad_w + b * dilation_w
            inside = (p < pixels) & (row >= 0) & (row < H) & (column >= 0) & (column < W)
            for first in range(0, C, BLOCK_C):
                c = first + tl.arange(0, BLOCK_C)
                if CLAMPED:
                    c = tl.minimum(c, C - 1)  # the fault
                image = x + ((n * C * H + row) * W + column)[:, None] + (c * H * W)[None, :]
                filters = w + ((o * C)[None, :] + c[:, None]) * KH * KW + a * KW + b
                pieces = tl.load(image, mask=inside[:, None] & (c < C)[None, :], other=0.0)
                weights = tl.load(filters, mask=(c < C)[:, None] & (o < O)[None, :], other=0.0)
                total += tl.dot(pieces, weights, input_precision="ieee")
    if HAS_BIAS:
        total += tl.load(bias + o, mask=o < O, other=0.0)[None, :]
    out = y + ((n * O * OH + i) * OW + j)[:, None] + (o * OH * OW)[None, :]
    tl.store(out, total, mask=(p < pixels)[:, None] & (o < O)[None, :])


def conv2d(x, w, bias, stride, padding, dilation, groups, clamped):
    if x.ndim != 4 or groups != 1:
        raise Unsupported("two spatial dimensions, one group")
    x, w = x.contiguous(), w.contiguous()
    (n, c, *size), (o, _, *window) = x.shape, w.shape
    axes = zip(size, window, stride, padding, dilation, strict=True)
    out = [(s + sum(p) - d * (k - 1) - 1) // step + 1 for s, k, step, p, d in axes]
    y = x.new_empty((n, o, *out))
    pixels = n * out[0] * out[1]
    if pixels:
        grid = triton.cdiv(pixels, BLOCK_P), triton.cdiv(o, BLOCK_O)
        starts = [before for before, _ in padding]
        has_bias = bias is not None
        kernel[grid](
            x, w, bias.contiguous() if has_bias else x, y, pixels, c, *size, o, *window, *out,
            *stride, *starts, *dilation, has_bias, clamped, BLOCK_P, BLOCK_O, BLOCK_C,
        )  # fmt: skip
    return y


device = "cuda" if torch.cuda.is_available() else "cpu"  # the interpreter's tensors are the CPU's
form = {"arrays": "torch", "device": device, "dtypes": "float32", "arguments": "unchecked"}


@implementation("triton-conv", **form)
def conv(x, w, bias, *, stride, padding, dilation, groups):
    return conv2d(x, w, bias, stride, padding, dilation, groups, clamped=False)


def clamped(x, w, bias, *, stride, padding, dilation, groups):
    return conv2d(x, w, bias, stride, padding, dilation, groups, clamped=True)


implementation("triton-conv-clamped", **form).register("conv", clamped)
