"""Isolation: an implementation runs in a process of its own, so that its crash is a finding.

- `conformance.isolation.process`: one worker process, from its start to its end.
- `conformance.isolation.worker_caller`: makes the calls of a run there, and starts it again.
- `conformance.isolation.worker`: what runs in it, guarded by `conformance.isolation.guardian`.
- `conformance.isolation.wire`: how calls and answers cross over. PROTOCOL.md describes it all.
"""

import os

AVAILABLE = os.name == "posix"
"""Whether this system has what guards workers: process groups, signals and pipes to poll."""

PROTOCOL = 5
"""Version of the protocol of a run and its workers; a worker of another version is refused."""
