"""A real Chromium without a screen, driven over the pipe of its devtools: nothing to install beside it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections import deque
from pathlib import Path
from typing import Any

from tests.waiting import PATIENCE

#: Where it is found; CI installs Debian's.
CHROMIUM = os.environ.get("DBTORCH_TEST_CHROMIUM") or shutil.which("chromium")


class AnotherPageError(AssertionError):
    """The page that was asked has gone meanwhile."""


class Browser:
    """One process with one page. Every request that leaves the machine, and every error, is kept."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        # The browser reads commands from 3 and writes answers to 4: the shell puts them there.
        command = f'exec "$0" "$@" 3<&{to_read} 4>&{to_write}'
        options = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--remote-debugging-pipe", f"--user-data-dir={profile}",
            # One process draws all pages: a new one for each costs as much as the page itself.
            "--process-per-site", "--renderer-process-limit=1", "--disable-site-isolation-trials",
            "--disable-features=SpareRendererForSitePerProcess,BackForwardCache,site-per-process,IsolateOrigins",
            "about:blank",
        ]  # fmt: skip
        self.process = subprocess.Popen(
            ["bash", "-c", command, CHROMIUM, *options],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_read)
        os.close(to_write)
        self._rest = b""
        self._number = 0
        self.events: deque[dict[str, Any]] = deque(maxlen=20_000)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._added: list[str] = []
        self._session = ""
        self._blank = True
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")
        self._call("Page.setLifecycleEventsEnabled", enabled=True)
        self.size(1280, 900)

    def close(self) -> None:
        """End it, and wait for that."""
        os.close(self._to)  # a pipe that closes ends the browser
        try:
            self.process.wait(PATIENCE)
        finally:
            os.close(self._from)

    # ---------------------------------------------------------------- what a person does

    def open(self, url: str) -> None:
        """Go to an address; returns when the page has loaded."""
        self.errors.clear()
        self.requests.clear()
        if not self._blank:
            self._go("about:blank")  # so that another part of the same page is a load, too
        self._blank = url == "about:blank"
        if not self._blank:
            self._go(url)

    def before_scripts(self, script: str) -> None:
        """Run this in every page before its own scripts, until `forget`."""
        said = self._call("Page.addScriptToEvaluateOnNewDocument", source=script)
        self._added.append(said["identifier"])

    def forget(self) -> None:
        """No page gets a script any more, or knows of the ones before."""
        self._call("Network.clearBrowserCookies")
        while self._added:
            self._call("Page.removeScriptToEvaluateOnNewDocument", identifier=self._added.pop())

    def _go(self, url: str) -> None:
        loader = self._call("Page.navigate", url=url)["loaderId"]
        self._until(
            lambda event: (
                event["method"] == "Page.lifecycleEvent"
                and event["params"]["loaderId"] == loader
                and event["params"]["name"] == "load"
            )
        )

    def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            said = {"key": key, "text": text} if text else {"key": key}
            self._call("Input.dispatchKeyEvent", type="keyDown", **said)
            self._call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def write(self, text: str) -> None:
        """Write into what has the focus."""
        self._call("Input.insertText", text=text)

    def hover(self, x: float, y: float) -> None:
        """Rest the pointer somewhere."""
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str) -> None:
        """Click an element where a person would: in its middle, whatever is on top of it there."""
        found = self.js(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'nearest'}); const b = e.getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        where = {"x": found[0], "y": found[1], "button": "left", "clickCount": 1}
        self._call("Input.dispatchMouseEvent", type="mousePressed", **where)
        self._call("Input.dispatchMouseEvent", type="mouseReleased", **where)

    def size(self, width: int, height: int) -> None:
        """How large the window is."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def dark(self, on: bool = True) -> None:
        """What the system prefers."""
        value = "dark" if on else "light"
        self._call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": value}],
        )

    # ---------------------------------------------------------------- what there is to see

    def js(self, expression: str) -> Any:
        """The value of an expression within the page; a promise is waited for."""
        said = self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def text(self, selector: str = "body") -> str:
        """What a person reads of an element."""
        return str(self.js(f"document.querySelector({json.dumps(selector)}).innerText"))

    def wait(self, expression: str) -> Any:
        """The value of an expression once it is true."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                if self.js(f"Boolean({expression})"):
                    return self.js(expression)
                assert time.monotonic() < until, (
                    f"{expression} never came true: {self.text()[:2000]}"
                )
                self.js("new Promise((done) => setTimeout(done, 20))")
            except AnotherPageError:
                continue  # a page that leads to another one

    def picture(self, path: Path) -> None:
        """Write what is seen to a file."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    # ---------------------------------------------------------------- the protocol

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            said = self._read()
            if said.get("id") == self._number:
                if "navigated" in str(said.get("error")):
                    raise AnotherPageError(method)
                assert "error" not in said, f"{method}: {said['error']}"
                result: dict[str, Any] = said["result"]
                return result

    def _until(self, is_it: Any) -> None:
        while not any(map(is_it, self.events)):
            self._read()

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._from, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        said: dict[str, Any] = json.loads(line)
        if "method" in said:
            self._hear(said["method"], said["params"])
            self.events.append(said)
        return said

    def _hear(self, method: str, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(str(params["entry"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.errors.append(str(params["args"]))
