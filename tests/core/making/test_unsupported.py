"""The operation that a converter does not know is named, and nothing else is."""

import pytest

from edge_tester.core.making.unsupported import unsupported_operations


@pytest.fixture(autouse=True)
def library():
    """Operators that PyTorch has, for as long as a test lasts."""
    torch = pytest.importorskip("torch")
    with torch.library._scoped_library("named", "DEF") as found:
        for name in ("lif", "b"):
            found.define(f"{name}(Tensor x) -> Tensor")
        yield


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("No ONNX function for <OpOverload(op='named.lif', overload='default')>.", 0),
        ("Unsupported torch.ops.named.lif.default(%x)", 1),
        ("named::lif is not in the registry, aten::add is", 1),
        ("std::bad_alloc in c10::Error and torch.ops.aten.add.Tensor", 0),
        ("Unsupported function types ['lif.default']", 1),
        ("Unsupported function types ['add.Tensor'] in 'b' and 'lif'", 0),
        ("google::protobuf::Message", 0),
        ("model.py::test or /a::b", 0),
    ],
)
def test_of_what_is_said(said, named):
    assert ["named::lif"] * named == unsupported_operations(ValueError(said))


def test_of_what_it_came_from():
    inner = ValueError("no translation of torch.ops.named.b.default, named::lif")
    try:
        try:
            raise inner
        except ValueError as error:
            raise RuntimeError("conversion failed") from error
    except RuntimeError as error:
        assert ["named::b", "named::lif"] == unsupported_operations(error)
