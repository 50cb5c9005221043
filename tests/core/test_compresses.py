import pytest

from edge_tester.core.compresses import Compression
from edge_tester.core.errors import OptionError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pruning": 0.96}, "pruning must be at most 0.95"),
        ({"importance": "taylor"}, "importance is only for pruning above 0, got 'taylor'"),
        ({"scope": "global"}, "scope is only for pruning above 0"),
        ({"steps": 2, "finetune_epochs": 1}, "steps is only for pruning above 0"),
        ({"pruning": 0.5, "steps": 2}, "steps is only for finetune_epochs above 0"),
        ({"sparsity_fraction": 0.5}, "sparsity_fraction is only for sparsity 'unstructured'"),
        ({"sparsity": "2:4", "sparsity_fraction": 0.5}, "sparsity_fraction is only for"),
        ({"qat_epochs": 2}, "qat_epochs is only for qat"),
        ({"qat_learning_rate": 0.1}, "qat_learning_rate is only for qat"),
        ({"freeze_after_epoch": 2}, "freeze_after_epoch is only for qat"),
        ({"qat": True, "qat_epochs": 2, "freeze_after_epoch": 3}, "at most qat_epochs, 2, got 3"),
        ({"qat": True, "freeze_after_epoch": 0}, "freeze_after_epoch must be at least 1"),
        ({"qat": True, "sparsity": "2:4"}, "sparsity must be none with qat"),
        ({"distill": 0.5}, "distill is only for finetune_epochs or qat"),
        ({"temperature": 2.0}, "temperature is only for distill above 0"),
    ],
)
def test_what_would_do_nothing_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        Compression(**options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (0, 0)),
        ({"qat": True}, (6, 4)),
        ({"qat": True, "qat_epochs": 4}, (4, 3)),
        ({"qat": True, "qat_epochs": 3, "freeze_after_epoch": 1}, (3, 1)),
    ],
)
def test_epochs_of_quantized_training(options, expected):
    compression = Compression(**options)
    assert expected == (compression.epochs_quantized, compression.freezes_after)
