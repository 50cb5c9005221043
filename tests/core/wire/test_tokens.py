"""Proofs fit one conversation and one side, and tokens that are easily found are refused."""

import hashlib
import hmac

import pytest

from edge_tester.core.errors import OptionError
from edge_tester.core.wire import tokens
from edge_tester.core.wire.tokens import Proofs, fitting, read_tokens

TOKEN, OTHER = "a" * 32, "b" * 32


def test_proofs_are_those_of_the_documentation():
    about = hashlib.sha256(b"hello").digest() + hashlib.sha256(b"00ff").digest()
    expected = [
        hmac.new(TOKEN.encode(), f"edge_tester 2 {side}".encode() + about, hashlib.sha256)
        for side in ("host", "target", "frames")
    ]
    found = Proofs(TOKEN, b"hello", "00ff")
    assert [one.hexdigest() for one in expected] == [
        found.host,
        found.target,
        found.frame_key.hex(),
    ]


@pytest.mark.parametrize(
    ("token", "hello", "nonce"),
    [(OTHER, b"hello", "00"), (TOKEN, b"hellp", "00"), (TOKEN, b"hello", "01")],
)
def test_a_proof_fits_nothing_else(token, hello, nonce):
    proofs = Proofs(TOKEN, b"hello", "00")
    assert fitting([token], hello, nonce, proofs.host) is None
    assert fitting([OTHER, TOKEN], b"hello", "00", proofs.host) is not None
    assert fitting([TOKEN], b"hello", "00", proofs.target) is None


def test_of_a_file_each_line_is_a_token(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"# the lab's\n{TOKEN}\n\n  {OTHER}  \n")
    path.chmod(0o600)
    assert [TOKEN, OTHER] == read_tokens(path)


def test_the_environment_stands_in_for_a_file(monkeypatch):
    monkeypatch.delenv(tokens.VARIABLE, raising=False)
    assert [] == read_tokens(None)
    monkeypatch.setenv(tokens.VARIABLE, f"{TOKEN}\n")
    assert [TOKEN] == read_tokens(None)
    monkeypatch.setenv(tokens.VARIABLE, "secret")
    with pytest.raises(OptionError, match="a token of 6 characters; it needs at least 32"):
        read_tokens(None)
    monkeypatch.setenv(tokens.VARIABLE, f"{TOKEN}\n{OTHER}\n")
    with pytest.raises(OptionError, match="must be one token: a file may have several"):
        read_tokens(None)


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (f"{TOKEN}\n", 0o640, "chmod 600"),
        ("short\n", 0o600, "5 characters"),
        ("# nothing\n", 0o600, "has no token"),
        (None, 0o600, "cannot be read: No such file"),
        (b"\xff" * 40, 0o600, "it is no text"),
    ],
)
def test_a_file_that_protects_nothing_is_refused(tmp_path, content, mode, message):
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
    with pytest.raises(OptionError, match=message):
        read_tokens(path)
