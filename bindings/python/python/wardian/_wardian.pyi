# The native module. What it has is exported, with its types, by the package.
from typing import Any

def __getattr__(name: str) -> Any: ...
