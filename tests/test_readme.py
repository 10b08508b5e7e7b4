"""The README: its examples run, its commands are those of its translation and of CI."""

import doctest
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

import crnn

ROOT = Path(__file__).parent.parent
READMES = [ROOT / "README.md", ROOT / "README.ko.md"]

pytestmark = pytest.mark.skipif(
    not READMES[0].is_file(), reason="needs the source tree"
)


def blocks(path, language):
    """The fenced blocks of this language."""
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def check_examples(source, name, **names):
    test = doctest.DocTestParser().get_doctest(source, names, name, name, 0)
    assert test.examples, "no examples"
    said = []
    result = doctest.DocTestRunner().run(test, out=said.append)
    assert result.failed == 0, "".join(said)


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.name)
def test_examples_without_torch(path, tmp_path, monkeypatch):
    """Those before the first that needs it."""
    monkeypatch.chdir(tmp_path)
    examples = "".join(blocks(path, "python"))
    check_examples(examples.partition(">>> import torch\n")[0], path.name)


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.name)
def test_all_examples(path, torch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_examples("".join(blocks(path, "python")), path.name)


@pytest.mark.parametrize("documented", [crnn, crnn.RNN, crnn.RNNCell])
def test_docstring_examples(documented):
    check_examples(documented.__doc__, documented.__name__, np=np, **vars(crnn))


def commands(path):
    """The command lines, without their comments."""
    lines = "".join(blocks(path, "sh")).splitlines()
    return [re.sub(r" +#.*", "", line) for line in lines]


def test_translation_has_the_same_commands():
    english, korean = map(commands, READMES)
    assert english == korean


def test_ci_runs_the_first_two_commands():
    first, second = commands(READMES[0])[:2]
    assert first == "pip install . && python -m crnn demo"
    assert second == "pip install -e '.[test]' && pytest"
    lines = [line.strip() for line in (ROOT / ".ci/run").read_text().splitlines()]
    assert lines.count(first) == lines.count(second) == 1


def test_files_of_the_commands_exist():
    for command in commands(READMES[0]):
        for path in re.findall(r"\S+\.py\b|\.ci/run", command):
            assert (ROOT / path).is_file(), path


def test_links_lead_to_files():
    for path in READMES:
        for link in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
            assert link.startswith("https://") or (ROOT / link).is_file(), link


def test_extras_of_the_commands_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = " ".join(commands(READMES[0]))
    for extras in re.findall(r"'\.\[([\w,]+)\]'", text):
        assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_changelog_begins_with_this_version():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## (\S+)", text, re.M)[1] == crnn.__version__
