"""Fixtures: the ISA that computes, and torch where it is installed."""

import signal
import sys
from pathlib import Path

import pytest

import crnn

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"

# A shell lets what it runs in the background ignore this; tests of it could not end.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=crnn.isas())
def isa(request):
    """Run the test once with the kernels of every ISA of this machine."""
    before = crnn._core.set_isa(request.param)
    yield request.param
    crnn._core.set_isa(before)


@pytest.fixture
def schedule(request):
    """Calls of any size on a team of so many threads, by one schedule."""
    name, threads = request.param
    crnn._core.assume_cpus(threads)
    crnn._core.prefer_schedule(name)
    with crnn.threads(threads):
        yield name
    crnn._core.prefer_schedule("alone")
    crnn._core.assume_cpus(0)


@pytest.fixture
def script(monkeypatch):
    """Imports a script of notebooks/ by name; skips where what it needs is missing."""
    if not NOTEBOOKS.is_dir():
        pytest.skip("needs the notebooks of the source tree")
    monkeypatch.setattr(sys, "path", [str(NOTEBOOKS), *sys.path])
    return lambda name: pytest.importorskip(name, reason="a package is missing")


@pytest.fixture(scope="session")
def torch():
    """torch, on one thread; without it the test is skipped."""
    torch = pytest.importorskip("torch", reason="torch, the other oracle, is missing")
    torch.set_num_threads(1)
    return torch
