# SPDX-License-Identifier: BSD-3-Clause
"""A headless Chromium for tests of the admin page, driven over a pipe (--remote-debugging-pipe).

Everything that it says on its console, every exception and every request that it makes is kept, so
that a test can say there were none.  Ends by its pid; its profile is a temporary folder.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

CHROMIUM = shutil.which("chromium")
START_S = 90


class Browser:
    """A context manager."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="matte-browser-")
        to_read, self.write_fd = os.pipe()
        self.read_fd, to_write = os.pipe()

        def pipes():  # it reads commands from 3 and answers to 4
            os.dup2(to_read, 198)
            os.dup2(to_write, 199)
            os.dup2(198, 3)
            os.dup2(199, 4)
        self.process = subprocess.Popen(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-dev-shm-usage", "--disable-background-networking", "--disable-sync",
             "--disable-component-update", "--disable-extensions", "--no-default-browser-check",
             "--hide-scrollbars", f"--user-data-dir={self.profile}", "--remote-debugging-pipe",
             "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            close_fds=False, preexec_fn=pipes, start_new_session=True)
        os.close(to_read)
        os.close(to_write)
        self.buffer, self.number = b"", 0
        self.console, self.requests = [], []
        targets = self.call("Target.getTargets", wait_s=START_S)["targetInfos"]
        page = next(t["targetId"] for t in targets if t["type"] == "page")
        self.session = None
        self.session = self.call("Target.attachToTarget", targetId=page,
                                 flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def _message(self, wait_s):
        end = time.monotonic() + wait_s
        while b"\0" not in self.buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.read_fd], [], [], left)[0]:
                return None
            data = os.read(self.read_fd, 1 << 20)
            assert data, "the browser has ended"
            self.buffer += data
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def _heard(self, message):
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.consoleAPICalled":
            self.console.append([arg.get("value", arg) for arg in params["args"]])
        elif method == "Runtime.exceptionThrown":
            self.console.append(params["exceptionDetails"])
        elif method == "Log.entryAdded":
            self.console.append(params["entry"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.javascriptDialogOpening":
            self.console.append(params)

    def call(self, method, wait_s=30, **params):
        """A command of the DevTools protocol; returns its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if getattr(self, "session", None):
            message["sessionId"] = self.session
        os.write(self.write_fd, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + wait_s
        while True:
            answer = self._message(max(0, end - time.monotonic()))
            assert answer is not None, f"no answer to {method}"
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self._heard(answer)

    def listen(self, seconds):
        """Let it run, and hear what happens."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = self._message(end - time.monotonic())
            if message:
                self._heard(message)

    def look(self, width=1280, height=900, dark=False, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=mobile)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def open(self, url):
        self.call("Page.navigate", url=url)

    def evaluate(self, expression):
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                          awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression, wait_s=30):
        end = time.monotonic() + wait_s
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"it never came true: {expression}"
            self.listen(0.1)

    def screenshot(self, path, whole=True):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        with open(path, "wb") as file:
            file.write(base64.b64decode(data["data"]))

    def close(self):
        if self.process.poll() is None:
            try:
                self.session = None
                self.call("Browser.close", wait_s=5)
                self.process.wait(10)
            except (AssertionError, OSError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        os.close(self.read_fd)
        os.close(self.write_fd)
        shutil.rmtree(self.profile, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
