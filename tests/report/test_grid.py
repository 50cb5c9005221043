"""The support grid as three files that say the same."""

import docutils.core
import msgspec
import pytest

from edge_tester.core.errors import OptionError
from edge_tester.core.onnxconversion import Cell
from edge_tester.report.grid import render_grid

CELLS = [
    Cell("PyTorch", "net_1", "", "supported", "123 bytes"),
    Cell("PyTorch", "net_1", "ONNX Runtime", "supported", "", 1.5e-7),
    Cell("PyTorch", "net_1", "TVM", "import error", "operator <LSTM> is *not* supported"),
    Cell("TensorFlow", "net_2", "", "export error", "no `Foo`"),
    Cell("TensorFlow", "net_2", "ONNX Runtime", "export error"),
    Cell("TensorFlow", "net_3", "", "supported", "5 bytes"),
    Cell("TensorFlow", "net_3", "ONNX Runtime", "different", "", float("inf")),
]


def test_the_three_files(tmp_path):
    path = tmp_path / "new" / "grid.rst"
    written = render_grid(CELLS, path)
    assert [path, path.with_suffix(".html"), path.with_suffix(".json")] == written
    text, html, json = (one.read_text() for one in written)
    assert CELLS[:-1] == msgspec.json.decode(json, type=list[Cell])[:-1]
    # Strict: every remark of docutils is an error.
    settings = {"halt_level": 2, "report_level": 2}
    shown = docutils.core.publish_string(text, writer="html", settings_overrides=settings).decode()
    for page in (shown, html):
        assert "1.5e-07" in page
        assert "operator &lt;LSTM&gt; is *not* supported" in page
        assert "no `Foo`" in page
    assert "ONNX Runtime: 1 of 3 supported" in html
    assert "Export: 2 of 3 supported" in html


def test_the_suffix_is_that_of_the_text(tmp_path):
    with pytest.raises(OptionError, match="ends with .rst, got 'grid.html'"):
        render_grid(CELLS, tmp_path / "grid.html")
