"""The stubs say what the package has: mypy's stubtest compares them."""

import subprocess
import sys
from pathlib import Path

import pytest


def test_the_stubs_are_those_of_the_package():
    pytest.importorskip("mypy.stubtest")
    allowed = Path(__file__).with_name("stubs.allow")
    command = [sys.executable, "-m", "mypy.stubtest", "wardian", "--concise", "--allowlist", allowed]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
