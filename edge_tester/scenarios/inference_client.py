"""Compile, deploy and measure a model on a target: ``edge-tester client``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core import registry
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import OptionError, UnreachableError
from edge_tester.core.making.chain import suffix_of
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, option
from edge_tester.core.record import RunRecord
from edge_tester.core.run.host import Measurement
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.requirements import require_packages
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.runtimeprotocols.loopback import LoopbackProtocol
from edge_tester.scenarios._choice import Chosen, runtime_for
from edge_tester.scenarios._command import Command, Parsed
from edge_tester.scenarios._local_agent import local_agent
from edge_tester.scenarios._program import Logging, guard
from edge_tester.scenarios._progress import TerminalProgress
from edge_tester.scenarios._record import default_report, record_run, show


class Target(Configurable):
    """Where the model runs."""

    start_agent: bool = option(
        False, help="Start an agent on this machine for this run, in a process of its own"
    )


def measure(
    model: ModelWrapper,
    dataset: Dataset,
    runtime: Runtime,
    *,
    compiler: ModelCompiler | None = None,
    protocol: RuntimeProtocol | None = None,
    measurement: Measurement | None = None,
    report_directory: Path = Path("build/report"),
    report_name: str = "run",
    observer: Observer | None = None,
    command_line: Sequence[str] = (),
) -> RunRecord:
    """Run one benchmark and write its record.

    Parameters
    ----------
    model : ModelWrapper
    dataset : Dataset
    runtime : Runtime
        What shall run the model on the target.
    compiler : ModelCompiler, optional
        Without one the model file is deployed as it is.
    protocol : RuntimeProtocol, optional
        Link to an agent, or LoopbackProtocol to run the model in this process; without
        one an agent is started on this machine, in a process of its own, for this run.
    measurement : Measurement, optional
    report_directory : Path
    report_name : str
        The record is ``report_directory/report_name.json``.
    observer : Observer, optional
    command_line : sequence of str
        For the record.

    Raises
    ------
    EdgeTesterError, KeyboardInterrupt
        What was measured until then is in the record, marked incomplete.
    """
    path = Path(report_directory) / f"{report_name}.json"
    local = protocol is None or protocol.in_process
    require_packages(model, dataset, compiler, runtime if local else None)
    if compiler is not None and compiler.compiled_model_path is None:
        compiler.compiled_model_path = _beside(path, model.model_path, compiler)
    with contextlib.ExitStack() as stack:
        link = protocol or stack.enter_context(local_agent([runtime]))
        if isinstance(link, LoopbackProtocol):
            link.runtime = runtime
        if protocol is None or protocol.in_process:
            # The agent has got what only the owner of a target may set.
            runtime = runtime.as_client()
        return record_run(
            path, model, dataset, link, runtime, compiler, measurement, observer, command_line
        )


def _answers(protocol: RuntimeProtocol) -> bool:
    """Tell whether something listens where a client would go that was told nothing.

    An address that was given is meant, also if nothing is there.
    """
    if protocol.chosen_options():
        return True
    try:
        protocol.start_client()
    except UnreachableError:
        return False
    protocol.disconnect()
    return True


def _beside(record: Path, source: Path, compiler: ModelCompiler) -> Path:
    """Return where a compiled model goes for which no place was named; never its source's."""
    suffix = suffix_of(compiler.output_format)
    path = record.with_name(f"{record.stem}{suffix}")
    return (
        path
        if path.resolve() != source.resolve()
        else record.with_name(f"{record.stem}-compiled{suffix}")
    )


def conduct(parsed: Parsed) -> None:
    """Do what a command line or a scenario file says."""
    parsed.extra(Logging).start()
    named = parsed.needed(RuntimeProtocol)
    protocol: RuntimeProtocol | None = named
    if parsed.extra(Target).start_agent:
        if protocol is not None and protocol.chosen_options():
            raise OptionError(
                "--start-agent starts an agent of its own, so these do not apply: "
                f"{', '.join(protocol.chosen_options())}."
            )
        protocol = None
    elif parsed.left_out("runtimeprotocols") and not _answers(named):
        protocol = None
    directory, name = Path(parsed.trailing["report_directory"]), parsed.trailing["report_name"]
    with TerminalProgress() as progress:
        if protocol is None and not parsed.extra(Target).start_agent:
            progress.tell("No agent runs on this machine: one is started for this run.")
        if parsed.left_out("datasets"):
            progress.tell("No data set is named: random inputs are run, and nothing is evaluated.")
        record = measure(
            parsed.needed(ModelWrapper),
            parsed.needed(Dataset),
            parsed.needed(Runtime),
            compiler=parsed.part(ModelCompiler),
            protocol=protocol,
            measurement=parsed.extra(Measurement),
            report_directory=directory,
            report_name=name,
            observer=progress,
            command_line=parsed.command_line,
        )
    show(record, directory / f"{name}.json")


def _complete(chosen: list[Chosen]) -> list[Chosen]:
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

    PyTorch's networks, which no runtime runs as they are, go to PyTorch where none is named.
    """
    format = getattr(model.cls, "file_format", "") or _format_of(model)
    wanted = getattr(runtime.cls, "input_formats", ()) if runtime else ()
    if not format or format in wanted or (runtime is None and format != "torch"):
        return None
    wanted = wanted or ("torch-exported",)
    for name in registry.names("compilers"):
        cls = registry.loadable("compilers", name)
        takes, makes = getattr(cls, "input_formats", ()), getattr(cls, "output_format", "")
        if cls is not None and format in takes and makes in wanted:
            return Chosen("compilers", cls, {})
    return None


def _format_of(model: Chosen) -> str:
    if not model.preset:
        # Wrappers of files of one format say which; those of a framework need a compiler.
        return getattr(model.cls, "file_format", "")
    wrapper = model.cls.from_options(model.preset)
    return wrapper.format if isinstance(wrapper, ModelWrapper) else ""


COMMAND = Command(
    "client",
    "Compile a model, run it on a target and write a run record. MODEL and DATASET may be "
    "your own files: a .tflite, .onnx, .keras, .h5 or TorchScript file, a SavedModel; an .npz "
    "file or a folder of class folders of images.",
    roles=("modelwrappers", "compilers", "runtimeprotocols", "runtimes", "datasets"),
    required=("modelwrappers",),
    extras=(Measurement, Target),
    trailing=("report_directory", "report_name"),
    default_trailing=default_report,
    complete=_complete,
)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    conduct(COMMAND.parse(arguments))


if __name__ == "__main__":
    sys.exit(guard(main))
