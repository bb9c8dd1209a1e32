"""The verb of checks before training. Tests: tests/unit/data/test_training_checks.py."""

from __future__ import annotations

from everloop.data.checking import open_version
from everloop.data.training_records import TrainingReport
from everloop.kernel.operations import Service, operation


class Training(Service):
    """Look at a version as the rows of a training."""

    @operation(
        "POST /dataset-versions/{ref}/training-checks",
        needs="dataset.write",
        emits="dataset.training_checked",
        cli="data check-training",
    )
    def check_training(
        self,
        ref: str,
        *,
        target: str,
        test: str = "",
        time: str = "",
        ignore: list[str] = [],  # noqa: B006 - never changed
        at_most: int = 100_000,
        seed: int = 0,
    ) -> TrainingReport:
        """Return what would spoil a training on a version: leaks, repeats, overlap with the test rows, wrong labels.

        Args:
            ref: the version to train on.
            target: the column to predict.
            test: the version the model is judged on.
            time: the column of the moment a prediction is made; times after it were not known then.
            ignore: columns that the model will not see.
            at_most: figures of columns and labels are taken from so many rows, drawn at random when there are more.
            seed: of that draw and of the folds.

        Raises:
            TargetError: the target is no column, or has nothing to predict.
        """
        from everloop.data.training_checks import check_training

        rows = open_version(self.kernel, ref)
        held = open_version(self.kernel, test) if test else None
        report = check_training(
            rows, target=target, test=held, time=time, ignore=ignore, at_most=at_most, seed=seed
        )
        payload = {
            "target": target,
            "test": report.test,
            "verdict": report.verdict,
            "findings": [
                {"kind": one.kind, "column": one.column, "figure": one.figure} for one in report.findings
            ],
        }
        with self.kernel.catalog.transaction() as connection:
            self.emit(connection, subject=f"dataset:{report.ref}", payload=payload)
        return report
