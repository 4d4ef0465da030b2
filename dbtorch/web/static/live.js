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
    if (!goesOn) lookAgain(url, { sequence: seen, state: message.state });
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
  let source = null, heard = 0, watch = null;
  const end = () => { source.close(); clearInterval(watch); };
  const open = () => {
    heard = Date.now();
    source = new EventSource(`${url}events?after=${seen}`);
    source.onopen = () => { heard = Date.now(); $("live").textContent = "live"; };
    source.onmessage = (event) => { silent = 0; heard = Date.now(); if (!listen(JSON.parse(event.data))) end(); };
    source.addEventListener("alive", () => { silent = 0; heard = Date.now(); });
    source.addEventListener("over", end);
    source.onerror = () => {
      silent += 1;
      $("live").textContent = "no answer; shown is what was last known";
      if (source.readyState === EventSource.CLOSED || silent >= 3) { end(); poll(); }
    };
  };
  open();
  // A connection that was cut without a word (a laptop that slept) says nothing, not even that it is there.
  watch = setInterval(() => { if (Date.now() - heard > 40000) { source.close(); open(); } }, 5000);
}

// Of a run that is over: whether somebody has gone on with it or marked a node, so that no page says green of one that is not.
export function lookAgain(url, { sequence, state }) {
  const look = async () => {
    if (document.hidden || document.querySelector("dialog[open]")) return;
    try {
      const answer = await fetch(`${url}changes?after=${sequence}`);
      if (answer.status === 404) { $("live").textContent = "this run was removed from the history"; return; }
      if (!answer.ok) throw new Error();
      const now = await answer.json();
      if (now.sequence > sequence || now.state !== state) location.reload();
      else $("live").textContent = "";
    } catch { $("live").textContent = "no answer; shown is what was last known"; }
  };
  setInterval(look, 10000);
  document.addEventListener("visibilitychange", look);
  addEventListener("focus", look);
}
