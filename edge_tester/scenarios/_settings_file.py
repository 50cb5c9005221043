"""Files that say a model, a data set, how to measure, and what a command of its own is asked."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import OptionError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import hint, json_schema
from edge_tester.core.run.hostruntime import HostRuntime
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.scenarios._command import chosen_from, role_schema

Settings = TypeVar("Settings", bound=msgspec.Struct)
_MODEL_KEYS = ("modelwrapper", "dataset", "measurement", "report_directory")
# For each candidate, in all its replicates.
_DURATION_S = 1.0
# One or more names and a type in the section Attributes of a docstring, and the lines below.
_ATTRIBUTE = re.compile(r"^(\w+(?:, \w+)*) : .*\n((?: {4}.*\n?)*)", re.MULTILINE)


class Asked(NamedTuple):
    """What such a file says.

    Attributes
    ----------
    plan : Plan
        The model in its own framework.
    settings : msgspec.Struct
        Of the kind that was asked for.
    folder : Path
        For the runs.
    """

    plan: Plan
    settings: Any
    folder: Path


def understood(content: Mapping[str, Any], path: Path, kind: type[Settings], folder: str) -> Asked:
    """Return what a file says.

    Parameters
    ----------
    content : mapping
        Of the file.
    path : Path
        For messages.
    kind : type
        A Struct of the further keys.
    folder : str
        Where runs are kept unless the file says otherwise.

    Raises
    ------
    OptionError
        It has a key that is not known, or a value that does not fit.
    """
    known = [*_MODEL_KEYS, *kind.__struct_fields__]
    for key in content:
        if key not in known:
            raise OptionError(f"{path} has an unknown key {key!r}{hint(key, known)}")
    if "modelwrapper" not in content:
        raise OptionError(f"{path} must have a key 'modelwrapper'.")
    model = chosen_from(content["modelwrapper"], "modelwrappers", f"{path}: modelwrapper")
    dataset = chosen_from(content.get("dataset", "random_inputs"), "datasets", f"{path}: dataset")
    how = content.get("measurement", {})
    if not isinstance(how, dict):
        raise OptionError(f"{path}: measurement must hold keys and values, got {how!r}.")
    if not {"min_duration_s", "min_count"} & how.keys():
        how = {**how, "min_duration_s": _DURATION_S}
    plan = Plan(
        cast(ModelWrapper, model.cls.from_options(model.preset)),
        cast(Dataset, dataset.cls.from_options(dataset.preset)),
        HostRuntime(),
        measurement=Measurement.from_options(how),
    )
    asked = {key: value for key, value in content.items() if key not in _MODEL_KEYS}
    try:
        settings = msgspec.convert(asked, kind, dec_hook=lambda kind, value: kind(value))
    except (msgspec.ValidationError, TypeError) as error:
        raise OptionError(f"{path}: {error}") from error
    return Asked(plan.fresh(), settings, Path(content.get("report_directory", folder)))


def settings_schema(title: str, kind: type[msgspec.Struct], folder: str) -> dict[str, Any]:
    """Return the JSON Schema of what :func:`understood` takes."""
    (_, parts) = msgspec.json.schema_components(
        (kind,), schema_hook=_schema_of, ref_template="#/$defs/{name}"
    )
    for found in parts.values():
        _describe(found)
    asked = parts.pop(kind.__name__)
    return {
        "title": f"edge_tester {title}",
        "type": "object",
        "properties": {
            "modelwrapper": role_schema("modelwrappers"),
            "dataset": role_schema("datasets"),
            "measurement": json_schema(Measurement),
            "report_directory": {"type": "string", "default": folder},
            **asked["properties"],
        },
        "required": ["modelwrapper", *asked.get("required", ())],
        "additionalProperties": False,
        "$defs": parts,
    }


def _schema_of(kind: type) -> dict[str, Any]:
    if kind is Path:
        return {"type": "string"}
    raise NotImplementedError(kind)


def _describe(part: dict[str, Any]) -> None:
    """Give each property what the docstring of its class says of it."""
    text = inspect.cleandoc(part.get("description", ""))
    part["description"] = text.partition("\n")[0]
    for names, lines in _ATTRIBUTE.findall(f"{text.partition('Attributes')[2]}\n"):
        told = " ".join(lines.split())
        for name in names.split(", ") if told else ():
            one = part["properties"].get(name)
            # Beside a reference JSON Schema allows a description since draft 2019-09.
            if one is not None:
                one["description"] = told
