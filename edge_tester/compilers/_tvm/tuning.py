"""Tuning by TVM's MetaSchedule: schedules are measured on this machine, the fastest is kept."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from edge_tester.compilers._tvm.schedules import scheduled
from edge_tester.core.backends import backend
from edge_tester.core.errors import CompilationError

_NEEDED_BY = "TVMCompiler"
# The same candidates each time; what is measured of them differs anyway.
_SEED = 1
# Candidates that are built and measured together: starting the processes for it takes seconds.
_SMALLEST_BATCH = 8
_LARGEST_BATCH = 64
# Candidates of a generation. TVM's own 512 take longer to find on two cores than 64 to measure.
_POPULATION = 128
_UNLIMITED = 1 << 30
# What a schedule that fails or crashes is said to take. Source: TVM, add_to_database.cc.
_FAILED_S = 1e9
_INTRINSICS = "tvm.s_tir.tensor_intrin"


@dataclasses.dataclass
class Tuning:
    """What to spend on tuning, and what came of it.

    Attributes
    ----------
    trials : int or None
        Schedules to measure for the whole model, those included that the database has;
        the last batch may exceed it.
    time_s : float or None
        Time after which no further batch of trials is begun. Without trials and time
        the database is used as it is.
    database : Path
        Folder that keeps what was measured, apart for each target, number of threads
        and version of TVM.
    threads : int
        Threads that candidates are measured with.
    show : callable
        Told the trials done and their number, which is 0 where only the time is limited.
    facts : dict
        Filled by :meth:`applied`.
    """

    trials: int | None
    time_s: float | None
    database: Path
    threads: int
    show: Callable[[int, int], None]
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)

    def applied(self, tvm: Any, module: Any, target: Any, lanes: int) -> Any:
        """Return the module with the fastest known schedule of each function.

        This package's own schedules take part: they are measured first, and a function
        for which nothing faster was found keeps them.

        Raises
        ------
        CompilationError
            The database cannot be read, or not a single schedule could be measured.
        """
        schedules: Any = backend("tvm.s_tir.meta_schedule", _NEEDED_BY)
        tuned_for = _with_cores(tvm, target, self.threads)
        folder = self._folder(tvm, tuned_for)
        try:
            database = schedules.database.JSONDatabase(work_dir=str(folder))
        except (RuntimeError, ValueError, TypeError) as error:
            raise CompilationError(
                f"TVMCompiler cannot read the tuning database {folder}, which may be removed: "
                f"{str(error).partition(os.linesep)[0]}"
            ) from error
        tasks = schedules.relax_integration.extract_tasks(module, tuned_for)
        if self.trials or self.time_s:
            with _threads(self.threads):
                self._spend(tvm, schedules, database, tasks, lanes)
        records = [_best(database, task) for task in tasks]
        self.facts = {
            "tuning_trials": _count(database, tasks),
            "functions": len(tasks),
            "functions_tuned": sum(map(_was_found, records)),
        }
        with database, tuned_for:
            return tvm.relax.transform.MetaScheduleApplyDatabase()(module)

    def _folder(self, tvm: Any, target: Any) -> Path:
        key = json.dumps([tvm.__version__, str(target), self.threads])
        folder = self.database / hashlib.sha256(key.encode()).hexdigest()[:12]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _spend(
        self, tvm: Any, schedules: Any, database: Any, tasks: Sequence[Any], lanes: int
    ) -> None:
        begun_s = time.monotonic()
        done = _count(database, tasks)
        new = [task for task in tasks if not database.has_workload(task.dispatched[0])]
        total = self.trials or 0
        if not tasks or (total and total <= done and not new):
            return
        self.show(done, total)
        builder = schedules.builder.LocalBuilder(initializer=_without_intrinsics)
        runner = schedules.runner.LocalRunner()
        _measure_own(tvm, schedules, database, new, lanes, builder, runner)
        done += len(new)
        self.show(done, total)

        def go_on(candidates: int) -> bool:
            nonlocal done
            done += candidates
            self.show(done, total)
            return self.time_s is None or time.monotonic() - begun_s < self.time_s

        left = total - done if total else _UNLIMITED
        if left <= 0:
            return
        space = _space(schedules)
        strategy = schedules.search_strategy.EvolutionarySearch(population_size=_POPULATION)
        with _no_intrinsics():
            # Not by TVM's own function for it, which configures logging and fails a second time.
            contexts = [
                schedules.TuneContext(
                    mod=task.dispatched[0],
                    target=task.target,
                    space_generator=space,
                    search_strategy=strategy,
                    task_name=task.task_name,
                    rand_state=_SEED + number,
                ).clone()
                for number, task in enumerate(tasks)
            ]
        schedules.tune.tune_tasks(
            tasks=contexts,
            task_weights=[task.weight for task in tasks],
            work_dir="",
            max_trials_global=left,
            num_trials_per_iter=_batch(left, len(tasks)),
            builder=builder,
            runner=runner,
            database=database,
            measure_callbacks=[
                *schedules.MeasureCallback.create("default"),
                _counter(schedules, go_on),
            ],
        )
        if all(_best(database, task) is None for task in tasks):
            raise CompilationError(
                "TVMCompiler measured schedules, but none of them ran on this machine."
            )


def _measure_own(
    tvm: Any,
    schedules: Any,
    database: Any,
    tasks: Sequence[Any],
    lanes: int,
    builder: Any,
    runner: Any,
) -> None:
    """Put the schedules of this package into the database, with what they take."""
    modules = [task.dispatched[0] for task in tasks]
    known = [scheduled(tvm, module, lanes) or tvm.s_tir.Schedule(module) for module in modules]
    built = builder.build(
        [
            schedules.builder.BuilderInput(schedule.mod, task.target)
            for task, schedule in zip(tasks, known, strict=True)
        ]
    )
    for task, module, schedule, artifact in zip(tasks, modules, known, built, strict=True):
        arguments = schedules.arg_info.ArgInfo.from_prim_func(module["main"])
        taken_s = [_FAILED_S]
        if artifact.error_msg is None:
            (future,) = runner.run(
                [schedules.runner.RunnerInput(artifact.artifact_path, "cpu", arguments)]
            )
            taken_s = future.result().run_secs or taken_s
            shutil.rmtree(Path(artifact.artifact_path).parent)
        workload = database.commit_workload(module)
        database.commit_tuning_record(
            schedules.database.TuningRecord(
                schedule.trace, workload, taken_s, task.target, arguments
            )
        )


def _batch(trials: int, functions: int) -> int:
    """Return a batch with which every function has its turn, if there are trials enough."""
    return min(max(trials // functions, _SMALLEST_BATCH), _LARGEST_BATCH, trials)


def _count(database: Any, tasks: Sequence[Any]) -> int:
    """Count the records of these functions; others are of other models."""
    modules = [task.dispatched[0] for task in tasks]
    known = [database.commit_workload(one) for one in modules if database.has_workload(one)]
    records = database.get_all_tuning_records()
    return sum(any(record.workload.same_as(one) for one in known) for record in records)


def _best(database: Any, task: Any) -> Any | None:
    """Return the record of the fastest schedule, None if there is none that runs."""
    record = database.query_tuning_record(task.dispatched[0], task.target, task.task_name)
    if record is None or min(float(one) for one in record.run_secs) >= _FAILED_S:
        return None
    return record


def _was_found(record: Any | None) -> bool:
    """Tell whether a schedule came of the search: those of this package sample nothing."""
    return record is not None and any(
        "Sample" in str(instruction.kind.name) for instruction in record.trace.insts
    )


def _space(schedules: Any) -> Any:
    """Return TVM's rules for processors, which the target would choose as well."""
    return schedules.space_generator.PostOrderApply(
        sch_rules=schedules.ScheduleRule.create("llvm"),
        postprocs=schedules.Postproc.create("llvm"),
        mutator_probs=schedules.Mutator.create("llvm"),
    )


def _counter(schedules: Any, go_on: Callable[[int], bool]) -> Any:
    """Return what TVM calls after each batch; all ends when ``go_on`` says so."""

    class Counter(schedules.measure_callback.PyMeasureCallback):  # type: ignore[misc]
        def apply(self, scheduler: Any, task: int, candidates: Any, built: Any, ran: Any) -> None:
            if not go_on(len(candidates)):
                for number, one in enumerate(scheduler.tasks_):
                    if not one.is_terminated:
                        scheduler.terminate_task(number)

    return backend("tvm.ir.utils", _NEEDED_BY).derived_object(Counter)()


def _without_intrinsics() -> None:
    """Spare the import of TVM's intrinsics of all accelerators, which no rule used here needs.

    TVM parses them anew in each process, which took it 20 s and more.
    """
    sys.modules.setdefault(_INTRINSICS, ModuleType(_INTRINSICS))


@contextlib.contextmanager
def _no_intrinsics() -> Iterator[None]:
    absent = _INTRINSICS not in sys.modules
    _without_intrinsics()
    try:
        yield
    finally:
        if absent:
            del sys.modules[_INTRINSICS]


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    """Have the processes that measure run candidates on as many threads."""
    name = "TVM_NUM_THREADS"
    earlier = os.environ.get(name)
    os.environ[name] = str(number)
    try:
        yield
    finally:
        if earlier is None:
            del os.environ[name]
        else:
            os.environ[name] = earlier


def _with_cores(tvm: Any, target: Any, threads: int) -> Any:
    """Return the target with the number of cores, which schedules are made for."""
    # As text: Target crashes on its own form of the description.
    return tvm.target.Target({**json.loads(str(target)), "num-cores": threads})
