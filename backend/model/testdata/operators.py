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
    elem = {np.dtype(np.bool_): T.BOOL, np.dtype(np.float32): T.FLOAT, np.dtype(np.float64): T.DOUBLE, np.dtype(np.int64): T.INT64}.get(X.dtype, T.STRING)
    node = h.make_node(op, inputs or ["X"], [o for o, _ in outputs], domain=domain, **attributes)
    inferred = domain == ""
    graph = h.make_graph([node], "g", [h.make_tensor_value_info("X", elem, [None, X.shape[1]])],
                         [onnx.ValueInfoProto(name=o) if inferred else h.make_tensor_value_info(o, t, None) for o, t in outputs],
                         list(initializers))
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", main), h.make_opsetid(ML, opset)], ir_version=8)
    data = model.SerializeToString()
    try:
        got = ort.InferenceSession(data).run([outputs[-1][0]], {"X": X})[0]
    except Exception as e:
        print("left out", name, str(e).splitlines()[0][:150])
        return
    text = lambda v: None if isinstance(v, (float, np.floating)) and np.isnan(v) else float(np.clip(v, -1e300, 1e300))  # 1e300 is infinity
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


# The operators of the default domain.
out = ("variable", 0)
names = iter(range(10000))


def general(op, *extra, X=None, main=18, outputs=("variable",), **attributes):
    """One operator over X and constant inputs, its result as a whole."""
    X = (rows(6, nan=0) / 2).astype(np.float32) if X is None else X
    ids = ["X"] + [f"c{i}" if e is not None else "" for i, e in enumerate(extra)]
    constants = [nh.from_array(np.asarray(e), f"c{i}") for i, e in enumerate(extra) if e is not None]
    case(f"{op.lower()}_{next(names)}", op, attributes, X, [(o, T.UNDEFINED) for o in outputs], inputs=ids, domain="", main=main, initializers=constants)


i64 = lambda *v: np.array(v, np.int64)
f32 = lambda *v: np.array(v, np.float32)
wide = rows(6, nan=0)
whole = rng.integers(-4, 5, (5, 4))
positive = np.abs(wide) + np.float32(0.5)
odd = np.array([[np.nan, np.inf, -np.inf, 0]], np.float32)
for op in "Abs Ceil Cos Erf Exp Floor Identity Neg Reciprocal Relu Round Sigmoid Sign Sin Softplus Tanh LeakyRelu Elu".split():
    general(op, X=positive if op == "Reciprocal" else wide)
for op in ("Log", "Sqrt"):
    general(op, X=positive)
for op in ("IsNaN", "IsInf"):
    general(op, X=odd)
general("IsInf", X=odd, detect_negative=0)
general("Clip", np.float32(-1), np.float32(1))
general("Clip", None, np.float32(0.5))
general("Clip", main=9, min=-0.5, max=2.0)
for op in "Add Sub Mul Div".split():
    for other in (f32(1, 2, 3, 4), np.float32(2.5), rng.normal(size=(6, 1)).astype(np.float32), rng.normal(size=(2, 1, 4)).astype(np.float32)):
        general(op, other)
general("Div", i64(3, -2, 2, 5), X=whole)
general("Mod", i64(3, -2, 2, 5), X=whole)
general("Mod", f32(1.5), fmod=1)
general("Pow", f32(2))
general("Pow", f32(3, 0.5, -1, 2), X=positive)
for op in "Equal Less LessOrEqual Greater GreaterOrEqual".split():
    general(op, f32(0.1, 1, 0, 0.25))
general("PRelu", f32(0.5, 0.1, 0.2, 0.3))
for op in "Max Min Sum Mean".split():
    general(op, f32(0.5, 0.1, 0.2, 0.3), rng.normal(size=(6, 1)).astype(np.float32))
general("Where", f32(1, 2, 3, 4), np.float32(-1), X=whole > 0)
for op in "And Or Xor".split():
    general(op, np.array([True, False, True, False]), X=whole > 0)
general("Not", X=whole > 0)
for to in (T.INT64, T.BOOL, T.DOUBLE, T.FLOAT, T.INT32):
    general("Cast", to=to)
for op in "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceSumSquare ReduceL1 ReduceL2 ReduceLogSumExp ReduceLogSum".split():
    X = positive if op == "ReduceLogSum" else None
    general(op, i64(1), X=X)
    general(op, i64(-2), X=X, keepdims=0)
    general(op, X=X)
    general(op, X=X, main=11, axes=[1], keepdims=0)
for op in ("ArgMax", "ArgMin"):
    general(op, axis=1)
    general(op, axis=0, keepdims=0)
    general(op, axis=1, select_last_index=1, X=whole.astype(np.float32))
for main in (11, 18):
    general("Softmax", main=main, axis=1)
    general("Softmax", main=main, axis=0)
    general("LogSoftmax", main=main)
general("CumSum", np.int64(1))
general("CumSum", np.int64(0), exclusive=1, reverse=1)
general("MatMul", rng.normal(size=(4, 3)).astype(np.float32))
general("MatMul", rng.normal(size=4).astype(np.float32))
general("MatMul", rng.normal(size=(2, 4, 3)).astype(np.float32))
general("Gemm", rng.normal(size=(4, 3)).astype(np.float32), f32(1, 2, 3), alpha=0.5, beta=2.0)
general("Gemm", rng.normal(size=(3, 4)).astype(np.float32), transB=1)
general("Gemm", rng.normal(size=(6, 2)).astype(np.float32), transA=1)
general("TopK", i64(2), outputs=("v", "i"))
general("TopK", i64(3), outputs=("v", "i"), largest=0, axis=0)
general("Reshape", i64(-1, 2))
general("Reshape", i64(0, 2, -1))
general("Flatten", axis=0)
general("Squeeze", i64(-2), X=rows(1, nan=0))
general("Unsqueeze", i64(0, -1))
general("Transpose", perm=[1, 0])
general("Transpose")
general("Concat", rng.normal(size=(6, 2)).astype(np.float32), axis=1)
general("Concat", rng.normal(size=(1, 4)).astype(np.float32), axis=-2)
general("Split", outputs=("a", "b"), axis=1, num_outputs=2)
general("Split", i64(1, 3), outputs=("a", "b"), axis=1)
general("Expand", i64(2, 6, 4))
general("Tile", i64(2, 3))
general("Shape")
general("Shape", start=1)
general("Size")
general("Gather", i64(2, 0, -1), axis=1)
general("Gather", np.int64(1), axis=0)
general("Gather", np.array([[0, 1], [2, 3]]), axis=1)
general("GatherElements", rng.integers(-4, 4, (6, 4)), axis=1)
general("GatherElements", rng.integers(0, 6, (3, 4)), axis=0)
general("GatherND", np.array([[0, 1], [5, 3]]))
general("GatherND", np.array([[2], [0]]))
general("ScatterElements", rng.permuted(np.tile(np.arange(4), (6, 1)), axis=1), rng.normal(size=(6, 4)).astype(np.float32), axis=1)
general("ScatterElements", np.zeros((6, 3), np.int64), np.ones((6, 3), np.float32), axis=1, reduction="add")
general("Slice", i64(1), i64(3), i64(1))
general("Slice", i64(-1), i64(-9), i64(0), i64(-2))
general("Slice", i64(0, 1), i64(2**63 - 1, -1))
general("Slice", main=9, starts=[1], ends=[100], axes=[0])
general("Softsign")
general("HardSigmoid", alpha=0.3, beta=0.4)
general("LpNormalization", axis=1, p=1, X=positive)
general("LpNormalization", axis=0)
general("BatchNormalization", f32(1, 2, 3, 4), f32(0, 1, 0, -1), f32(0.5, 0, 1, 2), f32(1, 2, 0.5, 3), epsilon=1e-3)
general("NonZero", X=whole.astype(np.float32))
general("OneHot", np.int64(3), f32(0, 5), X=rng.integers(-1, 4, (5, 1)))
general("OneHot", np.int64(3), f32(0, 5), X=rng.integers(0, 3, (5, 2)), axis=0)

with open(os.path.join(HERE, "operators.json"), "w") as f:
    f.write("{\n" + ",\n".join(f"{json.dumps(n)}:{json.dumps(c, separators=(',', ':'))}" for n, c in sorted(cases.items())) + "\n}")
    f.write("\n")
print(len(cases), "cases")
