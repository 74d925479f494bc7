"""A program on a terminal, as a person has it."""

import fcntl
import os
import pty
import re
import signal
import struct
import termios
import threading

ESCAPES = re.compile(rb"\x1b(\[[0-9;?<>=]*[a-zA-Z]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][A-Z0-9]|.)")
ROWS, COLUMNS = 50, 200
# Of what was drawn, for a failure.
LAST_BYTES = 6_000


class Terminal:
    def __init__(self, words, env, folder):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(words[0], words, env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.bytes = b""
        self.news = threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            try:
                some = os.read(self.fd, 65536)
            except OSError:
                some = b""
            with self.news:
                self.bytes += some
                self.news.notify_all()
            if not some:
                return

    def wait(self, text, seconds=30):
        """Awaits a text, whatever spaces and colours it is drawn with."""
        wanted = re.sub(r"\s", "", text).encode()

        def there():
            return wanted in re.sub(rb"\s", b"", ESCAPES.sub(b"", self.bytes))
        with self.news:
            assert self.news.wait_for(there, seconds), f"no {text!r} on the terminal:\n{self.shown()}"

    def shown(self):
        return ESCAPES.sub(b" ", self.bytes[-LAST_BYTES:]).decode(errors="replace")

    def enter(self, text):
        with self.news:
            self.bytes = b""
        os.write(self.fd, text.encode())
        # What comes with the text in one piece is pasted, and its end is no key.
        self.wait(text[-12:])
        os.write(self.fd, b"\r")

    def close(self):
        """At once, whatever the program would still do."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.reader.join(10)
        os.close(self.fd)
