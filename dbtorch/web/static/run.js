// One run: a row for each node, with its attempts along the time, and a panel about one of them.
import { $, SIGNS, address, ansi, deeds, el, key, linked, localTimes, quoted, remember, said, selection, timeOf, took } from "./common.js";
import { heldUp, holdups, lanesOf, secondsLeft } from "./lanes.js";
import { follow, lookAgain } from "./live.js";

const run = JSON.parse($("data").textContent);
const nodes = run.nodes;
const byId = new Map(nodes.map((node) => [node.id, node]));
const critical = new Set(run.critical_path);
const began = Date.parse(run.started_at);
const seconds = (iso) => (Date.parse(iso) - began) / 1000;
// Times are the server's: a clock that is wrong here makes no bar longer.
const apart = Math.abs(Date.parse(run.at) - Date.now()) > 10000 ? Date.parse(run.at) - Date.now() : 0;
const ended = () => (run.finished_at ? seconds(run.finished_at) : (run.state === "running" ? (Date.now() + apart - began) / 1000 : seconds(run.at)));
const IN_SIGHT = 60, ROWS_AT_ONCE = 500;

run.usual_seconds = Object.fromEntries(nodes.filter((node) => node.usual !== undefined).map((node) => [node.id, node.usual]));
for (const node of nodes) { node.before = []; node.after = []; node.attempts ||= []; }
for (const [before, after] of run.edges) { nodes[before].after.push(nodes[after]); nodes[after].before.push(nodes[before]); }

// ------------------------------------------------------------------ time, with idle stretches squeezed

// Moments at which nobody works take a sliver, however long they are: [from, to] of each, and where that is.
let idle = [];
let end = 1;

function squeeze() {
  const spans = nodes.flatMap((node) => node.attempts.map((one) => [seconds(one.started_at || one.queued_at), one.finished_at ? seconds(one.finished_at) : ended()])).sort((a, b) => a[0] - b[0]);
  const gaps = [];
  let until = 0, busy = 0;
  for (const [from, to] of spans) {
    if (from > until) gaps.push([until, from]);
    busy += Math.max(0, to - Math.max(from, until));
    until = Math.max(until, to);
  }
  const most = Math.max(1, busy * 0.04);
  let saved = 0;
  idle = [];
  for (const [from, to] of gaps) {
    if (to - from <= most * 1.5) continue;
    idle.push({ from, to, at: from - saved, keeps: most });
    saved += to - from - most;
  }
  end = Math.max(0.01, place(Math.max(until, run.finished_at && until === 0 ? ended() : until)));
}

// Where a moment is drawn, in seconds without what was squeezed; and back.
function place(moment) {
  let saved = 0;
  for (const gap of idle) {
    if (moment <= gap.from) break;
    if (moment < gap.to) return gap.at + (gap.keeps * (moment - gap.from)) / (gap.to - gap.from);
    saved += gap.to - gap.from - gap.keeps;
  }
  return moment - saved;
}
function momentAt(drawn) {
  let saved = 0;
  for (const gap of idle) {
    if (drawn <= gap.at) break;
    if (drawn < gap.at + gap.keeps) return gap.from + ((drawn - gap.at) / gap.keeps) * (gap.to - gap.from);
    saved += gap.to - gap.from - gap.keeps;
  }
  return drawn + saved;
}

// ------------------------------------------------------------------ rows

const COLUMNS = [
  ["name", "Node", (node) => node.label.toLowerCase()],
  ["start", "Time", (node) => (node.attempts.length ? seconds(node.attempts[0].started_at || node.attempts[0].queued_at) : Infinity)],
  ["took", "Took", (node) => -worked(node)],
  ["tries", "Tries", (node) => -node.attempts.length],
  ["rows", "Rows", (node) => -(rowsOf(node) ?? -1)],
  ["owner", "Owner", (node) => node.owner || "\uffff"],
];
const SORTS = Object.fromEntries(COLUMNS.map(([name, , of]) => [name, of]));

function worked(node) {
  let sum = 0, any = false;
  for (const one of node.attempts) {
    if (!one.started_at) continue;
    any = any || Boolean(one.finished_at) || run.state === "running";
    sum += (one.finished_at ? seconds(one.finished_at) : ended()) - seconds(one.started_at);
  }
  return any ? sum : -1;
}
const last = (node) => node.attempts[node.attempts.length - 1];
const rowsOf = (node) => last(node)?.rows_affected ?? node.rows;

const grid = $("grid");
const head = el("div", { class: "row heads", role: "row" }, COLUMNS.map(([name, title]) =>
  el("div", { class: `c-${name}`, role: "columnheader" }, el("button", { type: "button", "data-sort": name, onclick: () => sortBy(name) }, title))));
const axis = el("div", { class: "axis", role: "presentation" });
const body = el("div", { class: "rows", role: "rowgroup" });
grid.setAttribute("role", "table");
grid.setAttribute("aria-label", "Nodes of the run");
grid.append(el("div", { class: "sticky" }, head, axis), body);

const bar = (kind, from, to, title) => {
  const made = el("i", { class: `bar ${kind}`, title });
  made.style.setProperty("--a", place(from));
  if (to === null) made.classList.add("open");
  else made.style.setProperty("--b", place(to));
  return made;
};

function bars(node) {
  const found = [];
  let before = null;
  for (const one of node.attempts) {
    const start = one.started_at ? seconds(one.started_at) : null;
    if (before !== null && !["session", "operation"].includes(node.kind)) found.push(bar("wait", before, start ?? seconds(one.queued_at), "waits for its next attempt"));
    if (start === null) continue;
    const over = one.finished_at ? seconds(one.finished_at) : null;
    const about = one.failure_class ? `, ${one.failure_class}` : "";
    found.push(bar(`s-${one.state}`, start, over ?? (run.state === "running" ? null : ended()), `attempt ${one.number} ${said(one.state)}, ${took(over === null ? ended() - start : over - start)}${about}`));
    before = over;
  }
  const usual = run.usual_seconds[node.id], tried = last(node);
  if (usual && tried?.started_at) {
    const from = seconds(tried.started_at);
    found.unshift(bar("ghost", from, from + usual, `usually takes ${took(usual)}`));
  }
  return found;
}

// "3.1×" where it took much longer than usual.
function unusual(node, time) {
  const usual = run.usual_seconds[node.id];
  return usual && time > 1 && time > 2 * usual ? el("small", { class: "slow", title: `usually ${took(usual)}` }, `${(time / usual).toFixed(1)}× `) : null;
}

function fill(node) {
  const time = worked(node), rows = rowsOf(node);
  const [kind, ...name] = node.label.split(" ");
  node.row.className = `row s-${node.state}${critical.has(node.id) ? " critical" : ""}`;
  node.row.replaceChildren(
    el("div", { class: "c-name", role: "cell", title: node.id },
      el("b", { class: "sign", title: said(node.state) }, SIGNS[node.state] || "?"), el("span", { class: "hidden" }, `${said(node.state)}, `),
      el("small", {}, kind), " ", el("span", { class: "name" }, name.join(" ") || kind),
      critical.has(node.id) && el("small", { class: "mark", title: "on the critical path" }, "◆")),
    el("div", { class: "c-start", role: "cell" }, chosen.blocks && held.has(node) && (node.attempts.length === 0 || !held.get(node).by) && el("small", { class: held.get(node).by ? "why" : "why holds" }, heldUp(held.get(node))), chosen.blocks && held.get(node)?.by && !node.attempts.length ? "" : node.attempts.length ? bars(node) : el("small", { class: "why" }, node.reason || said(node.state))),
    el("div", { class: "c-took", role: "cell" }, unusual(node, time), time < 0 ? "" : took(time)),
    el("div", { class: "c-tries", role: "cell" }, node.attempts.length > 1 ? String(node.attempts.length) : ""),
    el("div", { class: "c-rows", role: "cell", title: node.usual_rows !== undefined ? `usually ${node.usual_rows}` : null }, rows === undefined || rows === null ? "" : rows.toLocaleString("en")),
    el("div", { class: "c-owner", role: "cell", title: node.owner }, node.owner || ""),
  );
}

let order = [], filling = 0, held = new Map();

// A row for each thread and each step at once, with the attempts that it had.
function showLanes() {
  filling += 1;
  const lanes = lanesOf(nodes, seconds, ended());
  body.replaceChildren(...lanes.map((lane) => el("div", { class: "row lane", role: "row" },
    el("div", { class: "c-name", role: "cell" }, el("span", { class: "name" }, lane.name)),
    el("div", { class: "c-start", role: "cell" }, lane.spans.map((span) => {
      const made = bar(`s-${span.attempt.state}`, span.from, span.to ?? (run.state === "running" ? null : ended()), `${span.node.label}, ${said(span.attempt.state)}, ${took((span.to ?? ended()) - span.from)}`);
      made.dataset.of = span.node.id;
      made.hidden = !wanted(span.node);
      return made;
    })),
    el("div", { class: "c-took", role: "cell", title: "at work" }, took(lane.busy)),
    el("div", { class: "c-tries", role: "cell" }, String(lane.spans.length)))));
  $("shown").textContent = lanes.length ? "A lane for each thread of dbt and each step that worked at the same time: its attempts, how long it was at work, how many there were." : "Nothing has worked yet.";
}

// The first rows at once, the others between frames: a page of thousands is there as soon as a small one.
function show() {
  if (chosen.lanes) { showLanes(); restore(); return; }
  if (body.querySelector(".lane")) body.replaceChildren();
  const mine = ++filling;
  let from = 0, count = IN_SIGHT;
  const more = () => {
    if (mine !== filling) return;
    const rows = order.slice(from, from + count);
    for (const node of rows) {
      if (!node.row) { node.row = el("div", { role: "row", tabindex: "-1", "data-id": node.id }); fill(node); }
      node.row.hidden = !wanted(node);
    }
    body.append(...rows.map((node) => node.row));
    if (!from) performance.mark("rows");
    from += count;
    count = ROWS_AT_ONCE;
    if (from < order.length) setTimeout(more);
    else restore();
  };
  more();
}

// ------------------------------------------------------------------ order and search

const chosen = { q: "", states: new Set(), sort: "start", down: false, critical: false, blocks: false, lanes: false };
const wanted = (node) =>
  (!chosen.blocks || held.has(node))
  && (!chosen.states.size || chosen.states.has(node.state))
  && (!chosen.critical || critical.has(node.id))
  && (!chosen.q || chosen.q.toLowerCase().split(/\s+/).every((word) => `${node.label} ${node.id} ${node.owner || ""} ${node.path || ""} ${node.state}`.toLowerCase().includes(word)));

function filter() {
  if (chosen.lanes) showLanes();
  let count = 0;
  for (const node of nodes) {
    const yes = wanted(node);
    count += yes;
    if (node.row) node.row.hidden = !yes;
  }
  for (const chip of $("chips").children) chip.setAttribute("aria-pressed", chip.dataset.state ? chosen.states.has(chip.dataset.state) : chosen[chip.dataset.only]);
  if (!chosen.lanes) $("shown").textContent = count === nodes.length ? "" : chosen.blocks && !held.size ? "Nothing holds up anything." : `${count} of ${nodes.length} nodes shown`;
  remember({ q: chosen.q, s: [...chosen.states].join("."), critical: chosen.critical ? "1" : "", blocks: chosen.blocks ? "1" : "", lanes: chosen.lanes ? "1" : "" });
}

function sortBy(name, keep = false) {
  if (!keep) chosen.down = chosen.sort === name && !chosen.down;
  chosen.sort = name;
  held = chosen.blocks ? holdups(nodes) : held;
  const of = chosen.blocks ? (node) => held.get(node)?.place ?? Infinity : SORTS[name];
  const keys = new Map(nodes.map((node, place) => [node, [of(node), place]]));
  order = [...nodes].sort((one, other) => {
    const [a, i] = keys.get(one), [b, j] = keys.get(other);
    return (a < b ? -1 : a > b ? 1 : 0) * (chosen.down && !chosen.blocks ? -1 : 1) || i - j;
  });
  for (const title of head.children) title.setAttribute("aria-sort", title.className === `c-${name}` ? (chosen.down ? "descending" : "ascending") : "none");
  remember({ sort: name === "start" && !chosen.down ? "" : (chosen.down ? "-" : "") + name });
  show();
}

// ------------------------------------------------------------------ axis: how many worked when, and what part is shown

const SVG = "http://www.w3.org/2000/svg";
const svg = (tag, given) => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(given)) made.setAttribute(name, value);
  return made;
};
let zoom = null;

// "0.25s", "12s", "2m", "1h 05m": no more digits than the steps between them have.
function mark(moment, step) {
  if (step < 1) return `${moment.toFixed(2)}s`;
  const whole = Math.round(moment);
  return whole < 60 ? `${whole}s` : took(whole).replace(/ 00[sm]$/, "");
}

function drawAxis() {
  const moves = [];
  for (const node of nodes) {
    for (const one of node.attempts) {
      if (one.started_at) moves.push([place(seconds(one.started_at)), 1], [place(one.finished_at ? seconds(one.finished_at) : ended()), -1]);
    }
  }
  moves.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let level = 0, top = 1, line = "M0 0";
  for (const [at, step] of moves) { line += `H${at.toFixed(3)}`; level += step; top = Math.max(top, level); line += `V${level}`; }
  const picture = svg("svg", { viewBox: `0 0 ${end} ${top}`, preserveAspectRatio: "none", class: "load", "aria-hidden": "true" });
  picture.append(svg("path", { d: `${line}H${end}V0Z`, transform: `translate(0 ${top}) scale(1 -1)` }));
  const [from, to] = zoom || [0, end];
  grid.style.setProperty("--from", from);
  grid.style.setProperty("--scale", 1 / (to - from));
  grid.style.setProperty("--now", place(ended()));
  const ticks = el("div", { class: "ticks" });
  const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200].find((one) => (to - from) / one <= 7) || 86400;
  const put = (drawn, kind, text, title) => {
    const made = el("span", { class: kind, title }, text);
    made.style.left = `${((drawn - from) / (to - from)) * 100}%`;
    ticks.append(made);
  };
  let before = -Infinity; // a stretch that is squeezed leaves no room for what is within it, or just before it
  for (let moment = Math.ceil(momentAt(from) / step) * step; moment <= momentAt(to); moment += step) {
    const gap = idle.find((one) => moment > one.from && moment < one.to);
    if (gap) { moment = Math.floor(gap.to / step) * step; continue; }
    const drawn = place(moment), next = idle.find((one) => one.at >= drawn);
    if (drawn - before < (to - from) / 16 || to - drawn < (to - from) / 16 || (next && next.at - drawn < (to - from) / 16 && next.at > drawn - 1e-9)) continue;
    put(drawn, "tick", mark(moment, step));
    before = drawn;
  }
  for (const gap of idle) {
    const width = (gap.keeps / (to - from)) * 100;
    if (gap.at + gap.keeps < from || gap.at > to) continue;
    const made = el("span", { class: "idle", title: `idle for ${took(gap.to - gap.from)}` }, "≈");
    made.style.left = `${((gap.at - from) / (to - from)) * 100}%`;
    made.style.width = `${width}%`;
    ticks.append(made);
  }
  const window = el("span", { class: "window" });
  window.style.left = `${(from / end) * 100}%`;
  window.style.width = `${((to - from) / end) * 100}%`;
  axis.replaceChildren(el("div", { class: "strip", title: `at most ${top} at once; drag to look closer, double-click for all` }, picture, zoom && window),
    ticks);
}

function brush() {
  let from = null;
  const at = (event) => {
    const box = axis.firstChild.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * end;
  };
  axis.addEventListener("pointerdown", (event) => {
    if (event.target.closest(".strip")) { from = at(event); axis.setPointerCapture(event.pointerId); }
  });
  axis.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const to = at(event);
    if (Math.abs(to - from) > end / 200) { zoom = [Math.min(from, to), Math.max(from, to)]; drawAxis(); }
  });
  axis.addEventListener("pointerup", () => {
    from = null;
    remember({ z: zoom ? zoom.map((one) => one.toFixed(2)).join("-") : "" });
  });
  axis.addEventListener("dblclick", () => { zoom = null; drawAxis(); remember({ z: "" }); });
}

// ------------------------------------------------------------------ the panel of a node

const panel = $("panel");
let open = null;

const command = (text) => el("p", { class: "command" }, el("code", {}, text), el("button", { type: "button", class: "quiet", "aria-label": "Copy", onclick: (event) => {
  navigator.clipboard?.writeText(text).then(() => { event.target.textContent = "copied"; }, () => {});
} }, "copy"));

function logOf(node, attempt) {
  const log = run.logs[`${node.id}#${attempt.number}`];
  if (!log) return run.base ? el("p", {}, el("a", { href: `${run.base}runs/${encodeURIComponent(run.run_id)}/log?node=${encodeURIComponent(node.id)}&attempt=${attempt.number}` }, "Log")) : null;
  return el("details", { open: node.state === "failed" && attempt === last(node) }, el("summary", {}, "Log", el("small", {}, log.left_out ? ` its end; ${log.left_out} bytes before it are in ${log.path}` : "")),
    ansi(log.text, el("pre", { class: "log", tabindex: "0" })));
}

function neighbours(title, list) {
  if (!list.length) return null;
  const shown = list.slice(0, 40);
  return el("section", {}, el("h3", {}, `${title} (${list.length})`), el("ul", { class: "plain" }, shown.map((node) =>
    el("li", { class: `s-${node.state}` }, el("b", { class: "sign", "aria-label": said(node.state) }, SIGNS[node.state] || "?"), " ", el("a", { href: `#node=${encodeURIComponent(node.id)}`, onclick: (event) => { event.preventDefault(); choose(node); } }, node.label)))),
    list.length > shown.length && el("p", { class: "dim" }, `and ${list.length - shown.length} more`));
}

function choose(node, focus = true) {
  open?.row?.classList.remove("chosen");
  open = node;
  remember({ node: node ? node.id : "" });
  panel.hidden = !node;
  document.body.classList.toggle("beside", Boolean(node));
  if (!node) return;
  node.row?.classList.add("chosen");
  node.row?.scrollIntoView({ block: "nearest" });
  const facts = [["state", said(node.state)], ["why", node.reason], ["owner", node.owner], ["group", node.group], ["runbook", node.runbook && linked(node.runbook)], ["file", node.path], ["kind", [node.kind, node.materialized].filter(Boolean).join(", ")],
    ["usually", run.usual_seconds[node.id] && took(run.usual_seconds[node.id])], ["rows", rowsOf(node) !== undefined && rowsOf(node) !== null && `${rowsOf(node)}${node.usual_rows !== undefined ? `, usually ${node.usual_rows}` : ""}`]];
  panel.replaceChildren(
    el("div", { class: "panel-top" }, el("h2", {}, el("b", { class: `sign s-${node.state}`, "aria-hidden": "true" }, SIGNS[node.state] || "?"), " ", node.label), el("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => choose(null) }, "✕")),
    el("p", { class: "dim" }, node.id), deeds(run, node) || "",
    el("dl", { class: "facts" }, facts.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
    ...node.attempts.slice().reverse().map((one) => el("section", { class: "attempt" },
      el("h3", {}, `Attempt ${one.number}: ${said(one.state)}`, one.lost ? " (lost)" : "", one.started_at && one.finished_at ? `, ${took(seconds(one.finished_at) - seconds(one.started_at))}` : "", one.failure_class ? el("span", { class: "tag" }, one.failure_class) : null),
      el("p", { class: "dim" }, timeOf(one.started_at || one.queued_at)),
      one.message && el("pre", {}, one.message),
      one.output !== undefined && el("pre", {}, typeof one.output === "string" ? one.output : JSON.stringify(one.output, null, 1)),
      logOf(node, one))),
    run.base ? el("p", { class: "chips" }, el("a", { class: "chip", href: `${run.base}runs/${encodeURIComponent(run.run_id)}/graph#node=${encodeURIComponent(node.id)}` }, "in the graph"), el("a", { class: "chip", href: `${run.base}node?node=${encodeURIComponent(node.id)}&target=${encodeURIComponent(run.target)}` }, "from run to run")) : "",
    neighbours("Before it", node.before) || "", neighbours("After it", node.after) || "",
    el("section", {}, el("h3", {}, "In a terminal"), command(`dbtorch logs ${run.run_id} ${quoted(node.id)}`), node.state === "failed" ? command(`dbtorch retry ${run.run_id}`) : command(`dbtorch rerun ${run.run_id} --select ${quoted(selection(node))}`)));
  localTimes(panel);
  panel.scrollTop = 0;
  if (focus) panel.querySelector("button").focus({ preventScroll: true });
}

// ------------------------------------------------------------------ hands and keys

let current = null;
function step(by) {
  const rows = [...body.children].filter((row) => !row.hidden);
  if (!rows.length) return;
  const at = rows.indexOf(current);
  current = rows[Math.min(rows.length - 1, Math.max(0, at + by))];
  current.focus();
}
body.addEventListener("click", (event) => {
  const of = event.target.closest("[data-of]");
  if (of) { choose(byId.get(of.dataset.of), false); return; }
  const row = event.target.closest("[data-id]");
  if (row && !getSelection().toString()) { current = row; choose(byId.get(row.dataset.id), false); }
});
body.addEventListener("focusin", (event) => { current = event.target.closest("[data-id]"); });
key("f", "failed nodes alone", () => { toggle("failed"); });
key("k", "the node above", () => step(-1));
key("j", "the next node", () => step(1));
key("/", "search", () => $("search").focus());
key("Enter", "look at the node", (event) => {
  if (!event.target.closest?.("[data-id]")) return false;
  choose(byId.get(event.target.dataset.id));
});
key("Esc", "", () => {
  if (document.activeElement === $("search")) $("search").blur();
  else { choose(null); current?.focus(); }
});
function toggle(state) {
  if (!chosen.states.delete(state)) chosen.states.add(state);
  filter();
}
const only = (name, sign, text) => el("button", { type: "button", class: "chip", "aria-pressed": "false", "data-only": name }, el("b", { "aria-hidden": "true" }, sign), ` ${text}`);
$("chips").append(...[critical.size > 1 && only("critical", "◆", "critical path"), only("blocks", "⊘", "what blocks what"), only("lanes", "≡", "lanes")].filter(Boolean));
$("chips").addEventListener("click", (event) => {
  const chip = event.target.closest("button");
  if (!chip) return;
  if (chip.dataset.state) toggle(chip.dataset.state);
  else toggleOnly(chip.dataset.only);
});
function toggleOnly(name) {
  chosen[name] = !chosen[name];
  if (name !== "critical") { sortBy(chosen.sort, true); for (const node of nodes) if (node.row) fill(node); }
  filter();
}
key("b", "what blocks what", () => toggleOnly("blocks"));
key("l", "lanes of threads, or nodes", () => toggleOnly("lanes"));
$("search").addEventListener("input", () => { chosen.q = $("search").value.trim(); filter(); });
addEventListener("hashchange", () => {
  const node = byId.get(address().node);
  if (node && node !== open) choose(node);
});

// What the address says, once all rows are there.
let restored = false;
function restore() {
  if (restored) return;
  restored = true;
  const node = byId.get(address().node);
  if (node) choose(node, false);
}

const asked = address();
chosen.q = $("search").value = asked.q || "";
chosen.states = new Set((asked.s || "").split(".").filter((one) => one in SIGNS));
for (const name of ["critical", "blocks", "lanes"]) chosen[name] = asked[name] === "1";
squeeze();
const [from, to] = (asked.z || "").split("-").map(Number);
if (from >= 0 && to > from && from < end) zoom = [from, Math.min(to, end)];
drawAxis();
brush();
const sort = (asked.sort || "start").replace(/^-/, "");
chosen.down = Boolean(asked.sort?.startsWith("-"));
sortBy(sort in SORTS ? sort : "start", true);
filter();

// ------------------------------------------------------------------ live: what changes, as it does

const ORDER = ["failed", "upstream_failed", "cancelled", "warn", "up_for_retry", "running", "queued", "skipped", "removed", "success", "reused", "pending"];

function count() {
  const counts = {};
  for (const node of nodes) if (node.kind !== "open" && node.kind !== "close" && node.kind !== "session") counts[node.state] = (counts[node.state] || 0) + 1;
  const chips = ORDER.filter((state) => counts[state]).map((state) => el("button", { type: "button", class: "chip", "data-state": state, "aria-pressed": String(chosen.states.has(state)) },
    el("b", { class: `s-${state}`, "aria-hidden": "true" }, SIGNS[state]), " ", el("i", {}, String(counts[state])), ` ${said(state)}`));
  const focus = document.activeElement?.dataset?.state;
  $("chips").replaceChildren(...chips, ...$("chips").querySelectorAll("[data-only]"));
  if (focus) $("chips").querySelector(`[data-state="${focus}"]`)?.focus();
}

function redraw(changed) {
  const before = JSON.stringify(idle.map((gap) => gap.from));
  squeeze();
  const all = JSON.stringify(idle.map((gap) => gap.from)) !== before;
  for (const node of all ? nodes : changed) if (node.row) { const hidden = node.row.hidden; fill(node); node.row.hidden = hidden; }
  drawAxis();
  $("run-took").textContent = took(ended());
  whatIsLeft();
  if (chosen.lanes) showLanes();
}

// When it will be over, by what its nodes usually take.
function whatIsLeft() {
  const left = run.state === "running" ? secondsLeft(nodes, run.usual_seconds, seconds, ended()) : null;
  $("eta").hidden = left === null;
  if (left === null) return;
  const until = new Date(Date.now() + 1000 * left);
  $("run-left").textContent = `about ${left < 55 ? `${5 * Math.ceil(left / 5)}s` : took(left)}, until ${until.toTimeString().slice(0, 5)}`;
  $("run-left").title = `${until.toISOString().slice(0, 16).replace("T", " ")} UTC, by what its nodes usually take`;
}

function tick() {
  if (run.state !== "running") return;
  if (!document.hidden) redraw(nodes.filter((node) => node.state === "running"));
  setTimeout(tick, 1000);
}

// What only the server words: the head of the page, and what failed.
async function words() {
  const answer = await fetch(location.pathname);
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  localTimes(fresh);
  document.title = fresh.title;
  for (const id of ["told", "acts"]) {
    const [old, now] = [$(id), fresh.getElementById(id)];
    if (old && now) old.replaceWith(document.importNode(now, true));
  }
  whatIsLeft();
}

// Not for each of hundreds that fail, but soon after the first, and when all is over.
let wording = null;
function wordsSoon(over) {
  if (over) { clearTimeout(wording); words(); return; }
  wording ??= setTimeout(() => { wording = null; if (run.state === "running") words(); }, 1000);
}

function hear(message) {
  const stopped = message.state === "interrupted"; // what was under way is not any more: the server says how it stands
  if (stopped || (message.resumed_at ?? null) !== (run.resumed_at ?? null) || message.nodes.some((node) => !byId.has(node.id))) { location.reload(); return false; }
  Object.assign(run, { sequence: message.sequence, state: message.state, finished_at: message.finished_at });
  const changed = message.nodes.map((said) => {
    const node = byId.get(said.id);
    const { before, after, row } = node;
    for (const name of Object.keys(node)) delete node[name];
    return Object.assign(node, { attempts: [] }, said, { before, after, row });
  });
  redraw(changed);
  count();
  if (chosen.blocks) sortBy(chosen.sort, true);
  filter();
  if (changed.includes(open)) { const at = panel.scrollTop; choose(open, false); panel.scrollTop = at; }
  const over = run.state !== "running";
  if (over || message.nodes.some((node) => node.state === "failed")) wordsSoon(over);
  return !over;
}

if (run.base && run.state === "running") {
  whatIsLeft();
  setTimeout(tick, 1000);
  follow(`${run.base}api/v1/runs/${encodeURIComponent(run.run_id)}/`, run.sequence, hear);
} else if (run.base) lookAgain(`${run.base}api/v1/runs/${encodeURIComponent(run.run_id)}/`, run);
