"""Reductions of attention: each equals the same reduction of the unreduced rows."""

from __future__ import annotations

import numpy as np
import pytest

import tempo_lab as tl
from tests.session.capture.conftest import ALL, ASK, QUESTION, TOLERANCE


def test_groups_are_sums_of_keys(session, full, grouped):
    groups, every = grouped.data["attention"], full.data["attention"]
    for segment in (0, len(session) - 1):
        prompt = session.prompt(QUESTION, segment)
        row = every.sel(segment=segment, row="memory 2")
        ours = groups.sel(segment=segment, row="memory 2")
        slots = prompt.positions("memory")
        assert full.data["key_name"].values[segment, slots[0]] == "memory[0]"
        pairs = prompt.index[prompt.positions("vision")].max() + 1
        for name, keys in {
            "system": prompt.positions("system"),
            "query": prompt.positions("query"),
            "earlier memory": slots[:2],
            "self": slots[2:3],
            **{f"pair {t}": prompt.positions("vision", t) for t in range(pairs)},
        }.items():
            theirs = row.isel(key=keys).sum("key")
            np.testing.assert_allclose(ours.sel(key_group=name), theirs, atol=TOLERANCE)
    # the short last segment has two pairs, and says so
    absent = groups.isel(segment=-1).sel(key_group=["pair 2", "pair 3"], row="decision")
    assert absent.isnull().all()


def test_what_the_answer_saw_of_each_segment(full, grouped):
    names, every = full.data["llm_key_name"].values, full.data["answer_attention"]
    for segment in range(full.data.sizes["segment"]):
        keys = [i for i, name in enumerate(names) if name.startswith(f"memory[segment {segment},")]
        assert len(keys) == full.data["tokens"].values[segment]
        group = grouped.data["answer_attention"].sel(llm_key_group=f"memory {segment}")
        np.testing.assert_allclose(group, every.isel(llm_key=keys).sum("llm_key"), atol=TOLERANCE)
    earlier = grouped.data["answer_attention"].sel(llm_key_group="earlier answer")
    assert (earlier[:, :, 0] == 0).all()
    assert (earlier[:, :, 2:].max("llm_layer") > 0).all()


def test_patch_grid(session, full):
    rows = tl.Rows(["decision", "memory"], slots=[1])
    trace = session.ask(**ASK, capture=tl.Capture(attention=rows, reduce="patch_grid"))
    grid, every = trace.data["attention"], full.data["attention"]
    assert grid.row.values.tolist() == ["decision", "memory 1"]
    prompt = session.prompt(QUESTION, 0)
    for position in prompt.positions("vision")[::37]:
        place = {
            "pair": prompt.index[position],
            "patch_row": prompt.row[position],
            "patch_column": prompt.column[position],
        }
        for row in grid.row.values:
            np.testing.assert_allclose(
                grid.isel(segment=0, **place).sel(row=row),
                every.isel(segment=0, key=position).sel(row=row),
                atol=TOLERANCE,
            )
    assert grid.isel(segment=-1, pair=slice(2, None)).isnull().all()


def test_top_k(session, full):
    trace = session.ask(**ASK, capture=tl.Capture(attention=ALL, reduce="top_k", top_k=3))
    top, keys = trace.data["attention"], trace.data["attention_key"]
    every = np.nan_to_num(full.data["attention"].values, nan=-1.0)
    expected = -np.sort(-every, axis=-1)[..., :3]
    np.testing.assert_allclose(np.nan_to_num(top, nan=-1.0), expected, atol=TOLERANCE)
    there = keys.values[..., 0] >= 0
    picked = np.take_along_axis(every, keys.values.clip(0), axis=-1)
    np.testing.assert_allclose(picked[there], expected[there], atol=TOLERANCE)
    assert (there == ~np.isnan(top.values[..., 0])).all()
    assert trace.data["answer_attention"].dims[-1] == "rank"


@pytest.mark.parametrize("reduce", ["key_group", "patch_grid", "none"])
def test_chosen_heads_are_those_of_all(session, full, reduce):
    rows = tl.Rows(["decision", "memory"], slots=[0, 2])
    few, every = (
        tl.Capture(attention=rows, heads=heads, reduce=reduce) for heads in ([-1, 1], "all")
    )
    assert few.price(session, QUESTION).total == every.price(session, QUESTION).total / 2
    some, whole = (session.ask(**ASK, capture=spec).data["attention"] for spec in (few, every))
    assert some["head"].values.tolist() == [1, 3]
    np.testing.assert_allclose(some, whole.sel(head=[1, 3]), atol=TOLERANCE)
