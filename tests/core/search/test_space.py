"""Which configurations a space has, and what it refuses."""

import pytest

from edge_tester.core.errors import OptionError
from edge_tester.core.search.space import PRECISIONS, Precision, Range, Space


def names(choices, fixed=None, precisions=None):
    return [one.name for one in Space(choices, fixed or {}, precisions or {}).grid()]


def test_a_grid_has_every_pair_once():
    found = names({"pruning": [0, 0.25, 0.5], "precision": ["fp32", "int8"]}, {"steps": 1})
    assert [
        *("fp32", "int8", "fp32_pruning-0.25", "int8_pruning-0.25"),
        *("fp32_pruning-0.5", "int8_pruning-0.5"),
    ] == found


def test_what_does_nothing_makes_no_candidate_of_its_own():
    choices = {"pruning": [0, 0.5], "importance": ["magnitude", "taylor"]}
    assert ["fp32", "fp32_pruning-0.5", "fp32_pruning-0.5_importance-taylor"] == names(choices)


def test_a_fixed_option_is_in_every_configuration_and_in_no_name():
    (one,) = Space({"pruning": [0.5]}, {"finetune_epochs": 3}, {}).grid()
    assert "fp32_pruning-0.5" == one.name
    assert {"pruning": 0.5, "finetune_epochs": 3} == one.compression


def test_a_precision_brings_its_own_compression():
    (one,) = Space({"precision": ["int8-qat"]}, {}, {}).grid()
    assert ("int8-qat", {"qat": True}) == (one.name, one.compression)
    own = {"mine": Precision(runtime="openvino", compiler={"class": "onnx"})}
    assert ["mine"] == names({"precision": ["mine"]}, precisions=own)


@pytest.mark.parametrize(
    ("choices", "fixed", "said"),
    [
        ({"prunning": [0.5]}, {}, "no option 'prunning' to vary; did you mean 'pruning'"),
        ({"precision": ["fp23"]}, {}, "no precision 'fp23'; did you mean 'fp32'"),
        ({"pruning": []}, {}, "'pruning' has no values"),
        ({"pruning": [0.5]}, {"pruning": 0.5}, "is fixed and varied"),
        ({"pruning": [1.5]}, {}, "pruning must be at most 0.95"),
        ({"pruning": Range(low=0, high=0.5)}, {}, "a range, which a grid cannot go through"),
        ({"seed": [1]}, {}, "no option 'seed' to vary"),
    ],
)
def test_what_cannot_be_is_refused_by_name(choices, fixed, said):
    with pytest.raises(OptionError, match=said):
        Space(choices, fixed, {}).grid()


def test_every_precision_with_a_name_can_be_asked_for():
    assert list(PRECISIONS) == names({"precision": list(PRECISIONS)})
