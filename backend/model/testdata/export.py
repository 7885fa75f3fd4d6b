"""Exports the conformance models of backend/model and the libraries' own probabilities for them.

Run in a clean environment from this folder:

    pip install scikit-learn==1.9.1 skl2onnx==1.20.0 onnx==1.23.2 onnxmltools==1.16.0 xgboost-cpu==3.2.0 lightgbm==4.7.0
    python export.py              # all
    python export.py NAME ...     # only these, keeping the others

It writes, per data set, rows/<data set>.csv (the rows to score) and, per model, models/<name>.onnx and
expected/<name>.txt: predict_proba(rows)[:, 1] in float64, by the library that trained the model and never by an ONNX
runtime. manifest.json says which belongs to which. The data are the ones scikit-learn brings along.
"""
import json, os, sys, warnings
import numpy as np
import onnx
import pandas as pd
from sklearn import datasets as sk
from sklearn.base import clone

warnings.filterwarnings("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = 300
SEED = 7


def whole_numbers():
    """skl2onnx 1.20 hands numpy booleans to onnx for HistGradientBoosting, which onnx 1.23 refuses."""
    make = onnx.helper.make_attribute
    def patched(key, value, *args, **kwargs):
        if isinstance(value, (list, np.ndarray)) and len(value) and any(isinstance(v, (bool, np.bool_)) for v in value):
            value = [int(v) for v in value]
        return make(key, value, *args, **kwargs)
    onnx.helper.make_attribute = patched


whole_numbers()


# The data sets: real ones, binarised where they are not binary. Each is (X, y) with X a DataFrame.

def breast_cancer():
    d = sk.load_breast_cancer()
    return pd.DataFrame(d.data, columns=names(d.feature_names)), d.target


def breast_cancer_4():
    X, y = breast_cancer()
    return X.iloc[:, :4], y


def breast_cancer_gaps():
    """Breast cancer with a tenth of the values missing."""
    X, y = breast_cancer()
    X = X.iloc[:, :10].copy()
    X[np.random.default_rng(SEED).random(X.shape) < 0.1] = np.nan
    return X, y


def wine():
    d = sk.load_wine()
    return pd.DataFrame(d.data, columns=names(d.feature_names)), (d.target == 1).astype(int)


def wine_mixed():
    """Wine with two of its columns as words and one as whole numbers."""
    X, y = wine()
    X = X[["alcohol", "malic_acid", "ash", "magnesium", "hue", "proline"]].copy()
    X["strength"] = pd.cut(X.pop("alcohol"), 4, labels=["light", "medium", "strong", "très fort"]).astype(str)
    X["shade"] = np.where(X.pop("hue") > 0.96, "red", "purple")
    X["decade"] = (X.pop("magnesium") // 10).astype(np.int64)
    return X, y


def wine_codes():
    """Wine's words as the numbers of their categories, and a tenth of all values missing."""
    X, y = wine_mixed()
    for c in ("strength", "shade"):
        X[c] = X[c].astype("category").cat.codes
    X = X.astype(np.float64)
    X[np.random.default_rng(SEED).random(X.shape) < 0.1] = np.nan
    return X, y


CODES = [3, 4, 5]  # of wine_codes


def iris():
    d = sk.load_iris()
    return pd.DataFrame(d.data, columns=names(d.feature_names)), (d.target == 1).astype(int)


def iris_3():
    d = sk.load_iris()
    return pd.DataFrame(d.data, columns=names(d.feature_names)), d.target


def digits():
    d = sk.load_digits()
    return pd.DataFrame(d.data, columns=names(d.feature_names)), d.target % 2


def diabetes():
    d = sk.load_diabetes()
    return pd.DataFrame(d.data, columns=names(d.feature_names)), (d.target > np.median(d.target)).astype(int)


def diabetes_gaps():
    X, y = diabetes()
    X = X.copy()
    X[np.random.default_rng(SEED).random(X.shape) < 0.15] = np.nan
    return X, y


def names(columns):
    return [c.replace(" (cm)", "").replace(" ", "_").replace("/", "_") for c in columns]


# How a fitted model becomes ONNX.

def skl(model, X, options=None, opset=None, double=False):
    from skl2onnx import to_onnx
    x = X.to_numpy()[:1].astype(np.float64 if double else np.float32)
    kind = "double" if double else "float"
    for step in ([s for _, s in model.steps] if hasattr(model, "steps") else []):
        if type(step).__name__ == "StandardScaler" and options == "div_cast":
            options = {id(step): {"div": "div_cast"}}
    return to_onnx(model, x, options=options, target_opset=opset), kind


def skl_columns(model, X):
    """One named input a column, as for a ColumnTransformer over a DataFrame."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, StringTensorType
    kinds = {"O": StringTensorType, "U": StringTensorType, "T": StringTensorType, "i": Int64TensorType, "f": DoubleTensorType}
    types = [(c, kinds["O" if not hasattr(t, "kind") or t.kind not in "if" else t.kind]([None, 1])) for c, t in X.dtypes.items()]
    return to_onnx(model, initial_types=types), "columns"


def xgb(model, X):
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType
    model.get_booster().feature_names = None
    return convert_xgboost(model, initial_types=[("input", FloatTensorType([None, X.shape[1]]))]), "float"


def lgb(model, X, **more):
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType
    return convert_lightgbm(model, initial_types=[("input", FloatTensorType([None, X.shape[1]]))], **more), "float"


def boosted_pipeline(model, X):
    """skl2onnx with the boosters of onnxmltools registered, as their documentation shows."""
    from skl2onnx import to_onnx, update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes as shapes
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    from xgboost import XGBClassifier
    from lightgbm import LGBMClassifier
    options = {"nocl": [True, False], "zipmap": [True, False, "columns"], "raw_scores": [True, False]}
    update_registered_converter(XGBClassifier, "XGBoostXGBClassifier", shapes, convert_xgboost, options=options)
    update_registered_converter(LGBMClassifier, "LightGbmLGBMClassifier", shapes, convert_lightgbm, options=options)
    last = model.steps[-1][1]
    options = {id(last): {"zipmap": False}}
    return to_onnx(model, X.to_numpy()[:1].astype(np.float64), options=options,
                   target_opset={"": 15, "ai.onnx.ml": 3}), "double"


def zoo():
    """Every model as name: (library, data set, estimator, exporter)."""
    from sklearn import (calibration, compose, decomposition, discriminant_analysis as da, ensemble as en, feature_selection as fs,
                         impute, linear_model as lm, naive_bayes as nb, neighbors, neural_network as nn,
                         preprocessing as pp, svm, tree, multiclass)
    from sklearn.pipeline import make_pipeline as pipe
    from xgboost import XGBClassifier, XGBRFClassifier
    from lightgbm import LGBMClassifier

    s = pp.StandardScaler
    seed = {"random_state": SEED}
    lr = lambda **k: lm.LogisticRegression(max_iter=5000, **k)
    no_map = lambda m, X: skl(m, X, options={id(m): {"zipmap": False}})
    columns = lambda m, X: skl(m, X, options={id(m): {"zipmap": "columns"}})
    double = lambda m, X: skl(m, X, double=True)
    double_ml3 = lambda m, X: skl(m, X, double=True, opset={"": 18, "ai.onnx.ml": 3}, options={id(m): {"zipmap": False}})
    old = lambda m, X: skl(m, X, opset={"": 9, "ai.onnx.ml": 1})
    cast = lambda m, X: skl(m, X, options="div_cast")
    cdist = lambda m, X: skl(m, X, options={id(m): {"optim": "cdist"}})
    k = "scikit-learn"
    z = {
        "logistic_4": (k, breast_cancer_4, lr(), skl),
        "logistic_4_no_zipmap": (k, breast_cancer_4, lr(), no_map),
        "logistic_4_zipmap_columns": (k, breast_cancer_4, lr(), columns),
        "logistic_4_double": (k, breast_cancer_4, lr(), double),
        "logistic_4_opset9": (k, breast_cancer_4, lr(), old),
        "logistic_scaled": (k, breast_cancer, pipe(s(), lr()), skl),
        "logistic_l1_maxabs": (k, wine, pipe(pp.MaxAbsScaler(), lr(solver="saga", l1_ratio=1)), skl),
        "logistic_cv_minmax": (k, diabetes, pipe(pp.MinMaxScaler(), lm.LogisticRegressionCV(max_iter=5000)), skl),
        "logistic_softmax_iris3": (k, iris_3, lr(), skl),
        "logistic_robust_double": (k, wine, pipe(pp.RobustScaler(), lr()), double),
        "logistic_polynomial": (k, iris, pipe(pp.PolynomialFeatures(2), s(), lr()), skl),
        "logistic_pca": (k, digits, pipe(decomposition.PCA(10), lr()), skl),
        "logistic_select_k_best": (k, breast_cancer, pipe(fs.SelectKBest(k=8), s(), lr()), skl),
        "logistic_power_transformer": (k, wine, pipe(pp.PowerTransformer(), lr()), skl),
        "logistic_bins": (k, iris, pipe(pp.KBinsDiscretizer(5, encode="onehot-dense", quantile_method="averaged_inverted_cdf"), lr()), skl),
        "logistic_imputed": (k, breast_cancer_gaps, pipe(impute.SimpleImputer(strategy="median"), s(), lr()), skl),
        "sgd_log_loss": (k, breast_cancer, pipe(s(), lm.SGDClassifier(loss="log_loss", **seed)), skl),
        "sgd_modified_huber": (k, diabetes, pipe(s(), lm.SGDClassifier(loss="modified_huber", **seed)), skl),
        "sgd_normalized": (k, iris, pipe(pp.Normalizer(), lm.SGDClassifier(loss="log_loss", **seed)), skl),
        "calibrated_linear_svc": (k, breast_cancer, pipe(s(), calibration.CalibratedClassifierCV(svm.LinearSVC(**seed))), skl),
        "calibrated_svc_rbf": (k, wine, pipe(s(), calibration.CalibratedClassifierCV(svm.SVC(), ensemble=False)), skl),
        "svc_rbf": (k, breast_cancer, pipe(s(), svm.SVC(probability=True, **seed)), skl),
        "svc_poly": (k, iris, pipe(s(), svm.SVC(kernel="poly", probability=True, **seed)), skl),
        "svc_linear": (k, wine, pipe(s(), svm.SVC(kernel="linear", probability=True, **seed)), skl),
        "svc_sigmoid_iris3": (k, iris_3, pipe(s(), svm.SVC(kernel="sigmoid", probability=True, **seed)), skl),
        "nu_svc": (k, diabetes, pipe(s(), svm.NuSVC(probability=True, **seed)), skl),
        "decision_tree": (k, breast_cancer, tree.DecisionTreeClassifier(**seed), skl),
        "decision_tree_double": (k, wine, tree.DecisionTreeClassifier(max_depth=4, **seed), double),
        "decision_tree_iris3": (k, iris_3, tree.DecisionTreeClassifier(max_depth=3, **seed), skl),
        "forest_100x6": (k, breast_cancer, en.RandomForestClassifier(100, max_depth=6, **seed), skl),
        "forest_deep": (k, digits, en.RandomForestClassifier(20, **seed), skl),
        "forest_scaled": (k, diabetes, pipe(s(), en.RandomForestClassifier(30, max_depth=7, **seed)), cast),
        "forest_double": (k, diabetes, en.RandomForestClassifier(20, max_depth=5, **seed), double),
        "forest_double_thresholds": (k, diabetes, en.RandomForestClassifier(20, max_depth=5, **seed), double_ml3),
        "forest_iris3": (k, iris_3, en.RandomForestClassifier(20, max_depth=5, **seed), skl),
        "extra_trees": (k, wine, en.ExtraTreesClassifier(50, **seed), skl),
        "gradient_boosting": (k, breast_cancer, en.GradientBoostingClassifier(**seed), skl),
        "gradient_boosting_zero_init": (k, diabetes, en.GradientBoostingClassifier(n_estimators=40, subsample=0.7, init="zero", **seed), skl),
        "gradient_boosting_iris3": (k, iris_3, en.GradientBoostingClassifier(n_estimators=20, **seed), skl),
        "hist_gradient_boosting": (k, digits, en.HistGradientBoostingClassifier(max_iter=40, **seed), skl),
        "hist_gradient_boosting_gaps": (k, breast_cancer_gaps, en.HistGradientBoostingClassifier(max_iter=40, **seed), skl),
        "hist_gradient_boosting_iris3": (k, iris_3, en.HistGradientBoostingClassifier(max_iter=10, **seed), skl),
        "ada_boost": (k, breast_cancer, en.AdaBoostClassifier(n_estimators=30, **seed), skl),
        "bagging": (k, wine, en.BaggingClassifier(n_estimators=8, **seed), skl),
        "voting_soft": (k, iris, en.VotingClassifier([("a", lr()), ("b", tree.DecisionTreeClassifier(max_depth=3, **seed))], voting="soft", flatten_transform=False), skl),
        "stacking": (k, breast_cancer, en.StackingClassifier([("a", pipe(s(), lr())), ("b", en.RandomForestClassifier(10, max_depth=4, **seed))]), skl),
        "one_vs_rest_iris3": (k, iris_3, multiclass.OneVsRestClassifier(lr()), skl),
        "gaussian_nb": (k, iris, nb.GaussianNB(), skl),
        "gaussian_nb_wine": (k, wine, nb.GaussianNB(), double),
        "bernoulli_nb": (k, digits, nb.BernoulliNB(binarize=7.5), skl),
        "multinomial_nb": (k, digits, nb.MultinomialNB(), double),
        "complement_nb": (k, digits, nb.ComplementNB(), double),
        "knn": (k, iris, neighbors.KNeighborsClassifier(5), skl),
        "knn_scaled": (k, wine, pipe(s(), neighbors.KNeighborsClassifier(7)), double),
        "knn_cdist": (k, iris, neighbors.KNeighborsClassifier(5), cdist),
        "mlp_relu": (k, digits, pipe(pp.MinMaxScaler(), nn.MLPClassifier((16,), max_iter=300, **seed)), skl),
        "mlp_tanh": (k, breast_cancer, pipe(s(), nn.MLPClassifier((8, 8), activation="tanh", max_iter=500, **seed)), skl),
        "mlp_logistic_iris3": (k, iris_3, nn.MLPClassifier((6,), activation="logistic", max_iter=500, **seed), skl),
        "lda_iris3": (k, iris_3, da.LinearDiscriminantAnalysis(), skl),
        "qda": (k, iris, da.QuadraticDiscriminantAnalysis(), double),
        "columns_one_hot_forest": (k, wine_mixed, pipe(compose.ColumnTransformer([
            ("words", pp.OneHotEncoder(handle_unknown="ignore"), ["strength", "shade"]),
            ("whole", pp.OneHotEncoder(handle_unknown="ignore"), ["decade"]),
            ("numbers", pipe(impute.SimpleImputer(), s()), ["malic_acid", "ash", "proline"])]),
            en.RandomForestClassifier(20, max_depth=5, **seed)), skl_columns),
        "columns_ordinal_boosting": (k, wine_mixed, pipe(compose.ColumnTransformer([
            ("words", pp.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["strength", "shade"])], remainder="passthrough"),
            en.GradientBoostingClassifier(n_estimators=20, **seed)), skl_columns),
        "columns_passthrough_logistic": (k, wine_mixed, pipe(compose.ColumnTransformer([
            ("words", pp.OneHotEncoder(drop="first"), ["strength", "shade"]),
            ("numbers", pp.MinMaxScaler(), ["malic_acid", "ash", "proline", "decade"])]), lr()), skl_columns),
    }
    hot = pp.OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    z.update({
        "ada_boost_deep": (k, wine, en.AdaBoostClassifier(tree.DecisionTreeClassifier(max_depth=3, **seed), n_estimators=10, **seed), skl),
        "bagging_logistic": (k, wine, en.BaggingClassifier(pipe(s(), lr()), n_estimators=5, **seed), skl),
        "calibrated_forest": (k, breast_cancer, calibration.CalibratedClassifierCV(en.RandomForestClassifier(8, max_depth=4, **seed), cv=3), skl),
        "calibrated_hist_gradient_boosting": (k, breast_cancer, calibration.CalibratedClassifierCV(en.HistGradientBoostingClassifier(max_iter=8, **seed), cv=3), skl),
        "columns_calibrated_svc": (k, wine_mixed, pipe(compose.ColumnTransformer([
            ("words", pp.OneHotEncoder(min_frequency=10, handle_unknown="infrequent_if_exist"), ["strength", "shade"]),
            ("numbers", s(), ["malic_acid", "ash", "proline", "decade"])]), calibration.CalibratedClassifierCV(svm.LinearSVC(**seed))), skl_columns),
        "columns_mlp": (k, wine_mixed, pipe(compose.ColumnTransformer([
            ("words", hot, ["strength", "shade"]),
            ("numbers", pipe(impute.SimpleImputer(strategy="median"), s()), ["malic_acid", "ash", "proline", "decade"])]),
            nn.MLPClassifier((8,), max_iter=400, **seed)), skl_columns),
        "columns_rare_words": (k, wine_mixed, pipe(compose.ColumnTransformer([
            ("words", pp.OneHotEncoder(min_frequency=30, handle_unknown="infrequent_if_exist"), ["strength", "shade"])], remainder="passthrough"), lr()), skl_columns),
        "columns_target_encoder": (k, wine_mixed, pipe(compose.ColumnTransformer([
            ("words", pp.TargetEncoder(**seed), ["strength", "shade"])], remainder="passthrough"), lr()), skl_columns),
        "forest_balanced": (k, breast_cancer, en.RandomForestClassifier(15, max_depth=5, class_weight="balanced", criterion="entropy", **seed), no_map),
        "gradient_boosting_exponential": (k, breast_cancer, en.GradientBoostingClassifier(loss="exponential", n_estimators=20, **seed), skl),
        "knn_manhattan": (k, wine, pipe(s(), neighbors.KNeighborsClassifier(5, metric="manhattan")), skl),
        "logistic_quantile": (k, wine, pipe(pp.QuantileTransformer(n_quantiles=20), lr()), skl),
        "stacking_mixed": (k, wine, en.StackingClassifier([("k", pipe(s(), neighbors.KNeighborsClassifier(5))), ("n", pipe(s(), nn.MLPClassifier((8,), max_iter=400, **seed))),
            ("g", en.GradientBoostingClassifier(n_estimators=10, **seed))], final_estimator=lr()), skl),
        "stacking_passthrough": (k, breast_cancer, en.StackingClassifier([("a", pipe(s(), lr())), ("b", en.RandomForestClassifier(8, max_depth=4, **seed))],
            passthrough=True, final_estimator=en.RandomForestClassifier(8, max_depth=4, **seed)), skl),
        "svc_rbf_double": (k, wine, pipe(s(), svm.SVC(probability=True, **seed)), double),
    })
    x, l = "XGBoost", "LightGBM"
    kinds = ["c" if i in CODES else "q" for i in range(6)]
    codes = {"categorical_feature": ",".join(map(str, CODES)), "cat_smooth": 1, "min_data_per_group": 2, "min_child_samples": 3, "verbose": -1}
    z.update({
        "xgboost_categories_gaps": (x, wine_codes, XGBClassifier(n_estimators=15, max_depth=3, enable_categorical=True, feature_types=kinds, max_cat_to_onehot=1, **seed), xgb),
        "xgboost_categories_one_hot": (x, wine_codes, XGBClassifier(n_estimators=15, max_depth=3, enable_categorical=True, feature_types=kinds, max_cat_to_onehot=50, **seed), xgb),
        "xgboost_lossguide": (x, breast_cancer_gaps, XGBClassifier(n_estimators=15, grow_policy="lossguide", max_leaves=12, tree_method="hist", scale_pos_weight=3.0, subsample=0.7, **seed), xgb),
        "lightgbm_categories_gaps": (l, wine_codes, LGBMClassifier(n_estimators=10, max_cat_to_onehot=1, **codes, **seed), lgb),
        "lightgbm_goss": (l, breast_cancer, LGBMClassifier(data_sample_strategy="goss", n_estimators=10, verbose=-1, **seed), lgb),
        "lightgbm_unbalanced_zero_missing": (l, diabetes_gaps, LGBMClassifier(n_estimators=10, zero_as_missing=True, is_unbalance=True, verbose=-1, **seed), lgb),
        "xgboost": (x, breast_cancer, XGBClassifier(n_estimators=50, max_depth=4, **seed), xgb),
        "xgboost_gaps": (x, breast_cancer_gaps, XGBClassifier(n_estimators=30, max_depth=5, **seed), xgb),
        "xgboost_base_score": (x, diabetes, XGBClassifier(n_estimators=25, max_depth=3, base_score=0.3, **seed), xgb),
        "xgboost_exact_deep": (x, digits, XGBClassifier(n_estimators=20, max_depth=9, tree_method="exact", **seed), xgb),
        "xgboost_random_forest": (x, wine, XGBRFClassifier(n_estimators=20, **seed), xgb),
        "xgboost_iris3": (x, iris_3, XGBClassifier(n_estimators=10, max_depth=3, **seed), xgb),
        "xgboost_pipeline": (x, diabetes, pipe(s(), XGBClassifier(n_estimators=20, max_depth=4, **seed)), boosted_pipeline),
        "lightgbm": (l, breast_cancer, LGBMClassifier(n_estimators=50, verbose=-1, **seed), lgb),
        "lightgbm_gaps": (l, diabetes_gaps, LGBMClassifier(n_estimators=30, verbose=-1, **seed), lgb),
        "lightgbm_categories": (l, digits, LGBMClassifier(n_estimators=15, categorical_feature="20,21,28,36,42", cat_smooth=1, min_data_per_group=5, max_cat_to_onehot=1, verbose=-1, **seed), lgb),
        "lightgbm_dart": (l, wine, LGBMClassifier(boosting_type="dart", n_estimators=20, min_child_samples=5, verbose=-1, **seed), lgb),
        "lightgbm_no_zipmap": (l, iris, LGBMClassifier(n_estimators=20, verbose=-1, **seed), lambda m, X: lgb(m, X, zipmap=False)),
        "lightgbm_iris3": (l, iris_3, LGBMClassifier(n_estimators=10, verbose=-1, **seed), lgb),
        "lightgbm_pipeline": (l, breast_cancer_gaps, pipe(impute.SimpleImputer(), LGBMClassifier(n_estimators=20, verbose=-1, **seed)), boosted_pipeline),
    })
    return z


def fit(library, X, y, model):
    """Fits on two thirds of the rows; DataFrames only where a pipeline picks columns by name."""
    rng = np.random.default_rng(SEED)
    train = rng.permutation(len(X))[: 2 * len(X) // 3]
    data = X if any(t.kind not in "f" for t in map(np.dtype, [object if str(t) in ("str", "string") else t for t in X.dtypes])) else X.to_numpy()
    at = lambda i: data.iloc[i] if hasattr(data, "iloc") else data[i]
    model = clone(model).fit(at(train), y[train])
    score = np.sort(rng.permutation(len(X))[:ROWS])
    return model, at(score), X.iloc[score]


def export(only):
    for folder in ("rows", "models", "expected"):
        os.makedirs(os.path.join(HERE, folder), exist_ok=True)
    path = os.path.join(HERE, "manifest.json")
    manifest = json.load(open(path)) if only and os.path.exists(path) else {}
    failed = []
    for name, (library, data, estimator, exporter) in zoo().items():
        if only and name not in only:
            continue
        try:
            X, y = data()
            model, rows, frame = fit(library, X, y, estimator)
            onnx_model, kind = exporter(model, X)
            probability = np.asarray(model.predict_proba(rows), dtype=np.float64)[:, 1]
        except Exception as e:
            failed.append(f"{name}: {type(e).__name__}: {str(e)[:300]}")
            continue
        frame.to_csv(os.path.join(HERE, "rows", data.__name__ + ".csv"), index=False, lineterminator="\n")
        with open(os.path.join(HERE, "models", name + ".onnx"), "wb") as f:
            f.write(onnx_model.SerializeToString())
        with open(os.path.join(HERE, "expected", name + ".txt"), "w") as f:
            f.writelines(f"{float(p)!r}\n" for p in probability)
        estimator_text = " + ".join(type(s).__name__ for _, s in model.steps) if hasattr(model, "steps") else type(model).__name__
        manifest[name] = {"library": library, "data": data.__name__, "estimator": estimator_text, "input": kind}
    with open(path, "w") as f:
        json.dump(manifest, f, indent=1, sort_keys=True)
        f.write("\n")
    print(f"{len(manifest)} models")
    for line in failed:
        print("failed:", line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(export(sys.argv[1:]))
