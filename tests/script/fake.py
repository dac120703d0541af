# SPDX-License-Identifier: BSD-3-Clause
"""A small server with answers of its own, for what the real ones do not (yet) say."""

import socket
import threading


class Fake:
    """Answers each line that is in `answers` (bytes without line end: bytes), others by ERROR. The
    lines that came are in `lines`."""

    def __init__(self, answers):
        self.answers, self.lines = answers, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.to = f"--server=127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        with conn, conn.makefile("rb") as lines:
            try:
                for line in lines:
                    line = line.rstrip(b"\r\n")
                    self.lines.append(line)
                    answer = self.answers.get(line, b"ERROR\r\n")
                    if callable(answer):
                        answer = answer()
                    if answer is None:
                        return
                    conn.sendall(answer)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def listing(*rows, word="STAT"):
    """(name, value)... as the answer to `stats`."""
    return b"".join(f"{word} {name} {value}\r\n".encode() for name, value in rows) + b"END\r\n"
