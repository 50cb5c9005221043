"""Whether models fit, against tflite-micro itself, and against sums made by hand."""

import importlib.resources
import shutil

import msgspec
import pytest

from edge_tester.core.analysis import analyze, fit
from edge_tester.core.analysis.boards import read_board
from edge_tester.core.analysis.fitting import Need, Part
from edge_tester.core.analysis.micro import Range, persistent_bytes
from edge_tester.core.analysis.microcheck import arena_of
from edge_tester.core.analysis.quantizing import as_int8
from edge_tester.core.errors import ModelError, OptionError
from edge_tester.core.graphs import GraphTensor
from edge_tester.core.system.profilefiles import shipped_profiles
from edge_tester.core.system.sizes import size_of
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from tests.core.analysis.graphs import graph_of, operator
from tests.micro_models import PERSON, converted

NAMES = ("separable", "gated", "two_ends", "dense", "branches", PERSON)
# The converter leaves the batch open, and stores sizes of a dilated convolution for it that are
# none: 1 where it must be 4. tflite-micro takes these.
OPEN = "branches-float32"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    found = {
        f"{name}-{precision}": path
        for name in NAMES
        for precision, path in converted(name, folder).items()
    }
    shipped = importlib.resources.files("edge_tester.resources") / "digits.tflite"
    with importlib.resources.as_file(shipped) as path:
        shutil.copy(path, folder / "digits.tflite")
    return {**found, "digits": folder / "digits.tflite"}


def graph_in(path):
    return TFLiteFile(model_path=path).graph()


def roomy(graph):
    return fit(graph, flash_bytes=2**30, sram_bytes=2**30)


ALL = [f"{name}-{precision}" for name in NAMES for precision in ("float32", "int8")] + ["digits"]


@pytest.mark.parametrize("name", [name for name in ALL if name != OPEN])
def test_the_arena_is_that_of_tflite_micro(name, files):
    pytest.importorskip("tflite_micro")
    arena = arena_of(files[name], "a test")
    graph = graph_in(files[name])
    assert arena.head == roomy(graph).arenas["as it is"]
    persistent = persistent_bytes(graph)
    # It runs on 64 bits here.
    assert persistent.low < arena.tail <= persistent.high


def test_int8_is_computed_from_the_float32_graph(files):
    for name in ("separable", "gated", "two_ends", PERSON):
        made, real = as_int8(graph_in(files[f"{name}-float32"])), graph_in(files[f"{name}-int8"])
        assert roomy(made).arenas["as it is"] == roomy(real).arenas["as it is"], name
        assert made.file_bytes == pytest.approx(real.file_bytes, rel=0.25), name
    assert as_int8(graph_in(files[f"{PERSON}-int8"])) is None


def test_the_hand_calculation_of_the_documentation(files):
    """Person detection: 96 x 96 x 1 -> 48 x 48 x 8 -> 24 x 24 x 16 -> 12 x 12 x 32 -> 32 -> 2."""
    graph = graph_in(files[f"{PERSON}-int8"])
    found = fit(graph, flash_bytes=size_of("2MB", "f"), sram_bytes=size_of("512KB", "s"))
    sizes = [96 * 96, 48 * 48 * 8, 24 * 24 * 16, 12 * 12 * 32, 32, 2]
    assert sizes[0] + sizes[1] == found.arenas["as it is"] == 27_648
    # While the first convolution runs, its input and its output live.
    assert found.tightest == graph.operators[0].name
    assert [18_432, 9_216] == [size for _, size in found.live]
    totals = analyze(graph)
    assert sum(sizes) == totals.activation_sum_bytes
    assert 48**2 * 9 * 8 + 24**2 * 9 * 8 * 16 + 12**2 * 9 * 16 * 32 + 64 == totals.macs
    assert 72 + 8 + 1152 + 16 + 4608 + 32 + 64 + 2 == totals.parameters
    assert ("fits", "fits", "fits") == (found.verdict, found.flash.verdict, found.sram.verdict)
    assert () == found.advice


def need(low, high, available):
    part = Part(name="x", low=low, high=high, origin="")
    return Need(name="SRAM", available=available, parts=(part,))


@pytest.mark.parametrize(
    ("low", "high", "verdict", "margin"),
    [
        (50, 99, "fits", (1, 50)),
        (50, 100, "fits", (0, 50)),
        (50, 101, "undecided", (-1, 50)),
        (100, 150, "undecided", (-50, 0)),
        (101, 150, "does not fit", (-50, -1)),
    ],
)
def test_a_verdict_holds_whatever_is_true_within_the_estimates(low, high, verdict, margin):
    found = need(low, high, 100)
    assert (verdict, margin) == (found.verdict, found.margin)


def fitted(graph, **more):
    exact = {"runtime_code": Range(100, 100), "stack": Range(0, 0)}
    return fit(graph, **{"flash_bytes": 10**6, "sram_bytes": 10**6, **exact, **more})


def test_an_operator_that_the_runtime_lacks_fits_nowhere():
    graph = graph_of({"in": 8, "out": 8}, [operator("one", "in", "out", kind="GELU")], "out")
    found = fitted(graph)
    assert (("GELU",), "does not fit") == (found.lacking, found.verdict)
    known = graph_of({"in": 8, "out": 8}, [operator("one", "in", "out", kind="RELU")], "out")
    assert ((), "fits") == (fitted(known).lacking, fitted(known).verdict)


def test_what_is_not_read_is_never_said_to_fit():
    operators = [operator("one", "in", "out", kind="WHILE")]
    graph = msgspec.structs.replace(
        graph_of({"in": 8, "out": 8}, operators, "out"), incomplete=True
    )
    found = fitted(graph)
    assert ("fits", "fits", "undecided") == (found.flash.verdict, found.sram.verdict, found.verdict)


@pytest.fixture
def wide():
    """A float32 chain: 4,000 bytes in, 40,000 twice, 40 out, and weights of 8,000 bytes."""
    operators = [
        operator("first", "in weights", "a", kind="CONV_2D"),
        operator("relu", "a", "b", form="activation", kind="RELU"),
        operator("last", "b", "out", kind="MEAN"),
    ]
    graph = graph_of({"in": 1, "out": 1}, operators, "out")
    tensors = {
        name: GraphTensor(name=name, shape=shape, dtype="float32")
        for name, shape in {
            **{"in": (1, 10, 100), "a": (1, 100, 100), "b": (1, 100, 100), "out": (1, 10)}
        }.items()
    }
    tensors["weights"] = GraphTensor(
        name="weights", shape=(20, 100), dtype="float32", role="parameter"
    )
    return msgspec.structs.replace(graph, tensors=tensors, file_bytes=9_000)


def test_the_ways_of_computing_take_different_arenas(wide):
    arenas = fitted(wide).arenas
    assert {"as it is": 80_000, "in place": 44_000, "fused": 44_000} == arenas
    assert "relu" == fitted(wide).tightest
    assert (("a", 40_000), ("b", 40_000)) == fitted(wide).live


def test_what_would_help_is_computed(wide):
    found = fitted(wide, sram_bytes=60_000, flash_bytes=5_000)
    assert ("does not fit", "does not fit") == (found.flash.verdict, found.sram.verdict)
    excess = found.sram.high - 60_000
    text = "\n".join(found.advice)
    # Weights: 8,000 bytes become 2,000, and a scale for each of 20 channels.
    assert f"flash {9_000 - 6_000 + 20 * 16 + 100:,} of 5,000 bytes at most" in text
    assert "which fits" in text
    assert "with activations in place: 36,000 bytes of the arena less, which is enough" in text
    share = ((80_000 - excess) / 80_000) ** 0.5
    assert f"of {100 * share:.0f} % of the height and width" in text
    # 40,000 bytes of the other tensor remain, so this one may have what is left.
    parts = -(-40_000 // (80_000 - excess - 40_000))
    assert f"40,000 bytes, in {parts} parts" in text
    # 9,100 bytes are needed, 4,100 too many of the 8,000 of the weights.
    assert "without 51 % of the weights' bytes" in text
    assert "moved there leaves 100 of 5,000 bytes here" in text


def test_what_fits_gets_no_advice(wide):
    assert () == fitted(wide).advice


@pytest.mark.parametrize(
    ("text", "size"),
    [("512KB", 524_288), ("2 MB", 2**21), ("1.5MiB", 1_572_864), ("4096", 4096), ("64k", 65_536)],
)
def test_sizes_are_those_of_vendors(text, size):
    assert size == size_of(text, "--flash")


@pytest.mark.parametrize("text", ["", "many", "5TB", "-1KB", "0", "0.3", "512Kb", "1e3"])
def test_other_sizes_are_refused(text):
    with pytest.raises(OptionError, match="--flash must be"):
        size_of(text, "--flash")


def test_bits_are_not_taken_for_bytes():
    with pytest.raises(OptionError, match="did you mean KB or MB"):
        size_of("2Mb", "--flash")


def test_every_shipped_board_says_where_its_sizes_are_from():
    boards = {name: read_board(name) for name in shipped_profiles("boards")}
    assert 8 == len(boards)
    for name, board in boards.items():
        assert board.flash_bytes >= 2**19 and board.sram_bytes >= 2**17, name
        assert len(board.source) > 20, name
    assert (2**21, 264 * 1024) == (boards["rp2040"].flash_bytes, boards["rp2040"].sram_bytes)


def test_a_board_of_ones_own_is_a_file(tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text("title: Mine\nprocessor: X\nflash: 1MB\nsram: 64KB\nsource: the schematic\n")
    assert 65_536 == read_board(str(path)).sram_bytes
    path.write_text("title: Mine\nprocessor: X\nflash: much\nsram: 64KB\nsource: nobody\n")
    with pytest.raises(OptionError, match="flash of Mine must be a size"):
        read_board(str(path))
    path.write_text("title: Mine\n")
    with pytest.raises(OptionError, match="cannot be used"):
        read_board(str(path))
    with pytest.raises(OptionError, match="did you mean 'rp2040'"):
        read_board("rp2400")


def test_what_tflite_micro_refuses_is_told_in_its_words(tmp_path, files):
    pytest.importorskip("tflite_micro")
    content = bytearray(files["digits"].read_bytes())
    path = tmp_path / "damaged.tflite"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="tflite-micro does not take"):
        arena_of(path, "a test")
