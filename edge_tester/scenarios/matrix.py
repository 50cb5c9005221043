"""Run one model in many ways and compare them: ``edge-tester matrix``."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import (
    BackendMissingError,
    EdgeTesterError,
    OptionError,
    RecordError,
)
from edge_tester.core.making.cache import CompileCache, ingredients_of
from edge_tester.core.making.chain import way_of
from edge_tester.core.options import Configurable, option, path_of
from edge_tester.core.record import RunRecord, read_record, require_writable
from edge_tester.core.run.requirements import require_packages
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.system.files import write_atomically
from edge_tester.report import render_html
from edge_tester.runtimeprotocols.loopback import LoopbackProtocol
from edge_tester.scenarios._command import Command
from edge_tester.scenarios._local_agent import local_agent
from edge_tester.scenarios._matrix_file import Combination, Matrix, read_matrix
from edge_tester.scenarios._matrix_target import Targets
from edge_tester.scenarios._program import Logging, guard
from edge_tester.scenarios._progress import TerminalProgress
from edge_tester.scenarios._record import comparison, record_run

_STATE = "matrix.json"


class Conduct(Configurable):
    """How a matrix is gone through."""

    explain: bool = option(
        False, help="Run nothing; say of every combination what would be done, and why"
    )
    again: bool = option(False, help="Measure anew what was measured already")


COMMAND = Command(
    "matrix",
    "Compile and run one model in all the ways that a file lists, on one or more targets, "
    "and compare them in one report. What was done before is not done again, so an "
    "interrupted matrix goes on where it was; compiled models are kept.",
    extras=(Conduct,),
    trailing=("matrix_file",),
)


class Outcome(msgspec.Struct, frozen=True):
    """What became of a combination.

    Attributes
    ----------
    key : str
        Hash of what it was made from.
    failure : str or None
        Why it failed, if it did.
    target : str or None
        The machine that ran it, and the versions there.
    """

    key: str
    failure: str | None = None
    target: str | None = None


class MatrixRun:
    """Goes through the combinations of a matrix.

    Parameters
    ----------
    matrix : Matrix
    command_line : sequence of str
        For the records.
    """

    def __init__(self, matrix: Matrix, command_line: Sequence[str] = ()) -> None:
        self._matrix = matrix
        self._command_line = command_line
        self._directory = matrix.report_directory
        self._cache = CompileCache(self._directory / "compiled")
        self._outcomes = _read_outcomes(self._directory / _STATE)
        self._targets = Targets()

    def explained(self) -> Iterator[tuple[str, str]]:
        """Yield the name of each combination and what would be done."""
        for one in self._matrix.combinations:
            try:
                yield one.name, self._explanation(one)
            except EdgeTesterError as error:
                yield one.name, f"fails: {error}"

    def run(self, progress: TerminalProgress, *, again: bool = False) -> dict[str, str]:
        """Run what was not run yet; return the reasons of those that failed, by name.

        Whatever ends it early: what was measured until then is kept, and the next run
        goes on from there.
        """
        failures = self._lacking(progress)
        for number, one in enumerate(self._matrix.combinations, 1):
            where = f"[{number}/{len(self._matrix.combinations)}] {one.name}"
            if one.name in failures:
                continue
            try:
                if not again and self._is_done(one):
                    asked = self._targets.identity(one) is not None
                    unsure = "" if asked else "; its target did not answer whether it has changed"
                    progress.tell(f"{where}: done before{unsure}")
                    continue
                progress.tell(where)
                self._run_one(one, progress)
            except EdgeTesterError as error:
                failures[one.name] = str(error)
                progress.tell(f"{where} failed: {error}")
                self._note(one, Outcome("", str(error)))
        return failures

    def records(self) -> dict[Path, RunRecord]:
        """Return the records of all combinations that were measured completely, by file."""
        found = {}
        for one in self._matrix.combinations:
            outcome = self._outcomes.get(one.name)
            if outcome is not None and outcome.failure is None:
                path = self._record_path(one)
                found[path] = read_record(path)
        return found

    def _lacking(self, progress: TerminalProgress) -> dict[str, str]:
        """Say what cannot be run here before the first run, not after an hour; return it."""
        failures = {}
        for one in self._matrix.combinations:
            protocol = one.make_protocol()
            local = protocol is None or protocol.in_process
            model, dataset = self._matrix.make_model(), self._matrix.make_dataset()
            runtime = one.make_runtime() if local else None
            try:
                require_packages(model, dataset, one.make_compiler(), runtime)
                require_writable(self._record_path(one))
            except (BackendMissingError, RecordError) as error:
                failures[one.name] = str(error)
                progress.tell(f"{one.name} cannot be run: {error}")
                self._note(one, Outcome("", str(error)))
        return failures

    def _run_one(self, one: Combination, progress: TerminalProgress) -> None:
        artifact = self._artifact(one, progress)
        compiler, runtime = one.make_compiler(), one.make_runtime()
        with self._link(one) as protocol:
            if one.target is None or protocol.in_process:
                # The agent has got what only the owner of a target may set.
                runtime = runtime.as_client()
            record_run(
                self._record_path(one),
                self._matrix.make_model(),
                self._matrix.make_dataset(),
                protocol,
                runtime,
                compiler,
                self._matrix.measurement,
                progress,
                self._command_line,
                artifact,
            )
        self._note(one, Outcome(self._key(one), None, self._targets.identity(one)))

    def _artifact(self, one: Combination, progress: TerminalProgress) -> Artifact | None:
        compiler = one.make_compiler()
        if compiler is None:
            return None
        model, dataset = self._matrix.make_model(), self._matrix.make_dataset()
        dataset.prepare()
        ingredients = ingredients_of(compiler, model, dataset)
        found = self._cache.find(ingredients)
        if found is None:
            progress.tell(f"Compiling {model.model_path}: {way_of(compiler, model)}")
            found = self._cache.make(ingredients, compiler, model, dataset)
        return found

    @contextlib.contextmanager
    def _link(self, one: Combination) -> Iterator[RuntimeProtocol]:
        protocol = one.make_protocol()
        if protocol is not None:
            if isinstance(protocol, LoopbackProtocol):
                protocol.runtime = one.make_runtime()
            yield protocol
        else:
            with local_agent([one.make_runtime()]) as started:
                yield started

    def _explanation(self, one: Combination) -> str:
        compiler = one.make_compiler()
        compiled = "nothing to compile"
        if compiler is not None:
            dataset = self._matrix.make_dataset()
            dataset.prepare()
            model = self._matrix.make_model()
            compiled = self._cache.explain(ingredients_of(compiler, model, dataset))
        return f"{compiled}; {'measured before' if self._is_done(one) else 'to be measured'}"

    def _is_done(self, one: Combination) -> bool:
        outcome = self._outcomes.get(one.name)
        if outcome is None or outcome.failure is not None or outcome.key != self._key(one):
            return False
        if self._targets.identity(one) not in (None, outcome.target):
            return False
        try:
            return read_record(self._record_path(one)).complete
        except RecordError:
            return False

    def _key(self, one: Combination) -> str:
        """Return a hash of all that decides what a combination measures."""
        matrix, compiler = self._matrix, one.make_compiler()
        model, dataset, protocol = matrix.make_model(), matrix.make_dataset(), one.make_protocol()
        dataset.prepare()
        made_from = ingredients_of(compiler, model, dataset) if compiler else {}
        parts = [model, dataset, one.make_runtime(), matrix.measurement, protocol]
        described = [(path_of(type(p)), p.to_options()) for p in parts if p is not None]
        content = [made_from, model.artifact().sha256, described]
        return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()

    def _note(self, one: Combination, outcome: Outcome) -> None:
        self._outcomes[one.name] = outcome
        content = msgspec.json.format(msgspec.json.encode(self._outcomes), indent=1)
        write_atomically(self._directory / _STATE, content)

    def _record_path(self, one: Combination) -> Path:
        return self._directory / f"{one.name}.json"


def _read_outcomes(path: Path) -> dict[str, Outcome]:
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Outcome])
    except (OSError, msgspec.DecodeError) as error:
        raise OptionError(f"{path} cannot be read: {error}; remove it to begin anew.") from error


def main(arguments: Sequence[str]) -> int:
    """Run the command; the status is 1 if a combination failed."""
    parsed = COMMAND.parse(arguments)
    parsed.extra(Logging).start()
    conduct = parsed.extra(Conduct)
    matrix = read_matrix(Path(parsed.trailing["matrix_file"]))
    run = MatrixRun(matrix, parsed.command_line)
    if conduct.explain:
        for name, explanation in run.explained():
            print(f"{name}: {explanation}")
        return 0
    with TerminalProgress() as progress:
        failures = run.run(progress, again=conduct.again)
    records = run.records()
    if records:
        comparison(list(records.values()))
        report = matrix.report_directory / "report.html"
        render_html(list(records.values()), report, list(failures.items()), sources=list(records))
        print(f"Report: {report}")
    if failures:
        print(f"{len(failures)} of {len(matrix.combinations)} failed: {', '.join(failures)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(guard(main))
