"""First and second question about one video, relative to a plain implementation: time and memory.

    python benchmarks/first_and_second_question.py [CHECKPOINT] [--segments 32] [--size 256]

The defaults are the tiny recorded checkpoint and 32 segments of 8 frames at 256x256, on one thread.
Each path runs in processes of its own, in turn, so that neither warms the other and what else the
machine does hits both. Of the ratios of each round the median is printed, with the smallest and the
largest: of wall time, and of the processor time that our process and its decoder took together,
which other work hardly lengthens. Memory is the peak above what was resident after importing and
loading.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parent.parent
FIRST, SECOND = "What color is the moving square?", "When does the red circle appear?"
NEW_TOKENS = 8
PARALLEL = "resize and patches (own thread, in parallel)"


def resident() -> float:
    """MiB resident now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def peak() -> float:
    """MiB resident at most so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


class DecoderWatch(threading.Thread):
    """Notes the largest memory of the decoder's process while it lives, in MiB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0.0
        self._decoders = psutil.Process().children()
        self.start()

    def run(self) -> None:
        with suppress(psutil.Error):  # it has ended
            while True:
                now = sum(decoder.memory_info().rss for decoder in self._decoders)
                self.most = max(self.most, now / 2**20)
                time.sleep(0.02)


def spent() -> dict[str, float]:
    """Seconds so far: on the wall, and of processor time with ended children's."""
    usage = [resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "wall": time.perf_counter(),
        "processor": sum(one.ru_utime + one.ru_stime for one in usage),
    }


def since(start: dict[str, float]) -> dict[str, float]:
    """Seconds that passed since `spent` gave `start`."""
    return {clock: now - start[clock] for clock, now in spent().items()}


def run(path: str, checkpoint: Path, video: Path) -> dict[str, Any]:
    """One path in this process: times, peak memory, answers, breakdown."""
    import torch

    torch.set_num_threads(1)
    sys.path.insert(0, str(ROOT))
    import tempo_lab as tl
    from benchmarks import plain

    tempo = tl.load(checkpoint, device="cpu")
    before, decoder = resident(), 0.0
    result: dict[str, Any] = {}
    if path == "plain":
        start = spent()
        wrote = plain.plain_answer(
            tempo.checkpoint, video, FIRST, budget=8192, max_new_tokens=NEW_TOKENS
        )
        result["first"] = since(start)
        result["ids"], result["stages"] = wrote.ids.tolist(), plain.STAGES
    else:
        stages = timed_stages()
        start = spent()
        with tempo.open(video, progress=False) as session:
            watch = DecoderWatch()
            first = session.ask(FIRST, max_new_tokens=NEW_TOKENS)
            result["first"] = since(start)
            result["stages"] = dict(stages)
            stages.clear()
            start = spent()
            session.ask(SECOND, max_new_tokens=NEW_TOKENS)
            result["second"] = since(start)
            result["second stages"] = dict(stages)
        result["text"], decoder = first.answer, watch.most
    result["memory"] = peak() - before
    result["with decoder"] = result["memory"] + decoder
    result["text"] = (
        result.get("text")
        or tempo.prompts.llm.decode(result["ids"], skip_special_tokens=True).strip()
    )
    return result


def timed_stages() -> dict[str, float]:
    """Time the public calls of our path by wrapping them, in this process only."""
    from tempo_lab.model.compressor import Compressor
    from tempo_lab.session import session
    from tempo_lab.session.micro_batches import MicroBatcher

    stages: dict[str, float] = {}

    def timed(owner: Any, name: str, label: str) -> None:
        call = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                stages[label] = stages.get(label, 0.0) + time.perf_counter() - start

        setattr(owner, name, wrapped)

    timed(MicroBatcher, "patches", PARALLEL)
    timed(Compressor, "encode_vision", "vision")
    timed(Compressor, "prefix", "SVLM prefix")
    timed(Compressor, "relevance", "SVLM question")
    timed(Compressor, "memory", "SVLM memory tokens")
    timed(session, "answer", "LLM")
    return stages


def child(path: str, checkpoint: Path, video: Path) -> dict[str, Any]:
    """Run one path in a process of its own."""
    command = [sys.executable, __file__, str(checkpoint), "--path", path, "--video", str(video)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", nargs="?", type=Path, default=ROOT / "tests/golden/tempo")
    parser.add_argument("--segments", type=int, default=32)
    parser.add_argument("--size", type=int, default=256, help="edge of the square frames in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    parser.add_argument("--video", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.path:
        print(json.dumps(run(options.path, options.checkpoint, options.video)))
        return
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "video.npy"
        shape = (options.segments * 8, options.size, options.size, 3)
        np.save(video, np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
        rounds = [
            (child("plain", options.checkpoint, video), child("tempo", options.checkpoint, video))
            for _ in range(options.rounds)
        ]
    plain, ours = zip(*rounds, strict=True)

    def show(label: str, ratios: list[float]) -> None:
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{label}: {statistics.median(ratios):.2f} ({spread})")

    print(f"{options.segments} segments of 8 frames, {options.size}x{options.size}, one thread")
    print(f"same answer: {all(p['text'] == t['text'] for p, t in rounds)}")
    for clock in ("wall", "processor"):
        show(
            f"first answer, times less {clock} time than the plain path",
            [p["first"][clock] / t["first"][clock] for p, t in rounds],
        )
        show(
            f"second answer, times less {clock} time than the first",
            [t["first"][clock] / t["second"][clock] for t in ours],
        )
    for label, key in (
        ("peak memory, share of the plain path's", "memory"),
        ("peak memory with the decoder's process", "with decoder"),
    ):
        show(label, [t[key] / p["memory"] for p, t in rounds])
    for name, results, key in (
        ("plain, first", plain, "stages"),
        ("Tempo Lab, first", ours, "stages"),
        ("Tempo Lab, second", ours, "second stages"),
    ):
        which = "second" if "second" in name else "first"
        parts = {
            part: statistics.median(
                result[key].get(part, 0.0) / result[which]["wall"] for result in results
            )
            for part in results[0][key]
        }
        parts["other"] = 1 - sum(share for part, share in parts.items() if part != PARALLEL)
        shares = ", ".join(f"{part} {share:.0%}" for part, share in parts.items())
        print(f"{name}: {shares}")


if __name__ == "__main__":
    main()
