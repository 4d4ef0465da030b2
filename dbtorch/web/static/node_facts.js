// What is known of one node: how it does from run to run, its last failures, its code.
import { el, linked, quoted, said, selection, timeOf, took } from "./common.js";
import { bars } from "./plots.js";

const whole = (value) => Math.round(value).toLocaleString("en");
const selector = (node) => quoted(selection(node));
export const command = (text) => el("p", { class: "command" }, el("code", {}, text), el("button", { type: "button", class: "quiet", "aria-label": `Copy: ${text}`, onclick: (event) => {
  navigator.clipboard?.writeText(text).then(() => { event.target.textContent = "copied"; }, () => {});
} }, "copy"));

export function facts(list) {
  return el("dl", { class: "facts" }, list.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

// "3.1 times its usual since commit abc1234 of 2026-03-01."
export function slowerSince(slower, base) {
  if (!slower) return null;
  return el("p", { class: "note" }, `${slower.factor.toFixed(1)} times its usual (${took(slower.before)}, now ${took(slower.since)}) since `,
    slower.commit ? ["commit ", el("code", {}, slower.commit.slice(0, 12)), ", "] : "", el("a", { href: `${base}runs/${encodeURIComponent(slower.run_id)}` }, "the run of "), timeOf(slower.at));
}

export function plots(node, base) {
  const href = (one) => `${base}runs/${encodeURIComponent(one.run_id)}#node=${encodeURIComponent(node.id)}`;
  const about = (one, value) => `${said(one.state)}${value === null || value === undefined ? "" : `, ${value}`}, ${one.at.slice(0, 16).replace("T", " ")} UTC, ${one.pipeline}${one.commit ? `, commit ${one.commit.slice(0, 8)}` : ""}${one.tries.length > 1 ? `, ${one.tries.length} attempts` : ""}`;
  const since = node.slower ? node.history.findIndex((one) => one.run_id === node.slower.run_id) : -1;
  const points = (key, format) => node.history.map((one) => ({ value: one[key], state: one.state, title: about(one, one[key] === null || one[key] === undefined ? null : format(one[key])), href: href(one) }));
  return [
    bars(points("seconds", took), { name: "Duration", format: took, usual: node.usual, since }),
    node.history.some((one) => one.rows !== null && one.rows !== undefined) && bars(points("rows", (value) => `${whole(value)} rows`), { name: "Rows", format: whole }),
    node.history.some((one) => one.tries.length > 1) && bars(node.history.map((one) => ({ value: one.tries.length || null, state: one.state, title: about(one, `${one.tries.length} attempts`), href: href(one) })), { name: "Attempts", format: String }),
  ].filter(Boolean);
}

function failures(node, base) {
  if (!node.failures.length) return null;
  const classes = Object.entries(node.classes).map(([name, count]) => `${count} ${name}`).join(", ");
  return el("section", {}, el("h3", {}, "Last failures", classes && el("small", {}, ` ${classes} in ${node.runs} runs`)), node.failures.map((one) =>
    el("article", { class: "failure" }, el("p", {}, el("a", { href: `${base}runs/${encodeURIComponent(one.run_id)}#node=${encodeURIComponent(node.id)}` }, "run of "), timeOf(one.at), one.class && el("span", { class: "tag" }, one.class), " ",
      el("a", { href: `${base}runs/${encodeURIComponent(one.run_id)}/log?node=${encodeURIComponent(node.id)}&attempt=${one.attempt}` }, "log")), el("pre", {}, one.message))));
}

const sql = (title, text, open) => text && el("details", { open }, el("summary", {}, title), el("div", { class: "sql" }, el("button", { type: "button", class: "quiet", "aria-label": `Copy: ${title}`, onclick: (event) => { navigator.clipboard?.writeText(text).then(() => { event.target.textContent = "copied"; }, () => {}); } }, "copy"), el("pre", { class: "log", tabindex: "0" }, text)));

function code(node) {
  const found = node.code;
  if (!found) return el("p", { class: "dim" }, "dbt's last manifest.json says nothing of it: its code is not shown.");
  const config = Object.entries(found.config);
  return el("section", {}, el("h3", {}, "Code", el("small", {}, " as dbt has read it last")), found.description && el("p", {}, found.description),
    sql("Compiled SQL", found.compiled, false), sql("Raw SQL", found.raw, false),
    config.length > 0 && el("details", {}, el("summary", {}, `Config (${config.length})`), el("dl", { class: "pairs" }, config.map(([name, value]) => [el("dt", {}, name), el("dd", {}, el("code", {}, value))]))),
    found.columns.length > 0 && el("details", {}, el("summary", {}, `Columns (${found.columns.length})`), el("dl", { class: "pairs" }, found.columns.map((one) => [el("dt", {}, el("code", {}, one.name), " ", el("small", {}, one.type)), el("dd", {}, one.description)]))),
    found.tests.length > 0 && el("details", {}, el("summary", {}, `Tests (${found.tests.length})`), el("ul", { class: "plain" }, found.tests.map((one) => el("li", {}, el("code", {}, one))))));
}

// Everything of a node but its heading; "run" names the run that commands are about.
export function nodeFacts(node, base, run) {
  return [
    facts([["owner", node.owner], ["group", node.group], ["runbook", node.runbook && linked(node.runbook)], ["file", node.path], ["kind", [node.kind, node.materialized].filter(Boolean).join(", ")], ["relation", node.code?.relation], ["tags", node.code?.tags.join(", ")],
      ["usually", node.usual && took(node.usual)], ["failed", `${node.failed || "none"} of ${node.runs} ${node.runs === 1 ? "run" : "runs"}`], ["flaky", node.flaky ? `${node.flaky} ${node.flaky === 1 ? "time" : "times"}` : ""]]),
    slowerSince(node.slower, base), ...plots(node, base), failures(node, base), code(node),
    el("section", {}, el("h3", {}, "In a terminal"), command(`dbtorch run --select ${selector(node)}`), run && command(`dbtorch rerun ${run} --select ${selector(node)}`), command(`dbtorch logs ${run || "latest"} ${quoted(node.id)}`)),
  ].filter(Boolean);
}
