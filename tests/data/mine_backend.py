"""A backend of PyTorch, in Python: the device "mine", whose convolutions drop the tail of a block.

Its memory is the CPU's, and so are its convolutions, but for the last column of rows that are one
short of a block of four.
"""

import torch
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend as setup

setup("mine")
DEVICE = "privateuseone"


class Mine(torch.Tensor):
    """A tensor on the device; ``there`` is its memory."""

    @staticmethod
    def __new__(cls, size, dtype, there=None):
        tensor = torch._C._acc.create_empty_tensor(size, dtype)
        tensor.__class__ = cls
        return tensor

    def __init__(self, size, dtype, there=None):
        self.there = there


def wrap(tensor):
    return Mine(tensor.shape, tensor.dtype, tensor)


@torch.library.impl("aten::empty.memory_format", DEVICE)
def empty(size, dtype=None, **_):
    return wrap(torch.empty(size, dtype=dtype))


@torch.library.impl("aten::empty_strided", DEVICE)
def empty_strided(size, stride, dtype=None, **_):
    return wrap(torch.empty(size, dtype=dtype))


@torch.library.impl("aten::_copy_from", DEVICE)
def copy_from(source, target, non_blocking=False):
    if isinstance(target, Mine):
        target.there = source.clone()
    else:
        target.copy_(source.there)
    return target


@torch.library.impl("aten::convolution_overrideable", DEVICE)
def convolution(x, w, bias, *parameters):
    y = torch.convolution(x.there, w.there, None if bias is None else bias.there, *parameters)
    if y.shape[-1] % 4 == 3:
        y[..., -1] = 0
    return wrap(y)
