// What may be done: a dialog that asks for what its command needs, and shows the command beside it.
import { $, el, key } from "./common.js";

const base = document.documentElement.dataset.base;
const ASKS = {
  retry: { title: "Retry the run", hint: "What did not succeed runs again, and what depends on it.", fields: ["reason"] },
  from: { action: "retry", title: "Retry from a node", hint: "The node runs again, and what depends on it, besides what did not succeed.", fields: ["nodes", "reason"] },
  rerun: { title: "Rerun a part", hint: "What is selected runs again, and what depends on it.", fields: ["nodes", "reason"] },
  cancel: { title: "Cancel the run or nodes of it", go: "Cancel what runs", hint: "The whole run where no node is named, else those nodes and what depends on them.", fields: ["reason", "nodes"] },
  mark: { title: "Mark a node", hint: "Say how the node stands, whatever the run says.", fields: ["nodes", "state", "reason"] },
  trigger: { title: "Trigger the pipeline", hint: "`dbtorch serve` runs it next.", fields: ["reason"] },
  pause: { title: "Pause the pipeline", hint: "It starts no run by itself until it is resumed.", fields: ["reason"] },
  resume: { title: "Resume the pipeline", hint: "It runs again from its next time on.", fields: [] },
  backfill: { title: "Start a backfill", hint: "Partitions that are missing run, the oldest first.", fields: ["first", "last", "reason"] },
};
const FIELDS = {
  nodes: ["Nodes", () => el("input", { name: "nodes", autocomplete: "off", placeholder: "names, with spaces between" })],
  state: ["State", () => el("select", { name: "state" }, el("option", {}, "success"), el("option", {}, "failed"))],
  first: ["From", () => el("input", { name: "first", autocomplete: "off", placeholder: "2026-01-01, or the first of all" })],
  last: ["To", () => el("input", { name: "last", autocomplete: "off", placeholder: "the last one that is over" })],
  reason: ["Reason", () => el("input", { name: "reason", autocomplete: "off", required: true, maxlength: 500 })],
};

async function post(body) {
  const answer = await fetch(`${base}api/v1/actions`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error || String(answer.status));
  return said;
}

function ask(action, about) {
  const asks = ASKS[action];
  const command = el("code", { class: "command" }, "…"), answer = el("p", { role: "status" });
  const go = el("button", { type: "submit", class: "chip" }, asks.go || asks.title), close = el("button", { type: "button", class: "chip", onclick: () => dialog.close() }, "Close");
  const fields = asks.fields.map((name) => el("label", {}, FIELDS[name][0], FIELDS[name][1]()));
  const form = el("form", { method: "dialog" }, el("h2", {}, asks.title), el("p", { class: "dim" }, asks.hint), fields,
    el("p", { class: "dim" }, "The same as ", command), answer, el("div", { class: "acts" }, go, close));
  const dialog = el("dialog", { class: "help act", "aria-label": asks.title }, form);
  const given = () => {
    const found = { action: asks.action || action, ...about };
    for (const [name, value] of new FormData(form)) {
      const text = value.trim();
      if (name === "nodes") found.nodes = text.split(/\s+/).filter(Boolean);
      else if (text) found[name] = text;
    }
    return found;
  };
  let asked = 0;
  const preview = async () => {
    const mine = ++asked;
    try {
      const said = await post({ ...given(), dry_run: true });
      if (mine === asked) { command.textContent = said.command; answer.textContent = ""; }
    } catch (error) { if (mine === asked) { command.textContent = "…"; answer.textContent = error.message; } }
  };
  let waits;
  form.addEventListener("input", () => { clearTimeout(waits); waits = setTimeout(preview, 200); });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    answer.textContent = "one moment …";
    try {
      const said = await post(given());
      answer.textContent = said.said.join("; ");
      command.textContent = said.command;
      go.remove();
      dialog.addEventListener("close", () => location.reload());
    } catch (error) { answer.textContent = error.message; go.disabled = false; }
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  if (about.nodes) form.elements.nodes.value = about.nodes.join(" ");
  dialog.showModal();
  (form.querySelector("input, select") || go).focus();
  preview();
}

// Whatever has `data-act` asks for that, of the run, node or pipeline that it is about.
document.addEventListener("click", (event) => {
  const pressed = event.target.closest?.("[data-act]");
  if (!pressed || !(pressed.dataset.act in ASKS)) return;
  const { act: action, node, selection } = pressed.dataset, run = pressed.dataset.run || $("acts")?.dataset.run;
  if (run) ask(action, { run, ...(node ? { nodes: [action === "rerun" ? selection : node] } : {}) });
  else ask(action, { pipeline: pressed.closest("[data-pipeline]").dataset.pipeline });
});
key("a", "act", () => (document.querySelector(".panel:not([hidden]) [data-act]") || document.querySelector("[data-act]"))?.click());
