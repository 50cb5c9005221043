"""Pairs of tensors: what is the same under two names, and what only looks so."""

import numpy as np
import pytest

from edge_tester.core.checking.matching import forms, likeness_of, match
from edge_tester.core.inspects import INPUT, Tensor

GENERATOR = np.random.default_rng(0)


def values(*shape):
    return GENERATOR.standard_normal(shape).astype(np.float32)


def tensor(name, place, array, kind="Conv", **facts):
    return Tensor(
        name=name,
        type=INPUT if place < 0 else kind,
        place=place,
        values=array,
        dtype="float32",
        **facts,
    )


def pairs(source, conversion):
    return {(one.source, one.conversion): one.rule for one in match(source, conversion)}


def test_equal_names_match_whatever_the_values():
    """A destroyed layer is like nothing."""
    source = [tensor("x", -1, values(1, 4)), tensor("a", 0, values(1, 8))]
    conversion = [tensor("x", -1, source[0].values), tensor("a", 0, values(1, 8))]
    assert {("x", "x"): "order", ("a", "a"): "name"} == pairs(source, conversion)


def test_equal_names_of_other_sizes_are_no_match():
    source = [tensor("x", -1, values(1, 4)), tensor("a", 0, values(1, 8))]
    conversion = [tensor("x", -1, source[0].values), tensor("a", 0, values(1, 9))]
    assert {("x", "x"): "order"} == pairs(source, conversion)


def test_inputs_and_outputs_match_by_their_places():
    source = [tensor("x", -1, values(1, 4)), tensor("y", 0, values(1, 3), output=0)]
    conversion = [
        tensor("given", -1, values(1, 4)),
        tensor("end", 7, values(1, 3), "MatMul", output=0),
    ]
    assert {("x", "given"): "order", ("y", "end"): "order"} == pairs(source, conversion)


def test_a_fused_activation_takes_its_name_from_the_values():
    """The quantizer leaves the convolution's name to what is a convolution with activation."""
    before = values(1, 50)
    after = np.maximum(before, 0)
    source = [tensor("conv", 0, before), tensor("relu", 1, after, "Relu")]
    conversion = [tensor("conv", 0, after + 0.01 * values(1, 50))]
    assert {("relu", "conv"): "correlation"} == pairs(source, conversion)


def test_a_name_is_kept_where_what_looks_alike_has_its_own_counterpart():
    """A sum to which a destroyed layer adds nothing looks like what it is added to."""
    first, added = values(1, 50), 3 * values(1, 50)
    source = [tensor("first", 0, first), tensor("sum", 1, first + added, "Add")]
    conversion = [tensor("first", 0, first), tensor("sum", 1, first + 0.01 * added, "Add")]
    assert {("first", "first"): "name", ("sum", "sum"): "name"} == pairs(source, conversion)


def test_modules_match_the_last_tensor_in_them():
    inner, outer = values(1, 8), values(1, 8)
    source = [tensor("block.conv", 0, inner, aliases=("block.first",)), tensor("block", 1, outer)]
    conversion = [
        tensor("n1", 0, values(1, 8), scopes=("block", "block.conv")),
        tensor("n2", 1, inner, scopes=("block", "block.conv")),
        tensor("n3", 2, outer, scopes=("block",)),
    ]
    found = pairs(source, conversion)
    assert {("block.conv", "n2"): "scope", ("block", "n3"): "scope"} == found


@pytest.mark.parametrize("number", ["", "_1", "_7"])
def test_layers_may_be_numbered_anew(number):
    """A network has ``relu`` and ``relu_1`` itself: either all lose their number, or none."""
    arrays = [values(1, 8) for _ in range(3)]
    names = ["dense", "relu", "relu_1"]
    source = [tensor(name, n, one) for n, (name, one) in enumerate(zip(names, arrays, strict=True))]
    conversion = [
        tensor(f"model/{name}{number}/Op", n, values(1, 8), scopes=("model", name + number))
        for n, name in enumerate(names)
    ]
    expected = {(name, f"model/{name}{number}/Op"): "scope" for name in names}
    assert expected == pairs(source, conversion)


@pytest.mark.parametrize(("move", "axes"), [(1, (1, -1)), (-1, (-1, 1))])
def test_channels_may_have_moved(move, axes):
    array = values(1, 6, 6, 6)
    source = [tensor("a", 0, array), tensor("b", 1, values(1, 3, 5, 7))]
    conversion = [
        tensor("a", 0, np.moveaxis(array, *axes)),
        tensor("b", 1, np.moveaxis(source[1].values, *axes)),
    ]
    assert [move, move] == [one.moved for one in match(source, conversion)]


def test_where_nothing_is_alike_channels_move_as_elsewhere():
    source = [tensor("a", 0, values(1, 3, 5, 7)), tensor("b", 1, values(1, 6, 6, 6))]
    conversion = [
        tensor("a", 0, np.moveaxis(source[0].values, 1, -1)),
        tensor("b", 1, values(1, 6, 6, 6)),
    ]
    assert [1, 1] == [one.moved for one in match(source, conversion)]


def test_an_image_flattened_in_another_order_is_left_alone():
    image = values(1, 4, 3, 3)
    source = [tensor("image", 0, image), tensor("flat", 1, image.reshape(1, -1), "Flatten")]
    conversion = [
        tensor("image", 0, np.moveaxis(image, 1, -1)),
        tensor("flat", 1, np.moveaxis(image, 1, -1).reshape(1, -1), "Reshape"),
    ]
    assert {("image", "image"): "name"} == pairs(source, conversion)


def test_what_is_scaled_is_not_alike():
    """A linear activation correlates with what it follows, and is another tensor."""
    array = values(1, 50)
    source = [tensor("a", 0, array / 6 + 0.5, "Hardsigmoid"), tensor("b", 1, array)]
    assert {("b", "z"): "correlation"} == pairs(source, [tensor("z", 0, array, "Conv")])


def test_the_only_one_of_its_kind_between_two_matches_is_matched_though_it_is_broken():
    source = [tensor(name, n, values(1, 8)) for n, name in enumerate("abc")]
    conversion = [
        tensor("a", 0, source[0].values),
        tensor("unknown", 1, values(1, 8), "CONV_2D"),
        tensor("c", 2, source[2].values),
    ]
    assert "order" == pairs(source, conversion)["b", "unknown"]


@pytest.mark.parametrize("kinds", [("Relu", "CONV_2D"), ("Conv", "RELU")])
def test_nothing_unlike_is_matched_that_computes_otherwise(kinds):
    source = [tensor("a", 0, values(1, 8)), tensor("b", 1, values(1, 8), kinds[0])]
    conversion = [tensor("a", 0, source[0].values), tensor("unknown", 1, values(1, 8), kinds[1])]
    assert {("a", "a"): "name"} == pairs(source, conversion)


def test_of_two_that_could_be_meant_neither_is_matched():
    source = [tensor(name, n, values(1, 8)) for n, name in enumerate("ab")]
    conversion = [tensor(name, n, values(1, 8)) for n, name in enumerate("yz")]
    assert {} == pairs(source, conversion)


def test_no_tensor_is_in_two_pairs():
    array = values(1, 8)
    source = [tensor("a", 0, array), tensor("b", 1, array, "Identity")]
    conversion = [tensor(name, n, array) for n, name in enumerate("xyz")]
    found = match(source, conversion)
    assert len({one.source for one in found}) == len(found) == 2


def test_sizes_of_one_do_not_count():
    assert [0] == forms((1, 24), (1, 1, 1, 24))
    assert [0, 1] == forms((1, 24, 1, 1), (1, 1, 1, 24))[:2]
    assert [] == forms((1, 2, 3), (1, 6))


def test_likeness_leaves_out_what_is_not_finite():
    one = np.array([1, 2, 3, np.nan])
    assert (pytest.approx(1), pytest.approx(1)) == likeness_of(one, np.array([1, 2, 3, 4]))
    assert (None, 0.0) == likeness_of(np.ones(3), np.arange(3))
    # Twice the values correlate wholly; by Lin's formula they agree by 0.4 (2 * 2 / (2 + 8 - 0)
    # with the means apart by 2: 8 / (2 + 8 + 3 * 4) of the sums of squares).
    correlation, concordance = likeness_of(np.array([1, 2, 3]), np.array([2, 4, 6]))
    assert (1, 8 / 22) == (pytest.approx(correlation), pytest.approx(concordance))
