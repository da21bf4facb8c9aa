"""Calls of guests that wait, on an event loop of asyncio.

A call is polled by the task that awaits it. What the coroutine of a host function waits for is passed on to the task, so that
the coroutine behaves as if it had been awaited by the task itself. The task is also woken when the guest is to be stopped.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import weakref

from .errors import Stopped


def is_async(callable_):
    """Whether calling it gives a coroutine."""
    while isinstance(callable_, functools.partial):
        callable_ = callable_.func
    return inspect.iscoroutinefunction(callable_) or inspect.iscoroutinefunction(getattr(callable_, "__call__", None))


class _Wait(asyncio.Future):
    """Stands for a future that a host function waits for: done when that is, or when the call is to be polled otherwise."""

    def __init__(self, of, loop):
        super().__init__(loop=loop)
        self._of = of
        of.add_done_callback(self.wake)

    def wake(self, _=None):
        if not self.done():
            self.set_result(None)

    def cancel(self, msg=None):
        return self._of.cancel(msg=msg)

    def end(self):
        self._of.remove_done_callback(self.wake)


class _Wakeup:
    """Called by a thread of the package when a call is to be polled: its guest is to be stopped."""

    def __init__(self, loop):
        self._loop = loop
        # The package holds this, unseen by the garbage collector.
        self._wait = lambda: None

    def wait(self, wait):
        self._wait = weakref.ref(wait)

    def _wake(self):
        wait = self._wait()
        if wait is not None:
            wait.wake()

    def __call__(self):
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            pass  # The loop is closed.


class _Awaited:
    """What drives a call."""

    def __init__(self, call):
        self._call = call

    def __await__(self):
        loop = asyncio.get_running_loop()
        wakeup = _Wakeup(loop)
        resume, thrown, awaited = True, None, None
        try:
            while True:
                try:
                    done, value = self._call.poll(resume, thrown, wakeup)
                except Stopped as stopped:
                    if stopped.reason == "interrupted":
                        yield  # The handler of the signal may have cancelled the task.
                    raise
                if done:
                    return value
                wrong = None
                if resume:
                    awaited = value
                    wrong = _wrong(awaited, loop)
                if wrong is not None:
                    thrown = wrong
                else:
                    resume, thrown = yield from _wait(awaited, wakeup, loop)
        finally:
            self._call.close()


def _wrong(awaited, loop):
    """Why something cannot be awaited, as an exception; takes note of it, if it can be."""
    if awaited is None:
        return None
    if not getattr(awaited, "_asyncio_future_blocking", False):
        return RuntimeError(f"a host function awaits {awaited!r}, which is nothing of asyncio's")
    if awaited.get_loop() is not loop:
        return RuntimeError(f"a host function awaits {awaited!r} of another event loop")
    awaited._asyncio_future_blocking = False
    return None


def _wait(awaited, wakeup, loop):
    """Waits; gives whether what was awaited has come, and what is to be raised."""
    wait = None
    if awaited is not None:
        wait = _Wait(awaited, loop)
        wait._asyncio_future_blocking = True
        wakeup.wait(wait)
    try:
        yield wait  # Without a future, as `asyncio.sleep(0)` does.
    except GeneratorExit:
        raise
    except BaseException as raised:
        return True, raised
    finally:
        if wait is not None:
            wait.end()
    return awaited is None or awaited.done(), None


async def run(call, store):
    """Awaits a call. The store comes along, so that it lives as long."""
    return await _Awaited(call)
