# /// script
# requires-python = ">=3.11"
# dependencies = ["lightgbm", "pandas", "pyarrow"]
# [tool.tidemill]
# reads = ["features:delay"]
# writes = ["model:delay"]
# promote = {champion = "auc >= 0.60 && (champion == null || auc >= champion.auc - 0.01)"}
# ///
"""Learn which flights will be late, from what was known two hours before each of them."""

import lightgbm as lgb
import tidemill


def train(run, rounds: int = 200, learning_rate: float = 0.05):
    ts = run.training_set("delay", until=run.window.end)
    (X, y), (Xt, yt) = ts.split(by="time", test=0.2)
    settings = {
        "objective": "binary",
        "learning_rate": learning_rate,
        "num_threads": 2,
        "seed": 1,
        "deterministic": True,  # with the row-wise layout: the same rows give the same trees
        "force_row_wise": True,
        "verbose": -1,
    }
    m = lgb.train(settings, lgb.Dataset(X, y), rounds)
    run.metric(auc=tidemill.auc(yt, m.predict(Xt)))
    run.explain(m, Xt, sample=2000)
    run.model("delay", m)


if __name__ == "__main__":
    tidemill.main(train)
