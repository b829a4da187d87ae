"""From a matrix to cells: what is checked, on what, starting from which state. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rejeu.errors import ConfigError
from rejeu.matrix import Matrix

SITE = "site"
# The domain whose dumps a restore drill restores.
BACKUP = "backup"


class Check(StrEnum):
    IDEMPOTENCE = "idempotence"
    ISOLATION = "tags-isolation"
    COLD = "cold"
    EXPOSURE = "exposure"
    HALFWAY = "half-way"
    CONVERGE = "converge"
    STATIC = "static"
    FAULTS = "faults"
    SECRETS = "secrets"
    RESTORE_DRILL = "restore-drill"


# A converged state of a target: the tags that were run on a bare image, in order. `("site",)` is the whole playbook.
State = tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One check of one subject (a domain, a tag, or the whole site) on one target, from a state that stands."""

    check: Check
    target: str
    subject: str
    starts_from: State = ()

    @property
    def name(self) -> str:
        # Several states may end with the same step: making one is named by all of it.
        subject = ".".join(self.reaches) if self.check is Check.CONVERGE else self.subject
        return f"{self.check}.{self.target}.{subject}"

    @classmethod
    def making(cls, target: str, state: State) -> Cell:
        """The cell that takes the last step to ``state``, for others that start from it."""
        return cls(Check.CONVERGE, target, state[-1], state[:-1])

    @property
    def options(self) -> tuple[str, ...]:
        """What chooses this cell on the command line of its session."""
        only = ("--only", self.check.value) if self.check is Check.HALFWAY else ()
        return ("--target", self.target, "--domain", self.subject, *only)

    @property
    def tags(self) -> tuple[str, ...]:
        return tags_of(self.subject)

    @property
    def reaches(self) -> State:
        """The state that a cell leaves, but for the checks that damage their target and leave none."""
        return (*self.starts_from, self.subject)


def tags_of(step: str) -> tuple[str, ...]:
    """What ``--tags`` is given for one step of a state; nothing for the whole playbook."""
    return () if step == SITE else (step,)


def awaited(cells: Iterable[Cell]) -> frozenset[tuple[str, State]]:
    """The states of targets that ``cells`` start from, and those that these in turn are converged from."""
    return frozenset(
        (cell.target, cell.starts_from[:length]) for cell in cells for length in range(1, len(cell.starts_from) + 1)
    )


def standing(matrix: Matrix, state: State) -> tuple[str, ...]:
    """The domains that have converged in ``state``, those of its families included."""
    converged = {name for step in state if step != SITE for name in matrix.tags[step]}
    return tuple(name for name in ordered(matrix) if name in converged or SITE in state)


def data_of(matrix: Matrix, state: State) -> tuple[tuple[str, ...], ...]:
    """The patterns of the services' own files in ``state``, by domain: what one leaves out may be another's."""
    return tuple(matrix.domains[name].data for name in standing(matrix, state))


def remade_of(matrix: Matrix, state: State) -> tuple[str, ...]:
    """The patterns of what the services in ``state`` make anew at each start."""
    return tuple(pattern for name in standing(matrix, state) for pattern in matrix.domains[name].remade)


def ordered(matrix: Matrix) -> tuple[str, ...]:
    """All domains, requirements first, otherwise in the matrix's order."""
    done: list[str] = []

    def visit(name: str) -> None:
        for required in matrix.domains[name].requires:
            visit(required)
        if name not in done:
            done.append(name)

    for name in matrix.domains:
        visit(name)
    return tuple(done)


def requirements(matrix: Matrix, tag: str) -> tuple[str, ...]:
    """Everything that ``tag``'s domains stand on, transitively and in converging order, themselves excepted unless one
    of them is what another requirement needs."""
    members = matrix.tags[tag]
    outside = _below(matrix, members) - set(members)
    needed = outside | _below(matrix, outside)
    return tuple(name for name in ordered(matrix) if name in needed)


def _below(matrix: Matrix, domains: Iterable[str]) -> set[str]:
    needed: set[str] = set()
    pending = list(domains)
    while pending:
        for name in matrix.domains[pending.pop()].requires:
            if name not in needed:
                needed.add(name)
                pending.append(name)
    return needed


def select(matrix: Matrix, chosen: Iterable[str]) -> tuple[str, ...]:
    """Domain and family names (and ``site``) to domain names, in order; nothing chosen means everything."""
    names = set(chosen)
    known = {*matrix.tags, SITE}
    for name in sorted(names - known):
        raise ConfigError(f"--domain {name}: no such domain or family; there are {', '.join(sorted(known))}")
    if not names:
        return (*ordered(matrix), SITE)
    selected = {domain for name in names - {SITE} for domain in matrix.tags[name]}
    return tuple(name for name in (*ordered(matrix), SITE) if name in selected or name in names & {SITE})


def idempotence(matrix: Matrix, targets: Sequence[str], chosen: Iterable[str]) -> list[Cell]:
    """A cell for each selected domain on each target, and one for the whole site."""
    return [
        Cell(Check.IDEMPOTENCE, target, subject, () if subject == SITE else requirements(matrix, subject))
        for target in targets
        for subject in select(matrix, chosen)
    ]


def halfway(matrix: Matrix, targets: Sequence[str], chosen: Iterable[str]) -> list[Cell]:
    """A cell for each selected domain on each target; the whole site is left half done by its domains."""
    return [
        Cell(Check.HALFWAY, target, subject, requirements(matrix, subject))
        for target in targets
        for subject in select(matrix, chosen)
        if subject != SITE
    ]


def isolation(matrix: Matrix, targets: Sequence[str], chosen: Iterable[str]) -> list[Cell]:
    """Two cells for each selected tag, families included, on each target: isolation, which starts from the whole site,
    and cold, which starts from what the tag requires."""
    names = set(chosen)
    known = matrix.tags
    for name in sorted(names - set(known)):
        raise ConfigError(f"--domain {name}: no such domain or family; there are {', '.join(sorted(known))}")
    tags = [tag for tag in (*ordered(matrix), *matrix.families) if not names or tag in names]
    return [
        cell
        for target in targets
        for cell in (
            *(Cell(Check.ISOLATION, target, tag, (SITE,)) for tag in tags),
            *(Cell(Check.COLD, target, tag, requirements(matrix, tag)) for tag in tags),
        )
    ]


def restore_drill(matrix: Matrix, targets: Sequence[str], chosen: Iterable[str]) -> list[Cell]:
    """A cell for each target: what the domain ``backup`` dumps there is restored on a fresh one."""
    if BACKUP not in matrix.domains:
        raise ConfigError(f"the matrix has no domain `{BACKUP}`: there is no dump to restore")
    if BACKUP not in select(matrix, chosen):
        raise ConfigError(f"--domain: the drill is about `{BACKUP}`; leave the option out")
    return [Cell(Check.RESTORE_DRILL, target, BACKUP, requirements(matrix, BACKUP)) for target in targets]


def exposure(matrix: Matrix, targets: Sequence[str], chosen: Iterable[str]) -> list[Cell]:
    """A cell for each target, of the whole site: what may be reached is no single domain's affair."""
    for name in sorted(set(chosen) - {SITE}):
        raise ConfigError(f"--domain {name}: exposure is judged of the whole site; leave it out")
    matrix.declared_exposure  # noqa: B018 - without one there is nothing to judge
    return [Cell(Check.EXPOSURE, target, SITE, (SITE,)) for target in targets]


def select_targets(matrix: Matrix, chosen: Iterable[str]) -> tuple[str, ...]:
    names = set(chosen)
    for name in sorted(names - set(matrix.targets)):
        raise ConfigError(f"--target {name}: no such target; there are {', '.join(matrix.targets)}")
    return tuple(name for name in matrix.targets if not names or name in names)
