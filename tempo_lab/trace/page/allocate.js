// The allocation rule of tempo_lab.allocate in strict mode, to the last token (ata.py,
// strategies.py, baselines.py and absolute.py). Scores, z and shares are float32: each operation
// is computed in double precision and rounded once by Math.fround, which gives the same bits.
"use strict";

const MAX_SLOTS = 2 ** 31;
const EQUAL_RANGE = Math.fround(1e-8);

// What differs between strategies: whether tokens follow the scores, the smallest budget, which
// end of the memory a segment keeps, the values that must be probabilities, and the rule itself.
const STRATEGIES = {
  head: { share: minMax },
  tail: { share: minMax, tail: true },
  uniform: { flat: true, share: uniform },
  "uniform-tail": { flat: true, share: uniform, tail: true },
  topk: { flat: true, share: topK, minBudget: (n) => n - Math.floor(n / 2) },
  none: { flat: true, share: everything },
  abstain: { share: abstain, probabilities: true },
  floor: { share: evenFirst },
  threshold: { share: threshold, probabilities: true },
};

class BudgetError extends Error {
  constructor(message, { asked, found, fix }) {
    const lines = [message];
    if (asked !== undefined) lines.push(`  asked: ${asked}`);
    if (found !== undefined) lines.push(`  found: ${found}`);
    if (fix !== undefined) lines.push(`  fix:   ${fix}`);
    super(lines.join("\n"));
  }
}

// Returns { wanted, tokens, low }, whole numbers per segment and the minimum that was used.
// `scores` are numbers that fit float32; `parameter` is the threshold or the coverage.
// Throws BudgetError with the text of the error in Python.
function allocate(scores, budget, { strategy = "head", low = 4, high = 128, parameter = 0.5 } = {}) {
  const rule = STRATEGIES[strategy];
  checkWhole("budget", budget, -(2 ** 62), 2 ** 62, "use a whole number of tokens, " +
    "4611686018427387904 at most");
  checkWhole("min_tokens", low, 0, MAX_SLOTS);
  checkWhole("max_tokens", high, 1, MAX_SLOTS);
  low = Math.min(low, high);
  const n = scores.length;
  checkEnough(scores, budget, low, rule);
  if (n * low > budget) low = Math.max(1, Math.floor(budget / n));
  if (rule.probabilities) checkProbabilities(scores, strategy);
  return { ...rule.share(scores, budget, low, high, parameter), low };
}

// Returns the slots that a segment keeps as text, as in "0-3".
function slotsText(strategy, tokens, high) {
  if (tokens === 0) return "";
  const first = STRATEGIES[strategy].tail ? high - tokens : 0;
  return tokens === 1 ? `${first}` : `${first}-${first + tokens - 1}`;
}

function checkWhole(name, value, minimum, maximum, fix) {
  const limits = fix ?? `use ${minimum} <= ${name} <= ${maximum}`;
  if (!Number.isInteger(value)) {
    throw new BudgetError(`${name} must be a whole number`,
      { asked: `${name}=${value}`, found: "float", fix: limits });
  }
  if (value < minimum || value > maximum) {
    throw new BudgetError(`${name} is out of range`, { asked: `${name}=${value}`, fix: limits });
  }
}

function checkEnough(scores, budget, low, rule) {
  const n = scores.length;
  const bad = scores.flatMap((score, segment) => (Number.isFinite(score) ? [] : [segment]));
  if (bad.length > 0) {
    const name = { NaN: "nan", Infinity: "inf", "-Infinity": "-inf" }[scores[bad[0]]];
    throw new BudgetError("a relevance score is not a finite number", {
      found: `${name} in segment ${bad[0]} (${bad.length} of ${n} segments)`,
      fix: "check the frames and the weights of the model",
    });
  }
  const ranked = low === 0 && !rule.flat && !equal(scores);
  const smallest = ranked ? 1 : rule.minBudget ? rule.minBudget(n) : n;
  if (budget < smallest) {
    const held = Math.max(budget, 0);
    throw new BudgetError("the budget is below one token per segment", {
      asked: `budget ${budget} for ${n} segments`,
      found: `the smallest budget that works is ${smallest}; ${held} tokens hold ${held} segments`,
      fix: `use a budget of ${smallest} or more, or fewer segments (a lower fps or max_frames)`,
    });
  }
}

function checkProbabilities(scores, strategy) {
  const [lowest, highest] = [minimum(scores), maximum(scores)];
  if (lowest >= 0 && highest <= 1) return;
  throw new BudgetError(`the strategy '${strategy}' needs scores that are probabilities`, {
    asked: "0 to 1",
    found: `${general(lowest)} to ${general(highest)}`,
    fix: 'use the sigmoid of logits, or strategy "head", which only compares scores',
  });
}

// The rules. Each returns { wanted, tokens }.

function minMax(scores, budget, low, high) {
  if (equal(scores)) {
    const wanted = scores.map(() => high);
    const even = Math.floor(budget / scores.length);
    return { wanted, tokens: wanted.map((most) => Math.min(most, even)) };
  }
  if (!Number.isFinite(range(scores))) scores = scores.map((score) => Math.fround(score / 2));
  const lowest = minimum(scores);
  const span = range(scores);
  const z = scores.map((score) => Math.fround(Math.fround(score - lowest) / span));
  return shareBy(z, scores, budget, low, high);
}

function shareBy(z, scores, budget, low, high) {
  const clip = (counts) => counts.map((count) => Math.min(Math.max(count, low), high));
  const width = Math.fround(high - low);
  const wanted = z.map((each) => low + Math.floor(Math.fround(each * width)));
  if (sum(wanted) <= budget) return { wanted: clip(wanted), tokens: clip(wanted) };
  const extra = Math.fround(budget - z.length * low);
  const total = Math.fround(exactSum(z));
  const tokens = z.map(
    (each) => low + Math.floor(Math.fround(Math.fround(each / total) * extra)));
  const order = largestFirst(scores);
  const left = Math.max(0, budget - sum(tokens));
  for (const segment of order.slice(0, left)) tokens[segment] += 1;
  // what float32 rounded up: one token each from the smallest scores that are above the minimum
  for (let excess; (excess = sum(tokens) - budget) > 0;) {
    const spare = order.slice().reverse().filter((segment) => tokens[segment] > low);
    for (const segment of spare.slice(0, excess)) tokens[segment] -= 1;
  }
  return { wanted: clip(wanted), tokens: clip(tokens) };
}

function uniform(scores, budget, low, high) {
  const even = Math.max(0, Math.floor(budget / scores.length));
  return { wanted: scores.map(() => high), tokens: scores.map(() => Math.min(high, even)) };
}

function topK(scores, budget, low, high) {
  const kept = largestFirst(scores).slice(0, STRATEGIES.topk.minBudget(scores.length));
  const even = Math.max(0, Math.floor(budget / kept.length));
  const wanted = scores.map(() => 0);
  for (const segment of kept) wanted[segment] = high;
  return { wanted, tokens: wanted.map((most) => Math.min(most, even)) };
}

function everything(scores, budget, low, high) {
  const n = scores.length;
  if (n * high > budget) {
    throw new BudgetError("the budget does not hold all tokens of every segment", {
      asked: `budget ${budget}, strategy "none"`,
      found: `${n} segments x ${high} tokens = ${n * high}`,
      fix: `use a budget of ${n * high}, or strategy "head", which shares out less`,
    });
  }
  return { wanted: scores.map(() => high), tokens: scores.map(() => high) };
}

function abstain(scores, budget, low, high, threshold) {
  if (maximum(scores) >= Math.fround(threshold)) return minMax(scores, budget, low, high);
  return { wanted: scores.map(() => low), tokens: scores.map(() => low) };
}

function evenFirst(scores, budget, low, high, coverage) {
  const n = scores.length;
  const least = Math.min(Math.trunc(coverage * budget / n), Math.floor(budget / n), high);
  return minMax(scores, budget, Math.max(low, least), high);
}

function threshold(scores, budget, low, high, limit) {
  const relevant = Math.fround(limit);
  const weights = scores.map((score) => (score >= relevant ? score : 0));
  return shareBy(weights, scores, budget, low, high);
}

// Numbers

const sum = (counts) => counts.reduce((total, count) => total + count, 0);
const minimum = (values) => values.reduce((a, b) => (b < a ? b : a));
const maximum = (values) => values.reduce((a, b) => (b > a ? b : a));
const range = (scores) => Math.fround(maximum(scores) - minimum(scores));
const equal = (scores) => range(scores) < EQUAL_RANGE;

// Segments by score, the largest first; of equal scores the earlier segment first.
const largestFirst = (scores) =>
  scores.map((_, segment) => segment).sort((a, b) => scores[b] - scores[a] || a - b);

// The sum of float32 values, rounded once to double precision, like Python's math.fsum. Every
// float32 is a whole multiple of 2 ** -149, and Number(BigInt) rounds to the nearest.
const exactSum = (values) =>
  Number(values.reduce((total, value) => total + BigInt(value * 2 ** 149), 0n)) / 2 ** 149;

// A number as Python formats it with ":g": six significant digits, a tie to the even digit.
function general(value) {
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  const exact = Math.abs(value).toExponential(60).replace(".", "").split("e")[0];
  const tie = /^50*$/.test(exact.slice(6)) && Number(exact[5]) % 2 === 0;
  const rounded = Number((tie ? value * (1 - 1e-9) : value).toPrecision(6)); // of ties the larger
  const [mantissa, power] = rounded.toExponential(5).split("e");
  if (Number(power) >= -4 && Number(power) < 6) return String(rounded);
  return `${mantissa.replace(/\.?0+$/, "")}e${power[0]}${power.slice(1).padStart(2, "0")}`;
}
