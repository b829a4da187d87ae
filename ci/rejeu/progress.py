"""How a run is going: a live table on a terminal, plain timestamped lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rejeu.printable import one_line
from rejeu.results import CellResult, Status
from rejeu.secrets import redact

STYLES = {Status.PASSED: "green", Status.FAILED: "red", Status.ERROR: "magenta", Status.SKIPPED: "yellow"}


def ended(result: CellResult, first: dict[str, str]) -> str:
    """What is said of a cell when it ends. ``first`` has which cell was the first with some privileges, and is told of
    this one's: they are many words, and the same for most cells."""
    had = ""
    if result.privileges:
        name = first.setdefault(result.privileges, result.cell.name)
        had = f" (privileges{f': {result.privileges}' if name == result.cell.name else f' as of {name}'})"
    return f"{result.cell.name}: {result.status} in {result.seconds:.1f} s{had}"


class Progress:
    """Told by the cells what they do; safe to call from their threads."""

    def __init__(
        self,
        console: Console,
        tell: Callable[[str, str], None] = lambda _name, _phase: None,
        values: Mapping[str, str] | None = None,
    ) -> None:
        """``tell`` is called with each new phase of a cell or an image, for the journal. ``values`` are blotted out of
        what is shown: a task may have one in its name."""
        self._console = console
        self._tell = tell
        self._values = values or {}
        self._lock = threading.Lock()
        self._began: dict[str, float] = {}
        self._phases: dict[str, str] = {}
        self._ended: dict[str, tuple[Status, float]] = {}
        self._first_with: dict[str, str] = {}
        self._live = Live(get_renderable=self._table, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def report(self, name: str, phase: str) -> None:
        """``phase`` is what is done now; ``phase: task`` while a playbook runs."""
        with self._lock:
            self._began.setdefault(name, time.monotonic())
            before, self._phases[name] = self._phases.get(name, ""), phase
        if before.partition(":")[0] != (now := phase.partition(":")[0]):
            self._tell(name, now)
            if not self._console.is_terminal:
                self.line(f"{name}: {now}")

    def finish(self, result: CellResult) -> None:
        with self._lock:
            self._ended[result.cell.name] = (result.status, result.seconds)
            self._phases.pop(result.cell.name, None)
            line = ended(result, self._first_with)
        self.line(line, STYLES[result.status])

    def line(self, text: str, style: str = "") -> None:
        stamp = datetime.now(UTC).strftime("%H:%M:%S")
        self._console.print(Text(f"{stamp} {self._shown(text)}", style=style), soft_wrap=True)

    @contextmanager
    def phase(self, name: str, phase: str) -> Iterator[None]:
        """Something that is no cell: an image being built."""
        self.report(name, phase)
        try:
            yield
        finally:
            with self._lock:
                self._phases.pop(name, None)

    def _shown(self, text: str) -> str:
        return one_line(redact(text, self._values))

    def _table(self) -> Table:
        table = Table("cell", "now", "elapsed", box=None, header_style="bold")
        with self._lock:
            for name, phase in sorted(self._phases.items()):
                elapsed = f"{time.monotonic() - self._began[name]:.0f} s"
                table.add_row(Text(name), Text(self._shown(phase)[:70]), elapsed)  # in a plain string [/x] is markup
            passed = sum(status is Status.PASSED for status, _ in self._ended.values())
            table.caption = f"{passed} passed, {len(self._ended) - passed} not, {len(self._phases)} running"
        return table
