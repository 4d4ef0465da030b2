// The graph of a run: a part of it at a time, which grows where somebody asks.
import { $, SIGNS, address, deeds, el, key, localTimes, remember, said } from "./common.js";
import { follow, lookAgain } from "./live.js";
import { nodeFacts } from "./node_facts.js";
import { KINDS, ORDER, counted, outline } from "./paint.js";
import { vector } from "./plots.js";
import { Stage } from "./stage.js";

const graph = JSON.parse($("data").textContent);
const byId = new Map(graph.nodes.map((node, place) => [node.id, place]));
const api = `${graph.base}api/v1/runs/${encodeURIComponent(graph.run_id)}/`;
graph.owners = [...new Set(graph.nodes.map((node) => node.owner).filter(Boolean))].sort();
graph.members = (group) => graph.nodes.filter((node) => node[asked.by] === group);
const measure = () => { graph.longest = Math.max(0.01, ...graph.nodes.map((node) => node.seconds)); };
measure();

// ------------------------------------------------------------------ what is asked for; all of it is in the address

const list = (text) => (text ? text.split(".").filter((one) => /^\d+$/.test(one) && Number(one) < graph.nodes.length) : []);
const asked = { focus: [], before: [], after: [], all: false, tests: false, by: "node", open: [] };
function read() {
  const found = new URLSearchParams(location.hash.slice(1));
  Object.assign(asked, { focus: list(found.get("focus")), before: list(found.get("before")), after: list(found.get("after")), all: found.get("all") === "1", tests: found.get("tests") === "1", open: found.getAll("open"), by: ["folder", "tag", "package"].includes(found.get("by")) ? found.get("by") : "node" });
}
function words() {
  const found = new URLSearchParams();
  for (const name of ["focus", "before", "after"]) if (asked[name].length) found.set(name, asked[name].join("."));
  for (const name of ["all", "tests"]) if (asked[name]) found.set(name, "1");
  if (asked.by !== "node") { found.set("by", asked.by); for (const one of asked.open) found.append("open", one); }
  return found;
}
function keep() {
  const found = words(), kept = address();
  for (const name of ["node", "c", "v"]) if (kept[name]) found.set(name, kept[name]);
  history.replaceState(null, "", found.size ? `#${found}` : location.pathname);
}

const stage = new Stage($("stage"), graph, { choose, expand, hover, moved });
let number = 0, wait = 0;

function moved(view) {
  clearTimeout(wait);
  wait = setTimeout(() => remember({ v: [view.k.toFixed(3), Math.round(view.x), Math.round(view.y)].join("_") }), 250);
}

// Ask for the part, and paint it; "stays" is a box that keeps its place on the screen.
async function load(stays = null, about = null) {
  const mine = ++number, held = stays === null ? null : { box: stage.boxes[stays], spot: stage.spot(stays) };
  keep();
  let picture;
  try {
    const answer = await fetch(`${api}graph?${words()}`), found = await answer.json();
    if (!answer.ok) throw new Error(found.error);
    picture = found;
  } catch (error) { $("what").textContent = `no answer: ${error.message}`; return; }
  if (mine !== number) return;
  paint(picture, held, about);
}

function paint(picture, held, about) {
  const focus = $("stage").contains(document.activeElement);
  stage.show(picture);
  const place = held ? stage.boxes.findIndex((box) => same(box, held.box)) : -1;
  if (place >= 0) { stage.current = place; stage.stay(place, held.spot); stage.light(); }
  if (place >= 0 && focus) stage.go(place);
  if (place < 0) stage.begin(about === null ? null : stage.boxes.findIndex((box) => box.node === about));
  const many = `${picture.boxes.length} of ${graph.nodes.length} ${asked.by === "node" ? "nodes" : "nodes, in groups"}`;
  const rest = picture.left_out && !picture.what ? `; ${picture.left_out} tests and checks that are well are left out` : "";
  $("what").textContent = picture.what ? `${many}: ${picture.what}.` : `${many}${rest}.`;
  listed();
  press();
  performance.mark("graph");
}
const same = (one, other) => (one.group !== undefined ? one.group === other.group : one.node === other.node);

function listed() {
  const shown = stage.boxes.slice(0, 400);
  $("list").replaceChildren(...shown.map((box, place) => el("li", {}, box.group !== undefined
    ? el("button", { type: "button", class: "quiet", onclick: () => choose(place) }, `▸ ${box.group}, ${graph.members(box.group).length} nodes`)
    : el("button", { type: "button", class: `quiet s-${graph.nodes[box.node].state}`, onclick: () => choose(place) }, el("b", { class: "sign" }, SIGNS[graph.nodes[box.node].state] || "?"), ` ${graph.nodes[box.node].label}`, el("small", {}, ` ${said(graph.nodes[box.node].state)}`)))),
    stage.boxes.length > shown.length ? el("li", { class: "dim" }, `and ${stage.boxes.length - shown.length} more`) : "");
}

// ------------------------------------------------------------------ hands

function expand(place, side) {
  const box = stage.boxes[place];
  if (!box[side]) return;
  if (!asked.focus.length && !asked.all) asked.focus = begun; // stays, whatever becomes of the run
  asked[side] = [...new Set([...asked[side], String(box.node)])];
  load(place);
}
let begun = []; // what the picture is about that the server has chosen

function hover(place) {
  if ((stage.lit?.of ?? -1) === place) return;
  stage.lightUp(place < 0 ? null : place);
  const box = stage.boxes[place];
  $("hovered").textContent = !box ? "" : box.group !== undefined ? `${box.group}: ${counted(graph.members(box.group)).map(([state, count]) => `${count} ${said(state)}`).join(", ")}` : `${graph.nodes[box.node].label}: ${ways[0](box.node)} before it, ${ways[1](box.node)} after it`;
}

// How many nodes there are before and after one, whatever is shown.
const next = [new Map(), new Map()];
for (const [before, after] of graph.edges) for (const [side, from, to] of [[0, after, before], [1, before, after]]) next[side].set(from, [...(next[side].get(from) || []), to]);
const ways = next.map((near) => (from) => { const found = new Set(), open = [from]; while (open.length) for (const one of near.get(open.pop()) || []) if (!found.has(one)) { found.add(one); open.push(one); } return found.size; });

function choose(place) {
  const box = stage.boxes[place];
  if (box.group !== undefined) { asked.open = [...asked.open, box.group]; load(place); return; }
  look(box.node);
}

const panel = $("panel");
let looked = 0;
async function look(node, focus = true) {
  stage.chosen = node;
  stage.light();
  remember({ node: node === null ? "" : graph.nodes[node].id });
  panel.hidden = node === null;
  document.body.classList.toggle("beside", node !== null);
  if (node === null) return;
  const mine = ++looked, one = graph.nodes[node], around = (text, change) => el("button", { type: "button", class: "chip", onclick: change }, text);
  const top = [el("div", { class: "panel-top" }, el("h2", {}, el("b", { class: `sign s-${one.state}`, "aria-hidden": "true" }, SIGNS[one.state] || "?"), " ", one.label), el("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => look(null) }, "✕")),
    el("p", { class: "dim" }, `${said(one.state)} in this run · ${one.id}`),
    el("p", { class: "chips" }, around("around it alone", () => { Object.assign(asked, { focus: [String(node)], before: [], after: [], all: false, by: "node", open: [] }); load(null, node); }),
      el("a", { class: "chip", href: `${graph.base}runs/${encodeURIComponent(graph.run_id)}#node=${encodeURIComponent(one.id)}` }, "in the run"), el("a", { class: "chip", href: `${graph.base}node?node=${encodeURIComponent(one.id)}` }, "history"),
      one.state !== "pending" && el("a", { class: "chip", href: `${graph.base}runs/${encodeURIComponent(graph.run_id)}/log?node=${encodeURIComponent(one.id)}` }, "log")), deeds(graph, one)].filter(Boolean);
  panel.replaceChildren(...top, el("p", { class: "dim" }, "…"));
  if (focus) panel.querySelector("button").focus({ preventScroll: true });
  try {
    const answer = await fetch(`${graph.base}api/v1/node?node=${encodeURIComponent(one.id)}&target=${encodeURIComponent(graph.target)}`), found = await answer.json();
    if (mine !== looked) return;
    panel.replaceChildren(...top, ...(answer.ok ? nodeFacts(found, graph.base, graph.run_id) : [el("p", { class: "note" }, found.error)]));
    localTimes(panel);
  } catch { panel.append(el("p", { class: "note" }, "no answer")); }
}

// ------------------------------------------------------------------ search

const search = $("search"), found = $("matches");
function find() {
  const parts = search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const matches = parts.length ? graph.nodes.filter((node) => parts.every((part) => `${node.label} ${node.id} ${node.owner || ""} ${node.state}`.toLowerCase().includes(part))) : [];
  found.hidden = !parts.length;
  found.replaceChildren(...matches.slice(0, 12).map((node) => el("li", {}, el("button", { type: "button", class: `quiet s-${node.state}`, onclick: () => jump(byId.get(node.id)) }, el("b", { class: "sign", "aria-hidden": "true" }, SIGNS[node.state] || "?"), ` ${node.label}`, el("small", {}, ` ${said(node.state)}${node.owner ? ` · ${node.owner}` : ""}`)))),
    el("li", { class: "dim", role: "status" }, matches.length > 12 ? `and ${matches.length - 12} more` : matches.length ? "" : "no node has that"));
}

// To a node: there it is, or what is shown is the part around it.
async function jump(node) {
  found.hidden = true;
  search.value = "";
  let place = stage.boxes.findIndex((box) => box.node === node);
  if (place < 0) {
    Object.assign(asked, { focus: [String(node)], before: [], after: [], all: false, by: "node", open: [] });
    await load(null, node);
    place = stage.boxes.findIndex((box) => box.node === node);
  }
  if (place < 0) return;
  if (stage.view.k < 0.6) stage.view.k = 0.9;
  stage.centre(place);
  stage.go(place);
  look(node, false);
}
search.addEventListener("input", find);
search.addEventListener("keydown", (event) => {
  const first = found.querySelector("button");
  if (event.key === "Enter") first?.click();
  else if (event.key === "ArrowDown") { event.preventDefault(); first?.focus(); }
});
found.addEventListener("keydown", (event) => {
  const all = [...found.querySelectorAll("button")], at = all.indexOf(document.activeElement), by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (by) { event.preventDefault(); (all[at + by] || search).focus(); }
});

// ------------------------------------------------------------------ tools

function press() {
  $("by").value = asked.by;
  $("colour").value = stage.colour;
  $("all").setAttribute("aria-pressed", String(asked.all));
  $("tests").setAttribute("aria-pressed", String(asked.tests));
  $("first").disabled = !asked.focus.length && !asked.all && asked.by === "node" && !asked.before.length && !asked.after.length;
}
const first = () => { Object.assign(asked, { focus: [], before: [], after: [], all: false, by: "node", open: [] }); load(); };
function colour(name) {
  stage.colour = name;
  remember({ c: name === "state" ? "" : name });
  stage.words();
  legend();
}
$("by").addEventListener("change", () => { Object.assign(asked, { by: $("by").value, open: [], all: false }); load(); });
$("colour").addEventListener("change", () => colour($("colour").value));
$("all").addEventListener("click", () => { asked.all = !asked.all; if (asked.all) Object.assign(asked, { by: "node", open: [] }); load(); });
$("tests").addEventListener("click", () => { asked.tests = !asked.tests; load(); });
$("first").addEventListener("click", first);
$("in").addEventListener("click", () => stage.zoom(1.3));
$("out").addEventListener("click", () => stage.zoom(1 / 1.3));
$("fit").addEventListener("click", () => stage.fit());

function legend() {
  const shape = ([kind, name]) => el("span", {}, vector("svg", { viewBox: "-1 -1 32 18", class: "shape", "aria-hidden": "true" }, vector("path", { d: outline(kind, 30, 16) })), ` ${name}`);
  const patch = (css, text) => el("span", {}, el("i", { class: `box patch ${css}` }), ` ${text}`);
  const colours = stage.colour === "owner" ? [...graph.owners.slice(0, 12).map((owner, place) => patch(`hue-${place % 8}`, owner)), patch("hue-none", "nobody's")]
    : stage.colour === "seconds" ? [1, 2, 3, 4, 5].map((shade) => patch(`shade-${shade}`, shade === 1 ? "quick" : shade === 5 ? "slowest" : ""))
      : ORDER.filter((state) => graph.nodes.some((node) => node.state === state)).map((state) => patch(`s-${state}`, `${SIGNS[state]} ${said(state)}`));
  const kinds = new Set(graph.nodes.map((node) => node.kind));
  $("legend").replaceChildren(...colours, ...KINDS.filter(([kind]) => kind === "group" || kinds.has(kind)).map(shape), el("span", {}, "◆ critical path"));
}

// ------------------------------------------------------------------ keys

const near = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
addEventListener("keydown", (event) => {
  const by = near[event.key];
  if (!by || event.ctrlKey || event.metaKey || event.altKey || !$("stage").contains(document.activeElement)) return;
  event.preventDefault();
  stage.step(...by);
});
key("Enter", "look at the node, or open the group", (event) => { if (!$("stage").contains(event.target) || stage.current < 0) return false; choose(stage.current); });
key("0", "all of it in the window", () => stage.fit());
key("-", "smaller", () => stage.zoom(1 / 1.3));
key("+", "larger", () => stage.zoom(1.3));
key("c", "show what comes after the node", () => { if (stage.current >= 0) expand(stage.current, "after"); });
key("p", "show what comes before the node", () => { if (stage.current >= 0) expand(stage.current, "before"); });
key("← → ↑ ↓", "to the next node there", () => false);
key("k", "the node before", () => { if (stage.boxes.length) stage.go((Math.max(0, stage.current) + stage.boxes.length - 1) % stage.boxes.length); });
key("j", "the next node", () => { if (stage.boxes.length) stage.go((stage.current + 1) % stage.boxes.length); });
key("/", "search", () => search.focus());
key("Esc", "", () => {
  if (!found.hidden) { found.hidden = true; search.value = ""; search.blur(); } else if (stage.chosen !== null) { look(null); if (stage.current >= 0) stage.go(stage.current); } else hover(-1);
});

// ------------------------------------------------------------------ begin, and go on with the run

function hear(message) {
  if (message.state === "interrupted") { location.reload(); return false; } // nothing of it runs any more
  graph.state = message.state;
  const changed = new Set();
  for (const told of message.nodes) {
    const place = byId.get(told.id);
    if (place === undefined) continue;
    const ran = (told.attempts || []).map((one) => (one.started_at && one.finished_at ? (Date.parse(one.finished_at) - Date.parse(one.started_at)) / 1000 : 0));
    Object.assign(graph.nodes[place], { state: told.state, seconds: ran.reduce((sum, one) => sum + one, 0) });
    changed.add(place);
  }
  measure();
  if (changed.size) { stage.words((box) => box.group !== undefined || changed.has(box.node)); listed(); legend(); }
  const state = $("run-state");
  state.className = `state s-${graph.state}`;
  state.replaceChildren(el("b", { "aria-hidden": "true" }, SIGNS[graph.state] || "?"), ` ${said(graph.state)}`);
  return graph.state === "running";
}

read();
const kept = address();
if (["seconds", "owner"].includes(kept.c)) stage.colour = kept.c;
begun = graph.picture.begins.map(String);
legend();
if (words().size) await load();
else paint(graph.picture, null, graph.picture.begins[0] ?? null);
const node = byId.get(kept.node);
if (node !== undefined) {
  if (stage.boxes.some((box) => box.node === node)) { look(node, false); stage.begin(stage.boxes.findIndex((box) => box.node === node)); } else await jump(node);
}
const seen = /^(\d+\.\d+)_(-?\d+)_(-?\d+)$/.exec(kept.v || "");
if (seen) { const [k, x, y] = seen.slice(1).map(Number); if (k > 0) { stage.view = { k: Math.min(2.5, Math.max(0.02, k)), x, y }; stage.paint(); } }
addEventListener("hashchange", () => { read(); load(); });
if (graph.state === "running") follow(api, graph.sequence, hear);
else lookAgain(api, graph);
