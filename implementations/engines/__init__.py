"""The engines: one folder each, whose adapters hand a case to the engine's own operators.

A folder is named after its engine::

    adapter.py      its operators, registered; several where it is called in several ways
    snippet.py      the same calls as source text, for the scripts of reports
    known.toml      the known differences of the engine

The files beside the folders are shared: ``adapter.py`` (the classes that adapters derive from),
``parameters.py`` (a call's parameters as one object, always called ``p``), ``padding.py``
(computations and checks around a call), ``compiled.py`` (tools for engines that compile),
``snippets.py`` (functions for several snippets).

An adapter in 30 lines
======================

An adapter says how its engine convolves and pools tensors of its own. Here NumPy is the engine, its
padding is what `numpy.pad` does, and it only convolves::

    >>> import numpy as np
    >>> from numpy.lib.stride_tricks import sliding_window_view
    >>> from conformance import Unsupported, implementation
    >>> from conformance.implementations.engines.adapter import Engine
    >>> from conformance.implementations.engines.padding import add_bias, check_padded
    >>> class Windows(Engine):
    ...     operators = ("conv",)
    ...
    ...     def tensor(self, array):
    ...         return np.array(array, array.dtype.newbyteorder("="), order="C")
    ...
    ...     def array(self, tensor, like):
    ...         return tensor
    ...
    ...     def convolve(self, t, w, bias, p):
    ...         if p.groups > 1 or max(p.dilation) > 1:
    ...             raise Unsupported("no groups and no dilation")
    ...         check_padded(t.shape[2:], p.padding)
    ...         t = np.pad(t, [(0, 0), (0, 0), *p.padding])
    ...         axes = tuple(range(2, t.ndim))
    ...         windows = sliding_window_view(t, w.shape[2:], axes)  # (N, C, *out, *K)
    ...         windows = windows[:, :, *(slice(None, None, step) for step in p.stride)]
    ...         taps = tuple(range(-len(axes), 0))
    ...         y = np.tensordot(windows, w, ((1, *taps), (1, *axes)))  # (N, *out, O)
    ...         return add_bias(np.moveaxis(y, -1, 1), bias)
    >>> windows = implementation("windows", package="numpy")
    >>> Windows().register(windows)

That is all: the suite can judge it. ::

    >>> from conformance.case import Case
    >>> from conformance.judging import Prepared, judge_prepared
    >>> case = "conv2d:float32:x=1,2,5,4:w=3,2,2,3:bias:stride=2,1:padding=1/0,0/2:normal@0"
    >>> judge_prepared(windows, Prepared.of(Case.parse(case)))[0].status
    'conforms'

- `Engine` has pools too (``maximum(t, p, reach, fill)``, ``average(t, p, reach)``), and
  ``transposed``; list the operators of the engine in ``operators``. If the engine differentiates,
  derive from `Differentiable` and define ``gradient``: the five gradients follow. If it takes
  NumPy arrays as they are, derive from `Adapter`, whose methods are ``conv(x, w, bias, p)`` etc.
- Translate, and do no more. Decline a case that the engine cannot compute: ``raise
  Unsupported("a reason")``, or ``supports=`` if the case alone shows it. Leave the engine's
  mistakes to the suite.
- Let the engine judge the arguments. Check only mistakes that the engine never sees, because the
  adapter would make them valid: ``padding.py`` has the checks, with the reason of each.
- Import the engine inside functions, by its own name. Import modules by their whole name, such as
  ``conformance.implementations.engines.torch``: then a folder that has the name of its engine hides
  nothing. Give no file in it the name of an engine.
- Add it to pyproject.toml: the module under the entry points, the package as an extra, and its name
  where the linter and mypy list engines. `nox -s adapters` then calls it on cases that are checked
  by hand, and holds its snippets to what it computes.
"""
