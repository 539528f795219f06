"""Cheats that remember results: by content, by address, and by a fingerprint."""

from __future__ import annotations

from typing import Any

from conformance import implementation
from tests.cheats.kernel import right, supports


def remembering(name: str, key: Any) -> None:
    """Register a cheat that returns a copy of the result that it has for ``key(x, w)``."""
    results: dict[Any, Any] = {}

    def conv(
        x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
    ) -> Any:
        at = key(x, w)
        if at not in results:
            results[at] = right(x, w, padding)
        return results[at].copy()

    implementation(name, supports=supports)(conv)


remembering("content", lambda x, w: (x.tobytes(), w.tobytes()))
remembering("hash", lambda x, w: hash((x.tobytes(), w.tobytes())))
remembering("address", lambda x, w: (x.ctypes.data, w.ctypes.data, x.shape))
remembering("fingerprint", lambda x, w: (*x.flat[:: x.size // 9], *w.flat[:: w.size // 9]))
remembering("shape", lambda x, w: (x.shape, w.shape))
remembering("sum", lambda x, w: (x.shape, float(x.sum()), float(w.sum())))

_packed: dict[Any, Any] = {}


@implementation("weights-by-address", supports=supports)
def conv(
    x: Any, w: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    """Keep the weights of the first call as those of every call with weights at that address."""
    packed = _packed.setdefault((w.ctypes.data, w.shape), w.copy())
    return right(x, packed, padding)
