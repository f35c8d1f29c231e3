"""What a capture costs: time relative to the unrecorded run, memory to eager `output_attentions`.

    python benchmarks/capture_cost.py [CHECKPOINT or nano] [--segments 16] [--size 256]

Recorded are the decision's and all memory tokens' rows of every layer, reduced to key groups, with
all memory tokens computed; and once more through nnsight (`by_nnsight.py`), which must find the
same numbers. nnsight is not among what `make setup` installs; without it the script says how to get
it and goes on.

The defaults are the tiny recorded checkpoint and noise, on one thread; recorded and unrecorded runs
take turns, and the median of the rounds' ratios is printed with the smallest and the largest, of a
first question and of one whose video is kept. Memory is the peak of live tensors above that of the
same run without recording, all for one segment; eager attention reads it in one pass and hands out
its maps as `output_attentions` does.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # this file is run by its path

import tempo_lab as tl  # noqa: E402
from tempo_lab.common.errors import UnfamiliarVideoWarning  # noqa: E402
from tempo_lab.session.session import Session  # noqa: E402

try:
    from by_nnsight import ByNNsight
except ImportError as error:
    ByNNsight, MISSING = None, error

QUESTION = "What color is the star?"  # in words that nano knows too
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


def ask(session: Session, capture: tl.Capture | None, first: bool) -> tl.Trace:
    """A question with all memory tokens.

    Args:
        first: read the video too; else from its kept keys and values.
    """
    if first:
        session.engine.forget()
    session.engine._questions.clear()  # asked again, recorded or not
    return session.ask(QUESTION, strategy="none", max_new_tokens=4, capture=capture)


def seconds(call: Callable[[], Any], device: torch.device) -> float:
    """What a call takes."""
    # a CPU's own time is not disturbed by what else runs on it
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    start = clock()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start


@torch.inference_mode()
def one_pass(tempo: tl.Tempo, session: Session, maps: bool) -> None:
    """The first segment in one pass by eager attention; with its maps kept until the end."""
    compressor, kept = tempo.model.compressor, []
    batch = next(session.engine.batches.stream(0))
    text = compressor.svlm.language_model
    before = text.config._attn_implementation
    text.config._attn_implementation = "eager"

    def cache(module: Any, inputs: Any, output: Any) -> None:
        if maps:
            kept.append(output[1])

    hooks = [layer.self_attn.register_forward_hook(cache) for layer in text.layers]
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


def load(options: argparse.Namespace) -> tl.Tempo:
    """The model that was asked for."""
    base = ROOT / "tests/golden/svlm/qwen3-vl-tiny"
    own = {"base": base} if Path(options.checkpoint).parent == ROOT / "tests/golden" else {}
    return tl.load(options.checkpoint, device=options.device, **own)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", nargs="?", default=ROOT / "tests/golden/tempo")
    parser.add_argument("--segments", type=int, default=16)
    parser.add_argument("--size", type=int, default=256, help="edge of the square frames in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UnfamiliarVideoWarning)  # noise is strange to nano
    tempo = load(options)
    device = tempo.model.device
    # nnsight changes a model's modules for good: a model of its own
    other = None if ByNNsight is None else load(options)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        video, single = Path(folder) / "video.npy", Path(folder) / "single.npy"
        shape = (options.segments * 8, options.size, options.size, 3)
        noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        np.save(video, noise)
        np.save(single, noise[:8])

        def arms_on(path: Path) -> tuple[Session, dict[str, Callable[[bool], Any]]]:
            """What is compared, each to be told whether the video is read too."""
            opened = stack.enter_context(tempo.open(path, cache="kv", progress=False))
            arms: dict[str, Callable[[bool], Any]] = {
                "unrecorded": partial(ask, opened, None),
                "recorded": partial(ask, opened, SPEC),
            }
            if other is not None:
                through = stack.enter_context(other.open(path, cache="kv", progress=False))
                arms["through nnsight"] = ByNNsight(through, QUESTION, ask)
            return opened, arms

        _, arms = arms_on(video)
        plain, recorded, *through = (arm(True) for arm in arms.values())
        times: dict[bool, list[dict[str, float]]] = {True: [], False: []}
        for _ in range(options.rounds):
            for first, rounds in times.items():
                rounds.append({k: seconds(partial(arm, first), device) for k, arm in arms.items()})

        session, arms = arms_on(single)
        mib: dict[str, float] = {}
        for name, arm in arms.items():
            arm(True)
            # from kept keys and values: the vision tower's peak would hide what recording needs
            mib[name] = peak(partial(arm, False), device)
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
    if other is None:
        print(f"without nnsight ({MISSING}); with it: pip install -c constraints.txt -e '.[bench]'")
    else:
        off = float(np.abs(through[0] - recorded.data["attention"].values).max())
        print(f"nnsight finds the same attention: {off <= 1e-5} (off by {off:.1g} at most)")
    for first, rounds in times.items():
        which = "first question" if first else "from kept keys and values"
        for name in list(arms)[1:]:
            ratios = [took[name] / took["unrecorded"] for took in rounds]
            print(
                f"time, {name} to unrecorded, {which}: {statistics.median(ratios):.2f} "
                f"({min(ratios):.2f} to {max(ratios):.2f})"
            )
    for name in list(arms)[1:]:
        extra = mib[name] - mib["unrecorded"]
        print(
            f"peak extra memory of one segment, {name}, share of eager output_attentions': "
            f"{extra / (maps - none):.3f} ({extra:.2f} of {maps - none:.2f} MiB)"
        )


if __name__ == "__main__":
    main()
