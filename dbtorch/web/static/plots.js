// Small plots over runs: a bar for each, the usual as a line, a mark where something has changed.
import { SIGNS, el, said } from "./common.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
export function vector(tag, given = {}, ...children) {
  const made = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(given)) if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  made.append(...children.filter((one) => one !== null && one !== undefined && one !== false));
  return made;
}

const WIDTH = 9, HEIGHT = 64;

// "points" are {value, state, title, href}; the usual and the first of those that changed may be left out.
export function bars(points, { name, format, usual, since }) {
  const known = points.map((one) => one.value).filter((value) => value !== null && value !== undefined);
  if (!known.length) return el("p", { class: "dim" }, `${name}: none is known`);
  const most = Math.max(...known, usual || 0) || 1, high = (value) => (value / most) * (HEIGHT - 4);
  const wide = Math.max(points.length, 12) * WIDTH;
  const marks = points.map((one, place) => {
    const value = one.value ?? 0, tall = Math.max(2, high(value)), x = place * WIDTH;
    const bar = vector("g", { class: `s-${one.state}` }, vector("title", {}, one.title),
      vector("rect", { x, y: 0, width: WIDTH, height: HEIGHT + 12, class: "hit" }),
      one.value !== null && one.value !== undefined && vector("rect", { x: x + 1, y: HEIGHT - tall, width: WIDTH - 2, height: tall, rx: 1, class: "amount" }),
      one.state !== "success" && vector("text", { x: x + WIDTH / 2, y: HEIGHT + 10, class: "sign-of" }, SIGNS[one.state] || "?"));
    return one.href ? vector("a", { href: one.href, "aria-label": one.title }, bar) : bar;
  });
  const line = usual ? vector("line", { x1: 0, x2: wide, y1: HEIGHT - high(usual), y2: HEIGHT - high(usual), class: "usual" }) : null;
  const change = since > 0 ? vector("line", { x1: since * WIDTH, x2: since * WIDTH, y1: 0, y2: HEIGHT + 12, class: "since" }) : null;
  const last = points[points.length - 1];
  return el("figure", { class: "plot" },
    el("figcaption", {}, el("b", {}, name), ` from ${format(Math.min(...known))} to ${format(Math.max(...known))}`, usual ? `, usually ${format(usual)}` : "", last.value !== null && last.value !== undefined ? `; last ${format(last.value)}, ${said(last.state)}` : ""),
    vector("svg", { viewBox: `0 0 ${wide} ${HEIGHT + 13}`, width: wide * 1.5, height: (HEIGHT + 13) * 1.5, role: "group", "aria-label": `${name} of ${points.length} runs` }, ...marks, line, change));
}
