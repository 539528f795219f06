"""Libraries that override operators of PyTorch, as a vendor's do: some right, some wrong."""

import contextlib

import torch


class TailDropped(torch.overrides.TorchFunctionMode):
    """Convolves as PyTorch does, but for the last column of rows one short of a block of four."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        y = function(*args, **kwargs or {})
        if function is torch.conv2d and y.shape[-1] % 4 == 3:
            y[..., -1] = 0
        return y


class Unchanged(torch.overrides.TorchFunctionMode):
    """Convolves as PyTorch does."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        return function(*args, **kwargs or {})


@contextlib.contextmanager
def padding_always_counts():
    """Average by another operator of PyTorch's, which is not told that padding does not count."""

    def pool(x, kernel, stride=(), padding=0, ceil_mode=False, counts=True, divisor=None):
        sizes = [(1, *kernel), (1, *stride), (0, *padding)]
        return torch.ops.aten.avg_pool3d(x.unsqueeze(2), *sizes, ceil_mode).squeeze(2)

    with torch.library._scoped_library("aten", "IMPL") as library:
        library.impl("avg_pool2d", pool, "CPU")
        yield


not_a_context = 1
