// The token comes in the fragment, which no server and no log ever sees, and becomes a cookie.
import { $, address } from "./common.js";

const { token } = address();
history.replaceState(null, "", location.pathname);
const base = document.documentElement.dataset.base;
const answer = await fetch(`${base}api/v1/session`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token: token || "" }) });
if (answer.ok) location.replace(base);
else $("said").textContent = "The token is missing or another one: open the address that `dbtorch ui` has printed.";
