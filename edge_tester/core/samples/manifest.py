"""The manifest of a folder of samples: what they are, and the checksums of their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from edge_tester.core.errors import DatasetError

MANIFEST = "manifest.json"


class ManifestInput(msgspec.Struct, frozen=True, kw_only=True):
    """One input of all samples.

    Attributes
    ----------
    name : str
        The model's, or ``input_0`` and so on of a data set without a model.
    shape : list of int
        Of one sample, with the axis of the batch where it has one; those of the first sample
        where lengths are open.
    dtype : str
    minimum, maximum : float or None
        Over all samples.
    """

    name: str
    shape: list[int]
    dtype: str
    minimum: float | None
    maximum: float | None


class ManifestSample(msgspec.Struct, frozen=True, kw_only=True):
    """One sample.

    Attributes
    ----------
    files : dict of str to str
        Path inside the folder -> SHA-256, in the order of the inputs.
    index : int
        In the data set.
    label : int or None
        Index of its class; None where it is not known.
    """

    files: dict[str, str]
    index: int
    label: int | None = None


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A data set or a model wrapper.

    Attributes
    ----------
    name : str
        Dotted path of its class.
    options : dict
        All of them.
    sha256 : str or None
        Of the model's file.
    scaling : dict or None
        What the model's preprocessing does, if that can be said in options.
    """

    name: str
    options: dict[str, Any]
    sha256: str | None = None
    scaling: dict[str, Any] | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What ``manifest.json`` holds.

    Attributes
    ----------
    format : str
        Always ``edge_tester samples``.
    version : int
        Of this layout.
    made_by : str
        Version of edge_tester.
    preprocessed : bool
        Whether they are values as the model takes them, not those of the data set.
    random : bool
        Whether they are random numbers.
    dataset : Origin
    model : Origin or None
        Whose preprocessing it was, or whose shapes random numbers have.
    seed : int
        Of the choice.
    inputs : list of ManifestInput
    samples : list of ManifestSample
    class_names : list of str
    remarks : list of str
        What is doubtful about them.
    """

    format: Literal["edge_tester samples"]
    version: Literal[1]
    made_by: str
    preprocessed: bool
    random: bool
    dataset: Origin
    model: Origin | None
    seed: int
    inputs: list[ManifestInput]
    samples: list[ManifestSample]
    class_names: list[str]
    remarks: list[str]

    def labels(self) -> list[int] | None:
        """Return the class of each sample, None if one is not known."""
        found = [one.label for one in self.samples]
        return None if None in found else [one for one in found if one is not None]


def read_manifest(folder: Path) -> Manifest | None:
    """Read the manifest of a folder; None if it has none.

    Raises
    ------
    DatasetError
        It cannot be read, or is of another version or program.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest, strict=True)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise DatasetError(
            f"{path} is no manifest of samples of this version: {error}. Write the folder anew "
            "with edge-tester samples, or remove the manifest to have its files taken as they are."
        ) from error
