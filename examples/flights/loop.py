# The whole loop for one model: will a flight from New York arrive more than 15 minutes late?
#
# Data is checked, joined and trained on in cached steps; the policy below retrains when the deployed model decays, lets a
# challenger through only when it is not worse on newer flights, and gives it the traffic by canary. Run `everloop demo`.

import everloop as el

NAMES = ["carrier", "origin", "dest"]
PLAN = ["departure_minute", "arrival_minute", "distance", "weekday"]
WEATHER = ["temp", "dewp", "humid", "wind_speed", "wind_dir", "precip", "pressure", "visib"]
FEATURES = NAMES + PLAN + WEATHER

flights = el.Suite("flights", [
    el.check.unique("id"),
    el.check.not_null("time"),
    el.check.of_type("distance", "number"),
    el.check.between("departure_minute", 0, 1439, severity="warn"),
    el.check.in_set("origin", ["EWR", "JFK", "LGA"], severity="quarantine"),
    el.check.row_count(min=100),
])  # fmt: skip


@el.step
def join(flights: el.Table, weather: el.Table) -> el.Table:
    columns = ", ".join(WEATHER)
    return el.sql(f"SELECT f.*, {columns} FROM flights f LEFT JOIN weather USING (origin, hour) ORDER BY f.time, f.id",
                  flights=flights, weather=weather)  # fmt: skip


@el.step
def fit(rows: el.Table, trees: int = 80, seed: int = 0) -> el.Model:
    import lightgbm

    frame = rows.to_pandas().astype(dict.fromkeys(NAMES, "category"))
    params = {"objective": "binary", "seed": seed, "deterministic": True, "num_threads": 2, "verbose": -1}
    booster = lightgbm.train(params, lightgbm.Dataset(frame[FEATURES], frame["late"]), trees)
    el.log(rows=len(frame), late=float(frame["late"].mean()))
    return el.Model(booster, features=FEATURES, target="late", example=frame.head(20))


@el.pipeline
def train(flights: el.Table, weather: el.Table) -> el.Model:
    return fit(join(flights, weather))


policy = el.Policy(
    model="delays", pipeline="train", data={"flights": "flights", "weather": "weather"}, holdout="10d",
    watch=el.Watch(metric="log_loss", window="7d", tolerance=0.02),
    trigger=el.Trigger(on_alert=True, every="30d", cooldown="14d"),
    gate=el.Gate(conditions=[el.Condition(metric="log_loss", margin=0.005)]),
    rollout=el.Rollout(canary=(10, 50), step="1d"),
)  # fmt: skip


def start(app: el.App) -> None:
    app.loop.start(policy, pipeline=train)
