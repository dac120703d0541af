# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of the operator's program share."""

import os
import socket
import subprocess
import threading

from harness import CLI

ENV = {key: value for key, value in os.environ.items() if key != "MATTE_PASSWORD"}


def matte(*words, stdin=b"", env=None):
    """Run it; returns (exit status, stdout, stderr)."""
    done = subprocess.run([CLI, *(str(word) for word in words)], input=stdin, capture_output=True,
                          timeout=60, env={**ENV, **(env or {})})
    return done.returncode, done.stdout, done.stderr


class Stranger:
    """A listener that sends `answer` to whoever connects, `times` times (None: without an end)."""

    def __init__(self, answer, times=1):
        self.answer, self.times = answer, times
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            try:
                left = self.times
                while left is None or left > 0:
                    conn.sendall(self.answer)
                    left = None if left is None else left - 1
                conn.recv(65536)
                conn.shutdown(socket.SHUT_WR)
                while conn.recv(65536):
                    pass
            except OSError:
                pass
            conn.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)
