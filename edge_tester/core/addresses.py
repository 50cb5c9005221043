"""Addresses of targets: one text from which the link follows, such as ``ssh://pi@raspberrypi``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

from edge_tester.core import registry
from edge_tester.core.errors import OptionError
from edge_tester.core.runtimeprotocol import RuntimeProtocol

# What other texts than addresses do not look like: names of classes, files and kinds of devices.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://")
_HOST_AND_PORT = re.compile(r"[^\s/=]+:\d+")
_PATH = re.compile(r"\.{0,2}/\S")


def link_to(address: str) -> RuntimeProtocol:
    """Return the link that an address means, not connected.

    Parameters
    ----------
    address : str
        In a form of one of the runtime protocols; see :func:`forms`.

    Raises
    ------
    OptionError
        It is in none of them; the message lists all.
    """
    found = _SCHEME.match(address)
    scheme = found[1] if found else ""
    for cls in _protocols():
        if cls.scheme == scheme:
            try:
                return cls.from_address(address)
            except OptionError as error:
                raise OptionError(f"{refusal(address)} {error}") from error
    raise OptionError(refusal(address))


def is_address(text: str, *, paths: bool = True) -> bool:
    """Tell whether a text looks like an address, rather than a name.

    Parameters
    ----------
    text : str
    paths : bool
        Whether a path may be one; it may as well be a folder or file.
    """
    looks = bool(_SCHEME.match(text) or _HOST_AND_PORT.fullmatch(text))
    return looks or (paths and bool(_PATH.match(text)))


def forms() -> list[str]:
    """Return the forms of addresses that there are, in words."""
    return [form for cls in _protocols() for form in cls.address_forms]


def refusal(address: str) -> str:
    """Return what to say of a text that is no address."""
    return f"The address of a target is {' or '.join(forms())}, got {address!r}."


def _protocols() -> Iterator[type[RuntimeProtocol]]:
    """Yield the protocols that have addresses; one that is broken has none."""
    for name in registry.names("runtimeprotocols"):
        cls = cast("type[RuntimeProtocol] | None", registry.loadable("runtimeprotocols", name))
        if cls is not None and cls.scheme is not None:
            yield cls
