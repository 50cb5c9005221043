"""Plans of what a command line names."""

from __future__ import annotations

from typing import cast

from edge_tester.core import registry
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.dataset import Dataset
from edge_tester.core.making.runtimes import runtime_for
from edge_tester.core.model import ModelWrapper
from edge_tester.core.pattern import LoadPattern
from edge_tester.core.run.plan import Measurement, Plan, single_stream
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.scenarios._choice import Chosen
from edge_tester.scenarios._command import Parsed


def plan_of(parsed: Parsed, model: ModelWrapper, measurement: Measurement) -> Plan:
    """Return a plan of instances of its own; without a runtime, of the first for the format.

    Parameters
    ----------
    parsed : Parsed
        Whose data set, compiler, runtime, link and load pattern it has.
    model : ModelWrapper
    measurement : Measurement
    """
    compiler, runtime = parsed.part(ModelCompiler), parsed.part(Runtime)
    format = compiler.output_format if compiler else model.artifact().format
    plan = Plan(
        model,
        parsed.needed(Dataset),
        runtime or runtime_for(format)(),
        compiler,
        parsed.part(RuntimeProtocol),
        measurement,
        parsed.part(LoadPattern) or single_stream(),
    )
    # A data set is bound to the inputs of one model.
    return plan.fresh()


def with_random_inputs(chosen: list[Chosen]) -> list[Chosen]:
    """Add random inputs where a model is named and no data set."""
    named = {one.role for one in chosen}
    if "modelwrappers" in named and "datasets" not in named:
        data = Chosen("datasets", registry.load("datasets", "random_inputs"), {})
        return [*chosen, data]
    return chosen


def completed(chosen: list[Chosen]) -> list[Chosen]:
    """Add what was left out: no compiler, the network, a fitting runtime, random inputs."""
    by_role = {one.role: one for one in chosen}
    if "modelwrappers" not in by_role:
        return chosen
    for role, name in (("runtimeprotocols", "network"), ("datasets", "random_inputs")):
        if role not in by_role:
            by_role[role] = Chosen(role, registry.load(role, name), {})
    if "compilers" not in by_role:
        compiler = _default_compiler(by_role["modelwrappers"], by_role.get("runtimes"))
        if compiler is not None:
            by_role["compilers"] = compiler
    if "runtimes" not in by_role:
        compiler = by_role.get("compilers")
        if compiler is not None:
            format = getattr(compiler.cls, "output_format", "")
        else:
            format = _format_of(by_role["modelwrappers"])
        if format:
            by_role["runtimes"] = Chosen("runtimes", runtime_for(format), {})
    return [by_role[role] for role in registry.ROLES if role in by_role]


def _default_compiler(model: Chosen, runtime: Chosen | None) -> Chosen | None:
    """Return what brings a model to the runtime that is named; None if nothing needs to.

    One that leaves the weights as they are, since nobody asked for another model. PyTorch's
    networks, which no runtime runs as they are, go to PyTorch where none is named.
    """
    format = getattr(model.cls, "file_format", "") or _format_of(model)
    wanted = getattr(runtime.cls, "input_formats", ()) if runtime else ()
    if not format or format in wanted or (runtime is None and format != "torch"):
        return None
    wanted = wanted or ("torch-exported",)
    for name in registry.names("compilers"):
        found = registry.loadable("compilers", name)
        if found is None:
            continue
        cls = cast(type[ModelCompiler], found)
        fits = format in cls.input_formats and cls.output_format in wanted
        if fits and not cls().quantizes:
            return Chosen("compilers", cls, {})
    return None


def _format_of(model: Chosen) -> str:
    if not model.preset:
        # Wrappers of files of one format say which; those of a framework need a compiler.
        return getattr(model.cls, "file_format", "")
    wrapper = model.cls.from_options(model.preset)
    return wrapper.format if isinstance(wrapper, ModelWrapper) else ""
