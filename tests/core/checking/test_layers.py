"""What is named where one layer of a conversion is destroyed, and where none is."""

import msgspec
import numpy as np
import pytest

from edge_tester.core.checking.findings import LIMITS_DB, Layer, Layers
from edge_tester.core.checking.layers import compare_layers
from edge_tester.core.checking.sides import Side, side_of, side_of_file
from edge_tester.core.checking.tally import MOST_DB, Tally
from edge_tester.core.errors import InputError, ModelError
from edge_tester.core.inspects import Inspects, Tensor
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.torchscript_file import TorchScriptFile
from tests.damaged_networks import KINDS, damaged, feeds, made, side

# One network for each pair of formats; benchmarks/destroyed_layers.py has all.
CASES = list(zip(KINDS, ("plain", "branches", "separable", "residual", "dense"), strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("networks")


def compared(name, source, conversion, folder, path=None, samples=3):
    values = feeds(name, samples, last="tflite" in conversion)
    ours, theirs = side(name, source, folder), side(name, conversion, folder, path)
    return compare_layers(ours, theirs, values)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_no_layer_of_an_undamaged_conversion_is_named(kind, name, folder):
    found = compared(name, *kind, folder)
    assert found.first is None, found.words
    assert "No layer stands out" in found.words
    assert {"sound"} == {one.verdict for one in found.layers}
    assert len(found.layers) >= 3


@pytest.mark.parametrize(("kind", "name"), CASES)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_destroyed_layer_is_named_first(kind, name, seed, folder, tmp_path):
    path = made(name, kind[1], folder)
    damage = damaged(path, tmp_path / path.name, np.random.default_rng(seed))
    found = compared(name, *kind, folder, damage.path)
    assert found.broken is not None, damage.what
    assert damage.place in found.broken.places, f"{damage.what}: {found.words}"
    assert all(one.verdict != "breaks" for one in found.layers if one.place < damage.place)


@pytest.mark.parametrize(
    ("kind", "name", "wanted"),
    [
        (KINDS[1], "residual", "scale of the output x 8 of Conv at 20"),
        (KINDS[2], "residual", "scale of the output x 8 of CONV_2D at 3"),
    ],
)
def test_too_coarse_a_scale_does_not_excuse_itself(kind, name, wanted, folder, tmp_path):
    """Its result jumps by a step where inputs move by little, which is no reason for its error."""
    path = made(name, kind[1], folder)
    damage = damaged(path, tmp_path / path.name, np.random.default_rng(0), wanted)
    found = compared(name, *kind, folder, damage.path)
    assert found.broken is not None
    assert [damage.place] == found.broken.places
    assert found.broken.steps_used < 51
    assert "steps of its scale alone" in found.words


def test_what_is_inherited_is_no_error_of_later_layers(folder, tmp_path):
    """Behind a destroyed layer everything differs, and given the right inputs nothing does."""
    path = made("plain", "float.onnx", folder)
    damage = damaged(path, tmp_path / "damaged.onnx", np.random.default_rng(0))
    found = compared("plain", "float.onnx", "float.onnx", folder, damage.path)
    later = [one for one in found.layers if one.place > found.broken.place]
    assert later
    assert {"inherits"} == {one.verdict for one in later}
    assert all(one.sqnr_db < LIMITS_DB["float32"] < one.own_sqnr_db for one in later)


def test_a_comparison_can_be_kept(folder):
    found = compared("dense", "float.onnx", "int8.onnx", folder)
    assert found == msgspec.json.decode(msgspec.json.encode(found), type=Layers)


def test_a_model_is_like_itself(folder):
    found = compared("residual", "float.onnx", "float.onnx", folder)
    assert {MOST_DB} == {one.sqnr_db for one in found.layers}
    assert {MOST_DB} == {one.own_sqnr_db for one in found.layers}
    assert [] == found.unmatched


class Told(Inspects):
    """Tells a chain of tensors that each have some error; nothing of it can be cut."""

    def __init__(self, ratios_db=()):
        self.ratios_db = ratios_db

    def inspect(self, inputs):
        generator = np.random.default_rng(0)
        found = []
        for place in range(5):
            values = generator.standard_normal((1, 1000))
            noise = np.random.default_rng(1 + place).standard_normal((1, 1000))
            if self.ratios_db:
                values = values + noise * 10 ** (-self.ratios_db[place] / 20)
            found.append(
                Tensor(
                    name=f"t{place}",
                    type="Layer",
                    place=place,
                    values=values,
                    dtype="float32",
                    precision="integers" if self.ratios_db else "float32",
                )
            )
        return found


def told(tmp_path, ratios_db):
    sides = [Side(tmp_path / "m", "told", one, []) for one in (Told(), Told(ratios_db))]
    return compare_layers(*sides, [[]])


def test_what_cannot_be_cut_is_judged_by_the_drop(tmp_path):
    found = told(tmp_path, (40, 38, 5, 4, 3))
    assert "t2" == found.first
    assert ["sound", "sound", "breaks", "inherits", "inherits"] == [
        one.verdict for one in found.layers
    ]
    assert [None] * 5 == [one.own_sqnr_db for one in found.layers]


def test_gradual_loss_is_no_break(tmp_path):
    """It falls below what is explained, by steps that integers make anyway."""
    found = told(tmp_path, (30, 24, 18, 13, 8))
    assert found.first is None
    assert ["sound"] * 3 + ["inherits"] * 2 == [one.verdict for one in found.layers]


def test_no_sample_is_refused(folder):
    one = side("dense", "float.onnx", folder)
    with pytest.raises(InputError, match="at least one sample"):
        compare_layers(one, one, [])


def test_models_that_have_nothing_in_common_are_refused(tmp_path):
    class Other(Inspects):
        def inspect(self, inputs):
            values = np.random.default_rng(9).standard_normal((1, 7))
            return [Tensor(name="z", type="Layer", place=0, values=values, dtype="float32")]

    sides = [Side(tmp_path / "m", "told", one, []) for one in (Told(), Other())]
    with pytest.raises(ModelError, match="neither names nor values agree"):
        compare_layers(*sides, [[]])


def test_sides_are_what_can_be_looked_into(folder, tmp_path):
    path = made("dense", "float.onnx", folder)
    found = side_of(ONNXFile(model_path=path))
    assert ("onnx", path) == (found.format, found.path)
    assert found.cuts is not None
    assert side("dense", "torch", folder).cuts is None
    with pytest.raises(ModelError, match="cannot tell the tensors inside"):
        side_of(TorchScriptFile(model_path=tmp_path / "model.pt"))
    with pytest.raises(ModelError, match="No runtime here tells .* 'tvm'"):
        side_of_file(tmp_path / "model.so", "tvm")


def test_ratios_are_those_of_the_formula():
    tally = Tally()
    tally.see(np.array([3.0, 4.0]), np.array([3.0, 4.5]))
    tally.see(np.array([0.0]), np.array([-0.5]))
    # 25 to 0.5.
    assert pytest.approx(16.9897) == tally.sqnr_db
    assert pytest.approx((0.5 / 3) ** 0.5) == tally.rms_difference
    assert (0.5, 4.0, 4.0) == (tally.largest_difference, tally.largest, tally.span)
    assert pytest.approx(27 / (25 * 29.5) ** 0.5) == tally.cosine


@pytest.mark.parametrize(
    ("expected", "got", "ratio_db"),
    [([1.0], [1.0], MOST_DB), ([0.0], [1.0], -MOST_DB), ([1.0], [np.nan], -MOST_DB)],
)
def test_ratios_that_have_no_number_end_somewhere(expected, got, ratio_db):
    tally = Tally()
    tally.see(np.array(expected), np.array(got))
    assert ratio_db == tally.sqnr_db


def test_a_layer_is_called_after_what_computes_in_it():
    about = {"name": "n", "source": "s", "source_type": "t", "rule": "name", "correlation": 1.0}
    numbers = {"sqnr_db": 1.0, "cosine": None, "largest_difference": 0.0, "largest_value": 0.0}
    layer = Layer(
        place=3,
        type="DEQUANTIZE",
        operators=["FULLY_CONNECTED", "DEQUANTIZE"],
        precision="integers",
        rms_difference=0.0,
        **about,
        **numbers,
    )
    assert "FULLY_CONNECTED" == layer.kind
    assert "DEQUANTIZE" == msgspec.structs.replace(layer, operators=["DEQUANTIZE"]).kind
