"""Count the instructions of an inference: ``edge-tester instructions``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import msgspec

from edge_tester.core import registry
from edge_tester.core.errors import RecordError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, option, path_of
from edge_tester.core.results.words import plural
from edge_tester.core.run.instructions import Counted, count_instructions, read_counted
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.core.run.preparing import made, prepared
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.system.files import write_atomically
from edge_tester.scenarios._command import Command
from edge_tester.scenarios._plans import plan_of, with_random_inputs
from edge_tester.scenarios._program import Logging, guard
from edge_tester.scenarios._progress import TerminalProgress


class Counting(Configurable):
    """What is counted, and compared."""

    inferences: int = option(10, minimum=1, help="Inferences that each process counts")
    processes: int = option(2, minimum=1, help="Fresh processes that count")
    baseline: Path | None = option(None, help="What an earlier count wrote, to compare with")
    max_growth: float = option(
        1.0, minimum=0, unit="%", help="Growth over the baseline from which on the status is 1"
    )
    output: Path | None = option(
        None, help="File for the count; build/instructions/MODEL.json by default"
    )


COMMAND = Command(
    "instructions",
    "Count the instructions of an inference with valgrind, on this machine: no time, but the same "
    "for the same work whatever else the machine does, so that a gate need not be repeated. With "
    "--baseline the status is 1 where they grew by more than --max-growth. It takes valgrind and "
    "a C compiler.",
    roles=("modelwrappers", "compilers", "runtimes", "datasets"),
    required=("modelwrappers",),
    extras=(Counting,),
    complete=with_random_inputs,
)


def main(arguments: Sequence[str]) -> int:
    """Run the command; the status is 1 where there are too many more."""
    parsed = COMMAND.parse(arguments)
    parsed.extra(Logging).start()
    asked = parsed.extra(Counting)
    baseline = None if asked.baseline is None else read_counted(asked.baseline)
    model = parsed.needed(ModelWrapper)
    path = asked.output or Path("build/instructions") / f"{model.model_path.stem}.json"
    loopback = cast(RuntimeProtocol, registry.load("runtimeprotocols", "loopback")())
    plan = dataclasses.replace(plan_of(parsed, model, Measurement()), protocol=loopback)
    if baseline is not None:
        _require_like(plan, baseline)
    with TerminalProgress() as progress:
        evaluation = prepared(plan, path)
        artifact = made(plan, loopback, evaluation, progress)
        found = count_instructions(plan, artifact, asked.inferences, asked.processes, progress)
    try:
        write_atomically(path, msgspec.json.format(msgspec.json.encode(found)))
    except OSError as error:
        raise RecordError(f"{path} cannot be written: {error.strerror}.") from error
    print(_told(found))
    print(f"Count: {path}")
    return 0 if baseline is None else _compared(found, baseline, asked.max_growth)


def _require_like(plan: Plan, baseline: Counted) -> None:
    ours = path_of(type(plan.runtime)), plan.dataset.inference_batch_size
    if ours != (baseline.runtime, baseline.batch_size):
        raise RecordError(
            f"The baseline was counted with {baseline.runtime} and "
            f"{plural(baseline.batch_size, 'sample')} in an inference, this would be {ours[0]} and "
            f"{plural(ours[1], 'sample')}."
        )


def _told(found: Counted) -> str:
    counts = [f"{count:,.0f}" for count in sorted(set(found.instructions))]
    told = counts[0] if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    each = f" of {found.batch_size} samples" if found.batch_size > 1 else ""
    return (
        f"{found.model}: {told} instructions for an inference{each}, as callgrind counts them "
        f"({found.valgrind})."
    )


def _compared(found: Counted, baseline: Counted, most_percent: float) -> int:
    growth = 100 * (found.per_inference / baseline.per_inference - 1)
    regression = growth > most_percent
    print(
        f"{'Regression' if regression else 'Passed'}: {growth:+.2f} % compared with "
        f"{baseline.model}, at most +{most_percent:g} % allowed."
    )
    return int(regression)


if __name__ == "__main__":
    sys.exit(guard(main))
