"""The sample project with alerts to a Slack that answers at once, after 30 s, or not at all.

All sides but the first tell of every retry, and show the run from its start to its end.
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from measure import in_turns, parser, print_medians, ratio, spend, verdict, workshop

ROOT = Path(__file__).parents[1]

ALERTS = """
alerts:
  slack: {{token: xoxb-bench, channel: C0000BENCH, api_url: "{url}/{manner}/"}}
  rules: [{{events: [failed, retrying, recovered, succeeded]}}]
"""

#: How long an answer takes, seconds.
MANNERS = {"at once": 0.0, "after 30 s": 30.0, "never": 86_400.0}


class Handler(BaseHTTPRequestHandler):
    """Takes every message, in the manner that the address names."""

    def do_POST(self) -> None:
        """Answer as Slack does."""
        self.rfile.read(int(self.headers["Content-Length"]))
        manner = self.path.split("/")[1].replace("_", " ")
        time.sleep(MANNERS[manner])
        text = json.dumps({"ok": True, "channel": "C0000BENCH", "ts": "1.0"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


class Server(ThreadingHTTPServer):
    """Ends while answers are still due, and minds nobody who hangs up."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """The run was over before the answer."""


def sample(folder: Path, alerts: str) -> Path:
    """A copy of the sample project with these alerts."""
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    left_out = shutil.ignore_patterns("target", "logs", ".dbtorch", "*.duckdb*", "exports")
    project = shutil.copytree(ROOT / "sample_project", folder / "sample_project", ignore=left_out)
    with (project / "dbtorch.yml").open("a", encoding="utf-8") as file:
        file.write(alerts)
    return project


def main() -> int:
    """Run every side in turns."""
    given = parser(__doc__, rounds=7).parse_args()
    with Server(("127.0.0.1", 0), Handler) as server, workshop(given.folder) as folder:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        projects = {"no alerts": sample(folder / "none", "")}
        for manner in MANNERS:
            name = manner.replace(" ", "_")
            projects[manner] = sample(folder / name, ALERTS.format(url=url, manner=name))
        sides = {
            name: partial(spend, [*given.dbtorch, "run"], cwd=project)
            for name, project in projects.items()
        }
        for side in sides.values():
            side()  # parses
        taken = in_turns(sides, given.rounds)
        server.shutdown()
    print_medians(taken)
    targets = [
        ratio(f"wall ratio, {manner}", taken[manner], taken["at once"], limit=1.02)
        for manner in ("after 30 s", "never")
    ]
    return verdict(targets, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
