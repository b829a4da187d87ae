"""The matrix of a run: what was judged, on what, by which check. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rejeu.report.model import CellView, Heat


def heat(cells: Sequence[CellView], order: Sequence[str]) -> Heat:
    """A row for each subject, those of ``order`` first; a column for each check and target, as the cells come."""
    places = [(one.name.check, one.name.target) for one in cells]
    checks = list(dict.fromkeys(check for check, _ in places))
    columns = sorted(set(places), key=lambda one: (checks.index(one[0]), one[1]))
    found = {one.name.subject for one in cells}
    subjects = [*(one for one in dict.fromkeys(order) if one in found), *sorted(found - set(order))]
    rows = [
        (
            subject,
            tuple(
                tuple(one for one in cells if (one.name.subject, one.name.check, one.name.target) == (subject, *place))
                for place in columns
            ),
        )
        for subject in subjects
    ]
    return Heat(tuple(columns), tuple(rows))
