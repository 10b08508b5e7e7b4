"""The layers of the source tree: who may include, import, export and call what."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import crnn

ROOT = Path(__file__).parent.parent
CSRC = ROOT / "csrc"
C_FILES = sorted(CSRC.glob("**/*.[ch]"))
CORE = [p for p in C_FILES if p.is_relative_to(CSRC / "core")]
RUNTIME = [p for p in C_FILES if p.is_relative_to(CSRC / "runtime")]
BINDING = [p for p in C_FILES if p.is_relative_to(CSRC / "binding")]
PACKAGE = sorted((ROOT / "crnn").glob("**/*.py"))
SOURCES = [
    path
    for folder in ("csrc", "crnn", "tests", "benchmarks", "notebooks")
    for path in sorted((ROOT / folder).glob("**/*"))
    if path.suffix in {".c", ".h", ".py", ".pyi"}
]

pytestmark = pytest.mark.skipif(not C_FILES, reason="needs the source tree")


def name_of(path):
    return str(path.relative_to(ROOT))


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=name_of)


def code_of(path):
    """The text of a C file without comments and without the insides of strings."""
    kept = r'"(?:\\.|[^"\\\n])*"'
    return re.sub(
        rf"/\*.*?\*/|//[^\n]*|({kept})",
        lambda match: match[1] or " ",
        path.read_text(),
        flags=re.DOTALL,
    )


def includes_of(path):
    return re.findall(r'^\s*#\s*include\s*([<"].*?[>"])', code_of(path), re.M)


STANDARD = {"<assert.h>", "<float.h>", "<limits.h>", "<math.h>", "<stdalign.h>"}
STANDARD |= {"<stdarg.h>", "<stdatomic.h>", "<stdbool.h>", "<stddef.h>"}
STANDARD |= {"<stdint.h>", "<stdlib.h>", "<string.h>"}
SYSTEM = {"<errno.h>", "<pthread.h>", "<sched.h>", "<time.h>", "<unistd.h>", "<fenv.h>"}
SYSTEM |= {"<fcntl.h>", "<signal.h>", "<sys/mman.h>"}
VECTORS = {"<immintrin.h>", "<arm_neon.h>"}


@each(C_FILES)
def test_includes_follow_the_arrows(path):
    for include in includes_of(path):
        if include.startswith("<"):
            allowed = set(STANDARD)
            if path in CORE:
                allowed -= {"<stdatomic.h>", "<stdlib.h>"}
                if path.name.startswith("vec_"):
                    allowed |= VECTORS
            elif path in RUNTIME:
                allowed |= SYSTEM
            else:
                allowed |= {"<Python.h>", "<structmember.h>"}
                allowed |= {"<numpy/arrayobject.h>"}
            assert include in allowed
            continue
        target = (path.parent / include.strip('"')).resolve()
        assert target.is_file(), include
        if path in BINDING:
            allowed = {CSRC / "core/crnn.h", *RUNTIME, *BINDING}
        else:
            allowed = CORE if path in CORE else RUNTIME
        assert target in allowed, include


@each(PACKAGE)
def test_python_imports_follow_the_arrows(path):
    """Only _core leads into C; torch belongs to one folder, that nobody else needs."""
    torch_allowed = path.is_relative_to(ROOT / "crnn/torch")
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = [node.module]
        else:
            continue
        for module in modules:
            assert module.split(".")[0] not in {"ctypes", "cffi", "_ctypes"}
            assert torch_allowed or module.split(".")[0] != "torch"
        if torch_allowed or node.col_offset:
            continue
        for module in modules:
            optional = {"tqdm", "matplotlib", "safetensors", "onnx", "google"}
            assert module.split(".")[0] not in optional


@each(sorted((CSRC / "core").glob("kernels_*.c")))
def test_a_kernel_file_exports_one_table(path):
    isa, bits = re.fullmatch(
        r"kernels_(generic|avx2|avx512|neon)_f(32|64)\.c", path.name
    ).groups()
    code = code_of(path)
    assert re.findall(r"#define CRNN_ISA (\w+)", code) == [isa]
    assert re.findall(r"#define CRNN_REAL_BITS (\d+)", code) == [bits]
    assert f'"vec_{isa}.h"' in includes_of(path)
    assert includes_of(path).count('"kernels_tmpl.h"') == 1
    # Nothing but directives and pragmas: the template defines what there is.
    directives = re.sub(r"\\\n", " ", code)
    left = [s for s in directives.splitlines() if s.strip() and not s.startswith("#")]
    assert left == []


@each(
    [*sorted((CSRC / "core").glob("**/*_tmpl.h")), *(CSRC / "core/cells").glob("*.h")]
)
def test_a_template_defines_static_functions_and_at_most_one_table(path):
    code = re.sub(r"\\\n", " ", code_of(path))
    lines = [line for line in code.splitlines() if not line.startswith("#")]
    outer = [s for s in lines if re.match(r"[a-zA-Z_].*[({=]", s)]
    exported = [
        s
        for s in outer
        if not re.match(r"(static|INLINE|typedef|(VF|DEFINE)_\w+\()", s)
    ]
    expected = 1 if path.name == "kernels_tmpl.h" else 0
    assert len(exported) == expected, exported
    assert "#pragma once" not in code and not re.search(r"#ifndef CRNN_\w+_H\b", code)


@each([p for p in C_FILES if not p.name.startswith("vec_")])
def test_intrinsics_stay_in_the_vector_files(path):
    code = code_of(path)
    assert not re.search(
        r"\b_mm\d*_|\b__m\d{3}|\bv(ld|st)[1-4]q?_|\bv\w+q_[fsu]\d", code
    )
    assert not VECTORS & set(includes_of(path))


FORBIDDEN_IN_CORE = r"\b(?:malloc|calloc|realloc|aligned_alloc|free|alloca|pthread_\w+|\
printf|fprintf|puts|abort|exit|errno|getenv|time|clock_gettime|Py[A-Z]\w+)\b"


@each(CORE)
def test_the_core_is_arithmetic_only(path):
    code = code_of(path)
    assert not re.search(FORBIDDEN_IN_CORE, code), re.search(FORBIDDEN_IN_CORE, code)
    assert "__asm__" not in code and "_Thread_local" not in code
    joined = re.sub(r"\\\n", " ", code)
    outer = [s for s in joined.splitlines() if re.match(r"(static|[a-z_]+ ).*(=|;)", s)]
    for line in outer:  # objects at file scope, function prototypes and types apart
        if re.match(r"(typedef|struct|enum|extern|#|\})", line) or "(" in line:
            continue
        assert "const" in line, f"writable global: {line}"


@each(C_FILES)
def test_python_and_numpy_stay_in_the_binding(path):
    if path not in BINDING:
        assert not re.search(r"\bPy[A-Z_]\w*|\bnpy_", code_of(path))


@each(SOURCES)
def test_size_and_name_of_a_file(path):
    text = path.read_text()
    if text.count("\n") > 300:
        opening = re.match(r'(/\*.*?\*/|r?""".*?"""|(#[^\n]*\n)+)', text, re.DOTALL)
        assert opening, "a long file begins with a comment"
        assert "Over 300 lines because" in opening[0]
    words = set(re.split(r"[_.]", path.name.lower()))
    assert not words & {"util", "utils", "common", "helper", "helpers", "misc"}
    assert not re.search(r"(?<![\w.])/(home|root|Users|work|mnt)/\w", text)


@each([p for p in SOURCES if p.suffix != ".pyi"])
def test_a_file_says_what_lives_there(path):
    text = path.read_text()
    assert text.startswith(
        "/*" if path.suffix in {".c", ".h"} else ('"""', 'r"""', "#!")
    )


def test_the_extension_exports_only_its_init_function():
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("needs nm")
    command = [nm, "-D", "--defined-only", crnn._core.__file__]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nm cannot read it: {done.stderr.strip()}")
    names = {line.split()[-1] for line in done.stdout.splitlines()}
    assert {n for n in names if n not in {"_init", "_fini"}} == {"PyInit__core"}


def test_no_fast_math():
    """crtfastmath would switch the whole process to flushing subnormals."""
    for name in "setup.py", "pyproject.toml":
        text = (ROOT / name).read_text()
        assert not re.search(r"fast-math|-Ofast|march=native", text)
    assert "-ffp-contract=off" in (ROOT / "setup.py").read_text()
    for path in C_FILES:
        assert not re.search(r"fast-math|FP_CONTRACT\s+ON", path.read_text())
