"""Whether conversions of a model still answer as it does: compared output by output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from edge_tester.core.artifact import Weights
from edge_tester.core.checking.outputs import (
    Answered,
    ComparedOutput,
    IncomparableError,
    compared_outputs,
)
from edge_tester.core.errors import RecordError
from edge_tester.core.making.likeness import coarsest
from edge_tester.core.record import RunRecord
from edge_tester.core.registry import load_path
from edge_tester.core.results.answers import shared_answers
from edge_tester.core.results.tables import Row
from edge_tester.core.statistics.agreement import Agreement
from edge_tester.core.statistics.paired import PairedAnswers, paired_answers

Verdict = Literal["alike", "differs", "unknown"]


class Tolerances(msgspec.Struct, frozen=True, kw_only=True):
    """What a conversion may differ by.

    Attributes
    ----------
    float32, float16 : float
        Largest difference of a value as part of the output's largest one, where the coarsest type
        that the model computes in is this.
    agreement : float
        Part of the samples for which integers must answer with the same class, 0 to 1.
    loss : float
        Accuracy that integers may lose, 0 to 1.
    signal_to_noise_db : float
        What integers must keep where no classes are told apart.
    """

    float32: float = 1e-4
    float16: float = 1e-2
    agreement: float = 0.98
    loss: float = 0.01
    signal_to_noise_db: float = 15.0


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """What a conversion is worth.

    Attributes
    ----------
    name, format : str
    simulated : bool
        Whether a machine ran it whose times say nothing of the device.
    precision : str
        Coarsest type that it or its source computes in: ``float32``, ``float16`` or ``integers``.
    size_bytes : int
    runtime : str
        What ran it.
    outputs : list of ComparedOutput
        Empty where they cannot be compared.
    answers : PairedAnswers or None
        Right and wrong on the same samples; None where nothing is classified.
    verdict : str
        ``alike``: within the tolerances. ``differs``: not. ``unknown``: the samples do not tell.
    reasons : list of str
        Of the verdict, in sentences.
    """

    name: str
    format: str
    simulated: bool
    precision: str
    size_bytes: int
    runtime: str
    outputs: list[ComparedOutput]
    answers: PairedAnswers | None
    verdict: Verdict
    reasons: list[str]


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """A source and its conversions.

    Attributes
    ----------
    source : str
        Name of the source.
    samples : int
    random : bool
        Whether these were random numbers, which tell less than real samples.
    tolerances : Tolerances
    conversions : list of Conversion
    failures : dict of str to str
        Why others could not be made or run, by name.
    lacking : dict of str to str
        Why others were not tried, by name.
    """

    source: str
    samples: int
    random: bool
    tolerances: Tolerances
    conversions: list[Conversion]
    failures: dict[str, str] = {}
    lacking: dict[str, str] = {}


def conversion_of(
    name: str,
    found: Answered,
    source: Answered,
    tolerances: Tolerances,
    *,
    source_precision: str = "float32",
) -> Conversion:
    """Compare all outputs of a conversion with those of its source, sample by sample.

    Parameters
    ----------
    name : str
        What the conversion is called.
    found, source : Answered
    tolerances : Tolerances
    source_precision : str
        Coarsest type that the source computes in.

    Raises
    ------
    RecordError
        The two did not answer about the same samples, or files are missing.
    """
    if found.record.predictions.index != source.record.predictions.index:
        raise RecordError(
            f"{name} and its source did not answer about the same samples, so their outputs "
            "cannot be compared."
        )
    model = found.record.model
    weights = found.weights or Weights({}, 0.0)
    precision = coarsest(weights, [*model.inputs, *model.outputs], source_precision)
    reason = ""
    outputs: list[ComparedOutput] = []
    try:
        outputs = compared_outputs(found, source)
    except IncomparableError as error:
        reason = str(error)
    answers = _answers(found.record, source.record)
    verdict, reasons = _judged(outputs, answers, precision, tolerances)
    return Conversion(
        name=name,
        format=model.format,
        simulated=_simulated(found.record),
        precision=precision,
        size_bytes=model.size_bytes,
        runtime=_runtime(found.record).rpartition(".")[2],
        outputs=outputs,
        answers=answers,
        verdict="differs" if reason else verdict,
        reasons=[reason] if reason else reasons,
    )


def _answers(found: RunRecord, source: RunRecord) -> PairedAnswers | None:
    shared = shared_answers(found, source)
    if not shared:
        return None
    return paired_answers(
        [one.theirs == one.truth for one in shared], [one.ours == one.truth for one in shared]
    )


def _runtime(record: RunRecord) -> str:
    """Return the dotted path of the runtime's class."""
    return next((one.name for one in record.components if one.role == "runtime"), "")


def _simulated(record: RunRecord) -> bool:
    runtime = _runtime(record)
    return bool(runtime) and getattr(load_path(runtime), "simulates", False)


def _judged(
    outputs: Sequence[ComparedOutput],
    answers: PairedAnswers | None,
    precision: str,
    tolerances: Tolerances,
) -> tuple[Verdict, list[str]]:
    """Return the verdict on outputs that can be compared, and what it rests on."""
    for one in outputs:
        if one.agreement.not_finite:
            return "differs", [
                f"{one.agreement.not_finite:,} values of {one.found_name} are NaN or infinite "
                "where the source's are finite."
            ]
        if one.agreement.constant:
            return "differs", [
                f"{one.found_name} does not depend on the input, that of the source does."
            ]
    if all(one.agreement.identical for one in outputs):
        return "alike", ["All values are equal."]
    if precision != "integers":
        limit = {"float32": tolerances.float32, "float16": tolerances.float16}[precision]
        worst = max(outputs, key=lambda one: one.agreement.max_relative)
        difference = worst.agreement.max_relative
        verdict: Verdict = "alike" if difference <= limit else "differs"
        return verdict, [
            f"The largest difference is {difference:.2g} of the largest value of {worst.name}; "
            f"{limit:g} is allowed for {precision}."
        ]
    return _judged_integers(outputs, answers, tolerances)


def _judged_integers(
    outputs: Sequence[ComparedOutput], answers: PairedAnswers | None, tolerances: Tolerances
) -> tuple[Verdict, list[str]]:
    states: list[Verdict] = []
    reasons = []
    classes = [one.agreement.top1 for one in outputs if one.agreement.top1 is not None]
    for share in classes:
        enough = share >= tolerances.agreement
        states.append("alike" if enough else "differs")
        reasons.append(
            f"The class is the same for {100 * share:.4g} % of the samples; "
            f"{100 * tolerances.agreement:g} % must be."
        )
    if answers is not None:
        allowed = f"Allowed is a loss of {100 * tolerances.loss:g} points"
        told = answers.sentence("the source", "the conversion")
        if answers.largest_loss <= tolerances.loss:
            states.append("alike")
            reasons.append(f"{told} {allowed}.")
        elif answers.least_loss > tolerances.loss:
            states.append("differs")
            reasons.append(f"{told} {allowed}.")
        else:
            states.append("unknown")
            reasons.append(f"{told} {allowed}: more samples would tell.")
    if not states:
        for one in outputs:
            ratio = one.agreement.signal_to_noise_db
            if ratio is None:
                continue
            states.append("alike" if ratio >= tolerances.signal_to_noise_db else "differs")
            reasons.append(
                f"{one.found_name} has a signal-to-noise ratio of {ratio:.1f} dB against the "
                f"source; {tolerances.signal_to_noise_db:g} dB are asked for."
            )
    worst = next((one for one in ("differs", "unknown") if one in states), "alike")
    return worst, reasons  # type: ignore[return-value]


def rows_of(validation: Validation) -> list[Row]:
    """Return a row for each output of each conversion, for a table or a CSV file."""
    rows: list[Row] = []
    nothing = dict.fromkeys(("output", *Agreement.__struct_fields__))
    for one in validation.conversions:
        common: Row = {
            "conversion": one.name,
            "format": one.format,
            "runtime": one.runtime,
            "precision": one.precision,
            "verdict": one.verdict,
            "size_bytes": one.size_bytes,
            "now_right": one.answers.now_right if one.answers else None,
            "now_wrong": one.answers.now_wrong if one.answers else None,
        }
        found = [
            {"output": output.name, **msgspec.structs.asdict(output.agreement)}
            for output in one.outputs
        ]
        rows += [{**common, **values} for values in found or [nothing]]
    return rows
