"""The decoder's process: what goes wrong in it stays in it."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tempo_lab.common.errors import VideoError
from tempo_lab.video import decoder_process
from tempo_lab.video.decoder_process import DecoderProcess
from tempo_lab.video.resize import ExactResize
from tempo_lab.video.video import Video
from tests import media


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return media.write_video(tmp_path_factory.mktemp("media") / "clip.mp4")


OTHERS: set[psutil.Process] = set()  # what the test process had started before: not decoders


def decoders() -> list[psutil.Process]:
    """The child processes that the running test has started."""
    return [child for child in psutil.Process().children() if child not in OTHERS]


@pytest.fixture(autouse=True)
def nothing_left_behind():
    OTHERS.clear()
    OTHERS.update(psutil.Process().children())
    yield
    gc.collect()
    _, alive = psutil.wait_procs(decoders(), timeout=3)
    assert not alive


def numbers(segments) -> list[int]:
    return [media.read_number(frame) for segment in segments for frame in segment.frames]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("over-reports", r"fewer frames[\s\S]*asked: 20 of 60 frames[\s\S]*found: 7 frames"),
        ("crashes", r"killed by signal 11: corrupted size"),
        ("raises", r"ended with code 1: ZeroDivisionError: deep inside"),
    ],
)
def test_misbehaving_decoder_is_an_error(clip, kind, words):
    with Video(clip, fps=10, decoder=f"tests.fake_decoders:{kind}") as video:
        for _ in range(2):  # the video stays usable: each pass has a child of its own
            with pytest.raises(VideoError, match=words):
                list(video.segments())


class Clock:
    """The time as the parent sees it, which a test can let jump."""

    def __init__(self, monkeypatch):
        self.ahead, read = 0.0, time.monotonic
        monkeypatch.setattr(decoder_process.time, "monotonic", lambda: read() + self.ahead)


def test_what_came_before_a_hang_was_delivered(clip, monkeypatch):
    clock, delivered = Clock(monkeypatch), []

    def on_wait():
        clock.ahead += 100 * (len(delivered) == 16)

    with Video(clip, fps=30, decoder="tests.fake_decoders:hangs", on_wait=on_wait) as video:
        for _ in range(2):  # the video stays usable: each pass has a child of its own
            delivered.clear()
            segments = video.segments()
            delivered += numbers([next(segments), next(segments)])
            assert delivered == list(range(16))
            with pytest.raises(VideoError, match="no sign of progress for 60 s"):
                next(segments)


def test_hang_while_opening(clip, monkeypatch):
    clock = Clock(monkeypatch)

    def on_wait():
        clock.ahead += 100

    with pytest.raises(VideoError, match="no sign of progress for 60 s"):
        Video(clip, decoder="tests.fake_decoders:hangs-at-open", on_wait=on_wait)


def test_slow_but_alive_is_not_a_hang(clip, monkeypatch):
    clock, read = Clock(monkeypatch), DecoderProcess.read_message

    def slowly(process):
        message, frame = read(process)
        clock.ahead += 70 * (message == {})  # since the sign of progress before this one
        return message, frame

    monkeypatch.setattr(DecoderProcess, "read_message", slowly)
    with Video(clip, decoder="tests.fake_decoders:slow") as video:
        assert numbers(video.segments()) == video.plan.indices.tolist()
    assert clock.ahead >= 70


def test_opening_ends_whatever_progress_it_makes(clip, monkeypatch):
    monkeypatch.setattr(decoder_process, "OPENING_TIMEOUTS", 0.05)
    with pytest.raises(VideoError, match=r"still opening after 1\.5 s[\s\S]*timeout="):
        Video(clip, decoder="tests.fake_decoders:opens-for-ever", timeout=30)
    assert decoders() == []


def test_memory_of_a_decoder_is_bounded(clip, monkeypatch):
    monkeypatch.setattr(decoder_process, "MEMORY_LIMIT", 2**28)
    words = r"it needs more than 0\.25 GiB of memory[\s\S]*fix: *scale"
    with pytest.raises(VideoError, match=words):
        Video(clip, decoder="tests.fake_decoders:eats-memory-at-open")
    video = Video(clip, fps=30, decoder="tests.fake_decoders:eats-memory")
    with video, pytest.raises(VideoError, match=words):
        list(video.segments())
    assert decoders() == []


class Stop(Exception):
    """What a caller raises to stop waiting."""


def stopping(calls: int):
    """Raises `Stop` at a call after this many."""
    counted = iter(range(calls))

    def on_wait():
        if next(counted, None) is None:
            raise Stop

    return on_wait


def test_waiting_for_a_silent_decoder_can_be_stopped_while_it_opens(clip):
    with pytest.raises(Stop):
        Video(clip, decoder="tests.fake_decoders:hangs-at-open", on_wait=stopping(3))
    assert decoders() == []


def test_waiting_for_a_silent_decoder_can_be_stopped_while_it_reads(clip):
    with Video(clip, fps=30, decoder="tests.fake_decoders:hangs", on_wait=stopping(30)) as video:
        with pytest.raises(Stop):
            list(video.segments())
        assert decoders() == []


def test_every_pass_can_be_stopped(clip):
    calls = []
    with Video(clip, on_wait=lambda: calls.append(1)) as video:
        for _ in range(2):
            before = len(calls)
            list(video.segments())
            assert len(calls) > before


def test_prints_of_a_decoder_do_not_mix_with_frames(clip):
    with Video(clip, decoder="tests.fake_decoders:chatty") as video:
        assert numbers(video.segments()) == video.plan.indices.tolist()


def test_killed_child_and_another_pass(clip):
    with Video(clip, fps=30, window=2) as video:
        expected = numbers(video.segments())
        segments = video.segments(ExactResize(1024, 768))  # too much to be ready ahead
        next(segments)
        (child,) = decoders()
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(VideoError, match="killed by signal 9"):
            list(segments)
        assert numbers(video.segments()) == expected


def test_child_ends_with_its_iterator(clip):
    with Video(clip, fps=30) as video:
        segments = video.segments(ExactResize(640, 480))
        next(segments)
        assert len(decoders()) == 1
        segments.close()
        assert decoders() == []


def test_child_ends_with_a_forgotten_video(clip):
    video = Video(clip)
    assert len(decoders()) == 1
    del video
    gc.collect()
    assert decoders() == []


def test_two_passes_at_once(clip):
    with Video(clip, fps=30) as video:
        for one, other in zip(video.segments(), video.segments(), strict=True):
            assert np.array_equal(one.frames, other.frames)


def test_closed_video(clip):
    with Video(clip) as video:
        pass
    with pytest.raises(VideoError, match="closed"):
        list(video.segments())


def test_file_that_changes(tmp_path):
    path = media.write_video(tmp_path / "a.mp4", frames=30)
    with Video(path) as video:
        list(video.segments())
        media.write_video(path, frames=40)
        with pytest.raises(VideoError, match="changed since"):
            list(video.segments())
    path.unlink()


def test_file_that_vanishes(tmp_path):
    path = media.write_video(tmp_path / "a.mp4", frames=30)
    with Video(path) as video:
        list(video.segments())
        path.unlink()
        with pytest.raises(VideoError, match="cannot be read"):
            list(video.segments())


def test_working_ahead_is_bounded(clip):
    """The child stops when 32 MiB wait: 60 frames of 14 MB do not fit, two or three do."""
    with Video(clip, fps=30, window=1) as video:
        segments = video.segments(ExactResize(2560, 1920))
        next(segments)
        (child,) = decoders()
        before = -1.0
        while (now := sum(child.cpu_times()[:2])) > before + 0.02:  # until it has nothing to do
            before = now
            time.sleep(0.3)
        assert child.memory_info().rss < 300e6
        segments.close()


def test_child_is_light(clip):
    """It imports neither torch nor a plotting library."""
    process = DecoderProcess(str(clip), "pyav", 30, lambda: None)
    maps = (
        [m.path for m in psutil.Process(process.pid).memory_maps()]
        if sys.platform == "linux"
        else []
    )
    process.close()
    assert not [path for path in maps if "torch" in path or "matplotlib" in path]


SCRIPT = """
from tempo_lab.video.video import Video
print(sum(len(s.frames) for s in Video({path!r}, max_frames=4).segments()))
"""


@pytest.mark.parametrize("way", ["script without a guard", "-c", "stdin"])
def test_any_caller_can_start_it(clip, tmp_path, way):
    """A spawned child must not run the caller's main module again."""
    program = SCRIPT.format(path=str(clip))
    (tmp_path / "script.py").write_text(program)
    (tmp_path / "av.py").write_text("raise ImportError('a file beside the caller')")
    root = str(Path(decoder_process.__file__).parents[2])
    arguments = {"script without a guard": [str(tmp_path / "script.py")], "-c": ["-c", program]}
    if way == "script without a guard":
        (tmp_path / "av.py").unlink()  # a script's own folder is searched first, as always
    done = subprocess.run(
        [sys.executable, *arguments.get(way, ["-"])],
        input=program if way == "stdin" else None,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("4\n", "")


def test_child_ends_when_its_caller_is_killed(clip):
    program = (
        "import sys, time, psutil; from tempo_lab.video.decoder_process import DecoderProcess\n"
        f"p = DecoderProcess({str(clip)!r}, 'pyav', 30, list)\n"
        "print(p.pid, flush=True); time.sleep(60)"
    )
    root = str(Path(decoder_process.__file__).parents[2])
    caller = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
    )
    child = psutil.Process(int(caller.stdout.readline()))
    caller.kill()
    caller.wait()
    caller.stdout.close()
    gone, _ = psutil.wait_procs([child], timeout=5)
    assert gone or child.status() == psutil.STATUS_ZOMBIE


def test_memory_does_not_grow_with_length(tmp_path):
    """Four times the frames of a small file, the same peak (benchmarks/ has the hour)."""
    peaks = []
    for frames in (150, 600):
        path = media.write_video(tmp_path / f"{frames}.mp4", frames=frames, size=(320, 240))
        with Video(path, fps=30, decoder="pyav") as video:
            peak = 0
            for segment in video.segments(ExactResize(64, 48)):
                if segment.index % 8 == 0:
                    child = [c.memory_info().rss for c in decoders()]
                    peak = max(peak, *child, 0)
        peaks.append(peak)
    assert peaks[1] < 1.3 * peaks[0]


# Decoding ahead


def decoded(clip: Path) -> list[int]:
    """What the decoder "notes" has decoded so far."""
    note = clip.with_suffix(".notes")
    return [int(line) for line in note.read_text().split()] if note.exists() else []


def test_the_first_pass_is_decoded_before_anyone_takes_it(tmp_path):
    clip = media.write_video(tmp_path / "clip.mp4")
    with Video(clip, fps=3, window=2, decoder="tests.fake_decoders:notes") as video:
        assert decoded(clip) == []
        video.read_ahead()
        while len(decoded(clip)) < len(video.plan):  # a hang is ended by the limit of all tests
            time.sleep(0.01)
        assert numbers(video.segments()) == decoded(clip) == list(video.plan.indices)
        video.read_ahead()  # after the first pass nothing more
        assert decoders() == []
        assert numbers(video.segments(start=2)) == list(video.plan.indices)[4:]


@pytest.mark.parametrize("asked", [{"start": 1}, {"resize": ExactResize(32, 16)}])
def test_another_pass_than_the_one_decoded_ahead_is_right(tmp_path, asked):
    clip = media.write_video(tmp_path / "clip.mp4")
    with Video(clip, fps=3, window=2) as video, Video(clip, fps=3, window=2) as other:
        video.read_ahead(ExactResize(64, 64))
        for one, same in zip(video.segments(**asked), other.segments(**asked), strict=True):
            np.testing.assert_array_equal(one.frames, same.frames)
            assert one.index == same.index
