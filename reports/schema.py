"""The JSON schemas of what reports write as JSON, made from the tables of the run file.

They are kept as files in docs/schema (`python -m conformance.reports.schema docs/schema` writes
them), with a sentence for each key. A key may be added; none is taken away
or changes its meaning without a new major version.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from conformance.reports.as_json import OPTIONAL
from conformance.runfile.row import Row, columns
from conformance.runfile.tables import (
    Call,
    Cell,
    Convention,
    Implementation,
    Known,
    Layer,
    Pair,
    Source,
    Timing,
    Violation,
)

Schema = Mapping[str, Any]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_TYPES: Mapping[type, Schema] = {
    str: _TEXT,
    int: {"type": "integer"},
    bool: {"enum": [0, 1]},
    float: {"anyOf": [{"type": "number"}, {"enum": ["inf", "-inf"]}]},
}
_NOTHING: Schema = {"type": "null"}


def run_schema() -> Schema:
    """Return the schema of a report as JSON: `run --json` and `report --json`."""
    space = {"space": _TEXT, "cases": _COUNT, "unsupported": _COUNT, "judged": _COUNT}
    counts = _object({"due": _COUNT, "compared": _COUNT})
    violation = _row(Violation, given=Cell.key, optional=OPTIONAL)
    cell = _row(
        Cell,
        given=("implementation",),
        further={
            "classes": {
                "description": "How many cases of each class were due, and compared.",
                "type": "object",
                "additionalProperties": counts,
            },
            "spaces": _list(_object({**space, "sentence": _TEXT})),
            "violations": _list(violation),
        },
    )
    return _document(
        "A run of convformance",
        {
            "run": {**_TEXT, "description": "The run file."},
            "seed": {"type": ["integer", "null"]},
            "complete": {**_FLAG, "description": "Whether the run has its closing record."},
            "implementations": _list(_row(Implementation, further={"cells": _list(cell)})),
            "known": _list(_row(Known)),
            "layers": _list(_row(Layer)),
            "conventions": _list(_row(Convention)),
            "pairs": _list(_row(Pair)),
            "timings": _list(_row(Timing)),
            "calls": _list(_row(Call)),
            "models": _list(_TEXT),
            "sources": _list(_row(Source)),
        },
        optional=("calls", "models", "sources"),
    )


def comparison_schema() -> Schema:
    """Return the schema of `compare --json`."""
    run = _object({"run": _TEXT, "started": {"type": ["string", "null"]}, "complete": _FLAG})
    violation = _row(
        Violation, given=("implementation", "operator", "requirement"), optional=OPTIONAL
    )
    change = _object(
        {
            "implementation": _TEXT,
            "operator": _TEXT,
            "requirement": {**_TEXT, "description": "Empty where no case shows what changed."},
            "cells": _COUNT,
            "cases": {
                **_COUNT,
                "description": "Cases of both runs that are right in one and wrong in the other.",
            },
            "message": _TEXT,
            "violation": {"anyOf": [violation, _NOTHING]},
        }
    )
    number: Schema = {"type": "number"}
    speed = _object(
        {
            **dict.fromkeys(("implementation", "layer"), _TEXT),
            **dict.fromkeys(("old", "new", "factor", "chance"), number),
        }
    )
    missing = _object(
        {
            "implementation": _TEXT,
            "operator": {**_TEXT, "description": "Empty for all of them."},
            "side": {"enum": ["old", "new"], "description": "The side that lacks it."},
            "cells": _COUNT,
            "reason": _TEXT,
        }
    )
    return _document(
        "Two runs of convformance, compared",
        {
            "format": {"const": "convformance-comparison-1"},
            "old": run,
            "new": run,
            "headline": _TEXT,
            "regression": {**_FLAG, "description": "Whether the exit status is 1."},
            "implementations": _list(_object({"old": _TEXT, "new": _TEXT})),
            "cells": _COUNT,
            "cases": {**_COUNT, "description": "How many cases both have compared."},
            "only_old": _COUNT,
            "only_new": _COUNT,
            "exact": {**_FLAG, "description": "Whether the files say which cases they judged."},
            "newly_violates": _list(change),
            "newly_conforms": _list(change),
            "still_violates": _list(change),
            "not_compared": _list(missing),
            "timings": _COUNT,
            "factor": number,
            "slower": _list(speed),
            "faster": _list(speed),
            "settings": _list(_object(dict.fromkeys(("kind", "name", "old", "new"), _TEXT))),
        },
    )


def history_schema() -> Schema:
    """Return the schema of `history --json`: an entry of each list is that of a run."""
    step = {k: v for k, v in comparison_schema().items() if k not in ("$schema", "title")}
    run = _object({"run": _TEXT, "started": {"type": ["string", "null"]}, "complete": _FLAG})
    text, count, number = (
        _list({"type": [kind, "null"]}) for kind in ("string", "integer", "number")
    )
    trend = _object(
        {
            "implementation": _TEXT,
            "versions": text,
            "verdicts": text,
            "violated": {**count, "description": "How many requirements, each operator by itself."},
            "compared": count,
            "time": {**number, "description": "Seconds of a call: a mean over the shared layers."},
            "sparkline": _TEXT,
        }
    )
    return _document(
        "Runs of convformance in the order of time",
        {
            "format": {"const": "convformance-history-1"},
            "runs": _list(run),
            "implementations": _list(trend),
            "steps": {**_list(step), "description": "What changed from each run to the next."},
            "regression": {**_FLAG, "description": "Whether the exit status is 1."},
        },
    )


SCHEMAS = {
    "run.schema.json": run_schema,
    "comparison.schema.json": comparison_schema,
    "history.schema.json": history_schema,
}


def write(folder: Path) -> None:
    """Write the schemas into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in SCHEMAS.items():
        (folder / name).write_text(json.dumps(schema(), indent=2) + "\n", encoding="utf-8")


def _document(
    title: str, properties: Mapping[str, Schema], optional: Container[str] = ()
) -> Schema:
    return {"$schema": _DRAFT, "title": title, **_object(properties, optional)}


def _object(properties: Mapping[str, Schema], optional: Container[str] = ()) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _row(
    row: type[Row],
    given: Container[str] = (),
    optional: Container[str] = (),
    further: Mapping[str, Schema] | None = None,
) -> Schema:
    """Return the schema of a row, as `as_data` writes it, with what stands beside its columns."""
    properties: dict[str, Schema] = {}
    for column in columns(row):
        if not column.in_json or column.name in given:
            continue
        schema: Schema = _TYPES[column.kind]
        if column.optional or column.kind is float:
            schema = {"anyOf": [schema, _NOTHING]}
        if column.prose:
            schema = {**schema, "description": column.prose}
        properties[column.name] = schema
    described = {"description": " ".join((row.__doc__ or "").split())}
    return {**described, **_object({**properties, **(further or {})}, optional)}


if __name__ == "__main__":
    write(Path(sys.argv[1]))
