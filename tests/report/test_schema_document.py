import json
from pathlib import Path

import msgspec
import pytest

from edge_tester.core.record import record_schema
from edge_tester.scenarios import print_schema
from tests.report.records import record, unknown

DOCUMENTS = Path(__file__).parents[2] / "docs"
SCHEMA = DOCUMENTS / "run-record.schema.json"


def test_the_schema_document_is_up_to_date():
    assert record_schema() == json.loads(SCHEMA.read_text()), "write it: python docs/generate.py"


def test_the_command_prints_the_schema_document(capsys):
    print_schema.main(["record"])
    printed = json.loads(capsys.readouterr().out)
    assert printed.pop("$schema").startswith("https://json-schema.org/")
    assert json.loads(SCHEMA.read_text()) == printed


@pytest.mark.parametrize("made", [record, unknown])
def test_records_follow_the_schema_document(made):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(json.loads(msgspec.json.encode(made())), json.loads(SCHEMA.read_text()))


def test_every_field_is_documented():
    text = (DOCUMENTS / "run-record.rst").read_text()
    missing = [
        f"{name}.{field}"
        for name, definition in record_schema()["$defs"].items()
        for field in definition.get("properties", {})
        if f"``{field}``" not in text
    ]
    assert [] == missing
