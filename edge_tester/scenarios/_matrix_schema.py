"""The JSON Schema of matrix files."""

from __future__ import annotations

from typing import Any

from edge_tester.core.options import json_schema
from edge_tester.core.run.plan import Measurement
from edge_tester.scenarios._command import role_schema


def matrix_schema() -> dict[str, Any]:
    """Return the JSON Schema of what :func:`read_matrix` takes."""
    combination = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "Also of the record's file"},
            "compiler": _with_lists(role_schema("compilers")),
            "runtime": _with_lists(role_schema("runtimes")),
        },
        "minProperties": 1,
        "additionalProperties": False,
    }
    return {
        "title": "edge_tester matrix",
        "type": "object",
        "description": "One model and data set, and the ways to run them",
        "properties": {
            "modelwrapper": role_schema("modelwrappers"),
            "dataset": role_schema("datasets"),
            "report_directory": {"type": "string", "default": "build/matrix"},
            "measurement": json_schema(Measurement),
            "pattern": role_schema("patterns"),
            "combinations": {
                "type": "array",
                "items": combination,
                "minItems": 1,
                "description": "An option with a list of values stands for a run with each",
            },
            "targets": {
                "type": "object",
                "additionalProperties": {
                    "anyOf": [{"type": "null"}, role_schema("runtimeprotocols")]
                },
                "minProperties": 1,
                "description": "Names of targets, and the links to them; null is an agent that "
                "is started on this machine",
            },
        },
        "required": ["modelwrapper", "combinations"],
        "additionalProperties": False,
    }


def _with_lists(schema: dict[str, Any]) -> dict[str, Any]:
    """Allow a list of values for each option of each class."""
    branches = []
    for branch in schema["anyOf"]:
        properties = {
            name: option
            if name == "class"
            else {"anyOf": [option, {"type": "array", "items": option, "minItems": 1}]}
            for name, option in branch.get("properties", {}).items()
        }
        branches.append({**branch, "properties": properties} if properties else branch)
    return {"anyOf": branches}
