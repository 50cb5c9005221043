"""Databases that workers share: how they are reached, and what is said where they are not."""

from __future__ import annotations

from typing import Any

from edge_tester.core.backends import backend, install_command
from edge_tester.core.errors import BackendMissingError, OptionError

_OWNER = "edge-tester"
# SQLite has one writer at a time; the others wait for it.
_LOCKED_S = 60
# Without these a worker would wait for hours for a host that has gone.
_CONNECT_S, _UNANSWERED_MS = 10, 30_000
_LIBPQ = ("psycopg", "psycopg2")


def engine_options(address: str) -> dict[str, Any]:
    """Return how a database is connected to, as SQLAlchemy's ``create_engine`` takes it.

    Parameters
    ----------
    address : str
        As SQLAlchemy has them.

    Raises
    ------
    OptionError
        It is no address, holds a password, or names a database that no other process could see.
    BackendMissingError
        The database's driver is not installed.
    """
    sqlalchemy: Any = backend("sqlalchemy", _OWNER)
    try:
        url = sqlalchemy.make_url(address)
        dialect = url.get_dialect()
        dialect.import_dbapi()
    except sqlalchemy.exc.ArgumentError as error:
        # Its message would show the address, of which a password may be a part.
        raise OptionError(
            "'storage' of 'search' must be an address such as "
            "postgresql+psycopg://user@host/name or sqlite:///file.db."
        ) from error
    except ModuleNotFoundError as error:
        command = install_command([str(error.name)])
        raise BackendMissingError(f"'storage' of 'search' needs {error.name}: {command}") from error
    if url.password is not None or "password" in url.query:
        raise OptionError(
            "'storage' of 'search' must not hold a password, since a sweep's file is copied into "
            "what it leaves. Put it into the file that PGPASSFILE names, or into PGPASSWORD; for "
            "MySQL into a file that ?read_default_file= names."
        )
    if dialect.name == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise OptionError("'storage' of 'search' must be a file of SQLite, not its memory.")
        return {"connect_args": {"timeout": _LOCKED_S}}
    arguments: dict[str, Any] = {}
    if dialect.driver in _LIBPQ:
        # Texts come as bytes from a database that was made in the locale C, unless one asks.
        asked: dict[str, Any] = {"client_encoding": "utf8"}
        asked |= {"connect_timeout": _CONNECT_S, "tcp_user_timeout": _UNANSWERED_MS}
        arguments = {name: value for name, value in asked.items() if name not in url.query}
    return {"connect_args": arguments, "pool_pre_ping": True}


def reason_of(error: BaseException) -> str:
    """Return in one line what a database said; what others say of that tells nothing."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]
