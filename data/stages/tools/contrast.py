"""python contrast.py RUN STAGE: AUC of Yes/No, own digit vs other digit; own moment vs one within 3."""
import sys
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
def roc_auc_score(y, l):
    a, b = l[y == 1], l[y == 0]
    return float(np.mean((a[:, None] > b) + 0.5 * (a[:, None] == b)))
from tempo_lab.training.train import RECIPES, train_vision, weights_of
from tempo_lab.training.bank import make_bank
from tempo_lab.training.reader import Reader, segment_seconds
from tempo_lab.training.svlm import build_svlm
from tempo_lab.training.words import Words
from tempo_lab.training.notes import _shapes_of
from tempo_lab.world.questions import plain
from tempo_lab.world.scenes import DIGITS, Noun
out, stage = Path(sys.argv[1]), sys.argv[2]
r = RECIPES["nano"]
tower = train_vision(r, out)
tool = out / "probe"; tool.mkdir(exist_ok=True)
bank = make_bank(tower, 1024, 991, tool)
words = Words()
model = build_svlm(r.sizes, len(words))
model.load_state_dict(weights_of(out, stage, "svlm"))
reader = Reader(model, words)
rng = np.random.default_rng(5)
table = model.embed_tokens.weight
def logits(rows, indices, texts):
    vals = []
    for s in range(0, len(rows), 24):
        rr = rows[s:s+24]
        secs = np.stack([segment_seconds(i, rng) for i in indices[s:s+24]])
        branches = [[words.svlm_question(t) for t in tt] for tt in texts[s:s+24]]
        with torch.no_grad():
            st, ids, _ = reader("relevance", bank.features(rr), secs, branches)
        st = st.reshape(-1, st.shape[-2], st.shape[-1])
        lens = [len(b) for bb in branches for b in bb]
        last = torch.stack([st[i, n-1] for i, n in enumerate(lens)])
        vals.append((last @ (table[words.yes]-table[words.no])).reshape(len(rr), -1))
    return torch.cat(vals).detach().numpy()
rows = [i for i, s in enumerate(bank.segments) if s.card in DIGITS][:240]
texts = []
for row in rows:
    s = bank.segments[row]; missing = _shapes_of(s)[1]
    thing = missing[rng.integers(len(missing))]
    other = str(rng.choice([d for d in DIGITS if d != s.card]))
    texts.append([plain("two_hop", nouns=(Noun(thing),), fill=(thing, d)).text for d in (s.card, other)])
l = logits(rows, [int(i) for i in rng.integers(64, size=len(rows))], texts)
y = np.array([[1, 0]]*len(rows))
print(len(rows), "digit AUC", round(roc_auc_score(y.ravel(), l.ravel()), 3), "yes own/other", (l > 0).mean(0).round(3))
rows = [int(i) for i in rng.integers(len(bank), size=240)]
idx = [int(i) for i in rng.integers(3, 60, size=240)]
texts = []
for i in idx:
    o = i + int(rng.choice([-3,-2,-1,1,2,3]))
    texts.append([plain("describe", fill=(str(4*j + int(rng.integers(4))),)).text for j in (i, o)])
l = logits(rows, idx, texts)
print("moment AUC", round(roc_auc_score(y[:1].repeat(240,0).ravel(), l.ravel()), 3), "yes own/other", (l > 0).mean(0).round(3))
