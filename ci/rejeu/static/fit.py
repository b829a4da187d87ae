"""Do the matrix and the playbook speak of the same things? Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rejeu.ansible.planned import Plan
from rejeu.matrix import Matrix


def misfits(matrix: Matrix, plan: Plan) -> Iterator[str]:
    """Roles that no play has, and tags that no task carries. Neither can be judged, on whatever target."""
    playbook = matrix.platform.playbook
    for name, domain in matrix.domains.items():
        for role in domain.roles:
            if role not in plan.roles:
                known = ", ".join(plan.roles) or "none"
                yield f"domains.{name}.roles: {playbook} has no role `{role}`; there are {known}"
    for tag in matrix.tags:
        # A task that is always selected carries no tag; a tag that is made by a template is told by what it selects.
        if not any(
            tag in source.task.tags or (tag in source.selected_by and "always" not in source.task.tags)
            for source in plan.sources
        ):
            yield f"domains: {playbook} has no task with tag `{tag}`; give it to the role's line"
