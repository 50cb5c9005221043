"""How pictures are resized, cropped and normalized, by one flag or by several."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_tester.core.errors import DatasetError, OptionError
from edge_tester.core.tensors import TensorSpec
from edge_tester.datasets._fitting import fitted
from edge_tester.datasets._recipes import RECIPES, Recipe
from edge_tester.datasets.image_folder import ImageFolderDataset
from edge_tester.datasets.imagenet import ImageNetDataset
from edge_tester.modelwrappers.classification.pytorch_imagenet import PyTorchImageNet
from edge_tester.modelwrappers.classification.pytorch_mnist import PyTorchMNISTClassifier
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile

NHWC = TensorSpec("image", (None, 14, 14, 3), "float32")
NCHW = TensorSpec("image", (None, 3, 14, 14), "float32")
NOISE = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture
def make(tmp_path):
    (tmp_path / "class").mkdir()
    Image.fromarray(NOISE).save(tmp_path / "class" / "a.png")

    def bound(spec=NHWC, cls=ImageFolderDataset, **options):
        dataset = cls(dataset_root=tmp_path, **options)
        dataset.prepare()
        dataset.bind([spec])
        return dataset

    return bound


def first(dataset):
    return dataset.load([0]).inputs[0][0]


def center(method, shorter=16):
    """Prepare the picture as torchvision does, by hand."""
    image = Image.fromarray(NOISE).resize((shorter * 60 // 40, shorter), method)
    top, left = round((shorter - 14) / 2), round((image.width - 14) / 2)
    return np.asarray(image, np.float64)[top : top + 14, left : left + 14]


@pytest.mark.parametrize(
    ("preset", "method"),
    [("torchvision", Image.Resampling.BILINEAR), ("timm-bicubic", Image.Resampling.BICUBIC)],
)
def test_presets_of_torch(make, preset, method):
    expected = (center(method) / 255 - MEAN) / STD
    assert np.abs(expected - first(make(preprocessing=preset))).max() < 1e-5
    moved = first(make(NCHW, preprocessing=preset))
    assert np.abs(np.moveaxis(expected, -1, 0) - moved).max() < 1e-5


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_interpolations_are_those_of_pillow(make, method):
    dataset = make(interpolation=method)
    expected = Image.fromarray(NOISE).resize((14, 14), Image.Resampling[method.upper()])
    assert np.array_equal(np.asarray(expected, np.float32), first(dataset))


def without_antialias(values, size, method):
    recipe = Recipe(interpolation=method, antialias=False)
    return fitted(Image.fromarray(values), recipe, size, "test")


def test_without_antialias_only_the_nearest_pixels_count():
    values = np.zeros((1, 8), np.float32)
    values[0, [0, 3, 7]] = 100
    # Centers of four places lie between pixels 0 and 1, 2 and 3, 4 and 5, 6 and 7.
    assert [50, 50, 0, 50] == without_antialias(values, (1, 4), "bilinear").ravel().tolist()
    # Those of two lie between 1 and 2, 5 and 6, and see neither end.
    assert [0, 0] == without_antialias(values, (1, 2), "bilinear").ravel().tolist()


def test_enlarging_places_the_centers_of_pixels():
    values = np.array([[0, 100]], np.float32)
    assert [0, 25, 75, 100] == without_antialias(values, (1, 4), "bilinear").ravel().tolist()


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(40, 60), (80, 90), (17, 23), (5, 200)])
def test_without_antialias_it_is_as_tensorflow_does_it(method, size):
    tf = pytest.importorskip("tensorflow")
    name = {"lanczos": "lanczos3"}.get(method, method)
    expected = tf.image.resize(NOISE, size, name, antialias=False).numpy()
    actual = without_antialias(NOISE, size, method)
    # TensorFlow looks the weights of bicubic up in a table of 1024 places.
    assert np.abs(expected - actual).max() < (0.3 if method == "bicubic" else 0.01)


@pytest.mark.parametrize("method", ["bicubic", "lanczos"])
def test_enlarging_is_the_same_with_and_without_antialias(method):
    # Far from black and white, where Pillow clips.
    mild = NOISE // 2 + 64
    expected = np.asarray(Image.fromarray(mild).resize((90, 80), method_of(method)), np.float32)
    assert np.abs(expected - without_antialias(mild, (80, 90), method)).max() < 1.5


def method_of(name):
    return Image.Resampling[name.upper()]


def keras_center():
    recipe = Recipe(resize="crop", crop_fraction=0.875, antialias=False)
    return fitted(Image.fromarray(NOISE), recipe, (14, 14), "test").astype(np.float64)


@pytest.mark.parametrize(
    ("preset", "formula"),
    [
        ("keras-tf", lambda pixels: pixels / 127.5 - 1),
        ("keras-caffe", lambda pixels: pixels[..., ::-1] - [103.939, 116.779, 123.68]),
        ("keras-torch", lambda pixels: (pixels / 255 - MEAN) / STD),
    ],
)
def test_presets_of_keras(make, preset, formula):
    expected = formula(keras_center())
    assert np.abs(expected - first(make(preprocessing=preset))).max() < 1e-4
    assert np.abs(keras_center() - center(Image.Resampling.BILINEAR)).max() > 5


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "offset"),
    [("uint8", 0.0078125, 128, 0), ("uint8", 0.5, 3, 0), ("int8", 0.0078125, 0, 128)],
)
def test_quantized_models_get_the_pixels_themselves(make, dtype, scale, zero_point, offset):
    spec = TensorSpec("image", (1, 14, 14, 3), dtype, scale=scale, zero_point=zero_point)
    dataset = make(spec, preprocessing="tflite-uint8")
    quantized = spec.quantize(first(dataset)).astype(int) + offset
    # 12.5 percent are cut off before the rest is stretched.
    cut = Image.fromarray(NOISE).crop((3, 2, 57, 38))
    recipe = Recipe(antialias=False)
    expected = np.rint(fitted(cut, recipe, (14, 14), "test")).astype(int)
    assert np.array_equal(expected, quantized)


def test_models_of_plain_bytes_get_pixels_too(make):
    spec = TensorSpec("image", (1, 14, 14, 3), "uint8")
    assert np.uint8 == first(make(spec, preprocessing="tflite-uint8")).dtype


def test_flags_win_over_the_preset(make):
    changed = make(
        preprocessing="torchvision",
        interpolation="nearest",
        shorter_side=20,
        pixel_mean=(0.5,),
        pixel_std=(0.5, 0.25, 1.0),
    )
    pixels = center(Image.Resampling.NEAREST, 20) / 255
    assert np.abs((pixels - 0.5) / [0.5, 0.25, 1.0] - first(changed)).max() < 1e-5
    assert "nearest" == changed.facts()["preprocessing"]["interpolation"]
    stretched = make(preprocessing="torchvision", resize="stretch", pixel_scale=1.0)
    image = Image.fromarray(NOISE).resize((14, 14), Image.Resampling.BILINEAR)
    assert np.abs((np.asarray(image) - MEAN) / STD - first(stretched)).max() < 1e-3


def test_the_recipe_is_in_the_record(make):
    dataset = make(preprocessing="keras-caffe", crop_fraction=1.0)
    facts = dataset.facts()
    assert (14, 14, 3) == (facts["height"], facts["width"], facts["channels"])
    expected = {
        "preset": "keras-caffe",
        "resize": "crop",
        "interpolation": "bilinear",
        "antialias": False,
        "shorter_side": None,
        "crop_fraction": 1.0,
        "channel_order": "bgr",
        "scale": 1.0,
        "mean": [103.939, 116.779, 123.68],
        "std": [],
        "quantized_pixels": False,
    }
    assert expected == facts["preprocessing"]


def test_equal_options_make_an_equal_recipe(make):
    dataset = make(preprocessing="torchvision", shorter_side=20)
    again = ImageFolderDataset.from_options(dataset.to_options())
    assert dataset.recipe == again.recipe


def test_the_colors_can_be_turned_around(make):
    assert np.array_equal(first(make())[..., ::-1], first(make(channel_order="bgr")))


def test_a_crop_without_more_words(make):
    assert "crop" == make(crop_fraction=0.875).recipe.resize
    assert "crop" == make(shorter_side=20).recipe.resize
    assert (
        "cut"
        == make(
            preprocessing="tflite-uint8",
            crop_fraction=0.5,
            spec=TensorSpec("x", (1, 14, 14, 3), "uint8"),
        ).recipe.resize
    )


def test_imagenet_has_its_usual_size(make):
    dataset = make(TensorSpec("image", (None, 224, 224, 3), "float32"), ImageNetDataset)
    assert ("crop", 256, None) == (
        dataset.recipe.resize,
        dataset.recipe.shorter_side,
        dataset.normalization,
    )
    assert (
        0.875 == ImageNetDataset(dataset_root="x", preprocessing="torchvision").recipe.crop_fraction
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shorter_side": 20, "crop_fraction": 0.5}, "only one can be given"),
        ({"resize": "stretch", "crop_fraction": 0.5}, "no meaning with --resize stretch"),
        ({"resize": "cut", "shorter_side": 20}, "no meaning with --resize cut"),
        ({"preprocessing": "tflite-uint8", "pixel_mean": (1.0,)}, "have no meaning with it"),
        ({"pixel_std": (0.0,)}, "pixel_std must be greater than 0"),
    ],
)
def test_contradictions_are_refused(options, said):
    with pytest.raises(OptionError, match=said):
        ImageFolderDataset(dataset_root="x", **options)


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        (
            TensorSpec("x", (1, 14, 14, 1), "float32"),
            {"preprocessing": "torchvision"},
            "--preprocessing torchvision has 3 numbers for mean.*14, 1.*--pixel-mean",
        ),
        (
            TensorSpec("x", (1, 14, 14, 3), "uint8"),
            {"preprocessing": "keras-tf"},
            "makes real numbers, .*pixels as they are",
        ),
        (
            TensorSpec("x", (1, 14, 14, 3), "uint8"),
            {"pixel_scale": 0.5},
            "--pixel-scale, --pixel-mean and --pixel-std makes? real numbers",
        ),
        (NHWC, {"preprocessing": "tflite-uint8"}, "8-bit integers.*float32; keras-tf"),
    ],
)
def test_models_that_do_not_fit_are_refused(make, spec, options, said):
    with pytest.raises(DatasetError, match=said):
        make(spec, **options)


@pytest.mark.parametrize("preset", ["none", *RECIPES])
def test_samples_are_never_scaled_twice(make, preset):
    scales = ImageFolderDataset(dataset_root="x", preprocessing=preset)
    plain = TFLiteFile(model_path="m.tflite")
    own = PyTorchImageNet(model_path="m.pt", factory="a:b")
    given = TFLiteFile(model_path="m.tflite", input_mean=(1.0,))
    plain.require_one_normalization(scales)
    for wrapper, named in ((own, "the preprocessing of PyTorchImageNet"), (given, "--input-mean")):
        if preset == "none":
            wrapper.require_one_normalization(scales)
            continue
        with pytest.raises(OptionError, match=f"--preprocessing {preset} of ImageFolder.*{named}"):
            wrapper.require_one_normalization(scales)


def test_wrappers_without_a_normalization_say_so():
    assert PyTorchMNISTClassifier(model_path="m.pt").normalization is None


def test_every_preset_is_documented():
    text = (Path(__file__).parents[2] / "docs" / "pictures.rst").read_text()
    assert [] == [preset for preset in RECIPES if f"\n{preset} " not in text]
