"""The types of host functions from the annotations of Python functions."""

from __future__ import annotations

import inspect
import typing

from ._wardian import Caller, FuncType, ValType
from .errors import UsageError

_PLAIN = {float: "f64", object: "externref"}


def _type(annotation, where, callable_):
    if isinstance(annotation, ValType):
        return annotation
    # Unhashable annotations are no types of ours.
    if isinstance(annotation, type) and annotation in _PLAIN:
        return ValType(_PLAIN[annotation])
    name = getattr(callable_, "__qualname__", repr(callable_))
    if annotation is inspect.Parameter.empty:
        problem = "has no annotation"
    elif annotation is int:
        problem = "is an int, which may be wardian.i32 or wardian.i64"
    else:
        problem = f"is {annotation!r}"
    raise UsageError(
        f"{name}: {where} {problem}: annotate it with wardian.i32, i64, f32, f64, v128, externref or funcref, "
        "or give a FuncType"
    )


def signature(callable_):
    """The FuncType of a callable, and whether its first parameter is a Caller."""
    try:
        found = inspect.signature(callable_, eval_str=True)
    except (TypeError, ValueError, NameError) as failed:
        raise UsageError(f"{callable_!r}: its annotations cannot be read ({failed}): give a FuncType") from failed
    parameters = list(found.parameters.values())
    caller = bool(parameters) and parameters[0].annotation is Caller
    if caller:
        parameters = parameters[1:]
    params = []
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UsageError(f"{callable_!r}: a guest gives arguments by position only, not `{parameter}`")
        params.append(_type(parameter.annotation, f"parameter {parameter.name}", callable_))
    result = found.return_annotation
    if result is None or result is type(None):
        results = []
    elif typing.get_origin(result) is tuple:
        results = [_type(one, f"result {n}", callable_) for n, one in enumerate(typing.get_args(result))]
    else:
        results = [_type(result, "its result", callable_)]
    return FuncType(params, results), caller
