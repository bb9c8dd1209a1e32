"""Nothing is allowed that no role gives."""

from __future__ import annotations

import pytest

from everloop.core.actors import Actor
from everloop.kernel.operations.authority import ROLES, RoleAuthorizer


@pytest.mark.parametrize(
    ("roles", "permission", "expected"),
    [
        ({"admin"}, "anything.at_all", True),
        ({"viewer"}, "model.read", True),
        ({"viewer"}, "model.alias", False),
        ({"viewer"}, "model.readable", False),
        ({"engineer"}, "dataset.write", True),
        ({"engineer"}, "model.approve", False),
        ({"engineer"}, "model.alias", False),
        ({"approver"}, "model.approve", True),
        ({"engineer", "approver"}, "model.approve", True),
        ({"operator"}, "deployment.route", True),
        ({"operator"}, "pipeline.write", False),
        ({"auditor"}, "event.verify", True),
        ({"client"}, "prediction.create", True),
        ({"client"}, "model.read", False),
        (set(), "model.read", False),
        ({"stranger"}, "model.read", False),
    ],
)
def test_a_role_gives_what_its_line_says(roles: set[str], permission: str, *, expected: bool) -> None:
    actor = Actor(name="user:ada", roles=frozenset(roles))

    assert RoleAuthorizer().allows(actor, permission) is expected


def test_only_the_administrator_may_do_everything() -> None:
    assert [role for role, given in ROLES.items() if "*.*" in given] == ["admin"]


def test_another_table_replaces_the_roles() -> None:
    authorizer = RoleAuthorizer({"admin": ("model.read",)})

    assert not authorizer.allows(Actor(name="user:ada", roles=frozenset({"admin"})), "model.alias")
