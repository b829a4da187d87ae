"""Is every secret encrypted, to whom it should be, and nowhere else? In the working tree and in every revision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from rejeu import host
from rejeu.errors import ConfigError
from rejeu.plan import Cell, Check
from rejeu.results import Assertion, CellResult
from rejeu.secrets import alarms, cluster, identity, mint, preflight, recipients, revisions, sops
from rejeu.secrets.alarms import placed
from rejeu.secrets.place import Place
from rejeu.secrets.redact import find_leaks, unsearchable
from rejeu.secrets.revisions import Text
from rejeu.secrets.scanner import Alarm, scan
from rejeu.secrets.store import hidden
from rejeu.values import Finding, Kind

ENCRYPTED = "every secret file is encrypted"
RECIPIENTS = "recipients are as declared"
COMPLETE = "every declared secret of production is there"
TREE_ALARMS = "no clear secret in the working tree"
TREE_VALUES = "no decrypted value in the working tree"
HISTORY_ALARMS = "no clear secret in any revision"
HISTORY_VALUES = "no decrypted value in any revision"
FALSE_ALARMS = "every false alarm is still raised"

_IN_CLEAR = "rejeu.secret-file-in-clear"


@dataclass
class _Opened:
    """What the user's key opens: the files, the values to look for, and what is wrong with either."""

    files: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict, repr=False)
    shut: list[str] = field(default_factory=list)
    damaged: list[Finding] = field(default_factory=list)
    lacking: list[Finding] = field(default_factory=list)


def check(place: Place, platform: str) -> tuple[CellResult, Mapping[str, str]]:
    """The verdict, and the values that may not be in it. ``platform`` is the folder that Ansible reads.

    Raises ConfigError for a shallow clone: what is not there cannot be cleared.
    """
    revisions.refuse_shallow(place.checkout)
    files = place.files()
    false = alarms.load(place.checkout)
    clear = list(_in_clear(place, files, platform))
    encrypted = [name for name in files if name not in {finding.subject for finding in clear}]
    opened = _open(place, encrypted)
    is_secret = place.secret()

    def scan_past(text: Text) -> Iterator[Alarm]:
        yield from scan(text)
        if is_secret(text.path) and _problem(text.path, text.content):
            yield Alarm(_IN_CLEAR, "a secret file that was not encrypted", text.path, 1, text.commit)

    tree, tree_leaks = _search(revisions.working_tree(place.checkout), scan, opened.values)
    _, ignored_leaks = _search(revisions.ignored(place.checkout), lambda _: (), opened.values)
    past, past_leaks = _search(revisions.history(place.checkout), scan_past, opened.values)
    judged = {
        ENCRYPTED: [*clear, *opened.damaged],
        RECIPIENTS: list(_recipients(place, encrypted)),
        TREE_ALARMS: alarms.judge(tree, false),
        HISTORY_ALARMS: alarms.judge(past, false),
        FALSE_ALARMS: alarms.unused([*tree, *past], false),
    }
    assertions = [Assertion.judged(name, findings, strict=True) for name, findings in judged.items()]
    assertions += _of_values(place, opened, [*tree_leaks, *ignored_leaks], past_leaks)
    cell = Cell(Check.SECRETS, host.NAME, "checkout")
    return CellResult(cell, tuple(assertions), notes=tuple(_notes(place, opened))), opened.values


def _in_clear(place: Place, files: Iterable[str], platform: str) -> Iterator[Finding]:
    good = True
    for name in files:
        if problem := _problem(name, (place.checkout / name).read_bytes()):
            good = False
            yield Finding(Kind.LEAKED, name, problem)
    if good:
        try:
            preflight.check_encrypted(place.checkout / platform)
        except ConfigError as error:
            yield Finding(Kind.LEAKED, platform, str(error))


def _problem(name: str, content: bytes) -> str:
    try:
        preflight.check_content(name, content)
    except ConfigError as error:
        return str(error)
    return ""


def _recipients(place: Place, files: Iterable[str]) -> Iterator[Finding]:
    declared = place.declared()
    for name in files:
        try:
            wanted = set(recipients.rule_of(declared, name).recipients)
        except ConfigError as error:
            yield Finding(Kind.UNDECLARED, name, str(error))
            continue
        has, others = recipients.of_file(name, (place.checkout / name).read_text(encoding="utf-8"))
        for one in sorted(has - wanted):
            yield Finding(Kind.UNDECLARED, name, f"{name}: {one} opens it, undeclared: run: nox -s secrets -- rotate")
        for one in sorted(wanted - has):
            yield Finding(Kind.UNDECLARED, name, f"{name}: {one} does not open it: run: nox -s secrets -- rotate")
        for kind in others:
            yield Finding(Kind.UNDECLARED, name, f"{name}: a {kind} key opens it too, and only age keys are declared")


def _open(place: Place, files: Iterable[str]) -> _Opened:
    found = _Opened()
    by_file: dict[str, Mapping[str, str]] = {}
    found.values = {f"age identity {number}": one for number, one in enumerate(identity.texts(place.key), start=1)}
    for name in files:
        path = place.checkout / name
        try:
            values = place.decrypt(name)
            preflight.check_decrypted(path, values)
        except ConfigError as error:
            if isinstance(error, sops.SopsError) and error.reason == "key":
                found.shut.append(name)
            else:
                found.damaged.append(Finding(Kind.FAILED, name, str(error)))
            continue
        found.files.add(name)
        by_file[name] = values
        found.values |= {f"{one} of {name}": value for one, value in hidden(path, values, place.specs).items()}
        if name == place.file:
            lacking = mint.missing(place.specs, values)
            message = "is declared, and not there: run: nox -s secrets -- init"
            found.lacking = [Finding(Kind.FAILED, one, f"{name}: {one} {message}") for one in lacking]
    found.lacking += [Finding(Kind.FAILED, name, said) for name, said in cluster.differences(place, by_file)]
    return found


def _search(
    texts: Iterable[Text], look: Callable[[Text], Iterable[Alarm]], values: Mapping[str, str]
) -> tuple[list[Alarm], list[Finding]]:
    """One reading of each text, for the scanner and for the values."""
    raised: list[Alarm] = []
    leaks: dict[tuple[str, str], Finding] = {}
    for text in texts:
        raised += look(text)
        for leak in find_leaks(text.content, values):
            where = placed(text.path, text.content.count(b"\n", 0, leak.offset) + 1, text.commit)
            message = f"{where}: {leak.name} is there in clear ({leak.form}): give it a new value, and take it out"
            leaks.setdefault((leak.name, text.path), Finding(Kind.LEAKED, text.path, message))
    return raised, list(leaks.values())


def _of_values(place: Place, opened: _Opened, tree: list[Finding], past: list[Finding]) -> Iterator[Assertion]:
    """What only those can tell who open the file of production. Nobody else is told that it is well."""
    reason = f"{place.file} is not opened by any key here" if place.path.is_file() else _missing(place)
    for name, findings in {COMPLETE: opened.lacking, TREE_VALUES: tree, HISTORY_VALUES: past}.items():
        if place.file in opened.files or findings:
            yield Assertion.judged(name, findings, strict=True)
        else:
            yield Assertion.skipped(name, reason)


def _missing(place: Place) -> str:
    return f"{place.file} is not there yet: nox -s secrets -- init makes it"


def _notes(place: Place, opened: _Opened) -> Iterator[str]:
    if not place.path.is_file():
        yield _missing(place)
    for name in opened.shut:
        yield f"no key here opens {name}: its values were not looked for"
    for name in unsearchable(opened.values):
        yield f"{name} is too short to be looked for"
