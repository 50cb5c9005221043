"""What a matrix file says: one model and data set, many ways to run them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

from edge_tester.core.addresses import forms, is_address
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import OptionError
from edge_tester.core.making.runtimes import runtime_for
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import hint, options_of, path_of
from edge_tester.core.run.plan import Plan
from edge_tester.scenarios._choice import Chosen
from edge_tester.scenarios._command import chosen_from
from edge_tester.scenarios._yaml import blaming, read_mapping

_KEYS = (
    *("modelwrapper", "dataset", "report_directory", "measurement", "pattern"),
    *("combinations", "targets"),
)
_COMBINATION_KEYS = ("name", "compiler", "runtime")


class Combination(NamedTuple):
    """One run: how the model is compiled, what runs it, and where."""

    name: str
    compiler: Chosen | None
    runtime: Chosen
    target: Chosen | None
    """The link to the target; None for an agent that is started on this machine."""


class Matrix(NamedTuple):
    """A matrix file, understood: plans by the names of their records."""

    report_directory: Path
    plans: dict[str, Plan]


def read_matrix(path: Path, target: str = "") -> Matrix:
    """Read a matrix file; every class and option in it is checked.

    Parameters
    ----------
    path : Path
    target : str
        Name of one of its targets, or an address, to run on alone.

    Raises
    ------
    OptionError, PluginError
        The file cannot be read, or says something that does not exist.
    """
    content = read_mapping(path)
    with blaming(path):
        return _understood(content, path, target)


def _understood(content: dict[str, Any], path: Path, only: str) -> Matrix:
    _check_keys(content, _KEYS, str(path))
    for key in ("modelwrapper", "combinations"):
        if key not in content:
            raise OptionError(f"{path} must have a key {key!r}.")
    model = chosen_from(content["modelwrapper"], "modelwrappers", f"{path}: modelwrapper")
    dataset = chosen_from(content.get("dataset", "random_inputs"), "datasets", f"{path}: dataset")
    if not isinstance(content["combinations"], list) or not content["combinations"]:
        raise OptionError(f"{path}: combinations must be a list with at least one entry.")
    several = _targets(content.get("targets", {"here": None}), str(path))
    targets = _chosen_targets(several, only, str(path))
    # What is wrong or missing is found before the first run, not after an hour.
    format = cast(ModelWrapper, model.cls.from_options(model.preset)).artifact().format
    cast(Dataset, dataset.cls.from_options(dataset.preset)).prepare()
    plans: dict[str, Plan] = {}
    for number, entry in enumerate(content["combinations"], 1):
        where = f"{path}: combination {number}"
        for combination in _combinations(entry, format, where):
            for target, link in targets.items():
                # The name of one that is measured alone is that of a run of all, which goes on.
                alone = len(several) == 1 and targets is several
                name = combination.name if alone else f"{target}-{combination.name}"
                one = combination._replace(name=_file_name(name), target=link)
                if one.name in plans:
                    raise OptionError(
                        f"{path}: two combinations are named {one.name!r}: "
                        "give one of them another 'name'."
                    )
                measurement = content.get("measurement", {})
                how = {"measurement": _own(measurement, one.name)}
                if "pattern" in content:
                    how["pattern"] = content["pattern"]
                plans[one.name] = _plan(one, model, dataset, how)
    return Matrix(Path(content.get("report_directory", "build/matrix")), plans)


def _plan(one: Combination, model: Chosen, dataset: Chosen, how: dict[str, Any]) -> Plan:
    chosen = {
        "modelwrapper": model,
        "dataset": dataset,
        "compiler": one.compiler,
        "runtime": one.runtime,
        "runtimeprotocol": one.target,
    }
    parts = {
        key: {"class": path_of(part.cls), **part.preset}
        for key, part in chosen.items()
        if part is not None
    }
    return Plan.from_mapping({**parts, **how})


def _own(measurement: dict[str, Any], name: str) -> dict[str, Any]:
    """Return how to measure a combination, whose outputs are not those of another."""
    outputs = measurement.get("outputs_directory") if isinstance(measurement, dict) else None
    if outputs is None:
        return measurement
    return {**measurement, "outputs_directory": str(Path(str(outputs)) / name)}


def _combinations(entry: object, format: str, where: str) -> Iterator[Combination]:
    if not isinstance(entry, dict):
        raise OptionError(f"{where} must have keys such as runtime, got {entry!r}.")
    _check_keys(entry, _COMBINATION_KEYS, where)
    compilers: list[tuple[str, Chosen | None]] = [("", None)]
    if "compiler" in entry:
        chosen = chosen_from(entry["compiler"], "compilers", f"{where}: compiler")
        compilers = list(_variants(chosen))
        format = getattr(chosen.cls, "output_format", "")
    runtime = (
        chosen_from(entry["runtime"], "runtimes", f"{where}: runtime")
        if "runtime" in entry
        else Chosen("runtimes", runtime_for(format), {})
    )
    names = [one.cls.__module__.rpartition(".")[2] for one in (compilers[0][1], runtime) if one]
    base = str(entry.get("name", "-".join(dict.fromkeys(names))))
    for (compiled, compiler), (ran, variant) in itertools.product(compilers, _variants(runtime)):
        name = "-".join(part for part in (base, compiled, ran) if part)
        yield Combination(name, compiler, variant, None)


def _variants(chosen: Chosen) -> Iterator[tuple[str, Chosen]]:
    """Yield a class once for every value of the options that have a list of values.

    What names a variant is what differs, the kind of device by its value alone.
    """
    several = [
        declared.name
        for declared in options_of(chosen.cls)
        if isinstance(values := chosen.preset.get(declared.name), list)
        and (not declared.repeated or (values and all(isinstance(v, list) for v in values)))
    ]
    for values in itertools.product(*(chosen.preset[name] for name in several)):
        pairs = dict(zip(several, values, strict=True))
        words = [
            _word(value) if name == "target" else f"{name}={_word(value)}"
            for name, value in pairs.items()
        ]
        yield "-".join(words), chosen._replace(preset={**chosen.preset, **pairs})


def _targets(content: object, where: str) -> dict[str, Chosen | None]:
    if not isinstance(content, dict) or not content:
        raise OptionError(f"{where}: targets must be names with their links, got {content!r}.")
    return {
        str(name): None
        if value is None
        else chosen_from(value, "runtimeprotocols", f"{where}: target {name}")
        for name, value in content.items()
    }


def _chosen_targets(
    targets: dict[str, Chosen | None], only: str, where: str
) -> dict[str, Chosen | None]:
    """Return the targets to run on: all, the one of a name, or that of an address."""
    if not only:
        return targets
    if only in targets:
        return {only: targets[only]} if len(targets) > 1 else targets
    if not is_address(only):
        raise OptionError(
            f"{where} has no target {only!r}; it has {', '.join(targets)}. As an address it would "
            f"be {' or '.join(forms())}."
        )
    return {only: chosen_from(only, "runtimeprotocols", where)}


def _check_keys(content: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in content:
        if key not in known:
            raise OptionError(f"{where} has an unknown key {key!r}{hint(str(key), known)}")


def _word(value: object) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._=+-]+", "_", name)
