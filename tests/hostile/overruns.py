"""The compiled implementations of both collections as a plugin, for workers."""

from __future__ import annotations

from conformance import implementation
from tests.correct import correct
from tests.defects import defects

for one in (*defects(), *correct()):
    if one.isolated:
        made = implementation(one.name, **one.declarations)
        for operator, function in one.functions.items():
            made.register(operator, function)
