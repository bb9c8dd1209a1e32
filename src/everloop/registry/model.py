"""A model as a value: the estimator with its signature, an example and what it answers on it.

This is what a training step returns and what the registry takes. Its content is a folder of safe files; the digest of
the manifest of that folder is the model's digest, so the same model has the same name everywhere.
Tests: tests/unit/registry/test_model.py.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from everloop.core.digests import Digest, canonical_json, digest_bytes
from everloop.core.errors import EverloopError
from everloop.registry.columns import as_arrow, infer_columns, select
from everloop.registry.encoding import Encoded, Encoder
from everloop.registry.flavors import flavor_named, flavor_of
from everloop.registry.mlmodel import mlmodel
from everloop.registry.records import Scalar, Signature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from everloop.registry.flavors.protocol import Predictor

SIGNATURE = "signature.json"
EXAMPLE = "example.json"
_EXAMPLE_ROWS = 20
# Answers of the same files may differ by rounding between processors; more means another model or library.
TOLERANCE = 1e-6


class ParityError(EverloopError):
    """A loaded model answers its own example otherwise than when it was made."""

    code = "registry.parity"
    status = 500


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """Some input rows by column, and the answers to them at the time the model was made."""

    columns: dict[str, list[Scalar | None]]
    predictions: list[float | list[float]]


class Model:
    """A trained model with everything needed to run it elsewhere. Immutable; threads may share it.

    Args:
        estimator: a LightGBM booster or classifier, or a scikit-learn estimator; other kinds and pickles are refused.
        features: input columns in the order of training.
        target: the column it predicts.
        example: some rows with the features (the first 20 are kept), in any table form. Category columns bring their tables.
        positive: the label value whose probability is answered, for two classes.
        classes: label values in the order of the answers, when the estimator does not know them.
        categories: tables of categorical columns by name, when neither the estimator nor the example has them.
    """

    def __init__(
        self,
        estimator: object,
        *,
        features: Sequence[str],
        target: str,
        example: object,
        positive: Scalar | None = None,
        classes: Sequence[Scalar] = (),
        categories: Mapping[str, Sequence[Scalar]] | None = None,
    ) -> None:
        flavor = flavor_of(estimator)
        rows = select(as_arrow(example), features).slice(0, _EXAMPLE_ROWS)
        tables = flavor.categories(estimator, rows) if categories is None else categories
        self.signature = Signature(
            inputs=infer_columns(rows, categories=tables, is_nullable=flavor.TAKES_MISSING),
            output=flavor.output(estimator, target=target, positive=positive, classes=classes),
        )
        self._flavor = flavor
        self._files = flavor.save(estimator)
        kept = Example(
            columns={name: _without_nan(rows.column(name).to_pylist()) for name in features},
            predictions=self.predict(rows).tolist(),
        )
        self._files |= {
            SIGNATURE: msgspec.json.encode(self.signature, order="deterministic"),
            EXAMPLE: canonical_json(kept),
        }
        self._files["MLmodel"] = mlmodel(self.signature, flavor.mlflow_flavor(self._files))
        self._files["everloop.json"] = canonical_json({"flavor": flavor.NAME, "format": 1})

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Model:
        """Rebuild a model from the files of its folder."""
        model = cls.__new__(cls)
        model._restore(files)  # noqa: SLF001 - our own instance
        return model

    def _restore(self, files: Mapping[str, bytes]) -> None:
        head = msgspec.json.decode(files["everloop.json"], type=dict[str, str | int])
        self._flavor = flavor_named(str(head["flavor"]))
        self._files = dict(files)
        self.signature = msgspec.json.decode(files[SIGNATURE], type=Signature)

    @property
    def flavor(self) -> str:
        """Return the name of the flavor."""
        return self._flavor.NAME

    @property
    def files(self) -> dict[str, bytes]:
        """Return the content by path."""
        return dict(self._files)

    @property
    def manifest(self) -> bytes:
        """Return the JSON of path -> digest; its digest is the model's."""
        return canonical_json({path: digest_bytes(content) for path, content in self._files.items()})

    @property
    def digest(self) -> Digest:
        """Return the digest of the manifest."""
        return digest_bytes(self.manifest)

    @property
    def example(self) -> Example:
        """Return the example with the answers of the time it was made."""
        return msgspec.json.decode(self._files[EXAMPLE], type=Example)

    @property
    def estimator(self) -> object:
        """Return the library's own object, loaded from the files."""
        return self._flavor.load(self._files)

    @functools.cached_property
    def encoder(self) -> Encoder:
        """Return what turns rows into the model's matrix."""
        return Encoder(self.signature, self._flavor.ENCODING)

    @functools.cached_property
    def predictor(self) -> Predictor:
        """Return what runs the model, loaded on first use."""
        return self._flavor.predictor(self._files, self.signature)

    def encode(self, table: object) -> Encoded:
        """Return the matrix of a table, and the count of unknown categories by column."""
        return self.encoder.table(table)

    def predict(self, table: object) -> NDArray[np.float64]:
        """Return one probability or value a row (n,), or (n, classes)."""
        return self.predictor.predict(self.encode(table).matrix)

    def contributions(self, table: object) -> NDArray[np.float64]:
        """Return additive contributions to the margin (n, k + 1), the base last."""
        return self.predictor.contributions(self.encode(table).matrix)

    def check_parity(self) -> None:
        """Run the stored example and compare with the stored answers; this also warms the predictor up.

        Raises:
            ParityError: they differ by more than rounding.
        """
        kept = self.example
        found = self.predict(kept.columns)
        gap = float(np.abs(found - np.asarray(kept.predictions)).max(initial=0.0))
        scale = max(1.0, float(np.abs(found).max(initial=0.0)))
        if not gap <= TOLERANCE * scale:
            raise ParityError(
                f"the model answers its stored example with a difference of {gap:.3g}. Its library's version differs from that "
                "of training, or its files were exchanged; train it again here."
            )

    def __everloop_artifact__(self) -> bytes:
        """Return the folder as one deterministic piece, for the artifact store of pipelines."""
        return msgspec.msgpack.encode(self._files, order="deterministic")

    @classmethod
    def __everloop_load__(cls, content: bytes) -> Model:
        """Rebuild the model from `__everloop_artifact__`."""
        return cls.from_files(msgspec.msgpack.decode(content, type=dict[str, bytes]))


def _without_nan(values: list[Scalar | None]) -> list[Scalar | None]:
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]
