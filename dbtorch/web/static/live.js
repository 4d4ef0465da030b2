// What changes in a run as it does: a stream of events, and where there is none, asking now and then.
import { $ } from "./common.js";

// "hear" is told each message, and answers whether the run goes on.
export function follow(url, after, hear) {
  let seen = after, silent = 0;
  const listen = (message) => {
    if (message.sequence !== undefined) seen = message.sequence;
    if (message.gone) { $("live").textContent = "this run was removed from the history"; return false; }
    if (message.trouble !== undefined) { $("live").textContent = message.trouble ? `${message.trouble}; shown is what was last known` : "live"; return true; }
    const goesOn = hear(message);
    $("live").textContent = goesOn ? "live" : "";
    return goesOn;
  };
  const poll = async () => {
    let goesOn = true;
    try {
      const answer = await fetch(`${url}changes?after=${seen}`);
      if (answer.status === 404) goesOn = listen({ gone: true });
      else if (answer.ok) goesOn = listen(await answer.json());
    } catch { listen({ trouble: "no answer" }); }
    if (goesOn) setTimeout(poll, 2000);
  };
  $("live").textContent = "live";
  const source = new EventSource(`${url}events?after=${after}`);
  source.onmessage = (event) => { silent = 0; if (!listen(JSON.parse(event.data))) source.close(); };
  source.addEventListener("over", () => source.close());
  source.onerror = () => {
    silent += 1;
    if (source.readyState === EventSource.CLOSED || silent >= 3) { source.close(); poll(); }
  };
}
