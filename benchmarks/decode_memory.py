"""Peak memory and time of decoding a long video relative to a short one (aim: at most 1.3 times).

    python benchmarks/decode_memory.py [--minutes 5 60] [--size 256 144] [--decoder pyav]

Makes the files itself (one encoded minute, its packets repeated), decodes 1024 samples of each in
the way a session does, and prints the peak resident memory of the caller and of the decoder child,
and the ratio of their sums. Each file is measured in a fresh interpreter. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import psutil


def make_video(path: Path, minutes: float, width: int, height: int, fps: int = 30) -> None:
    """H.264, a key frame every 250 frames; a minute is encoded, and repeated."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = 250
        unit = round(min(1.0, minutes) * 60 * fps)
        noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
        packets = []
        for number in range(unit):
            frame = av.VideoFrame.from_ndarray(np.roll(noise // 4, number, axis=1), format="rgb24")
            packets += stream.encode(frame)
        packets += stream.encode()
        data = [(bytes(p), p.pts, p.dts, p.is_keyframe, p.time_base) for p in packets]
        for repeat in range(round(minutes * 60 * fps / unit)):
            for payload, pts, dts, key, base in data:
                shift = round(repeat * unit / fps / base)
                packet = av.Packet(payload)
                packet.stream, packet.time_base, packet.is_keyframe = stream, base, key
                packet.pts, packet.dts = pts + shift, dts + shift
                container.mux(packet)


def peak(pid: int) -> float:
    """Largest resident memory so far, MiB. (getrusage would count what forked the process, too.)"""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0  # it has just ended


def measure(path: str, decoder: str) -> dict[str, float]:
    """Decodes every segment; peaks in MiB, of this process and of its child."""
    from tempo_lab.video.resize import ExactResize
    from tempo_lab.video.video import Video

    begin, frames, child = time.perf_counter(), 0, 0.0
    with Video(path, decoder=decoder) as video:
        opened = time.perf_counter() - begin
        (process,) = psutil.Process().children()
        for segment in video.segments(ExactResize(128, 96)):
            frames += len(segment.frames)
            if process.is_running():
                child = max(child, peak(process.pid))
    return {
        "frames": frames,
        "open": opened,
        "seconds": time.perf_counter() - begin,
        "caller": peak(os.getpid()),
        "child": child,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, nargs=2, default=[5, 60])
    parser.add_argument("--size", type=int, nargs=2, default=[256, 144])
    parser.add_argument("--decoder", nargs="+", default=["pyav", "decord"])
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.decoder[0])))
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for minutes in options.minutes:
            paths.append(Path(folder) / f"{minutes:g}min.mp4")
            make_video(paths[-1], minutes, *options.size)
        for decoder in options.decoder:
            sums = []
            for path in paths:
                command = [sys.executable, __file__, "--measure", str(path), "--decoder", decoder]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                row = json.loads(done.stdout)
                sums.append(row["caller"] + row["child"])
                print(
                    f"{decoder:8} {path.name:12} {row['frames']:5} frames  opened in "
                    f"{row['open']:5.1f} s, all in {row['seconds']:5.1f} s  peak "
                    f"{row['caller']:4.0f} + {row['child']:4.0f} MiB"
                )
            print(f"{decoder:8} memory, long to short: {sums[1] / sums[0]:.2f} (aim: 1.30)")


if __name__ == "__main__":
    main()
