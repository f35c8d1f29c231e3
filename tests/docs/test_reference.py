"""The reference has every public name once, and what the code cites exists."""

import pkgutil
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import tempo_lab

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "reference").glob("*.md"))
ENTRY = re.compile(r"^\.\. (?:auto(?:class|exception|function)|py:(?:data|module)):: (\S+)$", re.M)

# Documented, but exported by no package: what notebooks and pages import from a module, and types
# of public arguments and results.
FROM_MODULES = {
    "tempo_lab.allocation.arms.Arm",
    "tempo_lab.analysis.published_results.PublishedResults",
    "tempo_lab.analysis.published_results.published_results",
    "tempo_lab.common.errors.StrategyError",
    "tempo_lab.common.errors.TempoLabWarning",
    "tempo_lab.common.errors.UnfamiliarVideoWarning",
    "tempo_lab.common.statistics.Estimate",
    "tempo_lab.common.statistics.auc",
    "tempo_lab.common.statistics.roc_curve",
    "tempo_lab.common.statistics.spearman",
    "tempo_lab.evaluation.answer_scoring.Judged",
    "tempo_lab.evaluation.answer_scoring.Score",
    "tempo_lab.evaluation.compare.Comparison",
    "tempo_lab.evaluation.compare.Difference",
    "tempo_lab.evaluation.summary.Measure",
    "tempo_lab.model.pixels.patchify",
    "tempo_lab.model.pixels.video_size",
    "tempo_lab.nano.front_loading.small_model.Settings",
    "tempo_lab.nano.front_loading.small_model.SmallModel",
    "tempo_lab.nano.front_loading.small_model.order",
    "tempo_lab.nano.front_loading.small_model.recall",
    "tempo_lab.nano.front_loading.small_model.right_answers",
    "tempo_lab.nano.front_loading.small_model.train",
    "tempo_lab.nano.world.scenes.Item",
    "tempo_lab.nano.world.scenes.Noun",
    "tempo_lab.session.scoring.TeacherForced",
    "tempo_lab.session.scoring.answer_logprob",
    "tempo_lab.video.decoders.base.FrameReader",
    "tempo_lab.video.subtitle_files.SubtitleFile",
}


def find(name: str) -> object:
    """Return what a dotted name stands for; a package's function hides a module of its name."""
    module, _, attribute = name.rpartition(".")
    owner = import_module(module)
    return getattr(owner, attribute) if hasattr(owner, attribute) else import_module(name)


def packages() -> list[ModuleType]:
    """Return the packages with public names (`__all__`) of all rooms below the applications."""
    found = pkgutil.walk_packages(tempo_lab.__path__, "tempo_lab.")
    names = [each.name for each in found if each.ispkg and ".apps" not in each.name]
    modules = [tempo_lab, *map(import_module, names)]
    return [module for module in modules if hasattr(module, "__all__")]


def documented() -> list[str]:
    return [name for page in PAGES for name in ENTRY.findall(page.read_text(encoding="utf-8"))]


def test_the_reference_has_every_public_name_and_no_other():
    # one object may be exported by several packages; its last name and its identity are the same
    public = {
        (name, id(getattr(package, name))): f"{package.__name__}.{name}"
        for package in packages()
        for name in package.__all__
    }
    entries = {(name.rpartition(".")[2], id(find(name))): name for name in documented()}
    assert {public[key] for key in public.keys() - entries.keys()} == set()
    assert {entries[key] for key in entries.keys() - public.keys()} == FROM_MODULES


def test_nothing_is_documented_twice():
    names = documented()
    assert len({(name.rpartition(".")[2], id(find(name))) for name in names}) == len(names)


def test_the_overview_has_every_page():
    overview = (ROOT / "docs" / "reference" / "index.md").read_text(encoding="utf-8")
    linked = re.findall(r"^\| \[.+\]\((\w+)\.md\) \|", overview, re.M)
    assert sorted(linked) == [page.stem for page in PAGES if page.stem != "index"]


def test_cited_sections_of_the_method_exist():
    method = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    sections = {
        number
        for label, number in re.findall(r"^\(method-(\d)\)=\n## (\d)\. ", method, re.M)
        if label == number
    }
    code = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tempo_lab").rglob("*.py")}
    cited = {
        path: re.findall(r"method\.md\W+sections? (\d)(?:(?:,| and| to) (\d))?", text)
        for path, text in code.items()
    }
    numbers = {number for found in cited.values() for pair in found for number in pair if number}
    assert len(sections) == 8
    assert len(numbers) > 5
    assert numbers <= sections
    mentions = sum(text.count("method.md") for text in code.values())
    assert sum(map(len, cited.values())) == mentions  # each citation names its section
    assert not [path for path, text in code.items() if re.search(r"\bMETHOD\b", text)]
