"""python corners.py RUN STAGE: of corner questions about one segment, is the side in memory, does the LLM say it, from memory and from notes?"""
import sys
from dataclasses import replace
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
from tempo_lab.training.train import RECIPES, train_vision, weights_of, shapes
from tempo_lab.training.bank import make_bank
from tempo_lab.training import drawing
from tempo_lab.training.joint import Joint, Memory
from tempo_lab.training.svlm import build_svlm
from tempo_lab.training.text import build_llm
from tempo_lab.training.words import Words, IGNORE
out, stage = Path(sys.argv[1]), sys.argv[2]
r = RECIPES["nano"]
tower = train_vision(r, out)
tool = out / "probe"; tool.mkdir(exist_ok=True)
bank = make_bank(tower, 1024, 991, tool)
words = Words()
svlm, llm, memory = build_svlm(r.sizes, len(words)), build_llm(r.sizes, len(words)), Memory(r.sizes)
svlm.load_state_dict(weights_of(out, stage, "svlm") if stage != "llm" else weights_of(out, "form", "svlm"))
if stage != "llm": memory.load_state_dict(weights_of(out, stage, "memory"))
llm.model.load_state_dict(weights_of(out, stage, "llm"))
joint = Joint(svlm, llm, memory, words, bank)
rng = np.random.default_rng(3)
kind = sys.argv[3] if len(sys.argv) > 3 else "position"
drawing.SINGLE = {kind: 1.0}
shape = replace(shapes(r)["single"], videos=1, truncate=0.0, asked=1)
n = 0; ok = np.zeros(4)
table = llm.model.embed_tokens.weight
L, R = words.text("left")[0], words.text("right")[0]
while n < 150:
    v = drawing.draw(bank, rng, shape)
    q = v.questions[0]
    a = q.answer.split()
    if kind == "position" and (len(a) != 2 or a[1] not in ("left", "right")): continue
    if q.answer == "not shown": continue
    with torch.no_grad():
        mem = joint.compress_videos("compressor", [v], rng, False)
        notes, says = joint.notes([v])
        if kind == "position":
            right = [L, R][a[1] == "right"]; wrong = L + R - right
            d = notes[0, 0, 7]
            other = d - table[right] + table[wrong]
            m = mem[0, 0, 7]
            held = (m - d).norm() < (m - other).norm()
        else: held = 0
        res = []
        for x in (mem, notes, notes + .5 * notes.square().mean().sqrt() * torch.randn_like(notes)):
            lengths = [[np.array([joint.slots])]]
            _, _, ok_tokens, labels = joint.answers([v], x, lengths)
            res.append(bool(ok_tokens[labels != IGNORE].all()))
    ok += [bool(held), *res]; n += 1
print(stage, kind, "held in memory %.2f; LLM right from memory %.2f, from notes %.2f, from noisy notes %.2f" % tuple(ok / n))
