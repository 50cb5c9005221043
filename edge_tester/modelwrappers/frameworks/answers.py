"""What axes and outputs of any user's model mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_tester.core.errors import ModelError, OptionError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import option, state
from edge_tester.core.tensors import Array, TensorSpec


class AnsweringModel(ModelWrapper):
    """A subclass must run a model; what its axes and outputs mean is told by the options here."""

    batch_axis: str = option(  # type: ignore[misc]
        "auto",
        choices=("auto", "0", "1", "none"),
        help="Axis of the batch in the model's inputs; auto is 0, or none if the samples have as "
        "many axes as the inputs",
    )
    output_index: int = option(0, minimum=0, help="Which of the model's outputs is evaluated")
    label_offset: int = option(  # type: ignore[misc]
        0,
        help="Added to a class of the data set it is the model's: 1 if the model has a background",
    )
    class_names: Path | None = option(
        None,
        help="File with a name per line, in the order of the model's classes: the data set's "
        "classes are found among them by name",
    )
    threshold: float | None = option(  # type: ignore[misc]
        None,
        help="A single score above this means class 1; by default 0.5, or 0 if scores are logits",
    )
    detections: str = option(
        "none",
        choices=("none", "tflite", "rows"),
        help="How the model gives what it detects: not at all; as four outputs, boxes, classes, "
        "scores and their number, as TFLite_Detection_PostProcess does; or as rows of left, top, "
        "right, bottom, score, class in the output --output-index",
    )
    box_scale: float = option(
        1.0,
        help="Factor that makes coordinates of boxes parts of the picture: 0.0015625 for pixels of "
        "640",
    )
    batchless: bool = state(False)  # type: ignore[misc]
    place: int | None = state()
    """Where the evaluated output is among those that the runtime gives."""

    def known_classes(self) -> list[str]:
        """Return the names in the file ``class_names``.

        Raises
        ------
        OptionError
            The file cannot be read, or is empty.
        """
        if self.class_names is None:
            return []
        try:
            lines = self.class_names.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OptionError(
                f"{type(self).__name__}.class_names: {self.class_names} cannot be read: {reason}."
            ) from error
        names = [line.strip() for line in lines if line.strip()]
        if not names:
            raise OptionError(
                f"{type(self).__name__}.class_names: {self.class_names} names no class."
            )
        return names

    def evaluated(self, outputs: Sequence[TensorSpec]) -> TensorSpec | None:
        """Return the spec of the output that ``output_index`` names.

        Raises
        ------
        ModelError
            There is no such output, or it is one that the runtime leaves out.
        """
        positions = [
            index if spec.position is None else spec.position for index, spec in enumerate(outputs)
        ]
        if self.output_index not in positions:
            known = ", ".join(
                f"--output-index {position} ({spec.name!r}: {spec.described()})"
                for position, spec in zip(positions, outputs, strict=True)
            )
            raise ModelError(
                f"Output {self.output_index} of {self.model_path} does not exist or is no tensor "
                f"of numbers; to be evaluated are {known or 'none'}."
            )
        self.place = positions.index(self.output_index)
        return outputs[self.place]

    def postprocess(self, outputs: Sequence[Array]) -> Array:
        """Return the output that ``output_index`` names, with a batch axis; or the detections.

        Returns
        -------
        ndarray of shape (batch, ...)
            For detections (batch, detections, 6): class, score, top, left, bottom, right.
        """
        if self.detections == "tflite":
            return self._four(outputs)
        place = self.output_index if self.place is None else self.place
        if place >= len(outputs):
            raise ModelError(
                f"{type(self).__name__}.output_index must be below {len(outputs)}, "
                f"the number of outputs of {self.model_path}, got {place}."
            )
        chosen = np.asarray(outputs[place])
        chosen = chosen[np.newaxis] if self.batchless else chosen
        return self._rows(chosen) if self.detections == "rows" else chosen

    def _four(self, outputs: Sequence[Array]) -> Array:
        if len(outputs) != 4 or outputs[0].ndim != 3 or outputs[0].shape[-1] != 4:
            shapes = ", ".join(str(one.shape) for one in outputs)
            raise ModelError(
                f"{type(self).__name__}.detections is tflite, which is four outputs: boxes (batch, "
                f"detections, 4), classes, scores and their number; {self.model_path} gives "
                f"{shapes}."
            )
        boxes, classes, scores, counts = (np.asarray(one, np.float64) for one in outputs)
        found = np.concatenate(
            [classes[..., np.newaxis], scores[..., np.newaxis], boxes * self.box_scale], axis=2
        )
        beyond = np.arange(found.shape[1]) >= counts.reshape(-1, 1)
        found[..., 0][beyond] = -1
        return found

    def _rows(self, rows: Array) -> Array:
        if rows.ndim != 3 or rows.shape[-1] != 6:
            raise ModelError(
                f"{type(self).__name__}.detections is rows, which are left, top, right, bottom, "
                f"score and class; output {self.output_index} of {self.model_path} has the shape "
                f"{rows.shape}."
            )
        # An empty place has no score.
        classes = np.where(rows[..., 4:5] > 0, rows[..., 5:6], -1)
        boxes = rows[..., [1, 0, 3, 2]] * self.box_scale
        return np.concatenate([classes, rows[..., 4:5], boxes], axis=2)
