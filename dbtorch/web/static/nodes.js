// Lists of nodes: keys go from one to the next.
import { key } from "./common.js";

const all = [...document.querySelectorAll(".list tbody th a")];
const step = (by) => { all[Math.min(all.length - 1, Math.max(0, all.indexOf(document.activeElement) + by))]?.focus(); };
key("k", "the node above", () => step(-1));
key("j", "the next node", () => step(1));
