"""This machine in a target's place, and servers on its sockets."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from rejeu.targets.target import Completed

Handler = Callable[[socket.socket], None]


class LocalStream:
    def __init__(self, argv: Sequence[str], stdin: bytes) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by result()
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)
        assert self.process.stdin
        self.process.stdin.write(stdin)
        self.process.stdin.flush()

    def lines(self) -> Iterator[bytes]:
        assert self.process.stdout
        with self.process.stdout as lines:
            yield from lines

    def close_stdin(self) -> None:
        assert self.process.stdin
        with suppress(BrokenPipeError):  # it has ended by itself
            self.process.stdin.close()

    def result(self) -> Completed:
        code = self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()
        self.close_stdin()
        with self.errors:
            self.errors.seek(0)
            return Completed(code, b"", self.errors.read())


class LocalTarget:
    """This machine as a target; ``within`` comes before every command (``nsenter ... --``)."""

    name = "here"
    address = "127.0.0.1"

    def __init__(self, within: Sequence[str] = ()) -> None:
        self.within = within
        self.streams: list[LocalStream] = []

    def exec(self, argv: Sequence[str], *, stdin: bytes = b"", user: str = "root") -> Completed:
        done = subprocess.run(self._here(argv), input=stdin, capture_output=True, check=False)
        return Completed(done.returncode, done.stdout, done.stderr)

    def stream(self, argv: Sequence[str], *, stdin: bytes = b"", user: str = "root") -> LocalStream:
        stream = LocalStream(self._here(argv), stdin)
        self.streams.append(stream)
        return stream

    def _here(self, argv: Sequence[str]) -> list[str]:
        """The tests' own Python is the one that is there for certain."""
        return [*self.within, *([sys.executable, *argv[1:]] if argv[0] == "python3" else argv)]

    def end(self) -> None:
        """End what still runs."""
        for stream in self.streams:
            if stream.process.poll() is None:
                stream.process.kill()
            stream.process.wait()


@contextmanager
def serving(handle: Handler, address: str | tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[int]:
    """A server with a thread for each connection; the end of the context cuts its connections. Its port."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen()
    connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            handle(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threading.Thread(target=serve, args=(connection,)).start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield 0 if isinstance(address, str) else listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
        listener.close()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
