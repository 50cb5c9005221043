"""Every error that edge_tester raises on purpose.

A message says what is wrong, whose it is, what is allowed and what was got.
Commands catch :class:`EdgeTesterError`, print its one line and exit with 2;
anything else is a defect and shows its traceback.
"""

from __future__ import annotations


class EdgeTesterError(Exception):
    """Base of all errors below."""


class OptionError(EdgeTesterError):
    """An option, or a combination of options, is not usable."""


class BackendMissingError(EdgeTesterError):
    """A package that a plugin needs is not installed."""


class PluginError(EdgeTesterError):
    """A class was named that does not exist, is broken, or plays another role."""


class DatasetError(EdgeTesterError):
    """A data set is missing, unreadable or lacks what was asked of it."""


class ModelError(EdgeTesterError):
    """A model file is missing, corrupt or of a format that its user cannot take."""


class CompilationError(EdgeTesterError):
    """A compiler did not produce what it was asked for."""


class InputError(EdgeTesterError):
    """An input tensor does not fit the model: shape, dtype or count."""


class RuntimeStateError(EdgeTesterError):
    """A runtime was asked for something that its state does not allow."""


class RecordError(EdgeTesterError):
    """A run record cannot be read, written or compared."""


class ProtocolError(EdgeTesterError):
    """Host and target did not understand each other."""


class LocalProtocolError(ProtocolError):
    """Our side tried to break the protocol; a defect of the caller."""


class RemoteProtocolError(ProtocolError):
    """Their side broke the protocol, or is not an edge_tester agent."""


class UnreachableError(ProtocolError):
    """No connection could be made, or it was lost."""


class ListenerEndedError(EdgeTesterError):
    """The process has ended that accepts clients for this one, which can start another."""


class TargetError(EdgeTesterError):
    """The target answered a request with ERROR.

    Attributes
    ----------
    code : str
        One of the values of :data:`edge_tester.core.wire.states.ERROR_CODES`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[TargetError], tuple[str, str]]:
        """Tell pickle both arguments; by itself it remembers the message alone."""
        return type(self), (self.code, str(self))


class LeaseError(EdgeTesterError):
    """A device belongs to another worker, or no longer to this one."""


class IsolationError(EdgeTesterError):
    """What ran in a process of its own crashed, took too long or failed."""
