// What the sections of a report are made of: elements, charts, tables. It goes into the page before page.js.
// Everything that is shown is made of text nodes: names and texts are data, and never markup.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const views = {};
const isNarrow = window.matchMedia("(max-width: 640px)").matches;

// ---- small parts ------------------------------------------------------------------------------------------------
function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "onclick") node.addEventListener("click", value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
  return node;
}
const nameOf = (id) => (data.classes[id] ? data.classes[id][0] : "no label");
function name(id) {
  const pair = data.classes[id];
  return el("bdi", pair && pair[1] ? { title: pair[1] } : {}, nameOf(id));
}
const bdi = (text, title) => el("bdi", title ? { title } : {}, text);
const number = (value, digits = 1) => (value === null || value === undefined ? "" : value.toFixed(digits));
const signed = (value, digits = 1) => (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(digits);
const pText = (p) => (p === null || p === undefined ? "" : p < 1e-4 ? "< 0.0001" : p.toPrecision(2));
const compare = new Intl.Collator(undefined, { numeric: true }).compare;

function choices(select, values, chosen, changed) {
  for (const value of values) select.append(el("option", { value, selected: value === chosen }, value));
  select.addEventListener("change", () => changed(select.value));
}

// ---- charts: Vega-Lite, its expressions read by the interpreter, so that no text becomes a program -----------------
const refuse = () => Promise.reject(new Error("this page loads nothing"));
const options = {
  mode: "vega-lite", renderer: "svg",  actions: false, ast: true, defaultStyle: false,
  tooltip: { disableDefaultStyle: true }, loader: { load: refuse, sanitize: refuse, http: refuse, file: refuse },
};
// Legends and names beside axes have as much room as the place has: a phone's are narrow.
function fitted(spec, width) {
  const longest = 7 * (spec.usermeta ? spec.usermeta.characters : 14);
  const columns = Math.max(1, Math.floor(0.85 * width / (longest + 30)));
  const legend = { ...spec.config.legend, columns, labelLimit: Math.max(0.85 * width / columns - 25, 60) };
  const axis = { ...spec.config.axis, labelLimit: Math.min(Math.max(longest, 220), 0.4 * width) };
  return { ...spec, config: { ...spec.config, legend, axis } };
}
async function draw(key, changes) {
  const place = byId("chart-" + key);
  if (!place || !data.charts[key]) return null;
  const { view } = await vegaEmbed(place, fitted(data.charts[key], place.clientWidth), { ...options, ...changes });
  views[key] = view;
  return view;
}
// A list above a chart of many lines: one of them stands out, by mouse, finger or keyboard.
function offerLines(key) {
  const { series, chosen } = data.charts[key].usermeta;
  if (!series || series.length < 2) return;
  const select = el("select", {}, el("option", { value: "" }, "all lines"));
  choices(select, series, chosen, (line) => { if (views[key]) views[key].signal("chosen", line).runAsync(); });
  byId("chart-" + key).before(el("div", { class: "tools" }, el("label", {}, "Single out ", select)));
}
// Those in sight first; the others when the page has time, so that all are there when it is printed.
function drawAll(keys) {
  const waiting = new Map(keys.map((key) => [key.id, key]));
  const start = (id) => {
    const job = waiting.get(id);
    if (job) { waiting.delete(id); return job.draw(); }
    return Promise.resolve();
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { watcher.unobserve(entry.target); start(entry.target.id); }
  }, { rootMargin: "200px" });
  for (const key of keys) if (byId(key.id)) watcher.observe(byId(key.id));
  const idle = window.requestIdleCallback || ((work) => setTimeout(work, 50));
  const next = () => {
    const [id] = waiting.keys();
    if (id === undefined) { Object.assign(document.documentElement.dataset, { drawn: "all", drawnAt: String(Math.round(performance.now())) }); return; }
    start(id).finally(() => idle(next));
  };
  setTimeout(() => idle(next), 300);
}

// ---- tables that sort, filter and turn pages ----------------------------------------------------------------------
function table(place, { caption, columns, rows, filterOf, size = 15, sort = 0, down = true, empty }) {
  if (!place) return null;
  place.replaceChildren();
  if (!rows.length) { place.append(el("p", { class: "small" }, empty || "There are none.")); return null; }
  const state = { at: 0, sort, down, words: "" };
  const filter = el("input", { type: "search", spellcheck: "false", autocomplete: "off" });
  const count = el("output", { class: "small", "aria-live": "polite" });
  const body = el("tbody");
  const heads = columns.map((column, index) => el("th", { scope: "col", class: column.number ? "num" : null },
    el("button", { type: "button", class: "sort", onclick: () => sortBy(index) }, column.title)));
  const back = el("button", { type: "button", onclick: () => turn(-1) }, "Previous");
  const forth = el("button", { type: "button", onclick: () => turn(1) }, "Next");
  place.append(
    el("div", { class: "tools", hidden: rows.length <= 5 }, el("label", {}, "Filter ", filter), count),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      el("table", {}, el("caption", { class: "hidden" }, caption), el("thead", {}, el("tr", {}, heads)), body)),
    el("div", { class: "pager", hidden: rows.length <= size }, back, forth),
  );
  const texts = new Map(rows.map((row) => [row, filterOf(row).toLowerCase()]));
  function sorted() {
    const own = rows.filter((row) => texts.get(row).includes(state.words));
    const value = columns[state.sort].value;
    const order = (one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === null || a === undefined) return 1;
      if (b === null || b === undefined) return -1;
      return (typeof a === "number" ? a - b : compare(a, b)) * (state.down ? -1 : 1);
    };
    return own.sort(order);
  }
  function show() {
    const own = sorted();
    state.at = Math.max(0, Math.min(state.at, Math.ceil(own.length / size) - 1));
    const shown = own.slice(state.at * size, (state.at + 1) * size);
    body.replaceChildren(...shown.map((row) => el("tr", {}, columns.map((column) =>
      el("td", { class: column.number ? "num" : column.wide ? "wide" : "name" }, column.show(row))))));
    heads.forEach((head, index) => {
      if (index === state.sort) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    const first = own.length ? state.at * size + 1 : 0;
    count.textContent = `${first.toLocaleString()} to ${(first + shown.length - (own.length ? 1 : 0)).toLocaleString()} of ${own.length.toLocaleString()}`;
    back.disabled = state.at === 0;
    forth.disabled = (state.at + 1) * size >= own.length;
  }
  function sortBy(index) {
    state.down = state.sort === index ? !state.down : Boolean(columns[index].number);
    state.sort = index; state.at = 0; show();
  }
  function turn(by) { state.at += by; show(); }
  function search(words) { filter.value = words; state.words = words.toLowerCase(); state.at = 0; show(); }
  filter.addEventListener("input", () => search(filter.value));
  show();
  return { search };
}
