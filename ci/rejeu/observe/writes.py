"""Drives the watcher on a target: who wrote which file there, and when."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from rejeu.errors import HarnessError
from rejeu.observe.sending import command
from rejeu.targets.target import Stream, Target
from rejeu.values import Write

_SOURCE = Path(__file__).with_name("watcher.py")

# A replay makes some hundreds of writes, an upgrade of a distribution some ten thousands. What is older is dropped.
MAX_WRITES = 50_000
# The watcher says how far it is ten times a second; the rest is for a machine under load.
PATIENCE_S = 10.0


class WriteSession:
    """A watcher that runs from ``start`` to ``stop``. Leaving the context asks it to finish.

    ``evidence`` gets each write as it is told, one JSON object a line: what it was until then, where the run is killed.
    ``unknown`` says why nothing can be told of the writes from now on, and is empty while they can. ``mounts`` are
    the mount points that it watches.
    """

    def __init__(self, stream: Stream, evidence: Path) -> None:
        self.unknown = ""
        self.mounts: tuple[str, ...] = ()
        self._stream = stream
        self._evidence = evidence
        self._kept = 0
        self._unkept = ""
        self._writes: deque[tuple[int, Write]] = deque()
        self._gone: set[int] = set()
        self._upto_ns = 0
        self._incomplete_ns = 0
        self._asked_to_end = False
        self._finished = False
        self._news = threading.Condition()

    @classmethod
    def start(cls, target: Target, evidence: Path) -> Self:
        """Send the watcher to ``target``, and wait until it watches or has been refused."""
        session = cls(target.stream(command(_SOURCE)), evidence)
        threading.Thread(target=session._read, daemon=True).start()
        with session._news:
            if not session._news.wait_for(lambda: session.mounts or session.unknown, PATIENCE_S):
                session.unknown = f"the watcher did not begin within {PATIENCE_S:g} s"
        return session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def between(self, since_ns: int, until_ns: int) -> list[Write] | None:
        """Every write in ``[since_ns, until_ns)`` (the target's clock), in order of arrival; one whose file was
        renamed is there under each of its names. None where some are not known: then nothing follows from the rest.
        """
        with self._news:
            told = self._news.wait_for(lambda: self.unknown or self._upto_ns >= until_ns, PATIENCE_S)
            if self.unknown or not told or since_ns <= self._incomplete_ns:
                return None
            return [write for write in self._known() if since_ns <= write.at_ns < until_ns]

    def stop(self) -> None:
        """Ask the watcher to finish, and wait until it has. HarnessError where its writes could not be kept."""
        self._close()
        with self._news:
            self._news.wait_for(lambda: self._finished, PATIENCE_S)
        if self._unkept:
            raise HarnessError(f"who wrote what could not be kept as evidence: {self._unkept}")

    def _read(self) -> None:
        why = "the watcher ended early"
        try:
            for line in self._stream.lines():
                message = json.loads(line)
                with self._news:
                    self._take(message)
                    self._news.notify_all()
            errors = self._stream.result().err.decode(errors="replace").strip()
            why = errors.splitlines()[-1] if errors else why
        except Exception as error:  # told to whoever asks
            why = f"{type(error).__name__}: {error}"
        with self._news:
            self._finished = True
            if not self._asked_to_end:
                self.unknown = self.unknown or why
            self._news.notify_all()

    def _take(self, message: dict[str, Any]) -> None:
        if "write" in message:
            number, at_ns, path, inode, unit, launched_ns, program = message["write"]
            self._add(number, Write(path, at_ns, unit, launched_ns, program, inode))
        elif "renamed" in message:
            number, path = message["renamed"]
            write = next((write for known, write in reversed(self._writes) if known == number), None)
            if write:
                self._add(number, replace(write, path=path))
        elif "gone" in message:
            self._gone.update(message["gone"])
        elif "upto" in message:
            self._upto_ns = message["upto"]
        elif "lost" in message:
            self._incomplete_ns = max(self._incomplete_ns, message["lost"])
        elif "watching" in message:
            self.mounts = tuple(message["watching"])
        else:
            self.unknown = message["refused"]

    def _add(self, number: int, write: Write) -> None:
        self._keep(write)
        if len(self._writes) == MAX_WRITES:
            dropped, old = self._writes.popleft()
            self._gone.discard(dropped)
            self._incomplete_ns = max(self._incomplete_ns, old.at_ns)
        self._writes.append((number, write))

    def _keep(self, write: Write) -> None:
        """As evidence alone: what cannot be kept is known all the same, and told at the end."""
        if self._unkept or self._kept > MAX_WRITES:
            return
        self._kept += 1
        told = asdict(write) if self._kept <= MAX_WRITES else {"more": f"no more than {MAX_WRITES} writes are kept"}
        try:
            with self._evidence.open("a") as evidence:
                evidence.write(json.dumps(told, separators=(",", ":")) + "\n")
        except OSError as error:
            self._unkept = str(error)

    def _known(self) -> Iterator[Write]:
        """A file that is gone has left its inode to others."""
        return (replace(write, inode=None) if number in self._gone else write for number, write in self._writes)

    def _close(self) -> None:
        self._asked_to_end = True
        if not self._finished:
            self._stream.close_stdin()
