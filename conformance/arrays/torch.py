"""PyTorch: tensors share the memory of NumPy arrays on the host, and are copied to other devices.

On the host a tensor has the strides of the array that it is made of, and an array that is a
broadcast becomes an expanded tensor. bfloat16, which NumPy borrows from ml_dtypes, goes through
int16 of the same bits.

To another device the whole buffer of an array is copied, and the tensor is the view of it that the
array is of its buffer. After a call buffers are copied back, so that changes show, those between
the elements of a view among them. What runs on CUDA here was written without a GPU at hand.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np
import torch

from conformance.arrays.library import Library, without_dtype
from conformance.calling.observing import Array
from conformance.dtypes import numpy_dtype
from conformance.errors import ConformanceError
from conformance.signatures import SIGNATURES

_REMEMBERED = 1024
"""Arrays whose tensors are remembered: many more than a history of calls has."""


def library(device: str) -> Library:
    """Return the conversion for a device; raise `ConformanceError` where that is not there."""
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen).cpu()
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as problem:
        reason = str(problem).partition("\n")[0]
        raise ConformanceError(
            f"device={device!r}: PyTorch {torch.__version__} has no such device here ({reason}); "
            f"there are {', '.join(_devices())}"
        ) from None
    return OnHost() if chosen.type == "cpu" else OnDevice(chosen)


def _devices() -> list[str]:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = ["cpu", *(f"cuda:{number}" for number in range(count))]
    return [*there, "mps"] if torch.backends.mps.is_available() else there


class OnHost(Library):
    """Tensors in the memory of NumPy arrays."""

    due = "torch.Tensor on cpu"
    device = torch.device("cpu")
    has_memory_of_its_own = False

    def __init__(self) -> None:
        self._handed: dict[int, ref[torch.Tensor]] = {}
        """Tensors by the identity of their arrays: those that are there yet, a kernel has kept."""

    def hand(self, array: Array, buffer: Array) -> torch.Tensor:
        """Return a tensor that shares the array's memory, or that of a copy where none could.

        An array that is handed over again, with other numbers in it, is the tensor that it was.
        """
        handed = self._handed.get(id(array))
        kept = None if handed is None else handed()
        if kept is not None and _is_view(kept, array):
            return kept
        if len(self._handed) > _REMEMBERED:
            self._handed.clear()
        tensor = self._made(array, buffer)
        self._handed[id(array)] = ref(tensor)
        return tensor

    def _made(self, array: Array, buffer: Array) -> torch.Tensor:
        if array.flags.writeable:
            return _tensor(array) if array is buffer else self._part(array, buffer)
        if buffer.flags.writeable and _is_broadcast(array, buffer):
            return _tensor(buffer).expand(array.shape)
        return _tensor(array.copy())

    def _part(self, array: Array, buffer: Array) -> torch.Tensor:
        """Return a tensor that is part of another one, which other arguments may share."""
        begin = array.ctypes.data - buffer.ctypes.data
        places = (begin, *array.strides)
        if not array.size or min(places) < 0 or any(n % array.itemsize for n in places):
            return _tensor(array)
        begin, *strides = (n // array.itemsize for n in places)
        return self.hand(buffer, buffer).as_strided(array.shape, strides, begin)

    def take(self, output: Any) -> Any:
        """Return the memory of a tensor."""
        if not isinstance(output, torch.Tensor):
            return self.wrong(output)
        if output.device != self.device or output.layout is not torch.strided:
            kind = "" if output.layout is torch.strided else f"{output.layout} "
            return self.wrong(output, f"{kind}torch.Tensor on {output.device}")
        if output.requires_grad:
            output = output.detach()
        if output.dtype is torch.bfloat16:
            return output.view(torch.int16).numpy().view(numpy_dtype("bfloat16"))
        try:
            return output.numpy()
        except (RuntimeError, TypeError):
            if output.is_conj() or output.is_neg():
                return output.resolve_conj().resolve_neg().numpy()
            return self.wrong(output, f"torch.Tensor of dtype {output.dtype}")

    def shape(self, handed: torch.Tensor) -> tuple[int, ...]:
        """Return the shape, which is a tuple of its own kind."""
        shape: tuple[int, ...] = handed.shape
        return shape

    def own(self, operator: str) -> Callable[..., Any] | None:
        """Return the function of torch.nn.functional."""
        return _FUNCTIONAL.get(operator)

    def zeros(self, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """Return zeros like a tensor."""
        return like.new_zeros(shape)

    def gradient(
        self, function: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor, grad: torch.Tensor
    ) -> torch.Tensor:
        """Call torch.autograd.grad."""
        with torch.enable_grad():
            point = at.detach().requires_grad_()
            (result,) = torch.autograd.grad(function(point), point, grad)
        return result


class OnDevice(OnHost):
    """Tensors in the memory of another device."""

    has_memory_of_its_own = True

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        index = torch.empty(0, device=device).device.index
        self.device = torch.device(device.type, index)
        self.due = f"torch.Tensor on {self.device}"
        self.is_cuda = device.type == "cuda"

    def hand(self, array: Array, buffer: Array) -> torch.Tensor:
        """Return a view of a copy of the buffer."""
        flat = self._on_device(_tensor(_flat(buffer)))
        if not array.size:
            return flat.new_empty(array.shape)
        begin = array.ctypes.data - buffer.ctypes.data
        strides = [step // array.itemsize for step in array.strides]
        return flat.as_strided(array.shape, strides, begin // array.itemsize)

    def _on_device(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self.device, copy=True)

    def take(self, output: Any) -> Any:
        """Return a copy of a tensor on the host."""
        due = isinstance(output, torch.Tensor) and output.device == self.device
        if not due or output.layout is not torch.strided:
            return super().take(output)
        return ON_HOST.take(output.detach().cpu())

    def wait(self, output: Any, *, watched: bool) -> Any:
        """Wait for all streams; what another one still computes is not there for a reader yet."""
        if not self.is_cuda:
            return output
        early = output.clone() if watched and isinstance(output, torch.Tensor) else None
        torch.cuda.synchronize(self.device)
        if early is None or _equal_bits(early, output):
            return output
        return self.wrong(output, "torch.Tensor that another stream was still writing to")

    def written_back(self, handed: torch.Tensor, array: Array, buffer: Array) -> None:
        """Copy the device's buffer over that of the host."""
        flat = handed.new_empty(0).set_(handed.untyped_storage())
        there = _flat(buffer)
        if array.size and flat.numel() == there.size:
            there[...] = ON_HOST.take(flat.cpu())

    def shares(self, output: Any, handed: torch.Tensor) -> bool:
        """Whether both are views of one storage."""
        if not isinstance(output, torch.Tensor) or output.layout is not torch.strided:
            return False
        mine, its = output.untyped_storage(), handed.untyped_storage()
        return bool(mine.nbytes()) and mine.data_ptr() == its.data_ptr()


class _Functional:
    """A function of torch.nn.functional, in the dimensions of the window or else of the input."""

    whose = "PyTorch's own function"

    def __init__(self, operator: str, *names: str) -> None:
        self.name, self.names = operator, names
        kinds = inspect.Parameter
        arguments = SIGNATURES[operator].arguments
        self.__signature__ = inspect.Signature(
            [
                *(kinds(name, kinds.POSITIONAL_ONLY) for name in arguments),
                *(kinds(name, kinds.KEYWORD_ONLY) for name in names),
            ]
        )

    def __call__(self, x: torch.Tensor, *others: torch.Tensor | None, **parameters: Any) -> Any:
        w = others[0].ndim - 2 if others and others[0] is not None else x.ndim - 2
        values = [parameters[name] for name in self.names]
        for dims in dict.fromkeys((w, x.ndim - 2, x.ndim - 1)):
            function = getattr(torch.nn.functional, f"{self.name}{dims}d", None)
            if function is not None:
                try:
                    return function(x, *others, *values)
                except Exception as problem:  # another one may take it
                    refusal = problem
        raise refusal


_WINDOW = ("stride", "padding")
_FUNCTIONAL = {
    one.name: one
    for one in (
        _Functional("conv", *_WINDOW, "dilation", "groups"),
        _Functional("conv_transpose", *_WINDOW, "output_padding", "groups", "dilation"),
        _Functional("max_pool", "kernel_size", *_WINDOW, "dilation", "ceil_mode"),
        _Functional("avg_pool", "kernel_size", *_WINDOW, "ceil_mode", "count_include_pad"),
    )
}
ON_HOST = OnHost()


def _tensor(array: Array) -> torch.Tensor:
    if array.dtype.type.__name__ == "bfloat16":  # whose `name` takes NumPy long to find
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    try:
        return torch.from_numpy(array)
    except TypeError:
        raise without_dtype("PyTorch", array.dtype) from None
    except ValueError:  # strides or a byte order that no tensor has
        return torch.from_numpy(np.array(array, array.dtype.newbyteorder("="), order="C"))


def _is_view(tensor: torch.Tensor, array: Array) -> bool:
    """Whether a tensor shows the memory of an array as it is."""
    strides = tuple(step // array.itemsize for step in array.strides)
    same = tensor.data_ptr() == array.ctypes.data and tensor.shape == array.shape
    return bool(same and tensor.stride() == strides)


def _is_broadcast(array: Array, buffer: Array) -> bool:
    return buffer.ndim == array.ndim and all(
        many == one or one == 1 for many, one in zip(array.shape, buffer.shape, strict=True)
    )


def _flat(buffer: Array) -> Array:
    """Return the elements of a contiguous array in the order in which they lie in memory."""
    return buffer.reshape(-1, order="A")


def _equal_bits(first: torch.Tensor, other: torch.Tensor) -> bool:
    alike = first.view(torch.uint8) == other.contiguous().view(torch.uint8)
    return bool(alike.all())
