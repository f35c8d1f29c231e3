"""The page of a trace: one file, escaped, small, without folders; refused where it cannot be saved.

tests/browser/test_trace_page.py opens it in a browser.
"""

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tempo_lab.common.errors import TraceError
from tempo_lab.trace.html_page import OFFERED, render_page
from tempo_lab.trace.trace import Trace
from tempo_lab.video import Video
from tests.traces import make_trace

HOSTILE = """</script><script>window.wrong = 1</script><img src=x onerror="window.wrong = 1">'"&"""
LIMIT = 3_000_000


class Page(HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.inside = [], {}
        self._open = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open = (tag, dict(attrs).get("id"))

    def handle_data(self, data):
        self.inside[self._open] = self.inside.get(self._open, "") + data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def noise(folder, segments, size=(96, 128), seed=0):
    """A .npy video of noise, the hardest to compress, and a trace with its times."""
    frames = np.random.default_rng(seed).integers(0, 256, (8 * segments, *size, 3), np.uint8)
    path = folder / "noise.npy"
    np.save(path, frames)
    starts = np.arange(segments) * 4.0
    return path, make_trace(
        segments,
        budget=16 * segments,
        true_times=np.stack([starts, starts + 3.5], axis=1),
        provenance={"video": str(path), "fps": 2.0, "frames": 8 * segments, "window": 8},
    )


def test_a_page_of_128_segments_with_thumbnails_is_below_3_mb(tmp_path):
    path, trace = noise(tmp_path, 128)
    written = trace.to_html(tmp_path / "a.html", video=path)
    images = Page(written.read_text()).all("img")[1:]
    assert len(images) == 128
    assert written.stat().st_size < LIMIT
    # the middle frame of each segment
    for segment in (0, 77):
        content = base64.b64decode(images[segment]["src"].partition(",")[2])
        small = Image.open(io.BytesIO(content))
        assert small.format == "JPEG"
        frame = np.load(path)[8 * segment + 4].astype(float)
        other = np.load(path)[8 * segment + 3].astype(float)
        shown = np.asarray(small, dtype=float)
        assert abs(shown - frame).mean() < 0.8 * abs(shown - other).mean()


def test_without_a_video_there_are_no_thumbnails_and_no_word_of_them():
    page = render_page(make_trace())
    assert [attrs for attrs in Page(page).all("img") if "src" in attrs] == []
    assert "humbnails:" not in page
    assert "middle frame" not in page


def test_a_session_and_an_opened_video_give_the_same_page(tmp_path):
    path, trace = noise(tmp_path, 3)

    class Session:
        pass

    with Video(path) as video:
        session = Session()
        session.video = video
        pages = {render_page(trace, each) for each in (video, session, str(path))}
    assert len(pages) == 1


def test_another_video_is_refused(tmp_path):
    path, _ = noise(tmp_path, 3)
    with pytest.raises(TraceError, match="not the video of the trace"):
        render_page(make_trace(4), path)
    with pytest.raises(TraceError, match="times of its frames"):
        render_page(make_trace(3), path)  # its last frames have other times
    with pytest.raises(TraceError, match="thumbnails need the video"):
        render_page(make_trace(3), 3)


def test_thumbnails_of_a_renamed_video_name_it(tmp_path):
    path, trace = noise(tmp_path, 3)
    copy = path.rename(tmp_path / "<copy>.npy")
    assert "Thumbnails: from &lt;copy&gt;.npy, whose frames" in render_page(trace, copy)


def test_everything_that_people_wrote_is_escaped():
    trace = make_trace(
        question=HOSTILE,
        answer=HOSTILE + "\ud800\x1b",
        provenance={
            "video": "/home/me/" + HOSTILE.replace("/", ""),
            "warnings": [HOSTILE],
            "interventions": [{"kind": HOSTILE, "segments": [1]}],
            HOSTILE: HOSTILE,
        },
    )
    trace.data.attrs["strategy"] = HOSTILE
    page = Page(render_page(trace))
    assert len(page.all("script")) == 2
    assert not any("onerror" in attrs for _, attrs in page.tags)
    assert page.inside[("h1", None)].strip() == HOSTILE
    assert "\\ud800\\x1b" in page.inside[("p", None)]


def test_the_policy_allows_this_script_and_style_and_no_network():
    text = render_page(make_trace())
    page = Page(text)
    policy = page.all("meta")[1]["content"]
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    script = re.search(r"<script>(.*?)</script>", text, re.S)[1]
    hashes = [
        base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        for part in (style, script)
    ]
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{hashes[0]}'; "
        f"script-src 'sha256-{hashes[1]}'; base-uri 'none'; form-action 'none'"
    )
    assert not any("style" in attrs or "src" in attrs for _, attrs in page.tags)


def test_folders_are_left_out():
    trace = make_trace(
        provenance={
            "video": "/home/me/secret/star.mp4",
            "model": "/home/me/models/tempo",
            "warnings": ["/home/me/secret/star.mp4 has 2 streams"],
        }
    )
    page = render_page(trace)
    assert "/home" not in page
    assert "star.mp4 has 2 streams" in page
    assert ">tempo<" in page


def test_a_trace_of_scores_has_no_controls_and_no_tokens():
    trace = make_trace(3)
    spans = {
        "clock": trace.data["clock"],
        "times": np.stack([trace.data["start"], trace.data["end"]], axis=1),
        "true_times": np.stack([trace.data["true_start"], trace.data["true_end"]], axis=1),
    }
    scored = Trace.from_scores(question="q", relevance=[0.1, np.nan, 0.3], logit=[0, 1, 2], **spans)
    page = Page(render_page(scored))
    assert page.all("select") == []
    data = json.loads(page.inside[("script", "trace-data")])
    assert data["budget"] is None
    assert data["relevance"][1] == "nan"


def test_each_offered_strategy_is_registered_with_these_parameters():
    from tempo_lab.allocation import STRATEGIES

    for name, (_, parameter) in OFFERED.items():
        assert list(STRATEGIES[name].parameters.values()) == (
            [] if parameter is None else [parameter]
        )


@pytest.mark.parametrize(
    ("strategy", "parameters", "known"),
    [("head", {}, "head"), ("tome", {}, ""), ("floor", {"coverage": 0.25}, "")],
)
def test_only_a_strategy_that_the_page_has_is_called_that(strategy, parameters, known):
    trace = make_trace(strategy=strategy, provenance={"strategy_parameters": parameters})
    data = json.loads(Page(render_page(trace)).inside[("script", "trace-data")])
    assert data["strategy"] == known


# Writing


def test_a_full_disk_leaves_the_old_page(tmp_path, monkeypatch):
    path = make_trace().to_html(tmp_path / "a.html")
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TraceError, match="No space left"):
        make_trace(answer="blue").to_html(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.html"]


@pytest.mark.parametrize("name", [".", "missing/a.html", "nul\0.html"])
def test_places_that_cannot_be_written_are_refused(tmp_path, name):
    with pytest.raises(TraceError, match="could not be saved"):
        make_trace().to_html(f"{tmp_path}/{name}")


def test_it_is_written_where_torch_is_not_installed(tmp_path):
    saved = make_trace().save(tmp_path / "a.nc")
    program = (
        "import sys\n"
        "for name in ('torch', 'transformers'): sys.modules[name] = None\n"
        "from tempo_lab.trace.trace import Trace\n"
        "Trace.load(sys.argv[1]).to_html(sys.argv[2])\n"
    )
    subprocess.run([sys.executable, "-c", program, saved, tmp_path / "a.html"], check=True)
    assert "What color is the star?" in (tmp_path / "a.html").read_text()
