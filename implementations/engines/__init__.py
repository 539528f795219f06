"""The engines: one folder each, whose adapters hand a case to the engine's own operators.

A folder is named after its engine::

    adapter.py      its operators, registered; several where it is called in several ways
    snippet.py      the same calls as source text, for the scripts of reports
    known.toml      the known differences of the engine

The files beside the folders are shared: ``adapter.py`` (the classes that adapters derive from),
``parameters.py`` (a call's parameters as one object, always called ``p``), ``padding.py``
(computations and checks around a call), ``compiled.py`` (tools for engines that compile),
``snippets.py`` (functions for several snippets).

docs/engines.md is the guide to writing an adapter, with one in 30 lines.
"""
