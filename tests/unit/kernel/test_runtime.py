"""A home is made on first use and opened again with what it held."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.core.actors import Actor
from everloop.kernel import open_kernel
from everloop.kernel.catalog.errors import NewerSchemaError
from everloop.kernel.operations.transport import Transport
from everloop.kernel.runtime import RemoteKernel
from everloop.kernel.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeKernel


def test_a_home_is_made_with_all_its_parts_and_opened_again(make_kernel: MakeKernel, tmp_path: Path) -> None:
    first = make_kernel(home=tmp_path / "deep" / "home")
    digest = first.objects.put(b"kept")
    with first.catalog.transaction() as connection:
        first.events.append(connection, kind="test.happened", subject="test:1")
    first.close()

    second = make_kernel(home=tmp_path / "deep" / "home")

    assert second.objects.get(digest) == b"kept"
    assert [event.kind for event in second.events.read()] == ["test.happened"]
    assert second.home == tmp_path / "deep" / "home"
    assert not second.is_remote


def test_two_kernels_of_one_home_see_each_other(make_kernel: MakeKernel) -> None:
    one, other = make_kernel(), make_kernel()

    with one.catalog.transaction() as connection:
        one.events.append(connection, kind="test.happened", subject="test:1")

    assert [event.subject for event in other.events.read()] == ["test:1"]


def test_an_authorizer_may_be_given(tmp_path: Path) -> None:
    class Nobody:
        def allows(self, actor: Actor, permission: str) -> bool:
            del actor, permission
            return False

    kernel = open_kernel(Settings(home=tmp_path / "home"), authorizer=Nobody())

    assert not kernel.authorizer.allows(Actor(name="user:ada", roles=frozenset({"admin"})), "x.read")
    kernel.close()


def test_a_home_of_a_newer_program_is_not_opened(make_kernel: MakeKernel, tmp_path: Path) -> None:
    import sqlalchemy as sa

    kernel = make_kernel(home=tmp_path / "home")
    with kernel.catalog.transaction() as connection:
        connection.execute(sa.text("UPDATE everloop_schema SET version_num = '9999'"))
    kernel.close()

    with pytest.raises(NewerSchemaError):
        make_kernel(home=tmp_path / "home")


def test_the_kernel_of_a_client_opens_no_home(tmp_path: Path) -> None:
    kernel = RemoteKernel(Settings(home=tmp_path / "home"), Transport("http://127.0.0.1:9"))

    assert kernel.is_remote
    assert not hasattr(kernel, "catalog")
    assert not (tmp_path / "home").exists()
    kernel.close()
