"""A script that shows a difference with nothing but numpy and the backends of two files."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from edge_tester.core.checking.findings import Layer

EXPECTED, GOT = "expected", "got"


class PartFile(msgspec.Struct, frozen=True, kw_only=True):
    """A part in a file.

    Attributes
    ----------
    name : str
    format : str
    inputs : int
        How many it has.
    scale, zero_point : float or None, and int
        Of what it gives; None if that is not quantized.
    """

    name: str
    format: str
    inputs: int
    scale: float | None
    zero_point: int


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """What a script must know.

    Attributes
    ----------
    layer : Layer
    comparison : tuple of str and str
        Names of the source's and of the conversion's file.
    conversion : PartFile
    source : PartFile or None
        None if the source was not cut.
    rms_difference : float
        That the conversion's part showed when it was cut.
    shown : float
        Which part of it is enough.
    """

    layer: Layer
    comparison: tuple[str, str]
    conversion: PartFile
    source: PartFile | None = None
    rms_difference: float
    shown: float


_TEXT = '''"""Shows where a conversion of a model differs from its source, in one layer of it.

Source: {source_name}, tensor {source}
Conversion: {conversion_name}, tensor {layer}
The layer: {operators}

Both parts begin with the same tensors, of the source. Run it in the folder where it lies or from
elsewhere; it needs numpy and the packages that it imports. It ends with 0 if the difference is
there, else with 1. The last line is JSON.
"""

import json
import math
import pathlib
import sys

import numpy as np


{functions}

FOLDER = pathlib.Path(__file__).resolve().parent
RMS_DIFFERENCE = {rms_difference!r}


def real(values, scale, zero_point):
    """Return what quantized integers stand for."""
    return values if scale is None else (values.astype(np.float64) - zero_point) * scale


def difference_of(expected, got):
    """Return root mean square and maximum of the difference, and the SQNR in dB."""
    expected, got = expected.astype(np.float64).ravel(), got.astype(np.float64).ravel()
    difference = got - expected
    noise, signal = float(difference @ difference), float(expected @ expected)
    return {{
        "rms_difference": math.sqrt(noise / max(1, expected.size)),
        "largest_difference": float(np.abs(difference).max(initial=0.0)),
        "sqnr_db": 10 * math.log10(signal / noise) if signal and noise else None,
    }}


def main():
    saved = np.load(FOLDER / "tensors.npz")
    expected = saved["expected"]
{source_lines}    inputs = [saved[f"conversion_input_{{place}}"] for place in range({inputs})]
    got = real(run_{format}(str(FOLDER / "{name}"), inputs)[0], {scale!r}, {zero_point!r})
    found = difference_of(expected, got)
    print("expected:", expected.ravel()[:8])
    print("got:     ", got.ravel()[:8])
    print(json.dumps(found))
    # What is not finite is a difference too.
    return 1 if found["rms_difference"] < {shown!r} * RMS_DIFFERENCE else 0


if __name__ == "__main__":
    sys.exit(main())
'''
_SOURCE = """    inputs = [saved[f"source_input_{{place}}"] for place in range({inputs})]
    again = real(run_{format}(str(FOLDER / "{name}"), inputs)[0], {scale!r}, {zero_point!r})
{moving}    print("the source's part against the source:", difference_of(expected, again))
"""
# As :func:`edge_tester.core.checking.matching.moved`.
_MOVING: Mapping[int, str] = {
    0: "",
    1: "    again = np.moveaxis(again, 1, -1)\n",
    -1: "    again = np.moveaxis(again, -1, 1)\n",
}


def script(reproduction: Reproduction, functions: Mapping[str, str]) -> str:
    """Return the script.

    Parameters
    ----------
    reproduction : Reproduction
    functions : mapping of str to str
        Source of ``run_FORMAT`` by format; see
        :attr:`edge_tester.core.inspects.Cuts.standalone`.
    """
    layer, source, lines = reproduction.layer, reproduction.source, ""
    if source is not None:
        lines = _SOURCE.format(moving=_MOVING[layer.moved], **msgspec.structs.asdict(source))
    return _TEXT.format(
        source_name=_quoted(reproduction.comparison[0]),
        conversion_name=_quoted(reproduction.comparison[1]),
        source=_quoted(layer.source),
        layer=_quoted(layer.name),
        operators=", ".join(layer.operators),
        functions="\n\n".join(functions[key] for key in sorted(functions)),
        rms_difference=reproduction.rms_difference,
        shown=reproduction.shown,
        source_lines=lines,
        **msgspec.structs.asdict(reproduction.conversion),
    )


def _quoted(name: str) -> str:
    """Return a name that cannot end a docstring, whatever is in it."""
    return ascii(name).replace("\\", "/").replace('"', "'")
