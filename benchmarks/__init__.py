"""What convformance itself costs. Each module is a script: ``python -m benchmarks.NAME``.

What is compared runs interleaved, in random order, in one process or one series of processes, so
that a machine that gets slower or faster does so for all alike.
"""
