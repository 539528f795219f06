"""Hiding a folder from a process: what is judged finds no answers in the cache (Linux).

The worker gets a namespace of mounts of its own, in which an empty file system covers the folder;
where it is not root it gets a namespace of users for that, in which its user stays the same. Then
it enters a Landlock domain that allows everything to files, but neither mounts nor a look into
processes outside of it, such as the run, in whose namespace the folder can be seen (landlock(7)).

Where the kernel or its administrator does not allow all of that, nothing is changed, and the run
says so. Needs the standard library only, and a process with one thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from typing import Any

_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REC, _SLAVE = 1, 2, 4, 8, 1 << 14, 1 << 19
_NO_NEW_PRIVS = 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""The numbers of Landlock's system calls, which are the same on every architecture."""
_MAKE_BLOCK, _REFER = 1 << 11, 1 << 13
"""A right that next to nobody uses, for a domain must handle one, and that to move files between
folders, which is denied unless it is allowed."""
_BENEATH = 1
_OLDEST = 2
"""The version of Landlock that knows of `_REFER`."""
_CAPABILITIES = 0x20080522


def hide(folder: str) -> bool:
    """Hide a folder from this process and its children; return whether that was possible."""
    if sys.platform != "linux" or not os.path.isdir(folder):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    if libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1) < _OLDEST:
        return False
    if libc.unshare(_NEWNS) == 0:  # it is root, or as good as that
        return _cover(libc, folder) and _enter_domain(libc)
    # A child tries first: what fails halfway would leave a process whose user nobody knows.
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            os._exit(0 if _hide_as_user(libc, folder) else 1)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    return status == 0 and _hide_as_user(libc, folder)


def _hide_as_user(libc: Any, folder: str) -> bool:
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_NEWNS | _NEWUSER):
        return False
    maps = {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}
    for name, text in maps.items():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    return _cover(libc, folder) and _drop_capabilities(libc) and _enter_domain(libc)


def _cover(libc: Any, folder: str) -> bool:
    """Mount an empty file system over the folder, where nobody else sees it."""
    flags = ctypes.c_ulong(_RDONLY | _NOSUID | _NODEV | _NOEXEC)
    slave = ctypes.c_ulong(_REC | _SLAVE)
    return not (
        libc.mount(None, b"/", None, slave, None)
        or libc.mount(b"none", os.fsencode(folder), b"tmpfs", flags, b"size=4k,mode=0555")
    )


def _drop_capabilities(libc: Any) -> bool:
    """Give up what the namespace of users has brought: an owner of files is no root again."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0)
    return bool(libc.capset(header, (ctypes.c_uint32 * 6)()) == 0)


def _enter_domain(libc: Any) -> bool:
    rights = ctypes.c_uint64(_MAKE_BLOCK | _REFER)
    rules = libc.syscall(_CREATE_RULESET, ctypes.byref(rights), ctypes.c_size_t(8), 0)
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        rule = rights.value.to_bytes(8, sys.byteorder) + root.to_bytes(4, sys.byteorder)
        return rules >= 0 and not (
            libc.syscall(_ADD_RULE, rules, _BENEATH, rule, 0)
            or libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
            or libc.syscall(_RESTRICT_SELF, rules, 0)
        )
    finally:
        os.close(root)
        if rules >= 0:
            os.close(rules)
