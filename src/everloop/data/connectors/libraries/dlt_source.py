"""Sources and resources of dlt, read without a pipeline: each resource is one stream of records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from everloop.data.connectors.errors import UnknownOptionError, UnsupportedSourceError
from everloop.data.connectors.iterators import open_iterable

if TYPE_CHECKING:
    import pyarrow as pa

    from everloop.data.connectors.conforming import ConformingStream


def open_object(
    source: Any,  # noqa: ANN401 - dlt is imported by whoever made it
    *,
    resource: str = "",
    schema: pa.Schema | None = None,
) -> ConformingStream:
    """Open one resource.

    Args:
        source: a resource, or a source with resources.
        resource: which of the source's resources; need not be said where there is one.
        schema: its columns, when its first records do not show them.
    """
    resources = _resources(source)
    if not resource and len(resources) > 1:
        raise UnsupportedSourceError(
            f"the dlt source has the resources {', '.join(resources)}. Name one with resource=, "
            "or add each stream of open_resources(source) to a dataset of its own."
        )
    name = resource or next(iter(resources), "")
    if name not in resources:
        raise UnknownOptionError(
            f"the dlt source has no resource {name!r}; it has {', '.join(resources) or 'none'}."
        )
    return _open(name, resources[name], schema)


def open_resources(source: Any) -> dict[str, ConformingStream]:  # noqa: ANN401 - as above
    """Return a stream for each selected resource of a dlt source, by name; each is read once."""
    return {name: _open(name, resource, None) for name, resource in _resources(source).items()}


def _open(name: str, resource: Any, schema: pa.Schema | None) -> ConformingStream:  # noqa: ANN401
    # An iterator, so that a resource which counts or pays for its calls is called once.
    return open_iterable(iter(resource), schema=schema, description=f"the dlt resource {name}")


def _resources(source: Any) -> dict[str, Any]:  # noqa: ANN401
    if hasattr(source, "selected_resources"):
        return dict(source.selected_resources)
    if hasattr(source, "name") and hasattr(source, "__iter__"):
        return {source.name: source}
    raise UnsupportedSourceError(f"a {type(source).__name__} of dlt is neither a source nor a resource.")
