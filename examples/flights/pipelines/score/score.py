# /// script
# requires-python = ">=3.11"
# dependencies = ["lightgbm", "pandas", "pyarrow"]
# [tool.tidemill]
# reads = ["features:delay", "model:delay@champion"]
# writes = ["score.predictions"]
# ///
"""Score the flights of the day that begins."""

import tidemill


def score(run):
    m = run.load_model("delay@champion")
    f = run.features("delay")
    run.predictions("score.predictions", f, m, m.predict(f.X), contributions=True)


if __name__ == "__main__":
    tidemill.main(score)
