"""Count the instructions of an inference with valgrind, which no other process disturbs.

What is counted are the instructions that callgrind sees executed by the model's process from the
call of the runtime to its return, on the processor that valgrind simulates: no time, but equal for
equal work, so that a change of it is a change of the program. Source: "Callgrind: a call-graph
generating cache and branch prediction profiler", valgrind manual, client requests.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import OptionError, RecordError, RuntimeStateError
from edge_tester.core.options import path_of
from edge_tester.core.registry import load
from edge_tester.core.results.words import plural
from edge_tester.core.run.deployment import deploy, fed
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Plan
from edge_tester.core.runtime import Runtime
from edge_tester.core.system.processes import ended_with_this
from edge_tester.core.system.quiet import quiet
from edge_tester.core.system.temporary import TemporaryFolder
from edge_tester.core.tensors import Array

_LIBRARY = """
#include <valgrind/callgrind.h>
void start(void) { CALLGRIND_START_INSTRUMENTATION; }
void stop(void) { CALLGRIND_STOP_INSTRUMENTATION; }
void toggle(void) { CALLGRIND_TOGGLE_COLLECT; }
"""
_LAST_LINES = 6


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted of one model.

    Attributes
    ----------
    kind : str
    model, sha256 : str
        Name and checksum of the file that ran.
    runtime : str
        Dotted path of its class.
    runtime_options : dict
    batch_size : int
        Samples of an inference.
    inferences : int
        How many each process counted.
    instructions : list of float
        Of an inference, for each process that counted it.
    valgrind : str
        Its version.
    """

    kind: Literal["instructions"] = "instructions"
    model: str
    sha256: str
    runtime: str
    runtime_options: dict[str, Any]
    batch_size: int
    inferences: int
    instructions: list[float]
    valgrind: str

    @property
    def per_inference(self) -> float:
        """The smallest of the counts: what is more than that is chance."""
        return min(self.instructions)


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a process under valgrind is told."""

    callgrind: str
    runtime: str
    runtime_options: dict[str, Any]
    model: str
    batch_size: int
    batch_axis: int | None
    tensors: str
    inferences: int


def count_instructions(
    plan: Plan, artifact: Artifact, inferences: int, processes: int, observer: Observer
) -> Counted:
    """Count the instructions of inferences over the first samples, in fresh processes.

    Parameters
    ----------
    plan : Plan
        Prepared, with a link that runs the model in this process: that tells what it takes.
    artifact : Artifact
        What it comes to.
    inferences : int
        How many each process counts.
    processes : int
    observer : Observer

    Raises
    ------
    RuntimeStateError
        There is no valgrind, no C compiler, or the runtime does not run under it.
    OptionError
        The runtime has several threads, whose turns are chance.
    """
    _require_one_thread(plan.runtime)
    valgrind = _found("valgrind", "apt install valgrind")
    told = subprocess.run(
        [valgrind, "--version"],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=ended_with_this(),
    )
    with TemporaryFolder() as folder:
        scratch = Path(folder)
        wanted = _wanted(plan, artifact, inferences, scratch)
        observer.tell(
            f"Counting in {plural(processes, 'process')} under valgrind, some seconds each"
        )
        counts = [_counted(valgrind, wanted, scratch) / inferences for _ in range(processes)]
    return Counted(
        model=artifact.path.name,
        sha256=artifact.sha256,
        runtime=wanted.runtime,
        runtime_options=plan.runtime.chosen_options(),
        batch_size=wanted.batch_size,
        inferences=inferences,
        instructions=counts,
        valgrind=told.stdout.strip(),
    )


def read_counted(path: Path) -> Counted:
    """Read what was counted before.

    Raises
    ------
    RecordError
        It cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Counted)
    except (OSError, msgspec.DecodeError) as error:
        raise RecordError(f"The count {path} cannot be read: {error}.") from error


def _require_one_thread(runtime: Runtime) -> None:
    for name in runtime.thread_options:
        if (getattr(runtime, name, None) or 1) > 1:
            raise OptionError(
                f"{type(runtime).__name__}.{name} must be 1 to count instructions, got "
                f"{getattr(runtime, name)}: how threads take turns is chance."
            )


def _found(program: str, install: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise RuntimeStateError(f"Counting instructions needs {program}, e.g. by {install}.")
    return path


def _wanted(plan: Plan, artifact: Artifact, inferences: int, scratch: Path) -> _Wanted:
    with quiet(), deploy(plan, artifact, Observer(), plan.protocol) as deployment:
        feed = fed(plan, deployment, Observer())
        batch = next(feed.batches(feed.indices[: feed.size]))
        batch_axis = deployment.batch_axis
    tensors = scratch / "tensors.npz"
    np.savez(tensors, *batch.tensors)
    source, library = scratch / "callgrind.c", scratch / "callgrind.so"
    source.write_text(_LIBRARY)
    compiler = _found("cc", "apt install gcc")
    made = subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-o", library, source],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=ended_with_this(),
    )
    if made.returncode:
        raise RuntimeStateError(
            f"{compiler} cannot compile against valgrind/callgrind.h: {_end_of(made.stderr)}"
        )
    return _Wanted(
        callgrind=str(library),
        runtime=path_of(type(plan.runtime)),
        runtime_options=plan.runtime.chosen_options(),
        model=str(artifact.path.resolve()),
        batch_size=feed.size,
        batch_axis=batch_axis,
        tensors=str(tensors),
        inferences=inferences,
    )


def _counted(valgrind: str, wanted: _Wanted, scratch: Path) -> int:
    output = scratch / "callgrind.out"
    command = [
        *(valgrind, "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no"),
        *(f"--callgrind-out-file={output}", sys.executable, "-m", __name__),
        msgspec.json.encode(wanted).decode(),
    ]
    # Where dictionaries put their keys is chance otherwise.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        preexec_fn=ended_with_this(),
    )
    found = re.search(
        r"^totals: (\d+)", output.read_text() if output.exists() else "", re.MULTILINE
    )
    if ended.returncode or found is None or not int(found.group(1)):
        raise RuntimeStateError(
            f"{wanted.runtime} did not run under valgrind (status {ended.returncode}): "
            f"{_end_of(ended.stderr)}"
        )
    return int(found.group(1))


def _end_of(text: str) -> str:
    return " ".join(" ".join(text.splitlines()[-_LAST_LINES:]).split())


def _count(wanted: _Wanted) -> None:
    """Run inferences, and have callgrind count while the runtime runs."""
    runtime = load("runtimes", wanted.runtime).from_options(wanted.runtime_options)
    if not isinstance(runtime, Runtime):
        raise TypeError(f"{wanted.runtime} is no runtime.")
    runtime.prepare()
    runtime.batch_axis = wanted.batch_axis
    runtime.load(Path(wanted.model), wanted.batch_size)
    with np.load(wanted.tensors) as kept:
        tensors: list[Array] = [kept[name] for name in kept.files]
    library = ctypes.CDLL(wanted.callgrind)
    # The first one allocates, and what it does is that of a cold start.
    _run(runtime, tensors)
    library.start()
    for _ in range(wanted.inferences):
        runtime.set_inputs(tensors)
        library.toggle()
        runtime.run()
        library.toggle()
    library.stop()


def _run(runtime: Runtime, tensors: Sequence[Array]) -> None:
    runtime.set_inputs(tensors)
    runtime.run()


if __name__ == "__main__":
    _count(msgspec.json.decode(sys.argv[1], type=_Wanted))
