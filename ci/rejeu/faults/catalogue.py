"""The fault corpus: known mistakes, each a small edit of our own roles, with what a check has to find."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from rejeu import documents
from rejeu.context import Step
from rejeu.documents import Document, Model, Name
from rejeu.errors import ConfigError
from rejeu.matrix import Matrix
from rejeu.values import Facet, Kind

FOLDER = Path("tests/faults")


class FaultClass(StrEnum):
    """What sort of mistake it is, as the field makes it."""

    HIDDEN_WRITE = "hidden-write"
    SECOND_RUN_DIFFERS = "second-run-differs"
    APPENDED = "appended"
    REGENERATED = "regenerated"
    LEFT_BEHIND = "left-behind"
    NEEDLESS_RESTART = "needless-restart"
    FLAPPING = "flapping"
    OUTAGE = "outage"
    PING_PONG = "ping-pong"
    STALE_SERVICE = "stale-service"
    LOST_HANDLER = "lost-handler"
    HALF_WAY = "half-way"
    LOST_AT_REBOOT = "lost-at-reboot"
    DISHONEST_CHECK_MODE = "dishonest-check-mode"
    FOREIGN_FLUSH = "foreign-flush"
    PEERS_CUT = "peers-cut"
    NEVER_CONVERGES = "never-converges"
    EMPTY_TAG = "empty-tag"
    TAG_MISSES_A_VALUE = "tag-misses-a-value"
    ALWAYS_WRITES = "always-writes"
    SHARED_TAG = "shared-tag"
    ALTERNATING = "alternating"
    EMPTY_RUN = "empty-run"
    LEAK = "secret-leaked"
    FOOTPRINT = "footprint"
    EXPOSED = "exposed"


class Replacement(Model):
    """Text that must stand in the file exactly once, and what takes its place."""

    from_: str = Field(alias="from", min_length=1)
    to: str


class Edit(Model):
    """Exactly one of ``append``, ``prepend`` (after a leading ``---``), ``replace`` and ``write`` (the whole file).

    ``file`` is relative to the playbooks' directory. All but ``write`` need it to be there.
    """

    file: Annotated[str, StringConstraints(pattern=r"^[^/]")]
    append: str | None = None
    prepend: str | None = None
    replace: Replacement | None = None
    write: str | None = None

    @model_validator(mode="after")
    def _is_one_edit(self) -> Self:
        if sum(part is not None for part in (self.append, self.prepend, self.replace, self.write)) != 1:
            raise ValueError("an edit has exactly one of append, prepend, replace, write")
        if ".." in Path(self.file).parts:
            raise ValueError("`file` stays inside the playbooks' directory")
        return self


def _listed(value: object) -> object:
    """One of something may be written without its brackets."""
    return value if isinstance(value, list | tuple) else (value,)


class Expectation(Model):
    """The finding that must be there: one of these kinds, of one of these facets where they are given, whose subject
    matches. ``task`` holds the names of the tasks that may be blamed; none where a finding of this sort has none."""

    kind: Annotated[tuple[Kind, ...], BeforeValidator(_listed), Field(min_length=1)]
    facet: Annotated[tuple[Facet, ...], BeforeValidator(_listed)] = ()
    subject: Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
    task: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()


class Fault(Model):
    """``domain`` is the domain or family that is run. An idempotence fault is judged with its control window, an
    isolation fault by one run of its tag, and each by the further ``steps`` that it needs. ``settled`` has the faulty
    playbook converge whole before a tag is run.

    ``changed_rule`` is what a grep for ``changed=`` in the replay's recap is known to say of it. An ``extended`` fault
    is another of its class, and is tried only where it is asked for.
    """

    id: Name
    class_: FaultClass = Field(alias="class")
    origin: Annotated[str, StringConstraints(pattern=r"^https://")] | None = None
    summary: str = Field(min_length=1)
    extended: bool = False
    domain: Name
    check: Literal["idempotence", "half-way", "tags-isolation", "exposure", "static"]
    steps: tuple[Step, ...] = ()
    settled: bool = False
    overlay: tuple[Edit, ...] = Field(min_length=1)
    expect: Expectation
    changed_rule: Literal["caught", "missed"] | None = None
    note: str = ""

    @model_validator(mode="after")
    def _asks_what_its_check_can_do(self) -> Self:
        if self.steps and self.check not in ("idempotence", "tags-isolation"):
            raise ValueError("`steps` belong to the checks `idempotence` and `tags-isolation`")
        if self.settled and self.check != "tags-isolation":
            raise ValueError("`settled` belongs to the check `tags-isolation`")
        return self


def load(folder: Path, matrix: Matrix) -> list[Document[Fault]]:
    """Every fault of ``folder``, by its id. Raises ConfigError with ``file:line`` for one that cannot be used."""
    paths = sorted(folder.glob("*.yml"))
    if not paths:
        raise ConfigError(f"{folder}: no fault is there; run from the checkout's root")
    faults = [documents.load(path, Fault) for path in paths]
    for document in faults:
        fault = document.value
        if fault.id != document.path.stem:
            raise document.error(("id",), f"is `{fault.id}`, and its file is {document.path.name}")
        if fault.domain not in matrix.tags:
            raise document.error(("domain",), f"no domain `{fault.domain}`; there are {', '.join(matrix.tags)}")
        if fault.check == "exposure" and matrix.exposure is None:
            raise document.error(("check",), "the matrix declares no `exposure`")
    return faults


def select(faults: Sequence[Document[Fault]], chosen: Sequence[str], extended: bool) -> list[Document[Fault]]:
    """The faults with these ids; where none is chosen, all that are not ``extended``, or all of them."""
    known = {document.value.id for document in faults}
    for name in chosen:
        if name not in known:
            raise ConfigError(f"--only {name}: no such fault; --list shows them")
    if chosen:
        return [document for document in faults if document.value.id in chosen]
    return [document for document in faults if extended or not document.value.extended]
