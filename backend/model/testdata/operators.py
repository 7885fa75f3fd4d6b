"""Writes operators.json: small graphs of single operators with random attributes (ONNX in base64), and what
onnxruntime makes of them.

The conformance models show what the libraries export today; these show what the operators' definitions allow beyond
that: every nodes_modes, post_transform, missing_value_tracks_true, class layout and so on.

    pip install onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
    python operators.py
"""
import base64, json, os
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T, helper as h, numpy_helper as nh

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(11)
ML = "ai.onnx.ml"
FEATURES = 4


def rows(n=24, nan=0.15, double=False):
    X = rng.integers(-3, 4, (n, FEATURES)).astype(np.float64) + rng.choice([0, 0.1, 0.25], (n, FEATURES))
    X[rng.random(X.shape) < nan] = np.nan
    return X.astype(np.float64 if double else np.float32)


def trees(count, depth, modes, missing=True, double=False):
    """Node attributes of random trees, and the (tree, node) of each leaf."""
    a = {k: [] for k in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids", "missing_value_tracks_true")}
    leaves = []

    def grow(tree, next_id, depth):
        me = next_id[0]
        next_id[0] += 1
        at = len(a["treeids"])
        for k in a:
            a[k].append(0)
        a["treeids"][at], a["nodeids"][at] = tree, me
        if depth == 0 or rng.random() < 0.15:
            a["modes"][at], a["values"][at] = "LEAF", 0.0
            leaves.append((tree, me))
            return me
        a["featureids"][at], a["modes"][at] = int(rng.integers(FEATURES)), str(rng.choice(modes))
        v = float(rng.integers(-3, 4)) + float(rng.choice([0, 0.1, 0.25]))
        a["values"][at] = v if double else float(np.float32(v))
        a["missing_value_tracks_true"][at] = int(missing and rng.random() < 0.5)
        a["truenodeids"][at] = grow(tree, next_id, depth - 1)
        a["falsenodeids"][at] = grow(tree, next_id, depth - 1)
        return me

    for tree in range(count):
        grow(tree, [0], depth)
    attributes = {"nodes_" + k: v for k, v in a.items()}
    if double:
        attributes["nodes_values_as_tensor"] = nh.from_array(np.array(attributes.pop("nodes_values"), np.float64))
    return attributes, leaves


def weights(prefix, leaves, targets, positive=False, double=False, sparse=0.0):
    t, n, i, w = [], [], [], []
    for tree, node in leaves:
        for target in targets:
            if rng.random() < sparse:
                continue
            t.append(tree), n.append(node), i.append(target)
            w.append(float(np.float32(rng.random() * 0.1 if positive else rng.normal())))
    a = {prefix + "_treeids": t, prefix + "_nodeids": n, prefix + "_ids": i}
    if double:
        a[prefix + "_weights_as_tensor"] = nh.from_array(np.array(w, np.float64))
    else:
        a[prefix + "_weights"] = w
    return a


cases = {}


def case(name, op, attributes, X, outputs, opset=3, inputs=None, domain=ML, main=18, initializers=()):
    elem = {np.dtype(np.float32): T.FLOAT, np.dtype(np.float64): T.DOUBLE, np.dtype(np.int64): T.INT64}.get(X.dtype, T.STRING)
    node = h.make_node(op, inputs or ["X"], [o for o, _ in outputs], domain=domain, **attributes)
    graph = h.make_graph([node], "g", [h.make_tensor_value_info("X", elem, [None, X.shape[1]])],
                         [h.make_tensor_value_info(o, t, None) for o, t in outputs], list(initializers))
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", main), h.make_opsetid(ML, opset)], ir_version=8)
    data = model.SerializeToString()
    try:
        got = ort.InferenceSession(data).run([outputs[-1][0]], {"X": X})[0]
    except Exception as e:
        print("left out", name, str(e).splitlines()[0][:150])
        return
    text = lambda v: None if isinstance(v, (float, np.floating)) and np.isnan(v) else (v if isinstance(v, str) else float(v))
    got = np.asarray(got)
    cases[name] = {"model": base64.b64encode(data).decode(), "columns": X.shape[1], "rows": [text(v) for v in X.ravel().tolist()], "want": [text(v) for v in got.astype(np.float64).ravel().tolist()]}


label, probability, value = ("label", T.INT64), ("probabilities", T.FLOAT), ("variable", T.FLOAT)
ALL = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_GTE", "BRANCH_EQ", "BRANCH_NEQ"]
TRANSFORMS = ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"]

for mode in ALL:
    for missing in (False, True):
        a, leaves = trees(3, 4, [mode], missing)
        case(f"tree_{mode.lower()}_{'tracks' if missing else 'plain'}", "TreeEnsembleRegressor",
             a | weights("target", leaves, [0]) | {"n_targets": 1}, rows(), [value])
for how in ("SUM", "AVERAGE", "MIN", "MAX"):
    a, leaves = trees(4, 5, ALL)
    case(f"tree_{how.lower()}", "TreeEnsembleRegressor", a | weights("target", leaves, [0, 1]) |
         {"n_targets": 2, "aggregate_function": how, "base_values": [0.5, -0.25]}, rows(), [value])
a, leaves = trees(4, 9, ALL[:4])
case("tree_deep", "TreeEnsembleRegressor", a | weights("target", leaves, [0, 1, 2], sparse=0.3) | {"n_targets": 3}, rows(), [value])
a, leaves = trees(4, 4, ALL[:4], double=True)
case("tree_doubles", "TreeEnsembleRegressor", a | weights("target", leaves, [0], double=True) | {"n_targets": 1}, rows(double=True), [value])
for transform in TRANSFORMS:
    for positive in (True, False):
        sign = "positive" if positive else "mixed"
        a, leaves = trees(3, 3, ALL[:4])
        base = {"classlabels_int64s": [0, 1], "post_transform": transform}
        if transform != "PROBIT":
            case(f"classifier_one_weight_{transform.lower()}_{sign}", "TreeEnsembleClassifier", a | weights("class", leaves, [0], positive) | base, rows(), [label, probability])
            case(f"classifier_base_{transform.lower()}_{sign}", "TreeEnsembleClassifier", a | weights("class", leaves, [0], positive) | base | {"base_values": [0.03]}, rows(), [label, probability])
            case(f"classifier_second_weight_{transform.lower()}_{sign}", "TreeEnsembleClassifier", a | weights("class", leaves, [1], positive) | base, rows(), [label, probability])
        case(f"classifier_two_weights_{transform.lower()}_{sign}", "TreeEnsembleClassifier", a | weights("class", leaves, [0, 1], positive) | base, rows(), [label, probability])
        case(f"classifier_three_{transform.lower()}_{sign}", "TreeEnsembleClassifier", a | weights("class", leaves, [0, 1, 2], positive) | base |
             {"classlabels_int64s": [3, 5, 9], "base_values": [0.01, 0.02, 0.03]}, rows(), [label, probability])
for transform in TRANSFORMS:
    case(f"linear_{transform.lower()}", "LinearClassifier", {"coefficients": rng.normal(size=12).tolist(), "intercepts": [0.1, 0.2, -0.1],
         "classlabels_ints": [0, 1, 2], "post_transform": transform}, rows(nan=0) / 4, [label, probability], opset=1)
for transform in ("NONE", "LOGISTIC"):
    case(f"linear_one_{transform.lower()}", "LinearClassifier", {"coefficients": rng.normal(size=4).tolist(), "intercepts": [0.1],
         "classlabels_ints": [0, 1], "post_transform": transform}, rows(nan=0), [label, probability], opset=1)
for kernel in ("LINEAR", "POLY", "RBF", "SIGMOID"):
    for classes in (2, 3):
        per = [3, 2, 4][:classes]
        pairs = classes * (classes - 1) // 2
        a = {"kernel_type": kernel, "kernel_params": [0.3, 0.1, 2.0], "support_vectors": rng.normal(size=sum(per) * FEATURES).tolist(),
             "vectors_per_class": per, "coefficients": rng.normal(size=sum(per) * (classes - 1)).tolist(), "rho": rng.normal(size=pairs).tolist(),
             "classlabels_ints": list(range(classes))}
        case(f"svm_{kernel.lower()}_{classes}", "SVMClassifier", a, rows(nan=0), [label, probability], opset=1)
        case(f"svm_{kernel.lower()}_{classes}_proba", "SVMClassifier", a | {"prob_a": [-1.5] * pairs, "prob_b": [0.2] * pairs}, rows(nan=0), [label, probability], opset=1)
    case(f"svr_{kernel.lower()}", "SVMRegressor", {"kernel_type": kernel, "kernel_params": [0.3, 0.1, 2.0], "n_supports": 3, "rho": [0.2],
         "support_vectors": rng.normal(size=12).tolist(), "coefficients": rng.normal(size=3).tolist()}, rows(nan=0), [value], opset=1)
for norm in ("MAX", "L1", "L2"):
    case(f"normalizer_{norm.lower()}", "Normalizer", {"norm": norm}, np.vstack([rows(nan=0), np.zeros((1, 4), np.float32)]), [value], opset=1)
case("scaler_one", "Scaler", {"offset": [0.5], "scale": [2.0]}, rows(), [value], opset=1)
case("imputer_nan", "Imputer", {"imputed_value_floats": [1.0, 2.0, 3.0, 4.0], "replaced_value_float": float("nan")}, rows(), [value], opset=1)
case("imputer_zero_int", "Imputer", {"imputed_value_int64s": [9], "replaced_value_int64": 0}, rng.integers(-1, 2, (9, 4)), [("variable", T.INT64)], opset=1)
case("binarizer", "Binarizer", {"threshold": 0.25}, rows(nan=0), [value], opset=1)
case("label_encoder_int_float", "LabelEncoder", {"keys_int64s": [0, 1, -1], "values_floats": [0.5, 1.5, 2.5], "default_float": -7.0}, rng.integers(-2, 3, (9, 4)), [value], opset=2)
case("label_encoder_float_nan", "LabelEncoder", {"keys_floats": [0.1, float("nan"), 1.0], "values_floats": [5.0, 6.0, 7.0], "default_float": 8.0}, rows(), [value], opset=4, main=22)
case("one_hot_int", "OneHotEncoder", {"cats_int64s": [-1, 0, 2], "zeros": 1}, rng.integers(-2, 3, (9, 1)), [value], opset=1)
case("feature_extractor", "ArrayFeatureExtractor", {}, rows(), [value], opset=1, inputs=["X", "i"], initializers=[nh.from_array(np.array([3, 1], np.int64), "i")])

# TreeEnsemble of opset 5: set membership, shared leaves, doubles.
def ensemble5(double):
    kind = np.float64 if double else np.float32
    return {
        "tree_roots": [0, 3], "n_targets": 2, "aggregate_function": 1, "post_transform": 0,
        "nodes_featureids": [0, 1, 2, 3], "nodes_modes": nh.from_array(np.array([0, 6, 6, 1], np.uint8)),
        "nodes_splits": nh.from_array(np.array([0.5, 0, 0, 1.1], kind)), "membership_values": nh.from_array(np.array([-1, 2, np.nan, 1, np.nan], kind)),
        "nodes_truenodeids": [1, 0, 2, 0], "nodes_trueleafs": [0, 1, 1, 1], "nodes_falsenodeids": [2, 1, 3, 4], "nodes_falseleafs": [0, 1, 1, 1],
        "nodes_missing_value_tracks_true": [1, 0, 1, 0],
        "leaf_targetids": [0, 1, 0, 1, 0], "leaf_weights": nh.from_array(np.array([1.5, 2.5, -3.5, 4.5, 5.5], kind)),
    }
case("tree_ensemble_5", "TreeEnsemble", ensemble5(False), np.trunc(rows(60, nan=0)), [value], opset=5, main=22)
case("tree_ensemble_5_double", "TreeEnsemble", ensemble5(True), np.trunc(rows(60, nan=0, double=True)), [("variable", T.DOUBLE)], opset=5, main=22)

with open(os.path.join(HERE, "operators.json"), "w") as f:
    f.write("{\n" + ",\n".join(f"{json.dumps(n)}:{json.dumps(c, separators=(',', ':'))}" for n, c in sorted(cases.items())) + "\n}")
    f.write("\n")
print(len(cases), "cases")
