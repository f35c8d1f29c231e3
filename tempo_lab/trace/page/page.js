
// The page: reads the trace's numbers, draws the figure and allocates when a control changes.
(() => {
  const byId = (id) => document.getElementById(id);
  const NAMES = { nan: NaN, inf: Infinity, "-inf": -Infinity };
  const numbers = (values) => values?.map((value) => NAMES[value] ?? value);
  const data = JSON.parse(byId("trace-data").textContent);
  for (const name of ["relevance", "score"]) data[name] = numbers(data[name]);
  const n = data.relevance.length;
  const answered = data.budget !== null;
  const recorded = answered && { wanted: data.wanted, tokens: data.tokens };
  const pictures = [...document.querySelectorAll("img.thumbnail")];
  const rows = [...document.querySelectorAll("tbody tr")].slice(0, n);
  const recordedTexts = rows.map((row) =>
    ["wanted", "tokens", "slots"].map((name) => row.querySelector(`.${name}`)?.textContent));
  const totalIds = ["budget", "used", "timestamps", "prompt", "left"].map((name) => `total-${name}`);
  const recordedTotals = answered && totalIds.map((id) => byId(id).textContent);
  let shown = recorded; // what the figure and the ledger show; null where the budget is refused
  let selected = data.relevance.reduce((best, value, i, all) => (value > all[best] ? i : best), 0);

  globalThis.tempoLab = { allocate, slotsText };

  // Allocation

  function reset() {
    byId("budget").max = Math.max(1, n * data.high);
    byId("budget").value = byId("budget-number").value = data.budget;
    byId("low").value = data.low;
    byId("low").max = data.high;
    byId("strategy").value = "";
    show(recorded, "");
    byId("status").textContent =
      `Recorded allocation: ${sum(data.tokens)} of ${data.budget} tokens used.`;
  }

  // a control has changed: the recorded allocation is left
  function changed() {
    if (byId("strategy").value === "") byId("strategy").value = data.strategy || "head";
    const strategy = byId("strategy").value;
    const read = (id) => (byId(id).value === "" ? NaN : Number(byId(id).value));
    try {
      const made = allocate(data.score, read("budget-number"), {
        strategy, low: read("low"), high: data.high, parameter: data.parameters[strategy] ?? undefined,
      });
      show(made, strategy);
      const lowered = made.low < read("low") ? ` The minimum was lowered to ${made.low}.` : "";
      byId("status").textContent = `Allocated in this page (${strategy}): ${sum(made.tokens)} of ` +
        `${read("budget-number")} tokens used, where the recorded allocation used ` +
        `${sum(data.tokens)}.${lowered}`;
    } catch (error) {
      if (!(error instanceof BudgetError)) throw error;
      show(null, strategy, error.message);
      byId("status").textContent = "No allocation is possible.";
    }
  }

  function show(made, strategy, refusal) {
    shown = made;
    byId("refusal").hidden = refusal === undefined;
    byId("refusal").textContent = refusal ?? "";
    const fromTrace = strategy === "";
    rows.forEach((row, i) => {
      const texts = fromTrace ? recordedTexts[i] : made
        ? [made.wanted[i], made.tokens[i], slotsText(strategy, made.tokens[i], data.high)]
        : ["–", "–", ""];
      ["wanted", "tokens", "slots"].forEach((name, k) => {
        row.querySelector(`.${name}`).textContent = texts[k];
      });
    });
    const totals = fromTrace ? recordedTotals : totalsOf(made);
    totalIds.forEach((id, k) => { byId(id).textContent = totals[k]; });
    byId("totals-note").hidden = !totals.includes("unknown");
    draw();
  }

  function totalsOf(made) {
    const budget = byId("budget-number").value || "–";
    if (made === null) return [budget, "–", "–", "–", "–"];
    const used = sum(made.tokens);
    // a segment without tokens has no timestamp in the prompt
    const known = data.timestamps !== null &&
      made.tokens.every((tokens, i) => tokens === 0 || data.tokens[i] > 0);
    if (!known) return [budget, used, "unknown", "unknown", "unknown"];
    const timestamps = sum(data.timestamps.map((each, i) => (made.tokens[i] > 0 ? each : 0)));
    const prompt = used + timestamps + data.text;
    return [budget, used, timestamps, prompt, data.context - prompt];
  }

  // Figure

  const NS = "http://www.w3.org/2000/svg";
  function add(parent, name, attributes, text) {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  function draw() {
    const box = byId("figure");
    const width = Math.max(260, box.clientWidth);
    const [left, right, gap, panel] = [44, 12, 26, 120];
    const strip = pictures.length > 0 ? 58 : 0;
    const [first, last] = [data.start[0], data.end[n - 1]];
    const x = (seconds) => left + (seconds - first) / (last - first) * (width - left - right);
    const tops = [strip + 10, strip + 10 + panel + gap];
    const bottom = tops[answered ? 1 : 0] + panel;
    const height = bottom + 40;
    const svg = document.createElementNS(NS, "svg");
    for (const [key, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}`,
      role: "img", "aria-label": description() })) svg.setAttribute(key, value);

    if (strip > 0) drawStrip(svg, x, width - left - right);
    drawPanel(svg, tops[0], 1, [0, 0.5, 1], data.relevance, "relevance");
    if (answered) {
      const all = [...data.tokens, ...data.wanted, ...(shown ? [...shown.wanted, ...shown.tokens] : [])];
      const highest = Math.max(1, ...all);
      const ticks = [0, Math.round(highest / 2), highest].filter((t, i, a) => a.indexOf(t) === i);
      drawPanel(svg, tops[1], highest * 1.05, ticks, shown ? shown.tokens : [], "tokens",
        shown ? shown.wanted : []);
      if (shown !== recorded) outline(svg, data.tokens, (v) => tops[1] + panel * (1 - v / (highest * 1.05)));
    }
    for (const tick of timeTicks(first, last, Math.max(2, Math.floor(width / 90)))) {
      add(svg, "line", { class: "axis", x1: x(tick), x2: x(tick), y1: bottom, y2: bottom + 5 });
      add(svg, "text", { x: x(tick), y: bottom + 18, "text-anchor": "middle" }, String(tick));
    }
    add(svg, "text", { x: (left + width - right) / 2, y: bottom + 34, "text-anchor": "middle" },
      data.image ? "an image" : "time (s)");
    const [from, to] = [x(data.start[selected]), x(data.end[selected])];
    add(svg, "rect", { class: "selected", x: from - 1, y: tops[0] - 4, width: to - from + 2,
      height: bottom - tops[0] + 4 });
    svg.addEventListener("click", (event) => {
      const seconds = first + (event.clientX - svg.getBoundingClientRect().left - left) /
        (width - left - right) * (last - first);
      const hit = data.end.findIndex((end) => seconds < end);
      select(seconds < first ? 0 : hit < 0 ? n - 1 : hit);
    });
    box.replaceChildren(svg);
    describe();

    function drawPanel(svg, top, highest, ticks, values, name, behind = []) {
      const y = (value) => top + panel * (1 - value / highest);
      for (const tick of ticks) {
        add(svg, "line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) });
        add(svg, "text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick));
      }
      for (const [bars, kind] of [[behind, "wanted"], [values, name]]) {
        bars.forEach((value, i) => {
          if (!(value > 0) || !Number.isFinite(value)) return;
          const [from, to] = [x(data.start[i]), x(data.end[i])];
          const inset = to - from > 5 ? 0.5 : 0;
          add(svg, "rect", { class: kind, x: from + inset, width: to - from - 2 * inset,
            y: y(value), height: top + panel - y(value) });
        });
      }
      add(svg, "line", { class: "axis", x1: left, x2: width - right, y1: top + panel, y2: top + panel });
    }

    function outline(svg, values, y) {
      const steps = values.map((value, i) =>
        `${i ? "L" : "M"}${x(data.start[i])},${y(value)}H${x(data.end[i])}`);
      add(svg, "path", { class: "recorded", d: steps.join("") });
    }
  }

  // as many thumbnails as fit, each at the time of its segment; the selected one is among them
  function drawStrip(svg, x, room) {
    const count = Math.min(n, Math.max(1, Math.floor(room / 72)));
    const cell = room / count;
    for (let k = 0; k < count; k++) {
      const seconds = data.start[0] + (k + 0.5) / count * (data.end[n - 1] - data.start[0]);
      const i = Math.min(n - 1, data.end.findIndex((end) => seconds < end));
      add(svg, "image", { href: pictures[i].src, x: x(seconds) - cell / 2 + 1, y: 2,
        width: cell - 2, height: 54, preserveAspectRatio: "xMidYMid meet" });
    }
  }

  function timeTicks(first, last, most) {
    if (data.image) return [];
    const raw = (last - first) / most;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw);
    const ticks = [];
    for (let k = Math.ceil(first / step); k * step <= last + 1e-9; k++) {
      ticks.push(Number((k * step).toPrecision(10)));
    }
    return ticks;
  }

  function description() {
    const most = data.relevance.reduce((best, v, i, all) => (v > all[best] ? i : best), 0);
    const tokens = !answered ? "" : shown
      ? ` Tokens per segment: ${Math.min(...shown.tokens)} to ${Math.max(...shown.tokens)}.`
      : " No allocation.";
    return `Relevance ${answered ? "and tokens " : ""}of ${n} segments over time. The most relevant ` +
      `is segment ${most}, from ${data.start[most].toFixed(1)} s.${tokens}`;
  }

  function select(segment) {
    selected = segment;
    byId("segment").value = segment;
    draw();
  }

  function describe() {
    const i = selected;
    const span = data.image ? "" : `, ${data.start[i].toFixed(1)} to ${data.end[i].toFixed(1)} s`;
    const tokens = !answered ? "" : shown
      ? `, ${shown.tokens[i]} of ${shown.wanted[i]} wanted tokens`
      : ", no allocation";
    const text = `Segment ${i}${span}: relevance ${data.relevance[i].toFixed(3)}${tokens}` +
      (answered && shown !== recorded ? ` (recorded: ${data.tokens[i]})` : "");
    byId("detail-text").textContent = text;
    byId("segment").setAttribute("aria-valuetext", text);
    rows.forEach((row, k) => row.classList.toggle("selected", k === i));
    const picture = byId("detail-picture");
    picture.hidden = pictures.length === 0;
    if (pictures.length > 0 && picture.src !== pictures[i].src) {
      picture.src = pictures[i].src;
      picture.alt = pictures[i].alt;
    }
  }

  byId("figure-section").hidden = false;
  byId("segment").value = selected;
  byId("segment").addEventListener("input", () => select(Number(byId("segment").value)));
  if (answered) {
    document.querySelector(".controls").hidden = false;
    byId("budget").addEventListener("input", () => {
      byId("budget-number").value = byId("budget").value;
      changed();
    });
    byId("budget-number").addEventListener("input", () => {
      byId("budget").value = byId("budget-number").value;
      changed();
    });
    byId("low").addEventListener("input", changed);
    byId("strategy").addEventListener("input", () =>
      (byId("strategy").value === "" ? reset() : changed()));
    byId("reset").addEventListener("click", reset);
    reset();
  } else {
    draw();
  }
  new ResizeObserver(draw).observe(byId("figure"));
})();
