"""Turns a classifier saved with joblib into an ONNX file for weir. One command:

    pip install skl2onnx joblib pandas          # and onnxmltools for XGBoost or LightGBM
    python examples/joblib_to_onnx.py model.joblib training.csv model.onnx

training.csv holds the features as columns, in the order of weir.yaml's features.names (view:feature, view__feature or
feature); columns the model does not know, such as the target, are left out. The file also gets

    weir.features   the features in order, so that weir can match them by name
    weir.baseline   the histogram of the training predictions, the base line of drift
    weir.feature_baselines   the histograms of the features, the same for each of them
    weir.samples    a few rows with the model's own predict_proba: weir scores them when it loads the file, and refuses
                    one that was exported wrongly
    weir.version    what --version says: predictions carry it when the file replaces another one while weir runs

The file appears whole (it is renamed into place), so that a running weir can be given the next model by the same command.

Any binary classifier with predict_proba that skl2onnx converts will do: linear models, trees, forests, boosting (also
XGBoost and LightGBM), support vectors, neighbours, naive Bayes, networks, and pipelines of them with scalers, imputers
and encoders.
"""

import argparse
import json
import os
import sys
import tempfile

import joblib
import numpy as np
import pandas as pd

BINS = 20
SAMPLES = 64
DECILES = 10
TEXTS = 19


def main() -> int:
    parser = argparse.ArgumentParser(description="Turns a joblib classifier into an ONNX file for weir.")
    parser.add_argument("joblib")
    parser.add_argument("training_csv")
    parser.add_argument("onnx")
    parser.add_argument("--features", help="comma-separated columns in order, if they are not the model's or all")
    parser.add_argument("--version", help="what this model is called, such as v2.2")
    args = parser.parse_args()

    model = joblib.load(args.joblib)
    if not hasattr(model, "predict_proba"):
        sys.exit(f"{args.joblib}: expected a classifier with predict_proba, found {type(model).__name__}; "
                 "a margin classifier can be wrapped in CalibratedClassifierCV")
    data = features(model, pd.read_csv(args.training_csv), args.features)
    rows = data if hasattr(model, "feature_names_in_") else data.to_numpy()
    p = np.asarray(model.predict_proba(rows), dtype=np.float64)
    if p.shape[1] != 2:
        sys.exit(f"{args.joblib}: expected a classifier of two classes, found {p.shape[1]}")

    onnx = convert(model, data)
    counts, _ = np.histogram(p[:, 1], bins=BINS, range=(0, 1))
    chosen = np.random.default_rng(0).permutation(len(data))[:SAMPLES]
    samples = {"columns": list(data.columns), "rows": data.iloc[chosen].values.tolist(), "probabilities": p[chosen, 1].tolist()}
    for key, value in {
        "weir.features": ",".join(data.columns),
        "weir.baseline": ",".join(str(c) for c in counts),
        "weir.feature_baselines": json.dumps([histogram(c, data[c]) for c in data.columns]),
        "weir.samples": json.dumps(samples, default=lambda v: v.item()).replace("NaN", "null"),
        **({"weir.version": args.version} if args.version else {}),
    }.items():
        entry = onnx.metadata_props.add()
        entry.key, entry.value = key, value
    write_whole(args.onnx, onnx.SerializeToString())
    print(f"{args.onnx}: {type(model).__name__} of {', '.join(data.columns)}; mean prediction {p[:, 1].mean():.3f}")
    return 0


def write_whole(path: str, content: bytes) -> None:
    """Puts a file into place at once: whoever watches it sees the old one or the new one."""
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)))
    with os.fdopen(handle, "wb") as f:
        f.write(content)
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(temporary, 0o666 & ~mask)
    os.replace(temporary, path)


def histogram(name: str, column: pd.Series) -> dict:
    """Counts as weir does: missing; each of the common texts; other texts; numbers up to each decile; those beyond."""
    known = column.dropna()
    if not pd.api.types.is_numeric_dtype(column):
        counts = known.astype(str).value_counts()
        common = counts.iloc[:TEXTS]
        texts = {"texts": [str(t) for t in common.index]}
        return {"name": name, **texts, "counts": [int(column.isna().sum()), *map(int, common), int(counts.iloc[TEXTS:].sum()), 0]}
    numbers = np.sort(known.to_numpy(dtype=np.float64))
    edges = sorted({float(numbers[i * len(numbers) // DECILES]) for i in range(1, DECILES)} - {float(numbers[-1])}) if len(numbers) else []
    counts = np.bincount(np.searchsorted(edges, numbers), minlength=len(edges) + 1)
    return {"name": name, "edges": edges, "counts": [int(column.isna().sum()), 0, *map(int, counts)]}


def features(model, data: pd.DataFrame, chosen: str | None) -> pd.DataFrame:
    """The columns the model was trained on, in its order, the view's name before them tolerated."""
    if chosen:
        names = [n.strip() for n in chosen.split(",")]
    elif hasattr(model, "feature_names_in_"):
        names = list(model.feature_names_in_)
    else:
        names = list(data.columns)[: model.n_features_in_]
    plain = {c.replace(":", "__"): c for c in data.columns}
    missing = [n for n in names if n not in data and n.replace(":", "__") not in plain]
    if missing or len(names) != model.n_features_in_:
        sys.exit(f"expected the columns {names}, {model.n_features_in_} of them; found {list(data.columns)}")
    picked = data[[n if n in data else plain[n.replace(":", "__")] for n in names]].copy()
    picked.columns = names
    return picked


def convert(model, data: pd.DataFrame):
    """Doubles where they are taken: float32 means and thresholds would move some rows over a border."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType

    register_boosters()
    plain_numbers()
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    trees = (getattr(p, "tree_", None) for p in parts(model))
    if any(np.isinf(getattr(t, "threshold", 0)).any() for t in trees):  # "is it missing?"
        sys.exit("this model's trees were grown on missing values, and skl2onnx 1.20 loses which side those take (or does not "
                 "return): put an imputer before them, or use HistGradientBoosting, XGBoost or LightGBM")
    if any(np.any(getattr(p, "is_categorical_", False)) for p in parts(model)):
        sys.exit("skl2onnx 1.20 loses HistGradientBoosting's splits by category: encode the categories before it (OneHotEncoder), "
                 "or use LightGBM or XGBoost, whose categories it keeps")
    errors = []
    for number in (DoubleTensorType, FloatTensorType):
        texts = [not pd.api.types.is_numeric_dtype(t) for t in data.dtypes]
        if any(texts) or by_name(model):
            types = [(c, (StringTensorType if text else number)([None, 1])) for c, text in zip(data.columns, texts)]
        else:
            types = [("features", number([None, data.shape[1]]))]
        try:
            onnx = convert_sklearn(model, initial_types=types, options={id(last): {"zipmap": False}},
                                   target_opset={"": 18, "ai.onnx.ml": 3})
            exact_thresholds(model, onnx)
            return onnx
        except Exception as e:  # converters raise whatever comes to them
            errors.append(f"{number.__name__}: {type(e).__name__}: {str(e)[:500]}")
    sys.exit("skl2onnx cannot convert this model:\n  " + "\n  ".join(errors))


def parts(model):
    """The model, and every fitted one inside it: steps, members of ensembles, what is calibrated or stacked."""
    yield model
    inside = [step for _, step in getattr(model, "steps", [])]
    inside += [t[1] for t in getattr(model, "transformers_", [])]
    for name in ("estimators_", "calibrated_classifiers_"):
        members = getattr(model, name, [])
        inside += members.ravel().tolist() if isinstance(members, np.ndarray) else list(members)
    inside += [getattr(model, name, None) for name in ("final_estimator_", "estimator")]
    for part in inside:
        if hasattr(part, "get_params") or hasattr(part, "tree_") or hasattr(part, "estimator"):
            yield from parts(part)


def exact_thresholds(model, onnx) -> None:
    """HistGradientBoosting compares doubles, and skl2onnx 1.20 rounds its thresholds to float32. This puts them back."""
    from onnx import numpy_helper
    doubles = {}
    for part in parts(model):
        for iteration in getattr(part, "_predictors", []):
            for tree in iteration:
                for node in tree.nodes[tree.nodes["is_leaf"] == 0]:
                    key = int(node["feature_idx"]), np.float32(node["num_threshold"])
                    doubles.setdefault(key, set()).add(float(node["num_threshold"]))
    for node in onnx.graph.node if doubles else []:
        a = {x.name: x for x in node.attribute}
        if "nodes_values" not in a:
            continue
        found = [{float(v)} if mode == b"LEAF" else doubles.get((feature, np.float32(v)), set())
                 for feature, v, mode in zip(a["nodes_featureids"].ints, a["nodes_values"].floats, a["nodes_modes"].strings)]
        if all(len(f) == 1 for f in found):  # else these are other trees, or two thresholds became one
            exact = numpy_helper.from_array(np.array([next(iter(f)) for f in found]), "nodes_values_as_tensor")
            old = a["nodes_values"]
            old.Clear()
            old.name, old.type = "nodes_values_as_tensor", old.TENSOR
            old.t.CopyFrom(exact)


def plain_numbers() -> None:
    """skl2onnx 1.20 hands numpy booleans to onnx for HistGradientBoosting; onnx 1.23 takes whole numbers only."""
    import onnx
    make = onnx.helper.make_attribute

    def make_attribute(key, value, *args, **kwargs):
        if isinstance(value, (list, np.ndarray)) and any(isinstance(v, (bool, np.bool_)) for v in value):
            value = [int(v) for v in value]
        return make(key, value, *args, **kwargs)

    onnx.helper.make_attribute = make_attribute


def by_name(model) -> bool:
    """Whether a step picks columns by name, as a ColumnTransformer does."""
    return any(type(s).__name__ == "ColumnTransformer" for _, s in getattr(model, "steps", []))


def register_boosters() -> None:
    """Tells skl2onnx how onnxmltools converts XGBoost's and LightGBM's classifiers, if joblib has loaded any."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes as shapes
    options = {"nocl": [True, False], "zipmap": [True, False, "columns"], "raw_scores": [True, False]}
    if "xgboost" in sys.modules:
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
        from xgboost import XGBClassifier
        update_registered_converter(XGBClassifier, "XGBoostXGBClassifier", shapes, convert_xgboost, options=options)
    if "lightgbm" in sys.modules:
        from lightgbm import LGBMClassifier
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
        update_registered_converter(LGBMClassifier, "LightGbmLGBMClassifier", shapes, convert_lightgbm, options=options)


if __name__ == "__main__":
    sys.exit(main())
