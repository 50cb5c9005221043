"""The steps of one model through ONNX, as functions that a process of its own can import."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, cast

from edge_tester.core.onnxconversion import Cell, ONNXConversion
from edge_tester.core.registry import load_path


class Job(NamedTuple):
    """What every step of one model's way must know."""

    tolerance: float
    framework: str
    model: str
    folder: Path


def converter_of(path: str, tolerance: float) -> ONNXConversion:
    """Return the converter with this dotted path."""
    return cast(ONNXConversion, load_path(path).from_options({"tolerance": tolerance}))


def prepare_step(converter: str, tolerance: float) -> None:
    """Get what importing needs."""
    converter_of(converter, tolerance).prepare()


def export_step(converter: str, job: Job) -> Cell:
    """Export the model."""
    return converter_of(converter, job.tolerance).exported(job.model, job.folder)


def import_step(converter: str, job: Job) -> Cell:
    """Import what was exported, run it and compare."""
    return converter_of(converter, job.tolerance).imported(job.framework, job.model, job.folder)
