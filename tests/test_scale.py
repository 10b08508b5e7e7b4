"""docs/scale.md: its recipes, and that the bits do not depend on the partition.

The recipes of Ray and Spark run on stand-ins for the few calls that they make.
"""

import re
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest
from faults import same_bits

import crnn
from crnn.demo import load
from crnn.sequences import pad

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
SIZES = [1, 7, 64, 256, 1000]

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="needs the source tree")
each_size = pytest.mark.parametrize("size", SIZES)


def recipe(title):
    """The code under a heading that begins with title."""
    (section,) = re.findall(
        rf"^##+ {title}.*?(?=^##|\Z)", PAGE.read_text(), re.M | re.S
    )
    return "\n".join(re.findall(r"```python\n(.*?)```", section, re.S))


@pytest.fixture
def space(tmp_path, monkeypatch):
    """What a recipe sees: x, lengths, and what the page's first code defines."""
    monkeypatch.chdir(tmp_path)
    weights, utterances, _ = load()
    names = [n for n in weights if n.startswith("rnn.") and "reverse" not in n]
    lower = {n: weights[n] for n in names if n.endswith("l0")}
    crnn.save("speaker.npz", {n.removeprefix("rnn."): w for n, w in lower.items()})
    x, lengths = pad(utterances)
    space = {"x": np.ascontiguousarray(x.swapaxes(0, 1)), "lengths": lengths}
    exec(recipe("Scale"), space)
    space["expected"] = space["last_states"](space["x"], lengths)
    return space


def run(title, space, size=256):
    """Run a recipe with parts of another size."""
    exec(re.sub(r"\b256\b", str(size), recipe(title)), space)
    return space


def test_the_expected_states_are_those_of_each_row_alone(space):
    rows = zip(space["x"], space["lengths"], strict=True)
    alone = [space["rnn"](x[:length])[1][-1] for x, length in rows]
    assert same_bits(np.array(alone), space["expected"])


@each_size
def test_joblib_threads(space, size):
    pytest.importorskip("joblib", reason="joblib is missing: pip install crnn[scale]")
    run("joblib", space, size)
    assert same_bits(space["states"], space["expected"])


@pytest.mark.parametrize("members", ["1", "2"])
def test_joblib_processes(space, members, monkeypatch):
    joblib = pytest.importorskip(
        "joblib", reason="joblib is missing: pip install crnn[scale]"
    )
    monkeypatch.setenv("CRNN_NUM_THREADS", members)
    jobs = [
        joblib.delayed(space["rnn"])(x, lengths=lengths)
        for x, lengths in zip(
            np.array_split(space["x"], 3),
            np.array_split(space["lengths"], 3),
            strict=True,
        )
    ]
    results = joblib.Parallel(n_jobs=2)(jobs)
    states = np.concatenate([h_n[-1] for _, h_n in results])
    assert same_bits(states, space["expected"])


@each_size
def test_dask(space, size):
    pytest.importorskip("dask.array", reason="Dask is missing: pip install crnn[scale]")
    run("Dask", space, size)
    assert same_bits(space["states"], space["expected"])


@pytest.mark.parametrize("size", [1, 3, 29, 1000])
def test_parts_along_time(space, size):
    exec(recipe("Long sequences").replace("1000", str(size)), space)
    output, h_n = space["rnn"](space["x"])
    assert same_bits(space["output"], output)
    assert same_bits(space["state"], h_n)


class Dataset:
    """Of ray.data, what the recipe calls."""

    def __init__(self, columns):
        self.columns = columns

    def rename_columns(self, names):
        return Dataset({names[name]: array for name, array in self.columns.items()})

    def zip(self, other):
        return Dataset(self.columns | other.columns)

    def map_batches(self, kind, *, fn_constructor_args, batch_size, concurrency):
        actor, B = kind(*fn_constructor_args), len(next(iter(self.columns.values())))
        batches = [
            actor({n: a[start : start + batch_size] for n, a in self.columns.items()})
            for start in range(0, B, batch_size)
        ]
        return {n: np.concatenate([b[n] for b in batches]) for n in batches[0]}


@pytest.fixture
def threads_as_before():
    """Undo what recipes for workers set."""
    with crnn.threads(1):
        yield


@each_size
def test_ray(space, size, monkeypatch, threads_as_before):
    data = types.SimpleNamespace(from_numpy=lambda array: Dataset({"data": array}))
    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(data=data))
    run("Ray", space, size)
    assert same_bits(space["dataset"]["state"], space["expected"])
    assert space["dataset"].keys() == {"x", "length", "state"}


@each_size
def test_spark(space, size, monkeypatch, threads_as_before):
    """What the user-defined function gets: columns of rows, tensors flattened."""
    given = {}
    functions = types.SimpleNamespace(
        predict_batch_udf=lambda make, **options: given.update(options, make=make)
    )
    of_types = types.SimpleNamespace(ArrayType=list, FloatType=lambda: ())
    monkeypatch.setitem(sys.modules, "pyspark.ml.functions", functions)
    monkeypatch.setitem(sys.modules, "pyspark.sql.types", of_types)
    code = recipe("Spark").partition("\nframe = ")[0]
    exec(code, space)
    predict, (shape, _) = given["make"](), given["input_tensor_shapes"]
    column = space["x"].reshape(len(space["x"]), -1).astype(float)
    states = [
        predict(
            column[start : start + size].reshape(-1, *shape),
            space["lengths"][start : start + size],
        )
        for start in range(0, len(column), size)
    ]
    assert same_bits(np.concatenate(states), space["expected"])


def test_the_gil_is_free_during_a_call():
    """Another thread gets on in the middle half of a call that takes a while."""
    rnn = crnn.RNN(64, 512)
    x = np.zeros((400, 64, 64), np.float32)
    span = []

    def call():
        span.append(time.perf_counter())
        with crnn.threads(1):
            rnn(x)
        span.append(time.perf_counter())

    worker, ticks = threading.Thread(target=call), []
    worker.start()
    while worker.is_alive():
        ticks.append(time.perf_counter())
        time.sleep(0.001)
    start, end = span
    quarter = (end - start) / 4
    assert any(start + quarter < tick < end - quarter for tick in ticks)
