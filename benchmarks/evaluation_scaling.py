"""How an evaluation scales: workers on both engines, decoding per core, the driver per answer.

    python benchmarks/evaluation_scaling.py [engines] [decode] [driver]

* engines: the same questions about copies of one clip, with the embedded model and one thread per
  process, by 1 and by 2 workers on each engine. Printed are ratios of wall time and of videos per
  minute, so the machine must be idle. Loading models is counted, starting Ray is not.
* decode: sampled frames that one core decodes per second, by the processor time of the decoder
  process, from a long recording and from a copy that was made for evaluation.
* driver: processor time of the driver per finished question, with questions that cost nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import psutil

import tempo_lab as tl
from tempo_lab.evaluation.engines import open_engine
from tempo_lab.evaluation.runner import run_on
from tempo_lab.evaluation.store import Store
from tempo_lab.video.resize import ReleasedResize
from tempo_lab.video.video import Video

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "data" / "clips" / "expedition.mp4"
OBJECTS = "star circle square triangle hourglass zebra".split()


def engines(folder: Path, videos: int = 64) -> None:
    """Print wall time and videos per minute of each engine relative to one local worker."""
    lines = ["video,question,answer"]
    for number in range(videos):
        (folder / f"{number}.mp4").symlink_to(CLIP)
        lines += [f"{number}.mp4,What color is the {name}?,red" for name in OBJECTS]
    (folder / "questions.csv").write_text("\n".join(lines))
    table = tl.datasets.table(folder / "questions.csv")
    seconds = {}
    for engine in ("local", "ray"):
        with open_engine(engine, {}, 2):  # a Ray that both runs on it use
            for workers in (1, 2):
                began = time.perf_counter()
                tl.evaluate("nano", table, out=folder / f"{engine}{workers}", engine=engine,
                            workers=workers, budgets=[64], progress=False)  # fmt: skip
                seconds[engine, workers] = time.perf_counter() - began
    base = seconds["local", 1]
    print("engine  workers  wall time  videos per minute")
    for (engine, workers), each in seconds.items():
        print(f"{engine:6}  {workers:7}  {each / base:9.2f}  {base / each:17.2f}")


def decode(folder: Path) -> None:
    """Print the frames per second of one core."""
    for name, (width, height), fps, seconds in (
        ("recording, 1920x1080 at 30 fps", (1920, 1080), 30, 8),
        ("copy, 512x288 at 2 fps", (512, 288), 2, 120),
    ):
        path = folder / f"{width}.mp4"
        make_video(path, width, height, fps, seconds)
        with Video(path, max_frames=10**6) as video:
            process = psutil.Process(video._waiting.pid)  # type: ignore[union-attr]
            sampled, used = 0, 0.0
            before = sum(process.cpu_times()[:2])
            for segment in video.segments(ReleasedResize()):
                sampled += len(segment.frames)
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    used = sum(process.cpu_times()[:2]) - before
        print(f"{name}: {sampled} sampled of {fps * seconds} frames in {used:.2f} core seconds, "
              f"{fps * seconds / used:.0f} source frames and {sampled / used:.0f} sampled frames "
              "per core second")  # fmt: skip


def make_video(path: Path, width: int, height: int, fps: int, seconds: int) -> None:
    """H.264 at medium settings: smooth moving shapes and a little noise, a key frame per 250."""
    draw = np.random.default_rng(0)
    noise = draw.integers(0, 12, (height, width, 3), dtype=np.uint8)
    rows, columns = np.mgrid[:height, :width]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = 250
        waves = (100 + 60 * np.sin(columns / 40) + 60 * np.cos(rows / 25)).astype(np.uint8)
        for number in range(fps * seconds):
            image = np.roll(waves, number * 4, axis=1)[..., None] + np.roll(noise, number, axis=0)
            frame = av.VideoFrame.from_ndarray(image.astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@dataclass(frozen=True)
class FreeJob:
    """Questions that cost nothing, each with three rows as large as real ones."""

    name: str
    questions: int = 50

    def keys(self, models):
        arms = ("head 8192", "uniform 8192", "topk 8192")
        return [(self.name, item, "model", arm) for item in range(self.questions) for arm in arms]


def free(job, models, done) -> Iterator[list[dict]]:
    """Yield the rows of each question."""
    keys = job.keys(models)
    for first in range(0, len(keys), 3):
        yield [
            {**dict(zip(("video", "item", "model", "arm"), key, strict=True)), "said": "x" * 600}
            for key in keys[first : first + 3]
        ]


def driver(folder: Path, videos: int = 20) -> None:
    """Print the processor time of the driver per question."""
    jobs = [FreeJob(f"video {number}") for number in range(videos)]
    questions = sum(job.questions for job in jobs)
    for engine in ("local", "ray"):
        with open_engine(engine, {}, 2) as opened:
            store = Store(folder / f"driver {engine}", {})
            run_on(opened, jobs[:1], free, store, progress=False)  # starts the workers
            began = time.process_time()
            run_on(opened, jobs, free, store, progress=False)
            each = (time.process_time() - began) / (questions - jobs[0].questions)
        print(f"{engine}: {each * 1000:.2f} ms per question and driver core, "
              f"{1 / each:.0f} questions per second")  # fmt: skip
    print(f"a row has {store.path.stat().st_size / questions / 3:.0f} bytes")


if __name__ == "__main__":
    # Workers import this file by its name.
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = str(ROOT)
    from benchmarks.evaluation_scaling import decode, driver, engines

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["engines", "decode", "driver"])
    for part in parser.parse_args().parts:
        with tempfile.TemporaryDirectory() as name:
            {"engines": engines, "decode": decode, "driver": driver}[part](Path(name))
        sys.stdout.flush()
