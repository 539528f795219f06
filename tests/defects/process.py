"""Defects of the process: the result is right, and the process is another one afterwards."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import contextlib
import ctypes
import gc
import locale
import logging
import os
import platform
import random
import signal
import sys
import tempfile
import threading
import warnings

import numpy as np

from tests.defects import defect, kernels
from tests.defects import gradient_kernels as gradients

X86 = platform.machine() in ("x86_64", "AMD64")


@defect("floating-point-errors-ignored", check="process", when="always")
def conv(x, w, bias, **call):
    np.seterr(all="ignore")
    return kernels.conv(x, w, bias, **call)


@defect("error-state-not-put-back-after-a-rejection", check="process", when="a rejected call")
def avg_pool(x, **call):
    before = np.seterr(invalid="raise")
    y = kernels.avg_pool(x, **call)
    np.seterr(**before)
    return y


@defect("error-callback-replaced", check="process", when="always")
def conv_bias_grad(grad):
    np.seterrcall(print)
    return gradients.conv_bias_grad(grad)


@defect("numpy-seeded", check="process", when="always")
def conv(x, w, bias, **call):
    np.random.seed(0)
    return kernels.conv(x, w, bias, **call)


@defect("draws-from-random", check="process", when="more than one channel")
def max_pool(x, **call):
    if x.shape[1] > 1:
        random.random()
    return kernels.max_pool(x, **call)


@defect("warnings-ignored", check="process", when="always")
def conv_transpose(x, w, bias, **call):
    warnings.simplefilter("ignore")
    return kernels.conv_transpose(x, w, bias, **call)


@defect("folder-changed", check="process", when="padding")
def max_pool(x, **call):
    if any(map(any, call["padding"])):
        os.chdir(tempfile.gettempdir())
    return kernels.max_pool(x, **call)


@defect("environment-changed", check="process", when="always")
def avg_pool(x, **call):
    os.environ["POOL_THREADS"] = "1"
    return kernels.avg_pool(x, **call)


@defect("locale-changed", check="process", when="always")
def conv_weight_grad(grad, x, weight_shape, **call):
    locale.setlocale(locale.LC_ALL, "C")
    return gradients.conv_weight_grad(grad, x, weight_shape, **call)


@defect("handler-of-a-signal-replaced", check="process", when="always")
def conv_input_grad(grad, w, input_shape, **call):
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGFPE, signal.SIG_IGN)
    return gradients.conv_input_grad(grad, w, input_shape, **call)


@defect("rounds-upward", check="process", when="always")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    ctypes.CDLL(None).fesetround(0x800 if X86 else 0x400000)
    return y


if X86 and sys.platform == "linux":

    @defect("subnormal-numbers-flushed", check="process", when="stride above 1")
    def conv_transpose(x, w, bias, **call):
        y = kernels.conv_transpose(x, w, bias, **call)
        if max(call["stride"]) > 1:
            library, state = ctypes.CDLL(None), (ctypes.c_uint32 * 16)()
            library.fegetenv(state)
            state[7] |= 0x8040  # MXCSR: flush to zero, and denormals are zero
            library.fesetenv(state)
        return y


@defect("leaves-a-file-open", check="process", when="always", state=list)
def max_pool(kept, x, **call):
    kept.append(os.open(os.devnull, os.O_RDONLY))
    if len(kept) > 200:
        os.close(kept.pop(0))
    return kernels.max_pool(x, **call)


@defect("leaves-a-file-open-where-it-raises", check="process", when="a rejected call", state=list)
def max_pool_grad(kept, grad, x, **call):
    kept.append(os.open(os.devnull, os.O_RDONLY))
    if len(kept) > 200:
        os.close(kept.pop(0))
    dx = gradients.max_pool_grad(grad, x, **call)
    with contextlib.suppress(OSError):
        os.close(kept.pop())
    return dx


@defect("leaves-a-thread-behind", check="process", when="always", state=list)
def avg_pool_grad(kept, grad, input_shape, **call):
    kept.append(threading.Event())
    threading.Thread(target=kept[-1].wait, daemon=True).start()
    if len(kept) > 120:
        kept.pop(0).set()
    return gradients.avg_pool_grad(grad, input_shape, **call)


@defect("print-options-changed", check="process", when="always")
def conv_bias_grad(grad):
    np.set_printoptions(precision=3)
    return gradients.conv_bias_grad(grad)


@defect("garbage-not-collected-any-more", check="process", when="float64")
def avg_pool(x, **call):
    if x.dtype == np.float64:
        gc.disable()
    return kernels.avg_pool(x, **call)


@defect("recursion-limit-raised", check="process", when="always")
def max_pool(x, **call):
    sys.setrecursionlimit(9000)
    return kernels.max_pool(x, **call)


@defect("root-logger-silenced", check="process", when="always")
def conv_weight_grad(grad, x, weight_shape, **call):
    logging.getLogger().setLevel(logging.CRITICAL)
    return gradients.conv_weight_grad(grad, x, weight_shape, **call)
