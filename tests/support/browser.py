"""A headless Chromium, driven through its DevTools protocol: what it requests, what scripts say, screenshots."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 30
"""Seconds after which something awaited is called missing."""
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36,
        "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}  # fmt: skip
"""Key codes, which Chromium wants beside the names."""


class Page:
    """One tab."""

    def __init__(self, address: str) -> None:
        import websocket

        self._socket = websocket.create_connection(address, timeout=PATIENCE, suppress_origin=True)
        self._number = 0
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one command; events that come meanwhile are kept."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self.events.append(message)

    def open(self, path: Path) -> None:
        """Open a file, without waiting."""
        self.call("Page.navigate", url=path.resolve().as_uri())

    def size(self, width: int, height: int, dark: bool = False) -> None:
        """The window's size in CSS pixels, and which colour scheme the reader prefers."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def run(self, script: str) -> Any:
        """The value of an expression, after its promise is fulfilled."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, script: str) -> float:
        """Seconds until an expression is true."""
        start = time.monotonic()
        while not self.run(script):
            assert time.monotonic() - start < PATIENCE, f"never came true: {script}"
            time.sleep(0.02)
        return time.monotonic() - start

    def press(self, key: str) -> None:
        """Press and release a key of KEYS."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key], **text)

    def move(self, selector: str) -> None:
        """Put the mouse on an element."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **self._middle(selector))

    def click(self, selector: str) -> None:
        """Click on an element with the mouse."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **self._middle(selector))

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def print(self, path: Path) -> None:
        """Print to PDF."""
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"]))

    @property
    def requested(self) -> list[str]:
        """Every address that was asked for, data: URIs apart."""
        urls = [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith("data:")]

    @property
    def complaints(self) -> list[str]:
        """Uncaught errors, and what the browser logs as an error, such as a breach of the content security policy."""
        thrown = [e["params"]["exceptionDetails"] for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        logged = [e["params"]["entry"] for e in self.events if e["method"] == "Log.entryAdded"]
        return [str(one) for one in thrown] + [entry["text"] for entry in logged if entry["level"] == "error"]

    def _middle(self, selector: str) -> dict[str, float]:
        script = f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'nearest'}});"
        script += " const b = e.getBoundingClientRect(); return {x: b.x + b.width / 2, y: b.y + b.height / 2}; })()"
        return self.run(script)


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """A page of a fresh Chromium, whose profile lies in an empty folder; skips the test where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not there")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
               "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]  # fmt: skip
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield Page(_address(profile / "DevToolsActivePort", process))
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _address(file: Path, process: subprocess.Popen) -> str:
    """Of the first tab."""
    from urllib.request import urlopen

    start = time.monotonic()
    while not file.is_file() or len(file.read_text().split()) < 2:
        assert process.poll() is None, "Chromium ended at once"
        assert time.monotonic() - start < PATIENCE, "Chromium does not start"
        time.sleep(0.05)
    with urlopen(f"http://127.0.0.1:{file.read_text().split()[0]}/json") as answer:
        tabs = json.load(answer)
    return next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
