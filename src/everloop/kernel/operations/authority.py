"""Who may do what: roles give permissions, and nothing is allowed that no role gives. Tests: tests/unit/kernel/test_authority.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from everloop.core.actors import Actor

# A permission is `noun.verb`; `*` stands for any noun or any verb. The access stage replaces this table by one per project.
ROLES: dict[str, tuple[str, ...]] = {
    "admin": ("*.*",),
    "viewer": ("*.read",),
    "engineer": (
        "*.read",
        "dataset.*",
        "feature.*",
        "run.*",
        "pipeline.*",
        "evaluation.*",
        "explanation.*",
        "model.register",
        "model.gate",
        "model.tag",
        "object.*",
        "prediction.*",
        "label.*",
    ),
    "operator": (
        "*.read",
        "deployment.*",
        "feature.materialize",
        "monitor.*",
        "alert.*",
        "loop.*",
        "model.alias",
        "prediction.*",
        "label.*",
        "object.*",
    ),
    "approver": ("*.read", "model.approve", "pipeline.approve"),
    "auditor": ("*.read", "event.verify", "event.checkpoint"),
    "client": ("prediction.create", "label.create"),
}


class Authorizer(Protocol):
    """Decides whether an actor has a permission. Pure: no state changes, may be called from any thread."""

    def allows(self, actor: Actor, permission: str) -> bool:
        """Return whether `actor` may."""
        ...


class RoleAuthorizer:
    """Allows what a role of the actor gives, and nothing else."""

    def __init__(self, roles: dict[str, tuple[str, ...]] | None = None) -> None:
        self._roles = ROLES if roles is None else roles

    def allows(self, actor: Actor, permission: str) -> bool:
        """Return whether some role of `actor` gives `permission`."""
        return any(_gives(given, permission) for role in actor.roles for given in self._roles.get(role, ()))


def _gives(given: str, permission: str) -> bool:
    noun, _, verb = permission.partition(".")
    given_noun, _, given_verb = given.partition(".")
    return given_noun in ("*", noun) and given_verb in ("*", verb)
