"""Reading and writing checkpoints in the released format."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

import tempo_lab as tl
from tempo_lab.common.errors import CheckpointError
from tempo_lab.model import TempoConfig, TempoForConditionalGeneration
from tempo_lab.model.checkpoint import load_checkpoint
from tempo_lab.model.hub import weight_files

BASE = "svlm/qwen3-vl-tiny"
TOWER = "model.vision_tower_aux_list.0."


@pytest.fixture
def folder(golden, tmp_path):
    """A copy of the tiny checkpoint, to be changed, beside its base."""
    shutil.copytree(golden / "tempo", tmp_path / "tempo")
    shutil.copytree(golden / "svlm", tmp_path / "svlm")
    return tmp_path / "tempo"


def rewrite(folder, change):
    """Change the tensors of a checkpoint in place."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def logit(model, seed=0):
    """A number that depends on the LLM and on the relevance rows."""
    torch.manual_seed(seed)
    state = torch.randn(64)
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        return model(input_ids=ids).logits[0, -1, :5], model.compressor.logit(state)


def test_the_base_is_found_where_the_configuration_leads(folder, tiny):
    loaded = tl.load(folder, device="cpu:0")
    assert torch.equal(loaded.model.compressor.yes_no_rows, tiny.model.compressor.yes_no_rows)
    assert loaded.slots == 128


def test_only_two_rows_of_the_base_are_read(folder, tiny):
    key = "model.language_model.embed_tokens.weight"
    base = folder.parent / BASE
    rewrite(base, lambda tensors: [tensors.pop(name) for name in list(tensors) if name != key])
    loaded = tl.load(folder, base=base, device="cpu")
    assert torch.equal(loaded.model.compressor.yes_no_rows, tiny.model.compressor.yes_no_rows)


def test_an_untied_base_gives_the_rows_of_its_output_head(folder):
    base = folder.parent / BASE
    rows = torch.randn(512, 64)
    rewrite(base, lambda tensors: tensors.update({"lm_head.weight": rows}))
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    loaded = tl.load(folder, base=base, device="cpu")
    assert torch.equal(loaded.model.compressor.yes_no_rows, rows[[282, 274]])


def test_a_missing_base_is_an_error_that_says_what_to_pass(folder):
    shutil.rmtree(folder.parent / "svlm")
    with pytest.raises(CheckpointError, match=r"base=<folder of the base Qwen3-VL>"):
        tl.load(folder)


def test_missing_extra_and_misshapen_keys_are_named(folder):
    def spoil(tensors):
        tensors["model.extra.weight"] = torch.zeros(1)
        del tensors["model.norm.weight"]
        tensors[f"{TOWER}compression_tokens"] = torch.zeros(1, 64, 64)

    rewrite(folder, spoil)
    with pytest.raises(CheckpointError) as caught:
        tl.load(folder)
    message = str(caught.value)
    assert "missing: model.norm.weight" in message
    assert "extra: model.extra.weight" in message
    assert f"wrong shape: {TOWER}compression_tokens is (1, 64, 64), not (1, 128, 64)" in message


def test_leftovers_of_released_training_are_ignored(folder, tiny):
    def add(tensors):
        tensors[f"{TOWER}linear_layer.weight"] = torch.randn(1, 64)
        tensors["lm_head.weight"] = torch.randn(512, 80)  # tied: the embedding wins

    rewrite(folder, add)
    for found, expected in zip(logit(tl.load(folder).model), logit(tiny.model), strict=True):
        assert torch.equal(found, expected)


def test_sharded_weights(folder, tiny):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    halves = {
        "model-00001-of-00002.safetensors": names[:60],
        "model-00002-of-00002.safetensors": names[60:],
    }
    for name, keys in halves.items():
        save_file({key: tensors[key] for key in keys}, folder / name)
    index = {"weight_map": {key: name for name, keys in halves.items() for key in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for found, expected in zip(logit(tl.load(folder).model), logit(tiny.model), strict=True):
        assert torch.equal(found, expected)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"unreadable: model-00002-of-00002"):
        tl.load(folder)


def test_an_index_cannot_lead_out_of_the_folder(folder):
    index = {"weight_map": {"model.norm.weight": "../../etc/passwd"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="file names with a path"):
        weight_files(folder)


def test_truncated_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        tl.load(folder)


@pytest.mark.parametrize("name", ["tempo", "tempo_linear"])
def test_a_saved_folder_needs_no_base(golden, tmp_path, name):
    original = tl.load(golden / name, base=golden / BASE, device="cpu")
    original.save_pretrained(tmp_path / "saved")
    again = tl.load(tmp_path / "saved", device="cpu")
    for found, expected in zip(logit(again.model), logit(original.model), strict=True):
        assert torch.equal(found, expected)
    question = "<|im_end|> what?"
    assert (again.prompts.question(question).ids == original.prompts.question(question).ids).all()


def test_plain_transformers_code_loads_it(golden, tmp_path, tiny):
    assert isinstance(AutoConfig.from_pretrained(golden / "tempo"), TempoConfig)
    tiny.save_pretrained(tmp_path)
    for model in (
        AutoModelForCausalLM.from_pretrained(tmp_path),
        AutoModelForCausalLM.from_pretrained(golden / "tempo"),
        TempoForConditionalGeneration.from_pretrained(golden / "tempo", base=golden / BASE),
    ):
        assert isinstance(model, TempoForConditionalGeneration)
        for found, expected in zip(logit(model), logit(tiny.model), strict=True):
            assert torch.allclose(found, expected, atol=1e-6)


def test_rope_rounds_the_frequencies_and_nothing_else(golden):
    options = {"base": golden / BASE, "device": "cpu"}
    correct = load_checkpoint(golden / "tempo", **options).model
    released = load_checkpoint(golden / "tempo", rope="released", **options).model
    for a, b in zip(correct.parameters(), released.parameters(), strict=True):
        assert torch.equal(a, b)
    a, b = correct.model.rotary_emb.inv_freq, released.model.rotary_emb.inv_freq
    assert b.dtype == torch.float32
    assert torch.equal(b, a.to(torch.bfloat16).float())
    assert not torch.equal(a, b)
    with pytest.raises(CheckpointError, match="correct, released"):
        load_checkpoint(golden / "tempo", rope="other", **options)


def test_half_precision_keeps_the_rotary_frequencies_exact(golden):
    model = tl.load(golden / "tempo", base=golden / BASE, dtype="bfloat16", device="cpu").model
    assert model.dtype == torch.bfloat16
    assert model.model.rotary_emb.inv_freq.dtype == torch.float32
    assert model.compressor.svlm.language_model.rotary_emb.inv_freq.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float8"}, "unknown dtype"),
        ({"device": "toaster"}, "cpu, cuda, mps"),
        ({"device": "gpu"}, "cpu, cuda, mps"),
        ({"device": "cpu:x"}, "this device cannot be used"),
        ({"rope": "release"}, "did you mean 'released'"),
    ],
)
def test_impossible_places(golden, options, message):
    with pytest.raises(CheckpointError, match=message) as error:
        tl.load(golden / "tempo", base=golden / BASE, **options)
    assert len(str(error.value)) < 250


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/such/folder", "no such checkpoint"),
        ("./nowhere", "no such checkpoint"),
        ("Nano", "did you mean 'nano'"),
        (".", "config.json cannot be read"),
    ],
)
def test_what_is_no_checkpoint_is_refused(golden, monkeypatch, name, message):
    monkeypatch.chdir(golden)
    with pytest.raises(CheckpointError, match=message):
        tl.load(name)


@pytest.mark.parametrize("model_type", ["qwen3", "qwen3_vl_moe", None])
def test_another_model_is_refused(tmp_path, model_type):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(CheckpointError, match="neither a Tempo checkpoint nor a plain Qwen3-VL"):
        tl.load(tmp_path)


@pytest.mark.parametrize("name", [None, 5, b"nano", ["nano"], ""])
def test_what_is_no_path_is_refused(tiny, golden, name):
    for call in (tl.load, tiny.save_pretrained):
        with pytest.raises(CheckpointError, match="a checkpoint has a name or a path"):
            call(name)
    if name is not None:
        with pytest.raises(CheckpointError, match="a checkpoint has a name or a path"):
            tl.load(golden / "tempo", base=name)


def test_a_hub_name_goes_to_the_hub_s_own_client(monkeypatch, golden):
    asked = []

    def download(name, *, revision, **options):
        asked.append((name, revision))
        return str(golden / ("tempo" if name.endswith("Tempo-6B") else BASE))

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    name, base = "Vision-CAIR/Tempo-6B", "Qwen/Qwen3-VL-2B-Instruct"
    loaded = tl.load(name, base=base, device="cpu")
    assert asked == [(name, None), (base, None)]
    assert loaded.checkpoint.name == name
    assert loaded.checkpoint.revision is None


def test_a_revision_of_a_hub_name_is_fetched_and_recorded(
    monkeypatch, golden, tmp_path, frames_file
):
    """The commit, where the hub's cache shows it; else what was asked for."""
    cached = tmp_path / "models--Vision-CAIR--Tempo-6B" / "snapshots" / "0a1b2c"
    shutil.copytree(golden / "tempo", cached)
    places = iter([golden / "tempo", cached])

    def download(name, *, revision, **options):
        assert (name, revision) == ("Vision-CAIR/Tempo-6B", "v1.0")
        return str(next(places))

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for recorded in ("v1.0", "0a1b2c"):
        tempo = tl.load("Vision-CAIR/Tempo-6B", revision="v1.0", base=golden / BASE, device="cpu")
        trace = tempo.ask(frames_file, "What?", budget=48, max_new_tokens=1)
        assert trace.provenance["revision"] == recorded


@pytest.mark.parametrize("name", ["nano", "tempo"])
def test_a_folder_has_no_revision(golden, monkeypatch, name):
    monkeypatch.chdir(golden)
    with pytest.raises(CheckpointError, match="only a hub name has revisions"):
        tl.load(name, revision="v1.0")


def test_a_hub_that_cannot_be_reached_is_one_sentence(monkeypatch):
    def download(name, **options):
        raise OSError("no connection")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(CheckpointError, match="no connection"):
        tl.load("Vision-CAIR/Tempo-6B")


def test_a_local_folder_never_reaches_for_the_network(folder, monkeypatch):
    def download(name, *, local_files_only, **options):
        assert local_files_only
        raise OSError("not in the cache")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    config = json.loads((folder / "config.json").read_text())
    config["mm_vision_tower_aux_list"] = ["Qwen/Qwen3-VL-2B-Instruct"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="not in the cache"):
        tl.load(folder)


def test_saving_over_a_sharded_folder_leaves_no_old_weights(folder, tiny):
    index = {"weight_map": {"model.norm.weight": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    tiny.save_pretrained(folder)
    for found, expected in zip(logit(tl.load(folder).model), logit(tiny.model), strict=True):
        assert torch.equal(found, expected)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["svlm", "tempo"]


def test_a_place_that_cannot_be_written_is_one_sentence(tiny, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="cannot be saved"):
        tiny.save_pretrained(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_the_digest_knows_weights_rows_and_rope(folder, tiny):
    digests = {tiny.checkpoint.digest, tl.load(folder, rope="released").checkpoint.digest}
    base = folder.parent / BASE
    key = "model.language_model.embed_tokens.weight"
    rewrite(base, lambda tensors: tensors.update({key: -tensors[key]}))
    digests.add(tl.load(folder).checkpoint.digest)
    rewrite(folder, lambda tensors: tensors["model.norm.weight"].mul_(2))
    digests.add(tl.load(folder).checkpoint.digest)
    assert len(digests) == 4


def test_no_code_of_a_checkpoint_is_run(folder, tmp_path, tiny):
    evil = "open('pwned', 'w')\n"
    (folder / "evil.py").write_text(evil)
    for name in ("tokenizer_config.json", "config.json"):
        values = json.loads((folder / name).read_text())
        values["auto_map"] = {"AutoTokenizer": ["evil.T", None], "AutoConfig": "evil.C"}
        values["attn_implementation"] = "owner/kernel"
        (folder / name).write_text(json.dumps(values))
    try:
        loaded = tl.load(folder)
    except CheckpointError:
        return
    assert loaded.model.config._attn_implementation == "sdpa"
    assert not (folder / "pwned").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": -1},
        {"num_attention_heads": 0},
        {"hidden_act": "nope"},
        {"mm_projector_type": "nope"},
        {"tokenizer_model_max_length": -5},
        {"segment_frames": 0},
        {"min_tokens": -3},
        {"compressor_config": 5},
    ],
)
def test_a_configuration_without_meaning_is_refused(folder, change):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | change))
    with pytest.raises(CheckpointError):
        tl.load(folder)


@pytest.mark.parametrize("size", [[100, 100], [96], [0, 0]])
def test_a_frame_size_that_cannot_be_cut_into_patches(tiny, tmp_path, size):
    tiny.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"frame_size": size}))
    with pytest.raises(CheckpointError, match="frame_size"):
        tl.load(tmp_path)


def test_a_copied_folder_without_its_second_tokenizer(tiny, tmp_path):
    tiny.save_pretrained(tmp_path)
    shutil.rmtree(tmp_path / "compressor")
    with pytest.raises(CheckpointError, match="lacks the SVLM's tokenizer"):
        tl.load(tmp_path)


def test_plain_transformers_refuses_a_checkpoint_without_relevance_rows(tiny, tmp_path):
    tiny.save_pretrained(tmp_path)
    rewrite(tmp_path, lambda tensors: tensors.pop(f"{TOWER}yes_no_rows"))
    with pytest.raises(CheckpointError, match="relevance rows"):
        AutoModelForCausalLM.from_pretrained(tmp_path)
