"""The capability to make a trained model smaller: pruned, quantized while it learns, distilled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edge_tester.core.errors import OptionError
from edge_tester.core.figures import Quality
from edge_tester.core.options import Configurable, option

if TYPE_CHECKING:
    from edge_tester.core.dataset import Dataset

# Of every group of four weights, two are zero.
_TWO_OF_FOUR = "2:4"


class Compression(Configurable):
    """What is done to a trained model, in this order: prune, train on, set zeros, quantize.

    Options that would do nothing are refused, so that two that differ make different models.
    """

    pruning: float = option(
        0.0, minimum=0, maximum=0.95, help="Part of the channels that is removed, 0 to 0.95"
    )
    importance: str = option(
        "magnitude",
        choices=("magnitude", "taylor", "random"),
        help="Which channels stay: those with the largest L2 norm of their weights, those whose "
        "removal would change the loss most to first order, or any",
    )
    scope: str = option(
        "uniform",
        choices=("uniform", "global"),
        help="Remove that part of each layer, or the least important channels of all layers",
    )
    steps: int = option(
        1, minimum=1, help="Prune in so many equal steps, with finetune_epochs after each"
    )
    sparsity: str = option(
        "none",
        choices=("none", "unstructured", _TWO_OF_FOUR),
        help="Set the smallest weights to zero, those of the whole network or two of each four "
        "in a row; no runtime here gets faster or smaller by it",
    )
    sparsity_fraction: float | None = option(
        None,
        minimum=0.01,
        maximum=0.99,
        help="Part of the weights that unstructured sparsity sets to zero; by default a half",
    )
    finetune_epochs: int = option(
        0,
        minimum=0,
        help="Passes over the training split after each step of pruning, or before "
        "quantizing where nothing is pruned",
    )
    qat: bool = option(
        False, help="Train on with the rounding of int8 (quantization-aware), and make it int8"
    )
    qat_epochs: int | None = option(
        None, minimum=1, help="Passes over the training split while quantized; 6 by default"
    )
    qat_learning_rate: float | None = option(
        None, minimum=0, help="Learning rate while quantized; a tenth of learning_rate by default"
    )
    freeze_after_epoch: int | None = option(
        None,
        minimum=1,
        help="Epochs of these after which ranges and statistics of batch normalization stay as "
        "they are; two thirds of them by default",
    )
    distill: float = option(
        0.0,
        minimum=0,
        maximum=1,
        help="Weight, 0 to 1, of the unpruned model's answers in the loss while training on, "
        "instead of the truth",
    )
    temperature: float | None = option(
        None,
        minimum=0.1,
        help="Divides the logits of both models that distillation compares; 4 by default",
    )
    learning_rate: float = option(
        0.001, minimum=0, gives_way=True, help="Learning rate of the optimizer"
    )
    batch_size: int = option(32, minimum=1, gives_way=True, help="Samples of one training step")
    seed: int = option(
        0, minimum=0, gives_way=True, help="Seed of what is drawn: random importance, dropout"
    )
    loader_seed: int = option(0, minimum=0, help="Seed of the order of samples")
    training_threads: int = option(
        1, minimum=1, help="Threads of the training; another number makes slightly other weights"
    )

    def __post_init__(self) -> None:
        """See that no option is given that does nothing with the others."""
        super().__post_init__()
        pruned, owner = self.pruning > 0, type(self).__name__
        needed = {
            "importance": (self.importance != "magnitude", pruned, "pruning above 0"),
            "scope": (self.scope != "uniform", pruned, "pruning above 0"),
            "steps": (self.steps != 1, pruned, "pruning above 0"),
            "sparsity_fraction": (
                self.sparsity_fraction is not None,
                self.sparsity == "unstructured",
                "sparsity 'unstructured' (2:4 is a half by its nature)",
            ),
            "qat_epochs": (self.qat_epochs is not None, self.qat, "qat"),
            "qat_learning_rate": (self.qat_learning_rate is not None, self.qat, "qat"),
            "freeze_after_epoch": (self.freeze_after_epoch is not None, self.qat, "qat"),
            "temperature": (self.temperature is not None, self.distill > 0, "distill above 0"),
            "distill": (
                self.distill > 0,
                self.qat or self.finetune_epochs > 0,
                "finetune_epochs or qat: without training there is nothing to learn it in",
            ),
        }
        for name, (given, useful, cure) in needed.items():
            if given and not useful:
                raise OptionError(
                    f"{owner}.{name} is only for {cure}, got {getattr(self, name)!r} without it."
                )
        if self.steps > 1 and self.finetune_epochs == 0:
            raise OptionError(
                f"{owner}.steps is only for finetune_epochs above 0, got {self.steps} steps with "
                "nothing in between."
            )
        if self.qat and self.sparsity != "none":
            raise OptionError(
                f"{owner}.sparsity must be none with qat, which trains zeros away, got "
                f"{self.sparsity!r}; the compiler pt2e quantizes what is sparse."
            )
        if self.freezes_after > self.epochs_quantized:
            raise OptionError(
                f"{owner}.freeze_after_epoch must be at most qat_epochs, "
                f"{self.epochs_quantized}, got {self.freeze_after_epoch}."
            )

    @property
    def epochs_quantized(self) -> int:
        """Epochs of quantization-aware training; 0 without."""
        return (self.qat_epochs or 6) if self.qat else 0

    @property
    def rate_quantized(self) -> float:
        """Learning rate of quantization-aware training, which has little to find anew."""
        if self.qat_learning_rate is not None:
            return self.qat_learning_rate
        return self.learning_rate / 10

    @property
    def freezes_after(self) -> int:
        """Of these, those before ranges and statistics are frozen."""
        if self.freeze_after_epoch is not None:
            return self.freeze_after_epoch
        return -(-2 * self.epochs_quantized // 3)


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer with weights, as it was and as it became.

    Attributes
    ----------
    name : str
        Of its module in the network.
    kind : str
        Class of the module, such as ``Conv2d``.
    shape_before, shape_after : tuple of int
        Of its weights.
    channels_before, channels_after : int
        Channels, or features, that it gives.
    """

    name: str
    kind: str
    shape_before: tuple[int, ...]
    shape_after: tuple[int, ...]
    channels_before: int
    channels_after: int


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One phase of a compression, and what the model was worth after it.

    Attributes
    ----------
    name : str
        ``prune 1``, ``finetune 1``, ``sparsify``, ``qat`` and so on.
    losses : tuple of float
        Mean loss of each epoch, where it trains.
    quality : Quality
        On the validation split, as the network answers then.
    """

    name: str
    losses: tuple[float, ...] = ()
    quality: Quality


class Compressed(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was made smaller, and how.

    Attributes
    ----------
    path : Path
        A program of torch.export with an open batch.
    format : str
        ``torch-exported``.
    wrapper : dict
        Options with which the wrapper ``torch_exported_file`` feeds it as the baseline is fed.
    sha256 : str
        Of the file, hexadecimal.
    weights_sha256 : str
        Of names, types, shapes and values of all tensors in it.
    size_bytes : int
    source_sha256 : str
        Of the baseline's file.
    options : dict
        Those of the :class:`Compression`.
    parameters_before, parameters_after : int
        All that training changes, biases and normalization included.
    macs_before, macs_after : int
        Multiply-accumulate operations of convolutions and matrix products for one sample.
    zeros_share : float
        Part of the weights, without biases, that are 0 in the result, 0 to 1.
    layers : tuple of Layer
        Those with weights, in the network's order.
    quality_before, quality_after : Quality
        Of the baseline and of the file that was written, on the validation split.
    phases : tuple of Phase
    seed, loader_seed : int
    threads : int
        Of PyTorch while it trained: results are equal to the bit for equal threads on an equal
        processor and equal versions.
    tool_versions : dict of str to str
    remarks : tuple of str
        What a reader of the figures must know.
    """

    path: Path
    format: str
    wrapper: dict[str, Any]
    sha256: str
    weights_sha256: str
    size_bytes: int
    source_sha256: str
    options: dict[str, Any]
    parameters_before: int
    parameters_after: int
    macs_before: int
    macs_after: int
    zeros_share: float
    layers: tuple[Layer, ...]
    quality_before: Quality
    quality_after: Quality
    phases: tuple[Phase, ...]
    seed: int
    loader_seed: int
    threads: int
    tool_versions: dict[str, str]
    remarks: tuple[str, ...] = ()


class Compresses:
    """A subclass must be a model wrapper as well, and make its model smaller.

    It comes before that role among the bases. Its suite is
    :class:`edge_tester.testing.CompressesConformance`.

    * The loaded model, its file, the data set and the caller's random numbers stay as they were.
    * Equal options, file and data set make equal weights on one machine.
    * Only the training split is learned from, and only the validation split is looked at for the
      qualities; neither is a sample that is measured.
    * What the model takes and gives keeps its shapes and order.
    """

    def compress(self, dataset: Dataset, compression: Compression, output: Path) -> Compressed:
        """Make a smaller model of the loaded one, and write it.

        Parameters
        ----------
        dataset : Dataset
            Prepared.
        compression : Compression
        output : Path
            A .pt2 file; it is whole or absent.

        Raises
        ------
        OptionError
            The compression cannot be done to this model, or the output is no .pt2 file.
        ModelError
            The model was not loaded, keeps a state, cannot be pruned, or prepares its samples in a
        way that no option of ``torch_exported_file`` says.
        DatasetError
            There is nothing to learn, or no sample to learn from.
        """
        raise NotImplementedError
