"""Trains the demo world's model: the probability that a visitor buys, from four features.

    go test ./backend/demo -run TestExportPopulation -export /tmp/population.csv
    python3 backend/demo/model/train.py /tmp/population.csv

writes model.onnx and testdata/scores.csv (inputs and scikit-learn's own probabilities) beside this file.
Needs numpy, scikit-learn and skl2onnx; the same versions and population give the same file.
"""

import csv
import pathlib
import sys

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = pathlib.Path(__file__).parent
FEATURES = ["age", "location", "click_rate_24h", "purchase_history_30d"]
BINS = 20
FIXTURES = 500


def truth(x: np.ndarray) -> np.ndarray:
    """The probability nature buys with: clicks and habit count most, the young a little more, some regions more."""
    age, location, clicks, purchases = x.T
    z = -2.9 + 9.0 * clicks + 0.25 * purchases - 0.03 * (age - 38) + 0.06 * (location - 6.5)
    return 1 / (1 + np.exp(-z))


def main() -> None:
    with open(sys.argv[1], newline="") as f:
        rows = list(csv.DictReader(f))
    x = np.array([[float(r[name]) for name in FEATURES] for r in rows])
    weight = np.array([float(r["weight"]) for r in rows])  # the user's share of the event stream
    known = np.array([r["missing"] == "" for r in rows])  # the store has all values: others are never scored

    rng = np.random.default_rng(2101)
    label = (rng.random(len(x)) < truth(x)).astype(int)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(x, label)
    p = model.predict_proba(x)[:, 1]

    # What the event stream's predictions look like on the day of training: the base line of drift.
    counts, _ = np.histogram(p[known], bins=BINS, range=(0, 1), weights=weight[known])
    baseline = counts / counts.sum()

    onnx = to_onnx(
        model,
        initial_types=[("features", FloatTensorType([None, len(FEATURES)]))],
        options={"zipmap": False},
        target_opset={"": 17, "ai.onnx.ml": 3},
    )
    # Without a random name the same training gives the same bytes.
    onnx.graph.name = "weir-demo"
    for key, value in {
        "weir.baseline": ",".join(f"{b:.6g}" for b in baseline),
        "weir.features": ",".join(FEATURES),
    }.items():
        entry = onnx.metadata_props.add()
        entry.key, entry.value = key, value
    (HERE / "model.onnx").write_bytes(onnx.SerializeToString())

    (HERE / "testdata").mkdir(exist_ok=True)
    with open(HERE / "testdata" / "scores.csv", "w", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(FEATURES + ["probability"])
        for i in rng.choice(len(x), FIXTURES, replace=False):
            out.writerow([f"{v:g}" for v in x[i]] + [f"{p[i]:.9f}"])

    print("accuracy", model.score(x, label), "positive", label.mean())
    print("baseline", np.round(baseline, 3))


main()
