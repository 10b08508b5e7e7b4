"""Importing crnn: what it pulls in, how long it takes, CRNN_ISA, again and again."""

import ast
import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest
from faults import UNDER_ASAN, check_usable, network, run_python

import crnn
from crnn import _core

PACKAGE = Path(crnn.__file__).parent
# What crnn may take where NumPy takes 44 ms, and its part of NumPy's time where that
# is more.
MILLISECONDS, OF_NUMPY = 25, 25 / 44


def test_torch_is_not_imported():
    code = """
import sys, crnn, numpy
crnn.RNN(2, 3)(numpy.zeros((4, 2), numpy.float32))
crnn.RNNCell(2, 3)(numpy.zeros(2, numpy.float32))
heavy = {"torch", "matplotlib", "tqdm", "safetensors", "scipy", "mpmath"}
assert not heavy & {name.split(".")[0] for name in sys.modules}
"""
    run_python(code)


def test_pathlib_is_not_imported():
    """It takes longer than crnn; an editable installation hides that."""
    code = """
import sys, numpy
sys.modules.pop("pathlib", None)
import crnn
assert "pathlib" not in sys.modules
"""
    run_python(code)


@pytest.mark.skipif(UNDER_ASAN, reason="the sanitizer slows everything down")
def test_import_time_above_numpy():
    times = []
    for _ in range(7):
        done = run_python("import numpy; import crnn", PYTHONPROFILEIMPORTTIME="1")
        found = re.findall(r"\d+ \|\s*(\d+) \| (numpy|crnn)$", done.stderr, re.M)
        taken = {name: int(microseconds) / 1000 for microseconds, name in found}
        if taken["crnn"] <= max(MILLISECONDS, OF_NUMPY * taken["numpy"]):
            return
        times.append(taken)
    raise AssertionError(f"milliseconds: {times}")


@pytest.mark.parametrize("name", crnn.isas())
def test_crnn_isa_chooses_the_kernels(name):
    code = "import crnn; print(crnn._core.set_isa('generic'))"
    assert run_python(code, CRNN_ISA=name).stdout.strip() == name


@pytest.mark.parametrize(
    "value", ["bogus", "GENERIC", " generic", "x" * 10**5, "neon avx2", "\u0661"]
)
def test_crnn_isa_that_is_none_warns_once(value):
    code = """
import sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import crnn
assert [w.category for w in caught] == [RuntimeWarning], caught
assert "CRNN_ISA" in str(caught[0].message)
print(crnn._core.set_isa("generic") == crnn.isas()[-1])
"""
    assert run_python(code, CRNN_ISA=value).stdout.strip() == "True"


def test_crnn_isa_of_another_machine_warns():
    others = {"generic", "avx2", "avx512", "neon"} - set(crnn.isas())
    code = "import warnings; warnings.simplefilter('ignore'); import crnn; "
    code += "print(crnn._core.set_isa('generic'))"
    for name in others:
        assert run_python(code, CRNN_ISA=name).stdout.strip() == crnn.isas()[-1]
        done = run_python("import crnn", CRNN_ISA=name, check=False)
        assert "RuntimeWarning" in done.stderr  # an error here, under -W error


def test_crnn_isa_empty_is_none():
    code = "import crnn; print(crnn._core.set_isa('generic'))"
    assert run_python(code, CRNN_ISA="").stdout.strip() == crnn.isas()[-1]


@pytest.mark.parametrize("name", ["bogus", "", "avx", "GENERIC", 1, None, b"generic"])
def test_set_isa_refuses_what_there_is_not(name):
    before = _core.set_isa("generic")
    try:
        with pytest.raises((ValueError, TypeError)):
            _core.set_isa(name)
        assert _core.set_isa("generic") == "generic"
    finally:
        _core.set_isa(before)


def test_fault_80_reload_and_import_again():
    code = """
import gc, importlib, pickle, sys, weakref
import numpy as np
import crnn
from crnn import _core as old_core

x = np.ones((3, 2, 4), np.float32)
net = crnn.RNN(4, 5)
expected = net(x)[0].tobytes()
for module in [crnn, *[m for n, m in sys.modules.items() if n.startswith("crnn.")]]:
    if module is not old_core:
        importlib.reload(module)
assert net(x)[0].tobytes() == expected
for _ in range(5):
    for name in [n for n in sys.modules if n.split(".")[0] == "crnn"]:
        del sys.modules[name]
    old, crnn = crnn, None
    import crnn
    assert crnn is not old
    new = crnn.RNN(4, 5)
    new.load_state_dict(net.state_dict())
    assert new(x)[0].tobytes() == expected == net(x)[0].tobytes()
    for kind in old, crnn:
        try:
            kind.RNN(4, 5)(x[0, 0, 0:1])
        except crnn.ShapeError:
            assert kind is crnn or old.ShapeError is crnn.ShapeError
        except old.ShapeError:
            assert kind is old
    del old, new
    gc.collect()
assert net(x)[0].tobytes() == expected
print("done")
"""
    assert run_python(code).stdout == "done\n"


def test_fault_81_import_without_numpy():
    code = """
import sys
for hidden in "numpy", "numpy._core", "numpy._core._multiarray_umath":
    for name in [n for n in sys.modules if n.split(".")[0] in ("crnn", "numpy")]:
        del sys.modules[name]
    sys.modules[hidden] = None
    try:
        import crnn
    except ImportError as error:
        assert "numpy" in str(error).lower(), error
    else:
        raise SystemExit("imported")
    del sys.modules[hidden]
    break  # NumPy itself cannot be loaded twice
for name in [n for n in sys.modules if n.split(".")[0] == "crnn"]:
    del sys.modules[name]
import crnn, numpy
print(crnn.RNN(2, 3)(numpy.zeros((4, 2), numpy.float32))[0].shape)
"""
    assert run_python(code).stdout == "(4, 3)\n"


def test_fault_92_sub_interpreter():
    code = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import crnn
there = interpreters.create()
try:
    failure = interpreters.run_string(there, "import crnn")
except Exception as error:
    failure = error
assert failure is None or "Import" in repr(failure), failure
interpreters.destroy(there)
"""
    done = run_python(code, check=False)
    if "No module named '_xxsubinterpreters'" in done.stderr:
        pytest.skip("this Python has no sub-interpreters")
    assert done.returncode == 0, done.stderr


def test_public_names_are_documented():
    assert sorted(crnn.__all__) == sorted(set(crnn.__all__))
    for name in crnn.__all__:
        value = getattr(crnn, name)
        assert name == "__version__" or inspect.getdoc(value), name
    modules = {p.stem for p in PACKAGE.glob("*")} | {"_core"}
    public = {n for n in vars(crnn) if not n.startswith("_")} - modules
    assert public <= set(crnn.__all__)
    assert re.fullmatch(r"\d+\.\d+\.\d+\w*", crnn.__version__)


@pytest.mark.parametrize("kind", [crnn.RNN, crnn.RNNCell])
def test_methods_are_documented(kind):
    for name, value in inspect.getmembers(kind):
        if not name.startswith("_") and callable(value):
            assert inspect.getdoc(value), name


def stub():
    return ast.parse((PACKAGE / "_core.pyi").read_text()).body


def test_stub_and_module_name_the_same_things():
    named = {
        node.name for node in stub() if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    assert named == {n for n in vars(_core) if not n.startswith("_")}
    for node in stub():
        if not isinstance(node, ast.ClassDef):
            continue
        value = getattr(_core, node.name)
        members = {
            n.target.id if isinstance(n, ast.AnnAssign) else n.name
            for n in node.body
            if isinstance(n, ast.FunctionDef | ast.AnnAssign)
        }
        assert all(hasattr(value, name) for name in members)
        if node.name == "Network":
            own = set(vars(value)) - {"__doc__", "__module__", "__new__"}
            own.discard("__vectorcalloffset__")
            assert own == members


def test_stub_and_module_agree_on_signatures():
    for node in stub():
        if isinstance(node, ast.FunctionDef):
            signature = inspect.signature(getattr(_core, node.name))
            arguments = node.args.posonlyargs + node.args.args
            assert list(signature.parameters) == [a.arg for a in arguments]


def test_package_is_typed():
    assert (PACKAGE / "py.typed").is_file()


def test_module_is_found_by_name():
    assert importlib.import_module("crnn") is sys.modules["crnn"]
    assert _core.Network.__module__ == "crnn._core"
    for error in crnn.ShapeError, crnn.DTypeError:
        assert error.__module__ == "crnn"
    check_usable(network())
