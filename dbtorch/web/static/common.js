// What every page shares: making elements, words, times, the address, keys, light and dark.

export const SIGNS = {
  success: "✓", warn: "!", failed: "✕", upstream_failed: "⊘", skipped: "»", reused: "=",
  cancelled: "■", removed: "∅", running: "▶", queued: "…", up_for_retry: "↻", pending: "·",
  gated: "◫", interrupted: "⚡",
};

export const $ = (id) => document.getElementById(id);
export const said = (state) => state.replaceAll("_", " ");

// Text is only ever put in as text: whatever a project calls its nodes is no markup.
export function el(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false));
  return made;
}

export function took(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 9.995) return `${Math.max(0, seconds).toFixed(2)}s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h ${two(Math.floor(whole % 3600 / 60))}m`;
  return `${Math.floor(whole / 86400)}d ${two(Math.floor(whole % 86400 / 3600))}h`;
}

const two = (n) => String(n).padStart(2, "0");
const clock = (at) => `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;

// A time in the reader's zone, in UTC where the pointer rests on it.
export function localTimes(within = document) {
  for (const time of within.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
    time.textContent = clock(at);
  }
}
export const timeOf = (iso) => el("time", { datetime: iso }, iso);

// Only an address of the web is a link; everything else is text.
export const linked = (text) => (/^https?:\/\/[^\s]+$/i.test(text) ? el("a", { href: text, rel: "noreferrer noopener" }, text) : text);

export const quoted = (text) => (/^[\w.:@/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

// What `--select` takes for a node.
export function selection(node) {
  const [kind, ...name] = node.label.split(" ");
  const own = kind === "step" || kind === "check" || kind === "source" || kind === "exposure";
  return own ? `${kind}:${name.join(" ")}` : name.join(" ") || node.id;
}

// What may be done to a node of a run, for who may act.
export function deeds(run, node) {
  if (!document.documentElement.dataset.may || ["session", "open", "close", "operation"].includes(node.kind)) return null;
  const found = run.state === "running" ? [["cancel", "Cancel it…"]] : [["from", "Retry from here…"], ["rerun", "Rerun…"], ["mark", "Mark…"]];
  return el("p", { class: "acts" }, found.map(([act, text]) => el("button", { type: "button", class: "chip", "data-act": act, "data-run": run.run_id, "data-node": node.id, "data-selection": selection(node) }, text)));
}

// What a page shows is in its address, so that it can be sent to somebody.
export function address() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}
export function remember(changes) {
  const found = new URLSearchParams(location.hash.slice(1));
  for (const [name, value] of Object.entries(changes)) value ? found.set(name, value) : found.delete(name);
  history.replaceState(null, "", found.size ? `#${found}` : location.pathname + location.search);
}

// The colours of a terminal, of which logs are full; everything else that controls one is left out.
const COLOURS = ["k", "r", "g", "y", "b", "m", "c", "w"];
export function ansi(text, into) {
  let style = "";
  for (const [place, part] of text.split(/\x1b\[([0-9;]*)m/).entries()) {
    if (place % 2) {
      for (const code of part.split(";").map(Number)) {
        if (code === 0) style = "";
        else if (code === 1) style += " a-bold";
        else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) style = `${style.replace(/ a-[krgybmcw]\b/, "")} a-${COLOURS[code % 10]}`;
      }
    } else if (part) {
      const clean = part.replace(/\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]/g, "");
      into.append(style ? el("span", { class: style.trim() }, clean) : clean);
    }
  }
  return into;
}

// ------------------------------------------------------------------ keys

const KEYS = [["?", "this help"], ["t", "light, dark, or as the system"], ["Esc", "close what is open"]];
const actions = {};
export function key(name, what, action) {
  if (what) KEYS.unshift([name, what]);
  actions[name] = action;
}

function help() {
  const dialog = el("dialog", { class: "help", "aria-label": "Keyboard" }, el("h2", {}, "Keyboard"),
    el("dl", {}, KEYS.map(([name, what]) => [el("dt", {}, el("kbd", {}, name)), el("dd", {}, what)])),
    el("button", { type: "button", onclick: () => dialog.close() }, "Close"));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

const THEMES = ["", "light", "dark"];
function theme(next) {
  document.documentElement.dataset.theme = next;
  try { localStorage.setItem("dbtorch-theme", next); } catch { /* a file may keep nothing */ }
}
const nextTheme = () => theme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme || "") + 1) % 3]);
let kept = "";
try { kept = localStorage.getItem("dbtorch-theme") || ""; } catch { /* the same */ }
if (THEMES.includes(kept)) document.documentElement.dataset.theme = kept;
$("theme")?.addEventListener("click", nextTheme);
$("help")?.addEventListener("click", help);
key("t", "", nextTheme);
key("?", "", help);

const base = document.documentElement.dataset.base;
if (base) for (const [name, what, page] of [["g p", "the graph", "graph"], ["g n", "nodes that need a look", "nodes"], ["g h", "all pipelines", ""]]) key(name, what, () => { location.href = base + page; });

let before = "";
addEventListener("keydown", (event) => {
  const writing = event.target instanceof Element && event.target.matches("input, textarea, select");
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (writing && event.key !== "Escape") return;
  const pressed = event.key === "Escape" ? "Esc" : event.key;
  const action = actions[`${before} ${pressed}`] || actions[pressed];
  before = pressed;
  if (action && action(event) !== false) event.preventDefault();
});

localTimes();
