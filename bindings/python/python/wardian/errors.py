"""The exceptions of wardian.

Exceptions that a host function raises come out of the call that ran the guest as they are, with their own type and
traceback, and with a note that says where the guest was.

All others are `WardianError`, with one class for each kind, and for what is usually caught by itself a class below that::

    WardianError
     ├── ModuleError ── DecodeError, CompileError
     ├── LinkError
     ├── Trap
     ├── ExitTrap ── ClosedError
     ├── Stopped ── DeadlineExceeded, Cancelled, OutOfFuel, StoppedForCheckpoint, Interrupted
     ├── GuestException
     ├── HostError
     ├── LimitError
     ├── HostStackExhausted
     ├── CheckpointError
     ├── UsageError
     ├── StoreBusy
     └── InternalError
"""

from __future__ import annotations

import enum
from typing import Any, Optional


class ErrorKind(enum.StrEnum):
    """What kind of error an exception is."""

    DECODE = "decode"
    COMPILE = "compile"
    LINK = "link"
    TRAP = "trap"
    EXIT = "exit"
    CLOSED = "closed"
    STOPPED = "stopped"
    EXCEPTION = "exception"
    HOST = "host"
    LIMIT = "limit"
    HOST_STACK = "host stack"
    CHECKPOINT = "checkpoint"
    USAGE = "usage"
    BUSY = "busy"
    INTERNAL = "internal"
    RESTORED = "restored"


class TrapCode(enum.StrEnum):
    """WebAssembly's traps, in the words of the official tests."""

    UNREACHABLE = "unreachable"
    MEMORY_OUT_OF_BOUNDS = "out of bounds memory access"
    TABLE_OUT_OF_BOUNDS = "out of bounds table access"
    INDIRECT_CALL_TO_NULL = "uninitialized element"
    UNDEFINED_ELEMENT = "undefined element"
    BAD_SIGNATURE = "indirect call type mismatch"
    INTEGER_DIVISION_BY_ZERO = "integer divide by zero"
    INTEGER_OVERFLOW = "integer overflow"
    BAD_CONVERSION_TO_INTEGER = "invalid conversion to integer"
    STACK_OVERFLOW = "call stack exhausted"
    UNALIGNED_ATOMIC = "unaligned atomic"
    ATOMIC_WAIT_NON_SHARED = "expected shared memory"
    NULL_REFERENCE = "null reference"
    NULL_FUNCTION_REFERENCE = "null function reference"
    NULL_EXCEPTION_REFERENCE = "null exception reference"
    NULL_STRUCT_REFERENCE = "null structure reference"
    NULL_ARRAY_REFERENCE = "null array reference"
    NULL_I31_REFERENCE = "null i31 reference"
    ARRAY_OUT_OF_BOUNDS = "out of bounds array access"
    CAST_FAILURE = "cast failure"


class WardianError(Exception):
    """What all exceptions of wardian are, but `Restored`."""

    #: What kind of error it is.
    kind: ErrorKind = ErrorKind.HOST
    #: The guest's calls when it happened, the innermost first.
    frames: tuple[Any, ...] = ()
    #: Which trap it is; `None` if it is none.
    trap_code: Optional[TrapCode] = None
    #: The code of a guest that has ended itself or was closed; `None` of all others.
    exit_code: Optional[int] = None


class ModuleError(WardianError):
    """The bytes are no valid module, or cannot be compiled."""


class DecodeError(ModuleError):
    """The bytes are no valid module."""

    kind = ErrorKind.DECODE


class CompileError(ModuleError):
    """A valid module cannot be compiled."""

    kind = ErrorKind.COMPILE


class LinkError(WardianError):
    """Imports are missing, or of the wrong type."""

    kind = ErrorKind.LINK
    #: Module, name and what is wrong, of each import.
    problems: list[tuple[str, str, str]] = []


class Trap(WardianError):
    """The guest did something that ends it, by WebAssembly's rules."""

    kind = ErrorKind.TRAP
    #: The same as `trap_code`, a text.
    code: str = ""
    #: Address, size in bytes, and size of the memory, of an access to memory that was refused.
    memory_access: Optional[tuple[int, int, int]] = None


class ExitTrap(WardianError):
    """The guest has ended itself (`proc_exit`)."""

    kind = ErrorKind.EXIT
    #: The same as `exit_code`; 0 is success.
    code: int = 0


class ClosedError(ExitTrap):
    """The instance was closed: while it ran, or before it was called."""

    kind = ErrorKind.CLOSED


class Stopped(WardianError):
    """The guest was stopped from outside."""

    kind = ErrorKind.STOPPED
    #: "deadline", "cancelled", "fuel", "checkpoint", or "interrupted".
    reason: str = ""


class DeadlineExceeded(Stopped, TimeoutError):
    """The time of the call or of the store has passed."""


class Cancelled(Stopped):
    """A cancel token was used."""


class OutOfFuel(Stopped):
    """The fuel of the store is used up."""


class StoppedForCheckpoint(Stopped):
    """A checkpoint was taken, and whoever had asked for it wanted the guest to end."""


class Interrupted(Stopped):
    """A signal has come whose handler raised nothing."""


class GuestException(WardianError):
    """The guest threw an exception that no guest caught."""

    kind = ErrorKind.EXCEPTION
    #: The values of the exception.
    values: tuple[Any, ...] = ()


class HostError(WardianError):
    """A host function failed that is not of Python, as those of WASI."""

    kind = ErrorKind.HOST


class LimitError(WardianError):
    """A limit was reached."""

    kind = ErrorKind.LIMIT
    #: Whose: "store", "engine", "allocator" or "system".
    limit: str = ""


class HostStackExhausted(WardianError, RecursionError):
    """Guest and host called each other until the thread's stack was nearly used up."""

    kind = ErrorKind.HOST_STACK


class CheckpointError(WardianError):
    """A checkpoint cannot be taken, read or resumed, or a store not be forked."""

    kind = ErrorKind.CHECKPOINT
    #: "not taken", "not forked", "damaged", "version", "key", "missing" or "not resumed".
    problem: str = ""


class UsageError(WardianError, ValueError):
    """Something was asked for that makes no sense: another store's object, a caller whose host function has returned."""

    kind = ErrorKind.USAGE


class StoreBusy(WardianError, RuntimeError):
    """The store is in use: by another thread or task, or by this one further out, as in a listener."""

    kind = ErrorKind.BUSY


class InternalError(WardianError):
    """Wardian is at fault. Please report it."""

    kind = ErrorKind.INTERNAL


class Restored(BaseException):
    """A snapshot is being restored: let it pass, or end the host function otherwise.

    It is no `Exception`, so that `except Exception` does not catch it.
    """

    kind: ErrorKind = ErrorKind.RESTORED
    frames: tuple[Any, ...] = ()
