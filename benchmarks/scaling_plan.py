"""Compute the plan in docs/scaling.md: videos per hour, cores and bytes for 8 and 1,000 GPUs.

    python benchmarks/scaling_plan.py [--decoded N] [--copied N] [--utilization 0.35]

Nothing is measured here. Every assumption is a named number below, with its source.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

# Work of the released model for 1024 frames of 512x256, in TFLOP: arithmetic from its sizes. The
# sum of vision, SVLM prompt, memory tokens and LLM prefill at budget 8192; and of a second question
# about a video whose keys and values are cached. Answers of 16 tokens add less than 1 %.
FIRST_QUESTION = 185.5 + 237.3 + 48.8 + 92.6
SECOND_QUESTION = 35.0 + 92.6
GPU_TFLOPS = 989.4  # NVIDIA's data sheet of H100 SXM and H200 SXM: bfloat16, dense
FRAMES = 1024  # sampled from each video, as in the published runs
FRAME_BYTES = 512 * 256 * 3
PARAMETER_BYTES = 6e9 * 2  # about 6 billion parameters in bfloat16
CACHE_BYTES = 9.0e9  # keys and values of one video in bfloat16
SOURCE_FPS = 30  # assumed: of a recording
SOURCE_BITS = 2.5e6  # assumed: per second of a recording at 1920x1080
COPY_BITS = 0.15e6  # assumed: per frame of a copy of 512x288 that holds only the sampled frames
ROW_BYTES = 700  # of answers.jsonl, about
GPUS_PER_NODE, CORES_PER_GPU = 8, 24  # assumed: two processors of 96 cores per node
DECODING_THREADS = 4  # of one decoder process (tempo_lab/video/decoders/container.py: THREADS)
FORWARD_SHARE = 0.75  # of source frames that are decoded where two samples are in each 250 frames


@dataclass(frozen=True)
class Work:
    """A dataset: mean length of its videos in seconds, questions about each, arms of each."""

    name: str
    seconds: float
    questions: int
    arms: int = 1


WORKS = (Work("long", 4101, 15), Work("medium", 1000, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decoded", type=float, required=True,
                        help="source frames of 1920x1080 per core second")  # fmt: skip
    parser.add_argument("--copied", type=float, required=True,
                        help="frames of a copy of 512x288 per core second")  # fmt: skip
    parser.add_argument("--utilization", type=float, default=0.35, help="of the GPU's peak")
    options = parser.parse_args()
    for work in WORKS:
        tflop = FIRST_QUESTION + (work.questions - 1) * SECOND_QUESTION
        gpu_seconds = tflop / (GPU_TFLOPS * options.utilization)
        print(f"\n{work.name}: {work.seconds:g} s, {work.questions} questions, {tflop:.0f} TFLOP, "
              f"{gpu_seconds:.2f} GPU seconds per video")  # fmt: skip
        decoded = FORWARD_SHARE * work.seconds * SOURCE_FPS
        sampled = min(2 * work.seconds, FRAMES)
        for source, core_seconds, bits in (
            ("recording", decoded / options.decoded, work.seconds * SOURCE_BITS),
            ("copy", sampled / options.copied, sampled * COPY_BITS),
        ):
            print(f"  {source}: {core_seconds:.1f} core seconds per video; "
                  f"{core_seconds / gpu_seconds:.1f} cores keep a GPU busy")  # fmt: skip
            for cores in (DECODING_THREADS, CORES_PER_GPU):
                seconds = max(gpu_seconds, core_seconds / cores)
                for gpus in (8, 1000):
                    each_second = gpus / seconds
                    read = each_second * bits / 8
                    answers = each_second * work.questions * work.arms
                    print(f"    {cores:2} cores decode per GPU, {gpus:4} GPUs: "
                          f"{3600 * each_second:9,.0f} videos per hour, "
                          f"GPUs busy {gpu_seconds / seconds:.0%}, {read / 1e9:.2f} GB/s read, "
                          f"{answers:.1f} answers and {answers * ROW_BYTES / 1e3:.0f} kB of rows "
                          "per second")  # fmt: skip
    terabytes = 1000 * PARAMETER_BYTES / 1e12
    print(f"\nframes of one video, resized: {FRAMES * FRAME_BYTES / 1e9:.2f} GB; weights: "
          f"{PARAMETER_BYTES / 1e9:.0f} GB per GPU, {terabytes:.0f} TB for 1,000 GPUs, "
          f"{terabytes / GPUS_PER_NODE:.1f} TB once per node")  # fmt: skip


if __name__ == "__main__":
    main()
