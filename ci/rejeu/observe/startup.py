"""How PostgreSQL receives a stranger: one file that is sent to a machine and begins a session from there.

Standard library only, Python 3.8+, run as ``python3 -I -c``. Standard input is JSON, ``{"host", "port", "user",
"database"}``; standard output is JSON, for a session without TLS and for one with it::

    {"plain": [answer, detail], "tls": [answer, detail]}

``error`` with the server's message, ``scram`` with its mechanisms, ``authentication`` with the number of another
method (0: none is asked for), ``no tls``, or ``silent`` with what went wrong on the way. No password is ever sent.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import sys
from typing import Any, Dict, List

TIMEOUT_S = 10.0
SSL_REQUEST = struct.pack("!2I", 8, 80877103)


def receive(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise EOFError("closed after %d bytes" % len(data))
        data += part
    return data


def begin(sock: socket.socket, user: str, database: str) -> List[str]:
    names = ("user\0%s\0database\0%s\0\0" % (user, database)).encode()
    sock.sendall(struct.pack("!2I", 8 + len(names), 3 << 16) + names)
    kind, size = struct.unpack("!cI", receive(sock, 5))
    body = receive(sock, size - 4) if 4 <= size <= 65536 else b""
    if kind == b"E":
        fields = {part[:1]: part[1:].decode("utf-8", "replace") for part in body.split(b"\0")}
        return ["error", "%s %s" % (fields.get(b"C", ""), fields.get(b"M", ""))]
    if kind != b"R" or len(body) < 4:
        return ["silent", "not PostgreSQL's protocol"]
    method = int.from_bytes(body[:4], "big")
    if method == 10:
        return ["scram", " ".join(part.decode("ascii", "replace") for part in body[4:].split(b"\0") if part)]
    return ["authentication", str(method)]


def ask(config: Dict[str, Any], tls: bool) -> List[str]:
    try:
        with socket.create_connection((config["host"], config["port"]), TIMEOUT_S) as sock:
            if not tls:
                return begin(sock, config["user"], config["database"])
            sock.sendall(SSL_REQUEST)
            if receive(sock, 1) != b"S":
                return ["no tls", ""]
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            # Whether it is the right server is not asked: its certificate may be of its own making.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            with context.wrap_socket(sock) as wrapped:
                return begin(wrapped, config["user"], config["database"])
    except (OSError, EOFError) as error:
        return ["silent", "%s: %s" % (type(error).__name__, error)]


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump({"plain": ask(asked, tls=False), "tls": ask(asked, tls=True)}, sys.stdout)
