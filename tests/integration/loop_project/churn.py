"""A user's file: one pipeline that has nothing to do with flights."""

import everloop as el


@el.step
def fit(rows: el.Table) -> el.Model:
    from sklearn.linear_model import LogisticRegression

    frame = rows.to_pandas()
    estimator = LogisticRegression().fit(frame[["a", "b"]].to_numpy(), frame["churned"].to_numpy())
    return el.Model(
        estimator, features=["a", "b"], target="churned", positive=1, example=frame[["a", "b"]].head(5)
    )


@el.pipeline
def churn(rows: el.Table) -> el.Model:
    return fit(rows)
