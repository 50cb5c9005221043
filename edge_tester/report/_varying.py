"""Find in what records differ: model, classes, options and target, each said once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edge_tester.core.record import RunRecord
from edge_tester.core.results.words import value_text

NONE: Final = "–"
_TITLES = {
    "model": "Model",
    "dataset": "Data set",
    "compiler": "Compiler",
    "runtime": "Runtime",
    "target": "Target",
}
# Where something lies, or how the target is reached, is no way to run a model.
_PLACES = {"compiled_model_path", "save_model_path", "model_path"}
_UNTOLD_ROLES = {"runtimeprotocol"}
_Key = tuple[str, str]
"""Role, and option; no option is the class itself."""


def varying(records: Sequence[RunRecord]) -> list[tuple[str, list[str]]]:
    """Return the title of all that differs between records, and its value in each.

    An option counts if two classes that have it have other values; where a
    record's class has no such option, its value is a dash.
    """
    facts = [_facts(record) for record in records]
    keys = dict.fromkeys(key for one in facts for key in one)
    varied = [key for key in keys if len({one[key] for one in facts if key in one}) > 1]
    # A class before its options, the roles in the order of their work.
    order = list(_TITLES)
    varied.sort(key=lambda key: order.index(key[0]) if key[0] in order else len(order))
    options = [option for _, option in varied]
    titles = [
        _title(role, option, alone=options.count(option) == 1) if option else _TITLES[role]
        for role, option in varied
    ]
    return [
        (title, [one.get(key, NONE) for one in facts])
        for title, key in zip(titles, varied, strict=True)
    ]


def _facts(record: RunRecord) -> dict[_Key, str]:
    parents = record.model.parents
    source = str(parents[-1].get("name", record.model.name)) if parents else record.model.name
    classes: dict[str, list[str]] = {role: [] for role in ("compiler", "runtime", "dataset")}
    options: dict[_Key, list[str]] = {}
    for part in record.components:
        if part.role in classes:
            classes[part.role].append(part.name.rpartition(".")[2])
        for name, value in part.options.items():
            if name not in _PLACES and part.role not in _UNTOLD_ROLES:
                options.setdefault((part.role, name), []).append(value_text(value))
    return {
        ("model", ""): source,
        ("target", ""): record.target.hostname,
        # The steps of a chain of compilers in their order.
        **{(role, ""): " → ".join(names) or NONE for role, names in classes.items()},
        **{key: " → ".join(values) for key, values in options.items()},
    }


def _title(role: str, option: str, *, alone: bool) -> str:
    return option if alone else f"{_TITLES.get(role, role)} {option}"
