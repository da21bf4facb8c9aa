"""Views of memories, and of exports."""

from __future__ import annotations


class MemoryView:
    """A memory with a store, as a sequence of bytes. Each access copies: nothing of it points into the memory."""

    __slots__ = ("_memory", "_store")

    def __init__(self, memory, store):
        self._memory = memory
        self._store = store

    def __len__(self):
        return self._memory.data_len(self._store)

    def _index(self, index):
        length = len(self)
        at = index + length if index < 0 else index
        if not 0 <= at < length:
            raise IndexError(f"byte {index} is not in the memory, which has {length} bytes")
        return at

    def _range(self, key):
        start, stop, step = key.indices(len(self))
        if step != 1:
            raise ValueError("slices of a memory have no step")
        return start, max(start, stop)

    def __getitem__(self, key):
        if isinstance(key, slice):
            return self._memory.read(self._store, *self._range(key))
        at = self._index(key)
        return self._memory.read(self._store, at, at + 1)[0]

    def __setitem__(self, key, value):
        if isinstance(key, slice):
            start, stop = self._range(key)
            with memoryview(value) as data:
                if data.nbytes != stop - start:
                    raise ValueError(f"a memory keeps its size: {stop - start} bytes are needed, not {data.nbytes}")
                self._memory.write(self._store, data.cast("B"), start)
        else:
            self._memory.write(self._store, bytes((value,)), self._index(key))


class Exports(dict):
    """Exports by name, also as attributes."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no export `{name}`") from None
