// One node from run to run.
import { $, localTimes } from "./common.js";
import { nodeFacts } from "./node_facts.js";

const node = JSON.parse($("data").textContent);
$("node").append(...nodeFacts(node, node.base, null));
localTimes($("node"));
