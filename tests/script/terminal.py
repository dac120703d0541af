# SPDX-License-Identifier: BSD-3-Clause
"""A program on a terminal of its own (a pty), as far as the tests look at it."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

from cli import ENV

WAIT_S = 20


class Terminal:
    """Runs a program; what it writes is collected in `text`."""

    def __init__(self, *command, columns=80, lines=24, env=None):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            os.execvpe(command[0], [str(word) for word in command],
                       {**ENV, "TERM": "xterm", "LANG": "C.UTF-8", **(env or {})})

    def resize(self, columns, lines):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def send(self, text):
        os.write(self.fd, text.encode())

    def read(self, wait_s):
        """Once; False when nothing came, or it is over."""
        if not select.select([self.fd], [], [], wait_s)[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # the other side is closed
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def expect(self, wanted):
        """Wait for `wanted`, and forget all up to it. Returns what was before it."""
        end = time.monotonic() + WAIT_S
        while wanted not in self.text:
            if not self.read(0.2) and time.monotonic() > end:
                raise AssertionError(f"no {wanted!r} in {self.text!r}")
        before, self.text = self.text.split(wanted, 1)
        return before

    def is_cooked(self):
        """Does it echo and give lines?"""
        flags = termios.tcgetattr(self.fd)[3]
        return bool(flags & termios.ECHO) and bool(flags & termios.ICANON)

    def end(self):
        """Wait for the end of the program; returns its exit status, or minus the signal."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid != 0:
                while self.read(0.05):
                    pass
                self.pid = None
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"it does not end: {self.text!r}")

    def kill(self, number):
        os.kill(self.pid, number)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
