"""What to write in place of what other libraries call: names that people bring from pandas, SQL and scikit-learn.

By what is asked; a name that stands in no table is answered by the nearest that exists.
"""

from __future__ import annotations

from collections.abc import Mapping

_ROWS = "rows stay with their owners; "
_FIT = 'fl.fit(fl.Logistic(features={"a": (0, 1)}), fed.tables("table"), label="column")'
_JOIN = 'psi.join(fed["a"]["table"], fed["b"]["table"], on="key").release().value'
_RELEASE = "release it first: plan.release().value"
_EMPIRICAL = {
    "quantile percentile": 'dp.quantile(table, "column", 0.9, epsilon=0.5, bounds=(low, high))',
    "median": 'dp.median(table, "column", epsilon=0.5, bounds=(low, high))',
    "std var": 'its root is the deviation: table.variance("column"), or he.variance over parties',
    "corr cov correlation covariance": 'he.correlation(fed.tables("table"), ["a", "b"])',
    "hist plot boxplot histogram": 'dp.histogram(table, "column", epsilon=0.5, bounds=(low, high), bins=10)',
    "fit train predict": _FIT,
    "join merge": _JOIN,
}
_TABLE = {
    **_EMPIRICAL,
    "percentile": 'table.quantile("column", 0.9)',
    "head tail sample iloc loc at values rows iterrows itertuples to_pandas to_arrow to_dict to_numpy to_csv collect "
    "fetchall fetchone fetchdf show take limit df": _ROWS + 'ask for figures: table.mean("column"); table.columns',
    "dtypes info schema dtype": "table.columns has the names with their types",
    "groupby group_by pivot pivot_table crosstab": 'groups are named in the question: table.mean("x", by="group")',
    "query filter where between isin select": 'conditions are named in the question: table.count(where={"x": (0, 9)})',
    "describe agg aggregate summary": 'ask for each figure: table.count(), table.mean("column"), table.sum("column")',
    "value_counts nunique unique distinct": 'table.count(by="column")',
    "shape size nrows len num_rows": "table.count()",
    "average avg": 'table.mean("column")',
    "sort_values sort order_by": "release first, and sort what comes: plan.release().to_pandas()",
    "assign apply map fillna dropna astype drop drop_duplicates rename": "rows stay as their owner has them; "
    "conditions are named in the question: where=",
    "[]": 'columns are named in the question: table.mean("column"), table.count(by="column")',
    "len": "table.count()",
    "iteration": _ROWS + 'ask for figures: table.mean("column"); table.columns has the names',
    "arithmetic": 'ask for figures: table.sum("column"); conditions are named in the question: where=',
}
OVER_A_JOIN = (
    "over a join there are count, sum, mean, variance, min, max, median and quantile: "
    'joint["party"].mean("column", by="other.column"); with noise dp.mean(joint["party"], "column", ...)'
)
_OVER_A_JOIN = {
    "hist plot boxplot histogram": _EMPIRICAL["hist plot boxplot histogram"].replace("(table,", '(joint["party"],'),
    "std var corr cov correlation covariance": OVER_A_JOIN,
    "fit train predict": OVER_A_JOIN,
    "join merge": 'one join takes up to 32 parties: psi.join(a, b, c, on="key")',
}
_SIDE = {
    names: text.replace("table.", 'joint["party"].').replace("].columns", "].table.columns")
    for names, text in _TABLE.items()
} | _OVER_A_JOIN
_TABLES = {
    **_EMPIRICAL,
    "mean sum count average avg": 'he.mean(tables, "column"), he.sum(tables, "column"), he.count(tables)',
    "min max": 'of one owner: fed["party"]["table"].min("column")',
    "columns dtypes schema info": 'fed["party"]["table"].columns has the names with their types',
    "groupby group_by": 'groups are named in the question: he.mean(tables, "x", by="group", keys=["a", "b"])',
    "query filter where": "he asks about all rows; "
    'conditions are for dp, or for one owner: fed["party"]["table"].count(where={"x": (0, 9)})',
    "head tail sample iloc loc values rows to_pandas to_arrow collect show": _ROWS + 'he.mean(tables, "column")',
    "shape size nrows": "he.count(tables)",
    "[]": 'columns are named in the question: he.mean(tables, "column"); one table: fed["party"]["table"]',
    "arithmetic": 'ask for figures: he.sum(tables, "column")',
}
_JOINT = {
    **_OVER_A_JOIN,
    "mean sum count min max average avg groupby describe": 'ask one side: joint["party"].mean("column", by="b.column")',
    "len shape nrows": "joint.size",
    "columns dtypes schema": 'each side has its own: joint["party"], as it shows itself',
    "head tail sample iloc loc values rows to_pandas to_arrow collect show": _ROWS + 'joint["party"].mean("column")',
    "iteration": 'joint.parties, and joint["party"] for each',
    "arithmetic": 'ask one side: joint["party"].mean("column")',
}
_PLAN = {
    "value result results answer to_pandas to_arrow values head mean count sum predict table columns evaluation "
    "weights history save": _RELEASE,
    "run execute compute collect submit fetch fetchall get show": "plan.release(), or plan.start() in the background",
    "cost charge charges budget epsilon spent": "plan.price, and plan.preview() for what would be left",
    "explain describe": "plan.preview(), and plan.learns for who learns what",
    "cancel stop": "plan.start() gives a run, which run.cancel() ends",
    "[] len iteration arithmetic": _RELEASE,
}
_RUN = {
    "value values to_pandas to_arrow release get wait join": "run.result().value",
    "status": "run.state",
    "[] len iteration arithmetic": "run.result().value",
}
_RESULT = {
    "cost charge charges price": "result.spent",
    "time duration elapsed": "result.seconds",
    "audit": "result.receipt",
    "head mean sum count": "result.value holds the answer; result.to_pandas() where it is a table",
    "release run": "this is the result already: result.value",
    "answer result data": "result.value",
    "[] len iteration arithmetic": "result.value holds the answer; result.to_pandas() where it is a table",
}
_FEDERATION = {
    "table datasets dataset get": 'fed.tables("table") of all parties, fed["party"]["table"] of one',
    "keys members nodes clients list_parties party": 'fed.parties has the names: fed["party"]',
    "sql query execute cursor select read_sql": 'there is no SQL: fed["party"]["table"].mean("x", by="y", where={...})',
    "join merge": _JOIN,
    "fit train": _FIT,
    "mean sum count average avg": 'he.mean(fed.tables("table"), "column"), or fed["party"]["table"].mean("column")',
    "disconnect stop exit shutdown": "fed.close()",
    "iteration len arithmetic": 'fed.parties has the names: fed["party"]',
    "*": 'a party is fed["party"], a table of all parties fed.tables("table")',
    "columns schema": 'fed["party"]["table"].columns',
}
_PARTY = {
    "mean sum count min max average avg": 'ask a table: fed["party"]["table"].mean("column")',
    "columns schema": 'fed["party"]["table"].columns',
    "keys list_tables datasets get table": 'party.tables has them: fed["party"]["table"]',
    "sql query execute": 'there is no SQL: fed["party"]["table"].mean("x", by="y", where={...})',
    "iteration len arithmetic": 'party.tables has them: fed["party"]["table"]',
}
_FITTED = {
    "coef_ coefs_ intercept_ coef params parameters state_dict get_weights": "fitted.weights, flat, by layer",
    "predict_proba proba": "fitted.probabilities(table)",
    "score accuracy evaluate metrics test": "fitted.evaluation, of each party's held-out rows",
    "fit train": _FIT,
    "loss losses history_ loss_": "fitted.history",
    "classes_": "fitted.model.target.classes",
    "to_pandas to_arrow": "fitted.evaluation.to_pandas(), fitted.history.to_pandas()",
    "export to_onnx dump": 'fitted.save("model.arrow"), and fl.load',
    "[] len iteration arithmetic": "fitted.predict(table), fitted.evaluation, fitted.weights",
}
_HE = {
    "average avg": "he.mean",
    "std stdev": "he.variance gives the standard deviation, too: .value.std",
    "var": "he.variance",
    "corr": "he.correlation",
    "cov": "he.covariance",
    "min max": 'least and largest are for one owner: fed["party"]["table"].min("column")',
    "median quantile": "dp.median, dp.quantile",
    "hist value_counts": "he.histogram, or he.count with by= and keys=",
    "fit train": "fl.fit",
    "decrypt": "he.reveal",
    "join": "psi.join",
}
_DP = {
    "average avg": "dp.mean",
    "std stdev var": "dp.variance",
    "percentile min max": "dp.quantile",
    "hist value_counts": "dp.histogram, or dp.count with by= and keys=",
    "fit train": "fl.fit with privacy=fl.RecordLevel(...)",
    "join": "psi.join",
    "correlation covariance corr cov": "he.correlation, without noise; dp has none",
}
_FL = {
    "LogisticRegression LogisticRegressionCV": "fl.Logistic",
    "LinearRegression Ridge Lasso Regression": "fl.Linear",
    "MLPClassifier MLPRegressor NeuralNetwork Sequential Net": "fl.MLP",
    "RandomForest RandomForestClassifier XGBClassifier DecisionTree DecisionTreeClassifier KMeans SVC SVM": "models "
    "are fl.Logistic, fl.Linear, fl.Softmax and fl.MLP; trees and clusters are not trained here",
    "train train_model start": "fl.fit",
    "cross_val_score KFold GridSearchCV RandomizedSearchCV search": "fl.cross_validate, with grid= to search",
    "predict score evaluate": "fl.fit(...).release().value, and its predict and evaluation",
    "federated_averaging Strategy FedSGD": "fl.FedAvg",
    "save": "fitted.save(path)",
}
_PSI = {
    "inner_join merge": "psi.join",
    "intersection psi": "psi.join; psi.intersect for two columns that you hold yourself",
    "size count": "psi.cardinality",
    "union left_join outer_join": "psi.join matches what both have; psi.difference asks for what one lacks",
    "anti_join minus": "psi.difference",
    "mean sum": 'psi.join, then a side of what comes: joint["party"].mean("column")',
}
_PS = {
    "open open_federation Client Session init start login": "ps.embedded for tables in this notebook, ps.connect for "
    "parties on the network",
    "read_csv read_parquet DataFrame": 'ps.embedded({"party": {"table": "file.csv"}})',
    "read_sql read_sql_query read_database": "ps.postgres or ps.duckdb, with query=",
    "glob read_parquet_dataset dataset": "ps.files for several files as one table",
    "mean sum count join merge fit": "ask a face: he.mean, dp.mean, psi.join, fl.fit",
    "LogisticRegression": "fl.Logistic",
}


def _by_name(advice: Mapping[str, str]) -> dict[str, str]:
    return {name: text for names, text in advice.items() for name in names.split()}


INSTEAD: dict[str, dict[str, str]] = {
    "Table": _by_name(_TABLE),
    "JointSide": _by_name(_SIDE),
    "Tables": _by_name(_TABLES),
    "Joint": _by_name(_JOINT),
    "Plan": _by_name(_PLAN),
    "Run": _by_name(_RUN),
    "Result": _by_name(_RESULT),
    "Federation": _by_name(_FEDERATION),
    "Party": _by_name(_PARTY),
    "Fitted": _by_name(_FITTED),
    "he": _by_name(_HE),
    "dp": _by_name(_DP),
    "fl": _by_name(_FL),
    "psi": _by_name(_PSI),
    "privsdk": _by_name(_PS),
}
ARGUMENTS = _by_name(
    {
        "groupby group_by group": "by",
        "groups labels categories": "keys",
        "filter query condition filters": "where",
        "eps": "epsilon",
        "lr eta alpha": "learning_rate",
        "epochs n_epochs max_iter iterations num_rounds n_rounds": "rounds",
        "target y label_column": "label",
        "columns col field": "column",
        "key left_on right_on": "on",
        "batchsize": "batch_size",
        "clip range limits": "bounds",
        "q quantile": "level",
        "hidden_layer_sizes layers units": "hidden",
        "n_bins": "bins",
        "random_state": "seed",
        "test_size": "held_out",
        "cv n_splits k": "folds",
        "param_grid params": "grid",
        "X": "tables",
    }
)
