"""The page of a trace in a real browser: it allocates as Python does, and is safe to open."""

import json

import numpy as np
import pytest

from tempo_lab.allocation import allocate
from tempo_lab.common.errors import BudgetError
from tempo_lab.trace.html_page import OFFERED
from tests.trace.test_html_page import HOSTILE, noise
from tests.traces import make_trace

pytestmark = pytest.mark.timeout(900)

CASES = 1000
RUN = """cases => cases.map(({scores, budget, ...options}) => {
  const names = {nan: NaN, inf: Infinity, "-inf": -Infinity};
  scores = scores.map(score => names[score] ?? score);
  try {
    const {wanted, tokens, low} = tempoLab.allocate(scores, budget, options);
    const slots = tokens.map(each => tempoLab.slotsText(options.strategy, each, options.high));
    return {wanted, tokens, low, slots};
  } catch (error) {
    return {refused: error.message};
  }
})"""


def random_scores(rng, segments):
    """Scores of every kind: probabilities, ties, nearly equal, logits, extremes, not finite."""
    kind = rng.integers(12)
    if kind < 4:
        scores = rng.beta(0.3, 2, segments)
    elif kind == 4:
        scores = rng.integers(0, 4, segments) / 4
    elif kind == 5:
        scores = 0.5 + rng.choice([0, 5e-9, 1e-8, 2e-8, 6e-8], segments)
    elif kind == 6:
        scores = 1 / (1 + np.exp(-rng.normal(0, 40, segments)))
    elif kind == 7:
        scores = rng.normal(0, 8, segments)
    elif kind == 8:
        scores = rng.choice([-3.4e38, 3.4e38, 0.1, 1e-45, 1e-40, 5e37], segments)
    elif kind == 9:
        scores = rng.choice([0.49999997, 0.5, 0.50000006, 1.0], segments)
    elif kind == 10:
        scores = rng.choice([100000.5, 100001.5, -1234567.0, 1.5e-5, 0.0], segments)
    else:
        scores = rng.random(segments)
        scores[rng.integers(segments)] = rng.choice([np.nan, np.inf, -np.inf])
    with np.errstate(over="ignore"):
        return scores.astype(np.float32)


def random_case(rng):
    segments = int(rng.choice([1, 2, 3, 7, 12, 64, 128, 300]))
    high = int(rng.choice([1, 16, 48, 128]))
    budget = rng.choice(
        [rng.integers(-2, segments + 2), rng.integers(1, segments * high + 2),
         rng.integers(segments, segments * 6 + 1), segments * high, 8192]
    )  # fmt: skip
    name, scores = str(rng.choice(list(OFFERED))), random_scores(rng, segments)
    if rng.random() < 0.3:  # shares that are whole numbers but for the rounding of float32
        steps = int(rng.choice([3, 5, 6, 7, 9]))
        whole = rng.integers(0, steps + 1, segments)
        name, scores, high = "head", (whole / steps).astype(np.float32), 128
        budget = 4 * segments + int(rng.integers(1, 40)) * max(1, int(whole.sum())) // steps
    return {
        "scores": scores,
        "budget": int(budget),
        "strategy": name,
        "low": int(rng.choice([0, 1, 2, 4, 200])),
        "high": high,
        "parameter": OFFERED[name][1],
    }


def in_python(case):
    try:
        made = allocate(
            case["scores"], case["budget"], strategy=case["strategy"],
            min_tokens=case["low"], max_tokens=case["high"],
        )  # fmt: skip
    except BudgetError as error:
        return {"refused": str(error)}
    slots = [made.slots(i).tolist() for i in range(len(made))]
    texts = ["" if not s else f"{s[0]}" if len(s) == 1 else f"{s[0]}-{s[-1]}" for s in slots]
    return {
        "wanted": made.wanted.tolist(),
        "tokens": made.tokens.tolist(),
        "low": made.min_tokens,
        "slots": texts,
    }


@pytest.fixture
def opened(visit, tmp_path):
    """Return a function that writes a trace's page and opens it as a file."""

    def open_page(trace, video=None, **options):
        path = trace.to_html(tmp_path / "trace.html", video=video)
        page = visit(path.as_uri(), **options)
        page.locator("#figure svg").wait_for()
        return page

    return open_page


def test_the_page_allocates_as_python_does(opened):
    rng = np.random.default_rng(20)
    cases = [random_case(rng) for _ in range(CASES)]
    expected = [in_python(case) for case in cases]
    sent = [
        {**case, "scores": [float(s) if np.isfinite(s) else str(s) for s in case["scores"]]}
        for case in cases
    ]
    got = opened(make_trace()).evaluate(RUN, sent)
    for case, want, have in zip(cases, expected, got, strict=True):
        assert have == want, case
    refused = [want["refused"].partition("\n")[0] for want in expected if "refused" in want]
    assert len(set(refused)) == 5  # each kind of refusal
    assert CASES // 2 < CASES - len(refused) < CASES


def numbers(page, name):
    return [int(text) for text in page.locator(f"td.{name}").all_inner_texts()]


def test_slider_and_menu_allocate_again_with_the_keyboard(opened):
    trace = make_trace(12, budget=60)
    page = opened(trace)
    recorded = trace.data["tokens"].values.tolist()
    assert numbers(page, "tokens") == recorded
    slider = page.get_by_label("Budget (memory tokens for the whole video)")
    for _ in range(10):
        slider.press("ArrowLeft")
    assert page.get_by_label("Budget", exact=True).input_value() == "50"
    scores = trace.data["score"].values
    made = allocate(scores, 50, max_tokens=16)
    assert numbers(page, "tokens") == made.tokens.tolist()
    assert numbers(page, "wanted") == made.wanted.tolist()
    assert page.locator("#total-used").inner_text() == str(made.used)
    assert page.locator("#total-prompt").inner_text() == str(made.used + 12 * 7 + 30)
    assert "(head): " in page.get_by_role("status").inner_text()
    page.get_by_label("Strategy").select_option("topk")
    made = allocate(scores, 50, strategy="topk", max_tokens=16)
    assert numbers(page, "tokens") == made.tokens.tolist()
    page.get_by_role("button", name="Show the recorded allocation").press("Enter")
    assert numbers(page, "tokens") == recorded
    assert page.get_by_role("status").inner_text().startswith("Recorded allocation")
    assert page.locator("#total-used").inner_text() == str(trace.totals["used"])
    segment = page.get_by_label("Segment", exact=True)
    segment.press("Home")
    segment.press("ArrowRight")
    assert page.locator("#detail-text").inner_text().startswith("Segment 1, 4.0 to 8.0 s")


def test_an_impossible_budget_shows_the_refusal_of_python(opened):
    trace = make_trace(12, budget=60)
    page = opened(trace)
    page.get_by_label("Budget", exact=True).fill("5")
    with pytest.raises(BudgetError) as error:
        allocate(trace.data["score"].values, 5, max_tokens=16)
    assert page.get_by_role("alert").inner_text() == str(error.value)
    assert set(page.locator("td.tokens").all_inner_texts()) == {"–"}
    page.get_by_label("Budget", exact=True).fill("1.5")
    assert page.get_by_role("alert").inner_text().startswith("budget must be a whole number")
    page.get_by_label("Budget", exact=True).fill("60")
    assert page.get_by_role("alert").count() == 0
    assert sum(numbers(page, "tokens")) <= 60


def test_totals_that_the_trace_does_not_record_are_called_unknown(opened):
    page = opened(make_trace(12, budget=60, strategy="topk"))
    page.get_by_label("Strategy").select_option("uniform")
    assert page.locator("#total-prompt").inner_text() == "unknown"
    assert page.get_by_text("does not record the timestamps").is_visible()


def test_hostile_texts_do_nothing_and_the_policy_stops_the_network(opened, visit, tmp_path):
    trace = make_trace(
        question=HOSTILE, answer=HOSTILE,
        provenance={"video": HOSTILE.replace("/", ""), "warnings": [HOSTILE], HOSTILE: HOSTILE},
    )  # fmt: skip
    page = opened(trace)
    assert page.get_by_role("heading", level=1).inner_text().strip() == HOSTILE
    assert page.evaluate("window.wrong") is None
    assert page.strangers == [page.url]
    # what gets into a page after all neither runs nor loads
    blocked = page.evaluate(
        """async () => {
          const seen = new Set();
          document.addEventListener("securitypolicyviolation", e => seen.add(e.effectiveDirective));
          const script = document.createElement("script");
          script.textContent = "window.wrong = 1";
          const image = document.createElement("img");
          image.src = "http://127.0.0.1:9/x.png";
          document.body.append(script, image);
          await fetch("http://127.0.0.1:9/").catch(() => {});
          await new Promise(done => setTimeout(done, 200));
          return [...seen].sort();
        }"""
    )
    assert blocked == ["connect-src", "img-src", "script-src-elem"]
    assert page.evaluate("window.wrong") is None


@pytest.mark.parametrize("width", [1280, 800, 400])
def test_nothing_is_wider_than_the_window(opened, tmp_path, width):
    path, trace = noise(tmp_path, 128, size=(36, 64))
    page = opened(trace, path, width=width)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator("img.thumbnail").count() == 128
    loaded = "[...document.images].every(image => image.complete && image.naturalWidth > 0)"
    page.wait_for_function(loaded)
    box = page.locator("#figure svg").bounding_box()
    assert box["x"] + box["width"] <= width


@pytest.mark.parametrize("segments", [1, 2])
def test_odd_traces_open(opened, segments):
    starts = np.zeros(1) if segments == 1 else np.array([0.0, 4.0])
    ends = starts if segments == 1 else starts + 4
    trace = make_trace(
        segments, times=np.stack([starts, ends], axis=1),
        relevance=[np.nan] * segments, logit=[np.nan] * segments,
    )  # fmt: skip
    page = opened(trace)
    assert "NaN" in page.locator("#detail-text").inner_text()
    assert json.loads(page.locator("#trace-data").inner_text())["relevance"] == ["nan"] * segments
