"""What convformance itself costs, and how fast its implementations are.

Each module is a script: ``python -m benchmarks.NAME``.

The things compared run interleaved, in random order, in one process or one series of processes. So
a machine that gets slower or faster does so for all of them alike.
"""
