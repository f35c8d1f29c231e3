"""Every public plot: where it draws, at a paper's widths, with fonts that can be embedded."""

import inspect
from itertools import combinations

import matplotlib
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.text import Text

import tempo_lab as tl
from tempo_lab import course, plots
from tests.plots.every_plot import calls
from tests.traces import make_trace

matplotlib.use("agg")
PLOTS = [name for name in plots.__all__ if name != "style"]
IN_AXES = [name for name in PLOTS if "ax" in inspect.signature(getattr(plots, name)).parameters]
IN_FIGURE = [name for name in PLOTS if name not in IN_AXES]


@pytest.fixture(scope="module")
def session():
    with tl.load("nano", device="cpu").open(course.clip("voyage"), progress=False) as session:
        yield session


@pytest.fixture(scope="module")
def draws(session):
    return calls(session)


@pytest.fixture(autouse=True)
def _no_figure_stays_open():
    before = pyplot.get_fignums()
    yield
    assert pyplot.get_fignums() == before


def drawn_texts(figure):
    """Every text that is really drawn, with its place in pixels."""
    texts, draw = {}, Text.draw

    def record(self, renderer, *args, **kwargs):
        if self.get_visible() and self.get_text().strip():
            texts[id(self)] = self, self.get_window_extent(renderer)
        return draw(self, renderer, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", record)
        figure.canvas.draw()
    return list(texts.values())


def overlap(one, other):
    """Whether two texts cover each other; slanted ones may share a rectangle."""
    (text, a), (other_text, b) = one, other
    if text.get_rotation() % 90 and other_text.get_rotation() % 90:
        return False
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    return width > 1.5 and height > 1.5


def test_every_plot_is_called(draws):
    assert {name.split()[0] for name in draws} == set(PLOTS)


@pytest.mark.parametrize("name", IN_AXES)
def test_it_draws_in_given_axes_and_nowhere_else(name, draws):
    figure = Figure(figsize=(9, 4), layout="constrained")
    ax, other = figure.subplots(1, 2)
    untouched = len(other.get_children())
    returned = draws[name](ax=ax)
    assert returned == (figure, ax)
    assert ax.get_children()
    assert len(other.get_children()) == untouched
    assert figure.axes[:2] == [ax, other]
    assert all(bar.get_label() == "<colorbar>" for bar in figure.axes[2:])
    assert figure.get_suptitle() == ""
    figure.canvas.draw()


@pytest.mark.parametrize("name", IN_FIGURE)
def test_it_draws_in_a_given_figure_or_part_of_one_and_nowhere_else(name, draws):
    whole = Figure(figsize=(7, 5))
    figure, axes = draws[name](figure=whole)
    assert figure is whole
    assert set(axes.ravel()) <= set(whole.axes)
    parts = Figure(figsize=(14, 6), layout="constrained")
    left, right = parts.subfigures(1, 2)
    figure, axes = draws[name](figure=right)
    assert figure is parts
    assert {ax.figure for ax in axes.ravel()} <= {right, *right.subfigs}
    assert not left.get_children()[1:]  # its background alone
    parts.canvas.draw()


@pytest.mark.parametrize("name", PLOTS)
def test_its_options_are_those_of_all_plots(name):
    options = inspect.signature(getattr(plots, name)).parameters
    assert ("ax" in options) != ("figure" in options)
    assert options["width"].default is None
    assert all(len(repr(each.default)) < 30 for each in options.values())


@pytest.mark.parametrize("name", [*PLOTS, "attribution of words", "evaluation of relevance"])
@pytest.mark.parametrize("width", ["column", "text"])
def test_at_a_papers_width_no_text_is_cut_or_covered(name, width, draws):
    with plots.style("paper", width=width):
        figure, _ = draws[name]()
    texts = drawn_texts(figure)
    pyplot.close(figure)
    assert texts
    for text, place in texts:
        assert 6.9 <= text.get_fontsize() <= 9, text
        assert place.x0 > -2, text
        assert place.y0 > -2, text
        assert place.x1 < figure.bbox.width + 2, text
        assert place.y1 < figure.bbox.height + 2, text
    covered = [(a[0], b[0]) for a, b in combinations(texts, 2) if overlap(a, b)]
    assert not covered


# Width


def test_a_plots_own_width_comes_before_the_styles():
    trace = make_trace()
    for width, options, inches in (
        (None, {}, 9), (None, {"width": 5}, 5), ("column", {}, 3.4), ("text", {}, 7),
        (4.5, {}, 4.5), ("column", {"width": 6}, 6),
    ):  # fmt: skip
        if width is None:
            figure, _ = plots.allocation(trace, **options)
        else:
            with plots.style("paper", width=width):
                figure, _ = plots.allocation(trace, **options)
        pyplot.close(figure)
        assert figure.get_figwidth() == inches


def test_a_style_changes_nothing_outside_of_its_block():
    before = dict(matplotlib.rcParams)
    with pytest.raises(ZeroDivisionError), plots.style("paper", font=8):
        assert matplotlib.rcParams["font.size"] == 8
        raise ZeroDivisionError
    figure, _ = plots.allocation(make_trace())
    pyplot.close(figure)
    assert dict(matplotlib.rcParams) == before
    assert figure.get_figwidth() == 9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "column"}, r'use style\("paper", width=.column.\)'),
        ({"name": "slides"}, "unknown style"),
        ({"width": "colum"}, "did you mean 'column'"),
        ({"width": 0}, "width is out of range"),
        ({"font": "big"}, "font must be a finite number"),
    ],
)
def test_an_impossible_width_or_font_is_refused(options, words):
    with pytest.raises(tl.TempoLabError, match=words), plots.style(**options):
        pass


# Fonts


def fonts(path):
    content = path.read_bytes()
    return [kind for kind in (b"Type3", b"Type42", b"CIDFontType2") if kind in content]


def test_a_saved_pdf_embeds_truetype(tmp_path):
    figure, _ = plots.allocation(make_trace())
    figure.savefig(tmp_path / "ours.pdf")
    pyplot.close(figure)
    assert fonts(tmp_path / "ours.pdf") == [b"CIDFontType2"]
    own = Figure()
    plots.allocation(make_trace(), figure=own)
    own.savefig(tmp_path / "own.pdf")
    assert fonts(tmp_path / "own.pdf") == [b"Type3"]  # Matplotlib's default, which stays as it is
    with plots.style():
        own.savefig(tmp_path / "styled.pdf")
    assert fonts(tmp_path / "styled.pdf") == [b"CIDFontType2"]


# Names of the last version


def test_old_keywords_work_and_warn(draws):
    figure = Figure(figsize=(9, 4))
    with pytest.warns(DeprecationWarning, match="use segment=|use figure="):
        draws["filmstrip"](chosen=2, into=figure)
    assert figure.axes
    ax = Figure().subplots()
    with pytest.warns(DeprecationWarning, match="use segment="):
        draws["attention_time"](chosen=2, ax=ax)
    with pytest.warns(DeprecationWarning, match="use top_k="):
        draws["compare"](disagreements=1, figure=Figure())
