"""Do the matrix, the inventory and the playbook speak of the same things? Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rejeu.ansible.planned import Plan
from rejeu.documents import Location
from rejeu.matrix import Matrix


def misfits(matrix: Matrix, plan: Plan) -> Iterator[tuple[Location, str]]:
    """A group that the host is not in, roles that no play has, and tags that no task carries, each with what names it
    in the matrix. None can be judged, on whatever target."""
    platform, playbook = matrix.platform, matrix.platform.playbook
    groups = [group for group, hosts in plan.groups.items() if platform.host in hosts]
    if platform.group not in groups:
        problem = f"host `{platform.host}` of {platform.inventory} is in no group `{platform.group}`, and would get no"
        yield ("platform", "group"), f"{problem} secrets; it is in {', '.join(groups) or 'none'}"
    for name, domain in matrix.domains.items():
        for position, role in enumerate(domain.roles):
            if role not in plan.roles:
                known = ", ".join(plan.roles) or "none"
                yield ("domains", name, "roles", position), f"{playbook} has no role `{role}`; there are {known}"
    for tag, (first, *_) in matrix.tags.items():
        # A task that is always selected carries no tag; a tag that is made by a template is told by what it selects.
        if not any(
            tag in source.task.tags or (tag in source.selected_by and "always" not in source.task.tags)
            for source in plan.sources
        ):
            location = ("domains", first) if tag == first else ("domains", first, "families")
            yield location, f"{playbook} has no task with tag `{tag}`; give it to the role's line"
