"""Plans of what a command line names."""

from __future__ import annotations

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
