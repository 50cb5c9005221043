"""An analysis as tables: a row for each layer, and one for the model."""

from __future__ import annotations

from typing import Any

from edge_tester.core.analysis.analysis import Analysis


def layer_rows(analysis: Analysis) -> list[dict[str, Any]]:
    """Return a row for each layer, by columns with units in their names; None is not known."""
    return [
        {
            "model": analysis.name,
            "place": one.place,
            "layer": one.layer,
            "operator": one.name,
            "kind": one.kind,
            "parameters": one.parameters,
            "weight_bytes": one.weight_bytes,
            "macs": one.macs,
            "activation_bytes": one.activation_bytes,
            "live_bytes": one.live_bytes,
            "moved_bytes": one.moved_bytes,
            "intensity_flops_per_byte": one.intensity,
            "estimated_ns": one.estimated_ns,
            "bound": one.bound,
            "profiled_ns": one.time_ns,
            "profiled_share": one.time_share,
            "note": one.note,
        }
        for one in analysis.layers
    ]


def summary_row(analysis: Analysis) -> dict[str, Any]:
    """Return a row with the totals of a model; None is not known, or was not measured."""
    machine = analysis.machine
    return {
        "model": analysis.name,
        "format": analysis.format,
        "batch_size": analysis.batch_size,
        "layers": len(analysis.layers),
        "parameters": analysis.parameters,
        "weight_bytes": analysis.weight_bytes,
        "file_bytes": analysis.file_bytes,
        "macs": analysis.macs,
        "layers_of_unknown_macs": len(analysis.unknown),
        "incomplete": analysis.incomplete,
        "peak_activation_bytes": analysis.peak_activation_bytes,
        "peak_layer": analysis.peak_layer,
        "arena_bytes": analysis.arena_bytes,
        "activation_sum_bytes": analysis.activation_sum_bytes,
        "estimated_ns": analysis.estimated_ns,
        "measured_ns": analysis.measured_ns,
        "measured_memory_bytes": analysis.measured_memory_bytes,
        "threads": None if machine is None else machine.threads,
        "peak_flops_per_s": None if machine is None else machine.peak_flops_per_s,
        "bandwidth_bytes_per_s": None if machine is None else machine.bandwidth_bytes_per_s,
    }
