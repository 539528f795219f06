"""An implementation's own source: its files, the numbers in it, and the lines that could run.

- `conformance.sources.modules`: what of a Python file, and of those beside it, a function uses.
- `conformance.sources.numbers`: the integers of source, and the sizes that its conditions ask for.
- `conformance.sources.statements`: the statements that are to be executed, and what guards them.
- `conformance.sources.own`: all of it, for one operator of an implementation.
"""
