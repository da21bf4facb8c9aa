"""The exceptions of wardian.

Exceptions that a host function raises come out of the call that ran the guest as they are, with their own type and
traceback, and with a note that says where the guest was.
"""

from __future__ import annotations

from typing import Any, Optional


class WardianError(Exception):
    """What all exceptions of wardian are, but `Restored`."""

    #: The guest's calls when it happened, the innermost first.
    frames: tuple[Any, ...] = ()


class ModuleError(WardianError):
    """The bytes are no valid module, or cannot be compiled."""


class LinkError(WardianError):
    """Imports are missing, or of the wrong type."""

    #: Module, name and what is wrong, of each import.
    problems: list[tuple[str, str, str]] = []


class Trap(WardianError):
    """The guest did something that ends it, by WebAssembly's rules."""

    #: Which trap, in the words of the official tests: "unreachable", "out of bounds memory access".
    code: str = ""
    #: Address, size in bytes, and size of the memory, of an access to memory that was refused.
    memory_access: Optional[tuple[int, int, int]] = None


class ExitTrap(WardianError):
    """The guest has ended itself (`proc_exit`)."""

    #: The exit code; 0 is success.
    code: int = 0


class Stopped(WardianError):
    """The guest was stopped from outside."""

    #: "deadline", "cancelled", "fuel", "checkpoint", or "interrupted" for a signal whose handler raised nothing.
    reason: str = ""


class GuestException(WardianError):
    """The guest threw an exception that no guest caught."""

    #: The values of the exception.
    values: tuple[Any, ...] = ()


class LimitError(WardianError):
    """A limit of the store or of the system was reached."""


class HostStackExhausted(WardianError, RecursionError):
    """Guest and host called each other until the thread's stack was nearly used up."""


class CheckpointError(WardianError):
    """A checkpoint cannot be taken, read or resumed."""


class UsageError(WardianError, ValueError):
    """Something was asked for that makes no sense: another store's object, a caller whose host function has returned."""


class StoreBusy(WardianError, RuntimeError):
    """The store is in use: by another thread, or by this one further out, as in a listener."""


class InternalError(WardianError):
    """Wardian is at fault. Please report it."""


class Restored(BaseException):
    """A snapshot is being restored: let it pass, or end the host function otherwise.

    It is no `Exception`, so that `except Exception` does not catch it.
    """

    frames: tuple[Any, ...] = ()
