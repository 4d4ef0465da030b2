// Nodes as shapes and edges as curves: the same outlines for elements of SVG and for a canvas.
import { SIGNS, said, took } from "./common.js";

export const CELL = { w: 248, h: 60 };
export const BOX = { w: 200, h: 42 };

export const corner = (at) => [at[0] * CELL.w, at[1] * CELL.h + (CELL.h - BOX.h) / 2];
const middle = (row) => (row + 0.5) * CELL.h;

// Each kind has a shape of its own.
const rounded = (w, h, r) => `M${r} 0H${w - r}A${r} ${r} 0 0 1 ${w} ${r}V${h - r}A${r} ${r} 0 0 1 ${w - r} ${h}H${r}A${r} ${r} 0 0 1 0 ${h - r}V${r}A${r} ${r} 0 0 1 ${r} 0Z`;
const SHAPES = {
  model: (w, h) => rounded(w, h, 5),
  seed: (w, h) => `M0 0H${w - 11}L${w} 11V${h}H0Z`,
  snapshot: (w, h) => `M0 0H${w - 11}L${w} 11V${h}H0Z`,
  step: (w, h) => rounded(w, h, h / 2),
  source: (w, h) => `M13 0H${w - 13}L${w} ${h / 2}L${w - 13} ${h}H13L0 ${h / 2}Z`,
  test: (w, h) => `M10 0H${w}L${w - 10} ${h}H0Z`,
  unit_test: (w, h) => `M10 0H${w}L${w - 10} ${h}H0Z`,
  check: (w, h) => `M9 0H${w - 9}L${w} 9V${h - 9}L${w - 9} ${h}H9L0 ${h - 9}V9Z`,
  exposure: (w, h) => `M0 0H${w - 16}L${w} ${h / 2}L${w - 16} ${h}H0Z`,
  operation: (w, h) => `M0 0H${w}V${h}H0ZM6 0V${h}M${w - 6} 0V${h}`,
  group: (w, h) => `M0 6H${w - 6}V${h}H0ZM6 6V0H${w}V${h - 6}H${w - 6}`,
};
export const KINDS = [["model", "model"], ["step", "step"], ["source", "source, gate"], ["test", "test"], ["check", "check"], ["seed", "seed, snapshot"], ["exposure", "exposure"], ["group", "group"]];
export const outline = (kind, w = BOX.w, h = BOX.h) => (SHAPES[kind] || SHAPES.model)(w, h);

// From the right of one box to the left of another, through places between them; back, the other way round.
export const isBack = (from, to) => to.at[0] <= from.at[0];
export function curve(from, to, by) {
  if (isBack(from, to)) {
    const [x, y, nx, ny] = [from.at[0] * CELL.w, middle(from.at[1]) + 8, to.at[0] * CELL.w + (to.at[0] < from.at[0] ? BOX.w : 0), middle(to.at[1]) + 8], d = Math.max(20, (x - nx) / 3);
    return `M${x} ${y}C${x - d} ${y} ${nx + (nx < x ? d : -d)} ${ny} ${nx} ${ny}`;
  }
  let x = from.at[0] * CELL.w + BOX.w, y = middle(from.at[1]), path = `M${x} ${y}`;
  const reach = (nx, ny) => { const d = Math.max(24, Math.abs(nx - x) / 2); path += `C${x + d} ${y} ${nx - d} ${ny} ${nx} ${ny}`; x = nx; y = ny; };
  for (const [column, row] of by) {
    reach(column * CELL.w, middle(row));
    x += BOX.w;
    path += `H${x}`;
  }
  reach(to.at[0] * CELL.w, middle(to.at[1]));
  return path;
}

// Characters that have room in a box.
export const roomOf = (kind) => (kind === "test" || kind === "unit_test" ? 19 : 21);

// The end of a name says as much as its beginning.
export const short = (text, most) => (text.length <= most ? text : `${text.slice(0, Math.ceil(most * 0.55) - 1)}…${text.slice(-Math.floor(most * 0.45))}`);

// ------------------------------------------------------------------ what a box says, in words and colours

const SHADES = 5;
export function shadeOf(seconds, longest) {
  if (!seconds) return 0;
  return Math.min(SHADES, 1 + Math.floor(SHADES * Math.sqrt(seconds / (longest || 1)) * 0.999));
}
// A hue for each owner, by the order in which they come.
export const HUES = 8;

export function counted(nodes) {
  const counts = {};
  for (const node of nodes) counts[node.state] = (counts[node.state] || 0) + 1;
  return Object.entries(counts).sort((one, other) => ORDER.indexOf(one[0]) - ORDER.indexOf(other[0]));
}
export const ORDER = ["failed", "upstream_failed", "cancelled", "warn", "up_for_retry", "running", "queued", "skipped", "removed", "success", "reused", "pending"];

// Class, sign, first and second line, and what is read aloud of a box.
export function wording(box, graph, colour) {
  if (box.group !== undefined) {
    const nodes = graph.members(box.group), counts = counted(nodes), worst = counts[0]?.[0] || "pending";
    const seconds = nodes.reduce((sum, node) => sum + node.seconds, 0);
    const owners = [...new Set(nodes.map((node) => node.owner).filter(Boolean))];
    const second = colour === "seconds" ? `${nodes.length} nodes, ${took(seconds)}` : colour === "owner" ? (owners.length === 1 ? owners[0] : owners.length ? `${owners.length} owners` : "nobody's") : counts.map(([state, count]) => `${SIGNS[state] || "?"}${count}`).join("  ");
    return { kind: "group", css: look(worst, seconds, owners.length === 1 ? owners[0] : "", graph, colour), sign: SIGNS[worst] || "?", first: box.group, second,
      aloud: `group ${box.group}, ${nodes.length} nodes: ${counts.map(([state, count]) => `${count} ${said(state)}`).join(", ")}` };
  }
  const node = graph.nodes[box.node], [kind, ...name] = node.label.split(" ");
  const second = colour === "seconds" ? `${kind} · ${took(node.seconds)}${node.usual ? `, usually ${took(node.usual)}` : ""}` : colour === "owner" ? `${kind} · ${node.owner || "nobody's"}` : `${kind} · ${said(node.state)}${node.seconds ? ` · ${took(node.seconds)}` : ""}`;
  return { kind: node.kind, css: look(node.state, node.seconds, node.owner, graph, colour), sign: SIGNS[node.state] || "?", first: name.join(" ") || kind, second, critical: node.critical,
    aloud: `${node.label}, ${said(node.state)}${node.owner ? `, owner ${node.owner}` : ""}${box.before ? `, ${box.before} more before it` : ""}${box.after ? `, ${box.after} more after it` : ""}` };
}

function look(state, seconds, owner, graph, colour) {
  if (colour === "seconds") return `s-${state} shade-${shadeOf(seconds, graph.longest)}`;
  if (colour === "owner") return `s-${state} hue-${owner ? graph.owners.indexOf(owner) % HUES : "none"}`;
  return `s-${state}`;
}
