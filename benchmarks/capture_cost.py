"""What a capture costs: time beside the unrecorded run, memory beside eager `output_attentions`.

    python benchmarks/capture_cost.py [CHECKPOINT] [--segments 16] [--size 256]

Recorded are the decision's and all memory tokens' rows of every layer, reduced to key groups, with
all memory tokens computed. The defaults are the tiny recorded checkpoint and noise, on one thread;
recorded and unrecorded runs take turns, and the median of the rounds' ratios is printed with the
smallest and the largest, of a first question and of one whose video is kept. Memory is the peak of
live tensors above that of the same run without recording, both for one segment; eager attention
reads it in one pass and hands out its maps as `output_attentions` does.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # this file is run by its path

import tempo_lab as tl  # noqa: E402
from tempo_lab.session import Session  # noqa: E402

QUESTION = "What color is the moving square?"
SPEC = tl.Capture(attention=tl.Rows(["decision", "memory"]))


def peak(call: Callable[[], Any], device: torch.device) -> float:
    """MiB of tensors that were alive at once at most, beyond those before."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events = profiler.profiler.kineto_results.events()
    changes = sorted(
        (event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"
    )
    return float(np.cumsum([0, *(size for _, size in changes)]).max()) / 2**20


def ask(session: Session, capture: tl.Capture | None, *, first: bool) -> tuple[tl.Trace, float]:
    """A question with all memory tokens: the trace, and seconds.

    Args:
        first: read the video too; else from its kept keys and values.
    """
    if first:
        session.reader.forget()
    session.reader._readings.clear()  # asked anew, recorded or not
    # a CPU's own time is not disturbed by what else runs on it
    on_cpu = session.checkpoint.model.device.type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    start = clock()
    trace = session.ask(QUESTION, strategy="none", max_new_tokens=4, capture=capture)
    if not on_cpu:
        torch.cuda.synchronize()
    return trace, clock() - start


@torch.inference_mode()
def one_pass(tempo: tl.Tempo, session: Session, maps: bool) -> None:
    """The first segment in one pass by eager attention; with its maps kept until the end."""
    compressor, kept = tempo.model.compressor, []
    batch = next(session.reader.batches.stream(0))
    text = compressor.svlm.language_model
    before = text.config._attn_implementation
    text.config._attn_implementation = "eager"

    def keep(module: Any, inputs: Any, output: Any) -> None:
        if maps:
            kept.append(output[1])

    hooks = [layer.self_attn.register_forward_hook(keep) for layer in text.layers]
    try:
        compressor.in_one_pass(
            batch.patches[0],
            batch.grid,
            tempo.prompts.system(),
            batch.videos[0],
            tempo.prompts.question(QUESTION),
        )
    finally:
        text.config._attn_implementation = before
        for hook in hooks:
            hook.remove()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", nargs="?", default=ROOT / "tests/golden/tempo")
    parser.add_argument("--segments", type=int, default=16)
    parser.add_argument("--size", type=int, default=256, help="edge of the square frames in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    base = ROOT / "tests/golden/svlm/qwen3-vl-tiny"
    own = {"base": base} if Path(options.checkpoint).parent == ROOT / "tests/golden" else {}
    tempo = tl.load(options.checkpoint, device=options.device, **own)
    device = tempo.model.device
    with tempfile.TemporaryDirectory() as folder:
        video, single = Path(folder) / "video.npy", Path(folder) / "single.npy"
        shape = (options.segments * 8, options.size, options.size, 3)
        noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        np.save(video, noise)
        np.save(single, noise[:8])
        with tempo.open(video, keep="kv", progress=False) as session:
            plain, recorded = (ask(session, what, first=True)[0] for what in (None, SPEC))
            ratios: dict[bool, list[float]] = {True: [], False: []}
            for _ in range(options.rounds):
                for first, found in ratios.items():
                    both = [ask(session, what, first=first)[1] for what in (SPEC, None)]
                    found.append(both[0] / both[1])
        with tempo.open(single, keep="kv", progress=False) as session:
            # from kept keys and values: the vision tower's peak would hide what recording needs
            ask(session, SPEC, first=True)
            with_, without = (
                peak(partial(ask, session, what, first=False), device) for what in (SPEC, None)
            )
            positions = len(session.prompt(QUESTION))
            maps, none = (
                peak(partial(one_pass, tempo, session, kept), device) for kept in (True, False)
            )
    config = tempo.config.compressor_config.text_config
    same = np.array_equal(plain.data["logit"], recorded.data["logit"])
    print(
        f"{options.segments} segments of {positions} positions, {config.num_hidden_layers} layers, "
        f"{config.num_attention_heads} heads, {tempo.model.dtype}, {device}"
    )
    print(f"same logits and answer: {same and plain.answer == recorded.answer}")
    for first, found in ratios.items():
        which = "first question" if first else "from kept keys and values"
        print(
            f"time, recorded to unrecorded, {which}: {statistics.median(found):.2f} "
            f"({min(found):.2f} to {max(found):.2f})"
        )
    ours, eager = with_ - without, maps - none
    share = ours / eager
    print(
        "peak extra memory of one segment, share of eager output_attentions': "
        f"{share:.3f} ({ours:.2f} of {eager:.2f} MiB)"
    )


if __name__ == "__main__":
    main()
