"""Forms of a kernel other than a Python function: what its worker loads, and how it is called.

Each form is a module of its name, whose ``load`` returns the implementation at a location.
"""
