"""The operation that a converter does not know is named, and nothing else is."""

import pytest

from edge_tester.core.making.unsupported import unsupported_operations


@pytest.fixture(autouse=True)
def library():
    """Operators that PyTorch has, for as long as a test lasts; other tests' are named otherwise."""
    torch = pytest.importorskip("torch")
    with torch.library._scoped_library("named", "DEF") as found:
        for name in ("lif", "b", "only_named_has"):
            found.define(f"{name}(Tensor x) -> Tensor")
        yield


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("No ONNX function for <OpOverload(op='named.lif', overload='default')>.", []),
        ("Unsupported torch.ops.named.lif.default(%x)", ["named::lif"]),
        ("named::lif is not in the registry, aten::add is", ["named::lif"]),
        ("std::bad_alloc in c10::Error and torch.ops.aten.add.Tensor", []),
        ("Unsupported function types ['only_named_has.default']", ["named::only_named_has"]),
        ("Unsupported function types ['add.Tensor'] in 'b' and 'lif'", []),
        ("google::protobuf::Message", []),
        ("model.py::test or /a::b", []),
    ],
)
def test_of_what_is_said(said, named):
    assert named == unsupported_operations(ValueError(said))


def test_of_what_it_came_from():
    inner = ValueError("no translation of torch.ops.named.b.default, named::lif")
    try:
        try:
            raise inner
        except ValueError as error:
            raise RuntimeError("conversion failed") from error
    except RuntimeError as error:
        assert ["named::b", "named::lif"] == unsupported_operations(error)
