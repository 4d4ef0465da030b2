// Who worked when: attempts on as many lanes as there were at once; what is left of a run that goes on; what holds up what.
import { said } from "./common.js";

// Each attempt on the first lane that is free, those of steps apart from dbt's threads: [{name, spans: [{node, attempt, from, to}]}].
export function lanesOf(nodes, seconds, now) {
  const spans = nodes.filter((node) => !["session", "open", "close"].includes(node.kind)).flatMap((node) => node.attempts.filter((one) => one.started_at).map((one) => ({ node, attempt: one, from: seconds(one.started_at), to: one.finished_at ? seconds(one.finished_at) : null })));
  spans.sort((one, other) => one.from - other.from);
  const lanes = { thread: [], step: [] };
  for (const span of spans) {
    const mine = lanes[span.node.kind === "step" ? "step" : "thread"];
    let lane = mine.find((one) => one.until <= span.from);
    if (!lane) mine.push(lane = { spans: [], busy: 0, until: 0 });
    lane.spans.push(span);
    lane.busy += (span.to ?? now) - span.from;
    lane.until = span.to ?? Infinity;
  }
  return Object.entries(lanes).flatMap(([kind, found]) => found.map((lane, place) => ({ ...lane, name: `${kind} ${place + 1}` })));
}

// Seconds that are left of a run, by what its nodes usually take; null where too little is known of them.
export function secondsLeft(nodes, usual, seconds, now) {
  const open = nodes.filter((node) => ["pending", "queued", "running", "up_for_retry"].includes(node.state) && !["session", "open", "close"].includes(node.kind));
  const known = open.filter((node) => usual[node.id] !== undefined);
  if (!open.length || known.length < open.length / 2) return null;
  const all = known.map((node) => usual[node.id]).sort((one, other) => one - other), middle = all[Math.floor(all.length / 2)];
  const own = new Map(open.map((node) => {
    const last = node.attempts[node.attempts.length - 1], takes = usual[node.id] ?? middle;
    return [node, node.state === "running" && last?.started_at ? Math.max(takes * 0.1, takes - (now - seconds(last.started_at))) : takes];
  }));
  const path = new Map();
  const longest = (node) => { // of what is left behind a node; a run has no cycles
    const stack = [node];
    while (stack.length) {
      const one = stack[stack.length - 1], after = one.after.filter((next) => own.has(next)), missing = after.filter((next) => !path.has(next));
      if (missing.length) stack.push(...missing);
      else { path.set(one, own.get(one) + Math.max(0, ...after.map((next) => path.get(next)))); stack.pop(); }
    }
    return path.get(node);
  };
  const lanes = Math.max(1, lanesOf(nodes, seconds, now).length), work = [...own.values()].reduce((sum, one) => sum + one, 0);
  return Math.max(work / lanes, ...open.map(longest));
}

const HOLDS = ["failed", "running", "up_for_retry", "queued", "cancelled"];
const HELD = ["upstream_failed", "pending", "skipped", "cancelled"];

// What holds up others, those that hold up most first, each followed by what waits for it: Map of node -> [place, how many, by whom].
export function holdups(nodes) {
  const found = new Map();
  const behind = (node) => { const seen = new Set(), open = [node]; while (open.length) for (const next of open.pop().after) if (!seen.has(next) && HELD.includes(next.state)) { seen.add(next); open.push(next); } return [...seen]; };
  const causes = nodes.filter((node) => HOLDS.includes(node.state) && !["session", "open", "close"].includes(node.kind)).map((node) => [node, behind(node).filter((one) => !["session", "open", "close"].includes(one.kind))]).filter(([, held]) => held.length);
  causes.sort((one, other) => HOLDS.indexOf(one[0].state) - HOLDS.indexOf(other[0].state) || other[1].length - one[1].length);
  for (const [node, held] of causes) {
    if (!found.has(node)) found.set(node, { place: found.size, count: held.length, by: null });
    for (const one of held) if (!found.has(one) && !causes.some(([cause]) => cause === one)) found.set(one, { place: found.size, count: 0, by: node });
  }
  return found;
}
export const heldUp = (entry) => (entry.by ? `waits for ${entry.by.label}, ${said(entry.by.state)}` : `holds up ${entry.count} ${entry.count === 1 ? "node" : "nodes"}`);
