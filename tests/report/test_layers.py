"""Layers in a report: a plot along the graph, and a table."""

import re
import xml.etree.ElementTree as ElementTree

import msgspec
import pytest

from edge_tester.core.checking.findings import Layer, Layers
from edge_tester.report._layers import layers_drawing, layers_table


def layer(place, whole_db, own_db, **changes):
    found = Layer(
        place=place,
        name=f"layer{place}",
        type="CONV_2D",
        operators=["CONV_2D"],
        places=[place],
        source=f"source{place}",
        source_type="Conv2D",
        rule="name",
        correlation=0.99,
        precision="integers",
        sqnr_db=whole_db,
        own_sqnr_db=own_db,
        cosine=0.5,
        largest_difference=1.0,
        largest_value=2.0,
        rms_difference=0.1,
    )
    return msgspec.structs.replace(found, **changes)


def layers(*ratios_db, broken=None, **changes):
    found = [
        layer(n, whole, own, verdict="breaks" if n == broken else "sound")
        for n, (whole, own) in enumerate(ratios_db)
    ]
    facts = {"source": "a.keras", "conversion": "a.tflite", "samples": 4, "source_tensors": 9}
    return Layers(
        source_format="keras",
        conversion_format="tflite",
        layers=found,
        first=None if broken is None else f"layer{broken}",
        conversion_tensors=len(found),
        **{**facts, **changes},
    )


def test_the_table_has_all_layers_in_their_order():
    table = layers_table(layers((40.0, 41.23), (2.5, None), broken=1, remarks=["A remark."]))
    assert ["0", "CONV_2D", "layer0", "source0", "name", "integers", "sound"] == table.rows[0][:7]
    assert ["40.0", "41.2", "0.50000", "1", "2"] == table.rows[0][7:]
    assert "breaks" == table.rows[1][6]
    assert "not available" == table.rows[1][8]
    assert table.note.endswith("A remark.")
    assert "The first that breaks is CONV_2D 'layer1'" in table.note
    assert {len(table.head)} == {len(row) for row in table.rows}


def test_the_plot_names_the_layer_that_breaks():
    drawing = layers_drawing(layers((40, 41), (3, 2), (4, 38), broken=1))
    svg = drawing.svg("p", themed=True)
    ElementTree.fromstring(svg)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert any("CONV_2D  layer1" in text for text in texts)
    assert "var(--warning)" in svg
    assert "The first that breaks" in drawing.description
    # Colours of the light theme alone would not be seen on a dark page.
    assert not re.search(r"(fill|stroke): #[0-9a-f]{6}", svg)


def test_the_plot_names_nothing_where_nothing_stands_out():
    svg = layers_drawing(layers((40, 41), (33, 38))).svg("p", themed=True)
    assert "var(--warning)" not in svg


def test_own_errors_that_nobody_knows_are_not_drawn():
    svg = layers_drawing(layers((40, None), (33, None))).svg("p", themed=True)
    assert "given the source" not in svg
    assert "of the whole models" in svg


def test_without_layers_there_is_no_plot():
    assert layers_drawing(layers()) is None


@pytest.mark.parametrize("name", ["<b>&amp;", "$x$", "q" * 500])
def test_names_of_others_are_text(name):
    found = layers((40, 41), (3, 2), broken=1)
    evil = msgspec.structs.replace(found.layers[1], name=name)
    found = msgspec.structs.replace(found, layers=[found.layers[0], evil], first=name)
    ElementTree.fromstring(layers_drawing(found).svg("p", themed=True))
