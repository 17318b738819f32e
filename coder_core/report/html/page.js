// The sections of a report, made of what page_base.js has; both stand in one function (scripts.py).
// ---- classes against the baseline -----------------------------------------------------------------------------------
const SIDE = 14, ROW = 18, STEP = 25; // rows at each end of the chart, and pixels of a row
function gainRows(method) {
  const own = data.gains[method];
  return own.class_id.map((id, at) => ({
    id, n: own.n[at], before: own.before[at], after: own.after[at], gained: own.gained[at], lost: own.lost[at],
    p: own.p[at], points: 100 * (own.after[at] - own.before[at]),
  }));
}
function unique(names) { // two classes may share a name, or its beginning: rows of a chart may not
  const seen = new Map();
  return names.map((text) => { const times = (seen.get(text) || 0) + 1; seen.set(text, times); return times > 1 ? `${text} (${times})` : text; });
}
function chartGains(method) {
  const rows = gainRows(method).sort((a, b) => b.points - a.points);
  const shown = rows.length <= 2 * SIDE ? rows : [...rows.slice(0, SIDE), ...rows.slice(-SIDE)];
  const names = unique(shown.map((row) => nameOf(row.id)));
  return shown.map((row, at) => ({
    name: names[at], points: row.points, n: row.n, before: 100 * row.before, after: 100 * row.after, p: pText(row.p),
    kind: row.p === null || row.p >= 0.05 ? "within chance" : row.points < 0 ? "loss" : "gain",
  }));
}
function showGains(method) {
  if (views.gains) { const rows = chartGains(method); views.gains.height(ROW * rows.length).data("gains", rows).resize().runAsync(); }
  table(byId("gains-table"), {
    caption: "Every class against the baseline", rows: gainRows(method), sort: 4, filterOf: (row) => nameOf(row.id),
    columns: [
      { title: "Class", value: (row) => nameOf(row.id), show: (row) => name(row.id) },
      { title: "Images", number: true, value: (row) => row.n, show: (row) => row.n.toLocaleString() },
      { title: "Baseline %", number: true, value: (row) => row.before, show: (row) => number(100 * row.before) },
      { title: "Method %", number: true, value: (row) => row.after, show: (row) => number(100 * row.after) },
      { title: "Points", number: true, value: (row) => row.points,
        show: (row) => el("span", { class: row.points < 0 ? "bad" : row.points > 0 ? "good" : null }, signed(row.points)) },
      { title: "Gained", number: true, value: (row) => row.gained, show: (row) => row.gained.toLocaleString() },
      { title: "Lost", number: true, value: (row) => row.lost, show: (row) => row.lost.toLocaleString() },
      { title: "p (Holm)", number: true, value: (row) => row.p, show: (row) => pText(row.p) },
    ],
  });
}
function startGains() {
  const methods = Object.keys(data.gains);
  if (!methods.length) return [];
  let chosen = methods.includes(data.best) ? data.best : methods[methods.length - 1];
  choices(byId("gains-method"), methods, chosen, (method) => { chosen = method; showGains(method); });
  showGains(chosen);
  return [{ id: "chart-gains", draw: async () => {
    const spec = data.charts.gains;
    spec.datasets = { gains: chartGains(chosen) };
    spec.height = ROW * spec.datasets.gains.length;
    await draw("gains");
  } }];
}

// ---- confusions -----------------------------------------------------------------------------------------------------
const LEAST = 4;
const conf = data.confusions;
const window_ = { from: 0, to: 1, below: 0, above: 1 };
let confusionMethod = null, pairsTable = null, places = null;
const inkOf = () => getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
const whole = () => Object.assign(window_, { from: -0.5, to: Math.max(extent(), LEAST) - 0.5, below: -0.5, above: Math.max(extent(), LEAST) - 0.5 });
const extent = () => conf.order.length;
const marks = (low, high) => {
  const found = [];
  for (let at = Math.max(0, Math.ceil(low)); at <= Math.min(extent() - 1, high) && found.length <= 200; at += 1) found.push(at);
  return high - low <= 200 ? found : [];
};
function cells(method) {
  const own = conf.cells[method];
  return own.t.map((t, at) => ({ x: places[own.p[at]], y: places[t], true: nameOf(t), taken: nameOf(own.p[at]), count: own.n[at], t, p: own.p[at] }));
}
function moveTo(next) {
  const span = (low, high, limit) => {
    const size = Math.min(Math.max(high - low, LEAST), limit);
    const middle = (low + high) / 2;
    const from = Math.min(Math.max(middle - size / 2, -0.5), limit - 0.5 - size);
    return [from, from + size];
  };
  const limit = Math.max(extent(), LEAST);
  [window_.from, window_.to] = span(next.from, next.to, limit);
  [window_.below, window_.above] = span(next.below, next.above, limit);
  showWindow();
}
function showWindow() {
  const view = views.confusions;
  const first = Math.max(0, Math.ceil(window_.below)), last = Math.min(extent() - 1, Math.floor(window_.above));
  byId("confusion-view").textContent = `rows ${first + 1} to ${last + 1} of ${extent()}`;
  if (!view) return;
  for (const [key, value] of Object.entries(window_)) view.signal(key, value);
  view.signal("ticks", marks(window_.from, window_.to)).signal("rows", marks(window_.below, window_.above)).runAsync();
}
const scaled = (factor, x = 0.5, y = 0.5) => {
  const width = window_.to - window_.from, height = window_.above - window_.below;
  const [cx, cy] = [window_.from + x * width, window_.below + y * height];
  return { from: cx - x * width * factor, to: cx + (1 - x) * width * factor, below: cy - y * height * factor, above: cy + (1 - y) * height * factor };
};
const shifted = (x, y) => {
  const width = window_.to - window_.from, height = window_.above - window_.below;
  return { from: window_.from + x * width, to: window_.to + x * width, below: window_.below + y * height, above: window_.above + y * height };
};
const moves = {
  in: () => moveTo(scaled(0.6)), out: () => moveTo(scaled(1 / 0.6)), left: () => moveTo(shifted(-0.25, 0)), right: () => moveTo(shifted(0.25, 0)),
  up: () => moveTo(shifted(0, -0.25)), down: () => moveTo(shifted(0, 0.25)), all: () => { whole(); showWindow(); },
};
const keys = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", 0: "all" };
function listenToFrame(frame) {
  frame.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    moves[keys[event.key]]();
  });
  const share = (event) => { // where in the drawing area, 0..1
    const view = views.confusions, box = frame.querySelector("canvas").getBoundingClientRect(), [left, top] = view.origin();
    return [(event.clientX - box.left - left) / view.width(), (event.clientY - box.top - top) / view.height()];
  };
  frame.addEventListener("wheel", (event) => {
    if (!views.confusions || (document.activeElement !== frame && !event.ctrlKey)) return;
    event.preventDefault();
    moveTo(scaled(event.deltaY < 0 ? 0.8 : 1.25, ...share(event)));
  }, { passive: false });
  frame.addEventListener("dblclick", (event) => { if (views.confusions) moveTo(scaled(0.5, ...share(event))); });
  let held = null;
  frame.addEventListener("pointerdown", (event) => { if (views.confusions) { held = { at: share(event), ...window_ }; frame.focus({ preventScroll: true }); } });
  window.addEventListener("pointerup", () => { held = null; });
  frame.addEventListener("pointermove", (event) => {
    if (!held || !event.buttons) return;
    const [x, y] = share(event), dx = (held.at[0] - x) * (held.to - held.from), dy = (held.at[1] - y) * (held.above - held.below);
    moveTo({ from: held.from + dx, to: held.to + dx, below: held.below + dy, above: held.above + dy });
  });
}
function textsApart(row) {
  const [t, p] = row;
  const list = (texts) => el("ul", { class: "texts" }, texts.map((text) => el("li", {}, bdi(text))));
  const own = conf.apart[`${t},${p}`], other = conf.apart[`${p},${t}`];
  let one = own || conf.about[t] || [], two = other || conf.about[p] || [];
  [one, two] = [one.filter((text) => !two.includes(text)), two.filter((text) => !one.includes(text))];
  if (!one.length && !two.length) return el("span", { class: "small" }, "none");
  const both = el("div", { class: "apart" }, el("div", {}, name(t), list(one)), el("div", {}, name(p), list(two)));
  return isNarrow ? el("details", {}, el("summary", {}, `${one.length + two.length} texts`), both) : both;
}
const isEmpty = (shown) => shown === "" || (shown.className === "small" && shown.textContent === "none");
function showPairs(method) {
  const rows = conf.pairs[method];
  const share = (row) => (conf.sizes[row[0]] ? row[2] / conf.sizes[row[0]] : null);
  const all = conf.cells[method].all;
  pairsTable = table(byId("pairs-table"), {
    caption: all > rows.length ? `The ${rows.length} most confused of ${all} pairs` : "Confused pairs", rows, size: 10, sort: 2,
    filterOf: (row) => `${nameOf(row[0])} ${nameOf(row[1])}`, empty: "This method confuses no pair.",
    columns: [
      { title: "True class", value: (row) => nameOf(row[0]), show: (row) => name(row[0]) },
      { title: "Taken for", value: (row) => nameOf(row[1]), show: (row) => name(row[1]) },
      { title: "Images", number: true, value: (row) => row[2], show: (row) => row[2].toLocaleString() },
      { title: "Of its images %", number: true, value: share, show: (row) => (share(row) === null ? "" : number(100 * share(row))) },
      { title: "Resolved, new", number: true, value: (row) => (row[3] === null ? null : row[3] - row[4]),
        show: (row) => (row[3] === null ? "" : `${row[3]}, ${row[4]}`) },
      { title: "p (Holm)", number: true, value: (row) => row[5], show: (row) => pText(row[5]) },
      { title: "Texts that tell them apart", wide: true, value: (row) => nameOf(row[0]), show: textsApart },
    ].filter((column) => rows.some((row) => !isEmpty(column.show(row)))),
  });
}
function startConfusions() {
  const methods = Object.keys(conf.cells);
  const frame = byId("confusion-frame");
  if (!methods.length || !frame) return [];
  places = [];
  conf.order.forEach((id, at) => { places[id] = at; });
  confusionMethod = methods.includes(data.best) ? data.best : methods[0];
  whole();
  choices(byId("confusion-method"), methods, confusionMethod, (method) => {
    confusionMethod = method;
    if (views.confusions) views.confusions.data("cells", cells(method)).runAsync();
    showPairs(method);
  });
  showPairs(confusionMethod);
  for (const button of document.querySelectorAll("[data-move]")) button.addEventListener("click", moves[button.dataset.move]);
  byId("confusion-class").addEventListener("change", (event) => {
    const id = data.classes.findIndex((pair) => pair[0] === event.target.value);
    if (id < 0) return;
    const at = places[id];
    moveTo({ from: at - 15, to: at + 15, below: at - 15, above: at + 15 });
    if (pairsTable) pairsTable.search(nameOf(id));
  });
  listenToFrame(frame);
  return [{ id: "chart-confusions", draw: async () => {
    data.charts.confusions.datasets = { cells: cells(confusionMethod) };
    const view = await draw("confusions", { renderer: "canvas" });
    view.signal("ink", inkOf()).signal("names", conf.order.map(nameOf));
    view.addEventListener("click", (_event, item) => { if (item && item.datum && item.datum.true && pairsTable) pairsTable.search(`${item.datum.true} ${item.datum.taken}`); });
    showWindow();
  } }];
}

// ---- gallery ----------------------------------------------------------------------------------------------------------
const gallery = data.gallery;
const hasPictures = Object.keys(data.pictures).length > 0;
let groupKey = null;
const said = (image, method) => image.said[gallery.methods.indexOf(method)];
const confidence = (p) => (p === null ? "" : ` (${number(100 * p, 0)} %)`);
function shownItems() {
  const words = byId("gallery-class").value.trim().toLowerCase();
  const [how, method] = byId("gallery-method").value.split(/ (.*)/);
  const least = Number(byId("gallery-gap").value) || 0;
  const group = gallery.groups.find((one) => one.key === groupKey);
  return group.items.map(([at, why]) => ({ image: gallery.images[at], why, group })).filter(({ image, why }) => {
    if (words && ![image.label, ...image.said].some((id) => nameOf(id).toLowerCase().includes(words))) return false;
    if (how === "right" && said(image, method) !== image.label) return false;
    if (how === "wrong" && said(image, method) === image.label) return false;
    return !least || (why && Math.abs(why.gap) >= least);
  });
}
function picture(image) {
  const shown = data.pictures[image.key];
  return shown ? el("img", { src: shown, alt: `Image ${image.id}: ${nameOf(image.label)}` }) : el("span", {}, "no picture");
}
function verdict(image, method) {
  const own = said(image, method);
  const right = own === image.label;
  return el("p", {}, el("span", { class: right ? "good" : "bad" }, right ? "✓ " : "✗ "), name(own), confidence(image.p[gallery.methods.indexOf(method)]), right ? null : [" instead of ", name(image.label)]);
}
function card({ image, why, group }) {
  const top = why ? why.shares.slice(0, 2).map(([share, , about, text]) => el("li", {}, el("b", { class: share < 0 ? "bad" : "good" }, signed(share, 2)), " ", bdi(text))) : [];
  return el("li", { class: "card" }, hasPictures ? el("div", { class: "picture" }, picture(image)) : null, el("div", { class: "text" },
    verdict(image, group.method), el("p", { class: "id" }, bdi(image.id), why ? ` · gap ${signed(why.gap, 2)}` : ""),
    top.length ? el("ol", {}, top) : null,
    why ? el("button", { type: "button", "aria-label": `Why: image ${image.id}`, onclick: () => openWhy(image, why, group) }, "Why") : null));
}
function showGallery() {
  const items = shownItems();
  const group = gallery.groups.find((one) => one.key === groupKey);
  byId("gallery-about").textContent = group.about;
  byId("gallery-count").textContent = `${items.length} of ${group.items.length} images`;
  byId("gallery-cards").replaceChildren(...items.map(card));
  for (const button of byId("gallery-groups").children) button.setAttribute("aria-pressed", String(button.dataset.key === groupKey));
}
function whySteps(why) {
  const rows = why.shares.map(([share, kind, about, text]) => ({ share, label: text, kind, about }));
  if (why.rest[0]) rows.push({ share: why.rest[1], label: `${why.rest[0]} more texts`, kind: "all others", about: "" });
  let at = 0;
  const labels = unique(rows.map((row) => row.label));
  const steps = rows.map((row, index) => { const start = at; at += row.share; return { label: labels[index], start, end: at, share: signed(row.share, 3), kind: row.kind, about: row.about, side: row.share < 0 ? "against" : "for" }; });
  return [...steps, { label: "gap", start: 0, end: why.gap, share: signed(why.gap, 3), kind: "sum", about: "", side: "gap" }];
}
async function openWhy(image, why, group) {
  const steps = whySteps(why);
  const answers = el("ul", { class: "texts" }, gallery.methods.map((method, at) => el("li", {}, bdi(method), ": ", name(image.said[at]), confidence(image.p[at]), image.said[at] === image.label ? " ✓" : "")));
  const place = el("div", { class: "chart", id: "chart-why", role: "img", "aria-label": `What each text adds to the gap between ${why.winner} and ${why.rival}; the list below has the same numbers.` });
  byId("why-body").replaceChildren(
    el("div", { class: "why-head" }, data.pictures[image.key] ? picture(image) : null, el("div", {},
      el("h2", { id: "why-title" }, "Why ", bdi(why.winner), " and not ", bdi(why.rival), "?"),
      el("p", { class: "small" }, bdi(image.id), " · true class ", name(image.label)), answers,
      why.method !== group.method ? el("p", { class: "small" }, `The texts explain ${why.method}, upon which ${group.method} stands.`) : null,
      why.note ? el("p", { class: "small" }, bdi(why.note)) : null)),
    place,
    el("details", {}, el("summary", {}, "The same as a list"), el("ul", { class: "texts" }, steps.map((row) => el("li", {}, el("b", {}, row.share), " ", bdi(row.label), row.about ? [" (", row.kind, ", ", bdi(row.about), ")"] : null)))),
  );
  byId("why").showModal();
  data.charts.why.datasets = { shares: steps };
  data.charts.why.height = STEP * steps.length;
  await draw("why");
}
function startGallery() {
  if (!gallery || !byId("gallery-cards")) return;
  const groups = byId("gallery-groups");
  for (const group of gallery.groups) {
    groups.append(el("button", { type: "button", "data-key": group.key, onclick: () => { groupKey = group.key; showGallery(); } }, `${group.title} (${group.items.length})`));
  }
  const firstOf = gallery.groups.find((group) => group.key === "surely") || gallery.groups[0];
  groupKey = firstOf.key;
  choices(byId("gallery-method"), ["any", ...gallery.methods.flatMap((method) => [`wrong ${method}`, `right ${method}`])], "any", showGallery);
  for (const id of ["gallery-class", "gallery-gap"]) byId(id).addEventListener("input", showGallery);
  showGallery();
}

// ---- data quality -------------------------------------------------------------------------------------------------------
function startQuality() {
  const found = data.quality;
  if (!found) return;
  const text = (title, at) => ({ title, value: (row) => row[at], show: (row) => bdi(row[at]) });
  const named = (title, at) => ({ title, value: (row) => nameOf(row[at]), show: (row) => name(row[at]) });
  const amount = (title, at, digits) => ({ title, number: true, value: (row) => row[at], show: (row) => number(row[at], digits) });
  const methods = data.gallery ? data.gallery.methods.length : null;
  table(byId("labels-table"), { caption: "Labels that are likely wrong", rows: found.labels, sort: 3, filterOf: (row) => `${row[0]} ${nameOf(row[1])} ${nameOf(row[2])}`,
    size: 10, columns: [text("Image", 0), named("Label", 1), named("Looks like", 2), amount("Its probability", 3, 3), amount("The label's", 4, 3),
      amount(methods ? `Methods of ${methods} that agree` : "Methods that agree", 5, 0)] });
  table(byId("doubles-table"), { caption: "Doubles", rows: found.doubles, sort: 4, filterOf: (row) => row.join(" "),
    size: 10, columns: [text("Where", 0), text("What", 1), text("Image", 2), text("Other image", 3), amount("Cosine", 4, 4)] });
  table(byId("outliers-table"), { caption: "Outliers", rows: found.outliers, sort: 2, down: false, filterOf: (row) => `${row[0]} ${nameOf(row[1])}`,
    size: 10, columns: [text("Image", 0), named("Class", 1), amount("Deviations", 2, 1)] });
}

// ---- light, dark, paper ---------------------------------------------------------------------------------------------------
const ink = (colour) => { if (views.confusions) views.confusions.signal("ink", colour || inkOf()).run(); };
byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  ink();
});
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => ink());
window.addEventListener("beforeprint", () => ink("#000"));
window.addEventListener("afterprint", () => ink());

if (gallery) gallery.images.forEach((image, at) => { image.key = String(at); });
byId("class-list").append(...data.classes.slice(0, 2000).map((pair) => el("option", { value: pair[0] })));
startGallery();
startQuality();
const plain = ["accuracy", "few-shot", "ablation", "calibration", "batch", "runs", "timings"].filter((key) => data.charts[key]);
plain.forEach(offerLines);
const jobs = [...plain.map((key) => ({ id: "chart-" + key, draw: () => draw(key) })), ...startGains(), ...startConfusions()];
const inOrder = [...document.querySelectorAll(".chart")].map((place) => jobs.find((job) => job.id === place.id)).filter(Boolean);
drawAll(inOrder);
document.documentElement.dataset.ready = String(Math.round(performance.now()));
