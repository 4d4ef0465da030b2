// The overview looks again on its own, and changes in place: nothing jumps, and a link that has the focus keeps it.
import { $, key, localTimes } from "./common.js";

let at = -1;
const step = (by) => { const all = [...document.querySelectorAll(".pipeline h3 a")]; at = Math.min(all.length - 1, Math.max(0, at + by)); all[at]?.focus(); };
key("k", "the pipeline above", () => step(-1));
key("j", "the next pipeline", () => step(1));

// What has the focus, in words that hold for the next version of the page.
const place = (element) => (element?.closest?.("main") ? [element.closest("[data-pipeline]")?.dataset.pipeline, element.getAttribute("href") || element.dataset.act].join(" ") : "");

async function again() {
  if (document.hidden || getSelection().toString()) return;
  try {
    const answer = await fetch(location.pathname, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    localTimes(fresh);
    const main = document.querySelector("main");
    if (fresh.querySelector("main").innerHTML !== main.innerHTML) {
      const focus = place(document.activeElement), open = main.querySelector(".ages")?.open;
      main.replaceWith(document.importNode(fresh.querySelector("main"), true));
      if (open) document.querySelector(".ages").open = true;
      if (focus) [...document.querySelectorAll("main a, main button")].find((one) => place(one) === focus)?.focus({ preventScroll: true });
    }
    document.title = fresh.title;
    $("live").textContent = "";
  } catch { $("live").textContent = "no answer; shown is what was last known"; }
}
setInterval(again, 5000);
document.addEventListener("visibilitychange", again);
