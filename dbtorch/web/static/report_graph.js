// In the report of a run: the graph of what failed, with one step around it, as it was painted then.
import { $ } from "./common.js";
import { Stage } from "./stage.js";

const run = JSON.parse($("data").textContent);
if (run.graph) {
  const critical = new Set(run.critical_path), place = $("stage");
  const seconds = (node) => (node.attempts || []).reduce((sum, one) => sum + (one.started_at && one.finished_at ? (Date.parse(one.finished_at) - Date.parse(one.started_at)) / 1000 : 0), 0);
  const nodes = run.nodes.map((node) => ({ ...node, seconds: seconds(node), critical: critical.has(node.id) }));
  const stage = new Stage(place, { nodes, owners: [], longest: 1 }, {
    embedded: true,
    moved: () => {},
    expand: () => {},
    hover: (box) => { if ((stage.lit?.of ?? -1) !== box) stage.lightUp(box < 0 ? null : box); },
    choose: (box) => { const said = new URLSearchParams(location.hash.slice(1)); said.set("node", nodes[stage.boxes[box].node].id); location.hash = String(said); },
  });
  place.style.height = `${Math.min(26, 3 + 3.6 * run.graph.rows)}rem`;
  stage.show(run.graph);
  stage.begin();
  place.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (by) { event.preventDefault(); stage.step(...by); } else if (event.key === "Enter" && stage.current >= 0) { event.preventDefault(); event.stopPropagation(); stage.on.choose(stage.current); }
  });
}
