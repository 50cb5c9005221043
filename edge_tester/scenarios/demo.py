"""Compare the shipped digits models on a target of this machine: ``edge-tester demo``."""

from __future__ import annotations

import importlib.resources
import os
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.errors import EdgeTesterError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, option
from edge_tester.core.record import RunRecord
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.core.run.together import Job, run_together
from edge_tester.core.runtime import Runtime
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from edge_tester.report import render_html
from edge_tester.runtimes.onnxruntime import ONNXRuntime
from edge_tester.runtimes.tflite import TFLiteRuntime
from edge_tester.scenarios._command import Command
from edge_tester.scenarios._program import Logging, guard
from edge_tester.scenarios._progress import TerminalProgress
from edge_tester.scenarios._show import comparison, verdicts

# Of each model, in all its replicates: the model itself takes microseconds.
_DURATION_S = 2.0


class Demo(Configurable):
    """Where the demo writes."""

    directory: Path = option(Path("build/demo"), help="Folder for models, records and report")
    open_browser: bool = option(True, help="Open the report in a browser where there is a screen")


COMMAND = Command(
    "demo",
    "Quantize the shipped digits models, run all four on an agent of this machine with the "
    "held-out digits, and compare them in one report.",
    extras=(Demo,),
)


def run_demo(directory: Path) -> tuple[list[RunRecord], Path]:
    """Run the demo.

    Parameters
    ----------
    directory : Path
        Where models, records and the report are written.

    Returns
    -------
    records : list of RunRecord
    report : Path
        The HTML file.
    """
    resources = importlib.resources.files("edge_tester.resources")
    tflite = TFLiteFile(model_path=Path(str(resources / "digits.tflite")))
    onnx = ONNXFile(model_path=Path(str(resources / "digits.onnx")))
    to_tflite = TFLiteCompiler(
        compiled_model_path=directory / "digits-int8.tflite",
        target="int8",
        inference_input_type="int8",
        inference_output_type="int8",
    )
    to_onnx = ONNXCompiler(compiled_model_path=directory / "digits-int8.onnx", target="int8")
    runs: list[tuple[str, ModelWrapper, Runtime, ModelCompiler | None]] = [
        ("tflite-float32", tflite, TFLiteRuntime(), None),
        ("tflite-int8", tflite, TFLiteRuntime(), to_tflite),
        ("onnx-float32", onnx, ONNXRuntime(), None),
        ("onnx-int8", onnx, ONNXRuntime(), to_onnx),
    ]
    jobs = [
        Job(
            Plan(
                model,
                DigitsDataset(),
                runtime,
                compiler,
                measurement=Measurement(min_duration_s=_DURATION_S),
            ).fresh(),
            directory / f"{name}.json",
        )
        for name, model, runtime, compiler in runs
    ]
    with TerminalProgress() as progress:
        outcomes = run_together(jobs, observer=progress, command_line=["edge-tester", "demo"])
    for outcome in outcomes:
        if isinstance(outcome, EdgeTesterError):
            raise outcome
    records = [one for one in outcomes if isinstance(one, RunRecord)]
    report = directory / "report.html"
    render_html(records, report, sources=[directory / f"{name}.json" for name, *_ in runs])
    return records, report


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parsed = COMMAND.parse(arguments)
    parsed.extra(Logging).start()
    demo = parsed.extra(Demo)
    records, report = run_demo(demo.directory)
    comparison(records)
    verdicts(records)
    print(f"Report: {report}")
    if demo.open_browser and _has_screen():
        webbrowser.open(report.resolve().as_uri())


def _has_screen() -> bool:
    shown = sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)
    return bool(shown) and sys.stdout.isatty()


if __name__ == "__main__":
    sys.exit(guard(main))
