"""Blocks as bytes: what a run keeps of each, to go on where it stopped and to be merged.

The bytes are a pickle, compressed. Whoever reads it builds the dataclasses of this suite, numbers
and collections of them, and nothing else: a run file from elsewhere can run no code.
"""

from __future__ import annotations

import io
import pickle
import zlib
from collections import Counter
from dataclasses import is_dataclass
from typing import Any, TypeVar

import numpy as np

from conformance.errors import RunFileError

_PACKAGE = __name__.partition(".")[0]
_FAST = 1
_PROTOCOL = 5
_SCALAR = np.float64(0).__reduce__()[0]
"""What makes a scalar of NumPy from its bytes."""
_OTHERS = {Counter, frozenset, set, complex, np.dtype, np.float64, np.int64, np.bool_}


class _OwnOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        own = module.startswith(f"{_PACKAGE}.") or module in ("collections", "builtins")
        if own or module.startswith("numpy"):
            found = super().find_class(module, name)
            if isinstance(found, type):
                plain = is_dataclass(found) or issubclass(found, tuple)
                if found in _OTHERS or (plain and found.__module__.startswith(f"{_PACKAGE}.")):
                    return found
            elif found is _SCALAR:
                return found
        raise RunFileError(f"a block names {module}.{name}, which is no part of a block")


Kept = TypeVar("Kept")


def packed(kept: object) -> bytes:
    """Return what is kept as bytes."""
    return zlib.compress(pickle.dumps(kept, _PROTOCOL), _FAST)


def unpacked(content: bytes, kind: type[Kept]) -> Kept:
    """Return what `packed` made ``content`` of; raise `RunFileError` for any other bytes."""
    try:
        kept = _OwnOnly(io.BytesIO(zlib.decompress(content))).load()
    except RunFileError:
        raise
    except Exception as problem:  # whatever damaged bytes bring about
        raise RunFileError(f"a block cannot be read ({problem!r})") from None
    if not isinstance(kept, kind):
        raise RunFileError(f"a block is no {kind.__name__}, but a {type(kept).__name__}")
    return kept
