"""A lock on a folder: only one run at a time writes into it.

The system releases the lock when the process ends, however it ends, and no file remains.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path


def lock(folder: Path) -> int | None:
    """Lock ``folder``; return what `unlock` takes, None where the file system knows no locks.

    Raises `BlockingIOError` where somebody else has locked it.
    """
    if os.name == "nt":
        # Deleted by the system when it is closed; until then nobody can create it again.
        flags = os.O_CREAT | os.O_EXCL | getattr(os, "O_TEMPORARY", 0)
        try:
            return os.open(folder / ".lock", flags)
        except (FileExistsError, PermissionError):
            raise BlockingIOError(errno.EAGAIN, "locked") from None
    import fcntl  # missing on Windows

    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(number)
        raise
    except OSError:
        os.close(number)
        return None
    return number


def unlock(locked: int | None) -> None:
    """Release what `lock` returned."""
    if locked is not None:
        os.close(locked)
