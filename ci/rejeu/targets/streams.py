"""Commands in a container, with standard input: the part of the Docker SDK that it leaves to its callers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from docker.utils.socket import STDERR, frames_iter

from rejeu.targets.target import Completed


class ExecStream:
    """One ``docker exec``, started. The engine multiplexes its output over the socket that takes its input."""

    def __init__(self, client: Any, container: str, argv: Sequence[str], stdin: bytes, user: str) -> None:
        self._api = client.api
        self._id = self._api.exec_create(container, list(argv), stdin=True, user=user)["Id"]
        self._response = self._api.exec_start(self._id, socket=True)
        # The SDK wraps the socket for reading only; beneath, it is a plain one (or TLS for a remote engine).
        self._socket: socket.socket = getattr(self._response, "_sock", self._response)
        self._socket.settimeout(None)
        self._err = bytearray()
        self._sent = threading.Event()
        self._socket.sendall(stdin)

    def lines(self) -> Iterator[bytes]:
        pending = b""
        for chunk in self._chunks():
            *complete, pending = (pending + chunk).split(b"\n")
            yield from complete
        if pending:
            yield pending

    def close_stdin(self) -> None:
        # The command may have ended by itself, and the engine closed the connection.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def result(self) -> Completed:
        out = b"".join(self._chunks())
        code = self._api.exec_inspect(self._id)["ExitCode"]
        self._response.close()
        self._socket.close()
        return Completed(-1 if code is None else int(code), out, bytes(self._err))

    def _chunks(self) -> Iterator[bytes]:
        for stream, data in frames_iter(self._response, tty=False):
            if stream == STDERR:
                self._err += data
            else:
                yield data
