"""What a run shows on GitHub Actions: marks on the guilty tasks, and the summary of its job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rejeu.github.annotations import annotate
from rejeu.github.markdown import document
from rejeu.plan import Check
from rejeu.results import CellResult

# More than this GitHub refuses for one step, all of it.
LIMIT = 1024 * 1024


def publish(
    results: Sequence[CellResult],
    values: Mapping[str, str],
    *,
    check: Check,
    code: int,
    environ: Mapping[str, str],
    say: Callable[[str], None],
    annotated: Sequence[CellResult] | None = None,
) -> None:
    """Say each annotation, and add the summary to the job's; nothing where GitHub does not ask for them.

    ``annotated`` are the results that annotations are made of, where that is not all. ``values`` are blotted out.
    """
    if environ.get("GITHUB_ACTIONS") == "true":
        for line in annotate(results if annotated is None else annotated, values):
            say(line)
    if environ.get("GITHUB_STEP_SUMMARY"):
        path = Path(environ["GITHUB_STEP_SUMMARY"])
        try:
            taken = path.stat().st_size if path.exists() else 0
            with path.open("a") as file:
                file.write(document(results, values, check=check, code=code, limit=LIMIT - taken))
        except OSError as error:  # a verdict stands whether or not it can be shown
            say(f"the summary of the job could not be written: {error}")
