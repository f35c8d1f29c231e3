"""Checkpoints that would load as something else, never end loading, or not fit into memory."""

from __future__ import annotations

import json
import math
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import tempo_lab as tl
from tempo_lab.common.errors import CheckpointError, TempoLabWarning
from tempo_lab.common.machine import cgroup_free_bytes
from tempo_lab.model import checkpoint
from tempo_lab.model.base_qwen import load_tokenizer
from tempo_lab.model.checkpoint import load_checkpoint
from tempo_lab.model.memory import free_bytes

CPU = torch.device("cpu")


@pytest.fixture
def folder(golden, tmp_path):
    """A copy of the tiny checkpoint, to be changed, beside its base."""
    shutil.copytree(golden / "tempo", tmp_path / "tempo")
    shutil.copytree(golden / "svlm", tmp_path / "svlm")
    return tmp_path / "tempo"


@pytest.fixture
def base(folder):
    return folder.parent / "svlm" / "qwen3-vl-tiny"


def configure(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def retype(folder, dtype, only=""):
    """Store the weights whose names have `only` in them in another dtype."""
    path = folder / "model.safetensors"
    tensors = {k: v.to(dtype) if only in k else v for k, v in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


# What would load as something else


@pytest.mark.parametrize("where", ["tempo", "svlm/qwen3-vl-tiny"])
def test_a_tokenizer_without_its_words_is_refused(folder, where):
    """transformers makes one of tokenizer_config.json that reads every text as nothing."""
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        (folder.parent / where / name).unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer cannot be read[\s\S]*tokenizer\.json"):
        tl.load(folder)


@pytest.mark.parametrize("where", ["tempo", "svlm/qwen3-vl-tiny"])
def test_a_tokenizer_of_a_larger_model_is_refused(folder, where):
    tokenizer = load_tokenizer(folder.parent / where)
    tokenizer.add_tokens([f"<{number}>" for number in range(100)])
    tokenizer.save_pretrained(folder.parent / where)
    with pytest.raises(CheckpointError, match=r"at most 512 tokens[\s\S]*found: 5\d\d in"):
        tl.load(folder)


@pytest.mark.parametrize(
    "content", ["", "[]", "[" * 10**5, '{"a":' * 5000 + "1" + "}" * 5000, "{}"]
)
@pytest.mark.parametrize(
    "name", ["tokenizer.json", "config.json", "tokenizer_config.json", "generation_config.json"]
)
def test_malformed_files_are_one_sentence(folder, name, content):
    if content == "{}" and name in ("tokenizer_config.json", "generation_config.json"):
        content = '{"tokenizer_class": 5, "eos_token_id": "<|im_end|>"}'  # an empty one is allowed
    (folder / name).write_text(content)
    with pytest.raises(CheckpointError):
        tl.load(folder)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("where", ["tempo", "svlm/qwen3-vl-tiny"])
def test_an_adapter_beside_the_weights_is_refused(folder, name, where):
    (folder.parent / where / name).write_text("{}")
    with pytest.raises(CheckpointError, match=f"adapter[\\s\\S]*found: {name}[\\s\\S]*merge"):
        tl.load(folder)


@pytest.mark.parametrize("where", ["tempo", "svlm/qwen3-vl-tiny"])
def test_quantized_weights_are_refused(folder, where):
    configure(folder.parent / where, quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(CheckpointError, match="quantized weights"):
        tl.load(folder)


def test_quantization_is_seen_wherever_it_is_said(folder):
    inner = json.loads((folder / "config.json").read_text()).get("compressor_config") or {}
    configure(folder, compressor_config={**inner, "quantization_config": {}})
    with pytest.raises(CheckpointError, match="quantized weights"):
        tl.load(folder)


@pytest.mark.parametrize("name", ["quantization_config.json", "quantize_config.json"])
def test_a_file_about_quantization_beside_the_weights_is_seen(folder, name):
    (folder / name).write_text("{}")
    with pytest.raises(CheckpointError, match=f"quantized weights[\\s\\S]*found: {name}"):
        tl.load(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rope_theta": 0}, "rope_theta must be above 0, not 0"),
        ({"rope_theta": -1.5}, "rope_theta must be above 0, not -1.5"),
        ({"rms_norm_eps": math.nan}, "rms_norm_eps must be a finite number, not nan"),
    ],
)
@pytest.mark.parametrize("where", ["tempo", "svlm/qwen3-vl-tiny"])
def test_numbers_that_make_every_output_nan_are_refused(folder, where, changes, words):
    configure(folder.parent / where, **changes)
    with pytest.raises(CheckpointError, match=words):
        tl.load(folder)


def test_whole_numbers_are_no_weights(folder):
    retype(folder, torch.int8, only="mlp.up_proj")
    with pytest.raises(CheckpointError, match=r"mlp\.up_proj\.weight is I8, not F64, F32"):
        tl.load(folder)


def test_tensors_that_the_index_leaves_out_are_named(folder):
    keys = [key for key in load_file(folder / "model.safetensors") if "norm" not in key]
    index = {"weight_map": dict.fromkeys(keys, "model.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    tl.load(folder)  # an index that forgets some is not what counts
    index["weight_map"]["model.more.weight"] = "model.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"missing: model\.more\.weight, in model\.safetens"):
        tl.load(folder)


# What would never end


@pytest.mark.parametrize("depth", [100_000, 10**9, 1e9, "many"])
def test_an_absurd_depth_is_refused_before_anything_is_made_of_it(folder, base, depth):
    configure(folder, num_hidden_layers=depth)
    with pytest.raises(CheckpointError, match="num_hidden_layers must be a whole number up to"):
        tl.load(folder)
    configure(folder, num_hidden_layers=2)
    vision = json.loads((base / "config.json").read_text())["vision_config"]
    configure(base, vision_config=vision | {"depth": depth})
    with pytest.raises(CheckpointError, match="depth must be a whole number up to"):
        tl.load(folder)


def test_labels_are_not_made(folder):
    configure(folder, num_labels=10**9)
    tl.load(folder)


@pytest.mark.parametrize(
    ("part", "name", "value", "found"),
    [
        (None, "num_hidden_layers", 999, "999 LLM layers"),
        ("text_config", "num_hidden_layers", 999, "999 SVLM layers"),
        ("vision_config", "depth", 999, "999 vision layers"),
        ("vision_config", "deepstack_visual_indexes", list(range(9999)), "9999 deepstack levels"),
    ],
)
def test_layers_are_counted_in_the_weights_before_they_are_built(
    folder, base, monkeypatch, part, name, value, found
):
    if part is None:
        configure(folder, **{name: value})
    else:
        values = json.loads((base / "config.json").read_text())[part]
        configure(base, **{part: values | {name: value}})

    def build(config):
        raise AssertionError("built before it was checked")

    monkeypatch.setattr(checkpoint, "TempoForConditionalGeneration", build)
    with pytest.raises(CheckpointError, match=f"asked: {found}, by config.json"):
        tl.load(folder)


# What does not fit into memory


def weights_bytes(tiny):
    """Bytes of the tiny weights in float32, those that are read from the Tempo folder."""
    whole = sum(tensor.numel() for tensor in tiny.model.state_dict().values()) * 4
    rows, head = tiny.model.compressor.yes_no_rows, tiny.model.lm_head.weight
    return whole - 4 * (rows.numel() + head.numel())


def test_float32_where_it_fits_and_else_bfloat16_with_a_warning(folder, tiny):
    retype(folder, torch.bfloat16)
    need = weights_bytes(tiny) * 9 // 8
    with warnings.catch_warnings():
        warnings.simplefilter("error", TempoLabWarning)
        assert load_checkpoint(folder, device="cpu", free=need).model.dtype == torch.float32
    with pytest.warns(TempoLabWarning, match="loaded as bfloat16, which has fewer digits"):
        mapped = load_checkpoint(folder, device="cpu", free=need - 1)
    assert mapped.model.dtype == torch.bfloat16


def test_weights_that_are_mapped_from_disk_take_no_memory_of_their_own(folder, tiny):
    """An eighth stays, to compute in; weights that must be converted are counted whole."""
    retype(folder, torch.bfloat16)
    eighth = weights_bytes(tiny) // 2 // 8
    options = {"device": "cpu", "dtype": "bfloat16"}
    mapped = load_checkpoint(folder, free=eighth, **options).model
    start = load_file(folder / "model.safetensors")["model.norm.weight"]
    assert torch.equal(mapped.model.norm.weight, start)
    if (maps := Path("/proc/self/maps")).exists():  # Linux
        assert str(folder / "model.safetensors") in maps.read_text()
    with pytest.raises(CheckpointError, match="does not fit into memory"):
        load_checkpoint(folder, free=eighth - 1, **options)
    retype(folder, torch.float32)
    with pytest.raises(CheckpointError, match="does not fit into memory"):
        load_checkpoint(folder, free=eighth, **options)


@pytest.mark.parametrize(("free", "fix"), [(0.2, 'dtype="bfloat16", which'), (0, "free 0.0 GB")])
def test_what_does_not_fit_is_refused_with_what_would(folder, tiny, free, fix):
    retype(folder, torch.bfloat16)
    with pytest.raises(CheckpointError, match="does not fit into memory") as refused:
        load_checkpoint(folder, device="cpu", dtype="float32", free=int(free * weights_bytes(tiny)))
    assert fix.replace('"', "'") in refused.value.fix


@pytest.mark.parametrize(
    ("line", "files", "left"),
    [
        ("0::/a/b", {"a/b/memory.max": 900, "a/b/memory.current": 700}, 300),
        ("0::/a/b", {"a/b/memory.max": "max", "a/b/memory.current": 700}, math.inf),
        ("0::/a/b", {"a/memory.max": 500, "a/memory.current": 450}, 150),
        ("4:memory:/x", {"memory/x/memory.limit_in_bytes": 800,
                         "memory/x/memory.usage_in_bytes": 800}, 100),
        ("0::/a/b", {}, math.inf),
    ],
)  # fmt: skip
def test_the_limit_of_a_control_group_counts(tmp_path, line, files, left):
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
        (path.parent / "memory.stat").write_text("inactive_file 100\ntotal_inactive_file 100\n")
    (tmp_path / "own").write_text(f"{line}\n")
    assert cgroup_free_bytes(tmp_path, tmp_path / "own") == left
    assert cgroup_free_bytes(tmp_path, Path("/nowhere")) == math.inf


def test_something_is_free_here():
    assert free_bytes(CPU) > 0
