"""Reports of a run: a run file in, tables and pages out.

`load` reads a run file into a `Report`; each form of output is one module with one function::

    from conformance.reports import load
    from conformance.reports.as_json import as_json      # a dict, for strict JSON
    from conformance.reports.html import html            # one self-contained page
    from conformance.reports.markdown import markdown    # for the summary of a CI job
    from conformance.reports.terminal import show        # tables on a rich console

    report = load("convformance-run/run.sqlite")
    print(markdown(report))

Nothing here judges or computes: the run file says everything, and a report only arranges it. Every
string of a report is free of control characters, and each form escapes what it shows.
"""

from __future__ import annotations

from conformance.reports.model import Report, load

__all__ = ["Report", "load"]
