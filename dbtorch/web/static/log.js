// A log of any length: of its lines only those in sight are elements.
import { $, address, ansi, el, key, remember } from "./common.js";

const HEIGHT = 18, LONGEST = 1 << 14, MOST_BYTES = 64 << 20;
const source = $("page").dataset.source;
const box = $("log"), space = $("space"), seen = $("seen");
const lines = [];
let rest = "", next = Math.max(0, Number($("page").dataset.bytes) - MOST_BYTES), matches = [], matched = new Set(), chosen = Number(address().L) || 0, following = false, reading = true, wantsError = false;

function draw() {
  const from = Math.max(0, Math.floor(box.scrollTop / HEIGHT) - 20);
  const to = Math.min(lines.length, from + Math.ceil(box.clientHeight / HEIGHT) + 40);
  space.style.height = `${lines.length * HEIGHT}px`;
  seen.style.transform = `translateY(${from * HEIGHT}px)`;
  seen.replaceChildren(...lines.slice(from, to).map((line, place) => {
    const number = from + place + 1;
    return el("div", { class: `line${number === chosen ? " chosen" : ""}${matched.has(number - 1) ? " match" : ""}` },
      el("a", { href: `#L=${number}`, "data-line": number, tabindex: "-1" }, String(number)), ansi(line, el("span", {})));
  }));
}

function go(line, middle = true) {
  chosen = line;
  following = false;
  $("follow").setAttribute("aria-pressed", "false");
  remember({ L: String(line) });
  if (middle) box.scrollTop = (line - 1) * HEIGHT - box.clientHeight / 2;
  draw();
}

function search(jump = true) {
  const words = $("search").value.toLowerCase();
  matches = words ? lines.flatMap((line, place) => (line.toLowerCase().includes(words) ? [place] : [])) : [];
  matched = new Set(matches);
  const at = matches.indexOf(chosen - 1);
  $("found").textContent = words ? `${at >= 0 ? `${at + 1} of ` : ""}${matches.length} ${matches.length === 1 ? "line" : "lines"}` : "";
  if (jump && matches.length && at < 0) move(1);
  draw();
}

function move(by) {
  if (!matches.length) return;
  const after = by > 0 ? matches.find((place) => place > chosen - 1) ?? matches[0] : matches.findLast((place) => place < chosen - 1) ?? matches[matches.length - 1];
  go(after + 1);
  search(false);
}

function firstError() {
  const found = lines.findIndex((line) => /\b(error|exception|traceback|fatal|failed|failure)\b/i.test(line));
  wantsError = found < 0 && reading;
  if (found >= 0) go(found + 1);
  else $("found").textContent = reading ? "reading" : "no line with an error";
}

function follow(on) {
  following = on;
  $("follow").setAttribute("aria-pressed", String(on));
  if (on) box.scrollTop = space.offsetHeight;
}

// A line that is endless is broken: no window shows it, and none has to hold it at once.
function add(line) {
  for (let from = 0; from === 0 || from < line.length; from += LONGEST) lines.push(line.slice(from, from + LONGEST));
}

async function more() {
  let runs = true;
  try {
    const answer = await fetch(`${source}&from=${next}`);
    if (!answer.ok) throw new Error(String(answer.status));
    const text = await answer.text();
    const after = Number(answer.headers.get("X-Dbtorch-Next"));
    const came = after > next;
    next = after;
    runs = answer.headers.get("X-Dbtorch-Runs") === "1";
    if (came) {
      const parts = (rest + text).split("\n");
      rest = parts.pop();
      for (const part of parts) add(part);
      if (rest.length > LONGEST) { add(rest); rest = ""; } // it has no end
    }
    if (!came && !runs && rest) { lines.push(rest); rest = ""; }
    if (came || !runs) { search(false); if (following) { space.style.height = `${lines.length * HEIGHT}px`; box.scrollTop = lines.length * HEIGHT; draw(); } }
    $("nothing").hidden = came || runs || lines.length > 0;
    $("live").textContent = runs ? "live" : "";
    reading = came;
    if (wantsError) firstError();
    if (came && !runs) return more();
  } catch { $("live").textContent = "no answer"; }
  if (runs) setTimeout(more, 1000);
}

box.addEventListener("scroll", () => {
  if (following && box.scrollTop + box.clientHeight < lines.length * HEIGHT - 2 * HEIGHT) follow(false);
  draw();
});
new ResizeObserver(draw).observe(box);
seen.addEventListener("click", (event) => {
  const line = event.target.closest("[data-line]");
  if (line) { event.preventDefault(); go(Number(line.dataset.line), false); }
});
$("search").addEventListener("input", () => search());
$("search").addEventListener("keydown", (event) => { if (event.key === "Enter") move(event.shiftKey ? -1 : 1); });
$("error").addEventListener("click", firstError);
$("follow").addEventListener("click", () => follow(!following));
key("G", "the end", () => { box.scrollTop = space.offsetHeight; });
key("g g", "the beginning", () => { box.scrollTop = 0; });
key("f", "follow", () => follow(!following));
key("e", "the first error", firstError);
key("N", "the match before", () => move(-1));
key("n", "the next match", () => move(1));
key("/", "search", () => $("search").focus());
key("Esc", "", () => { $("search").blur(); box.focus(); });

if (next) $("found").textContent = `the last ${MOST_BYTES >> 20} MB; “as text” has all`;
await more();
if (chosen) go(chosen);
