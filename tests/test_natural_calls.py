"""What people write who know pandas, SQL or scikit-learn: it works, or says in three lines what to write."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from claims import Cases
from people import federation, people

import privsdk as ps
from privsdk import dp, fl, he, psi
from privsdk.client.aggregates import Aggregates
from privsdk.display.cards import Card, Displayed
from privsdk.display.natural import ARGUMENTS, INSTEAD
from privsdk.display.tabular import Tabular
from privsdk.errors import DataError, PrivsdkError, UnknownAttribute, UnknownName, UnsupportedUse, UsageError

pd = pytest.importorskip("pandas")
GROUPS = {  # calls, parted by semicolons
    "federation": """
        fed.north; fed.nroth; fed.people; fed.table('people'); fed.keys(); fed.list_parties(); fed.mean('age');
        fed.sql('select 1'); fed.query('x'); fed.execute('x'); fed.join('a', 'b'); fed.fit(model); fed[0];
        fed['nroth']; fed['north', 'people']; fed[['north']]; len(fed); list(fed); 'north' in fed; fed.columns;
        fed.tables('peple'); fed.tables(); fed.tables(name='people', at='north'); fed.tables(['people']);
        fed.preview(plan, plan); fed.preview(plan); fed.budget(); fed.audit_log(n=5); fed.disconnect()
    """,
    "party": """
        north.people; north.peple; north['peple']; north[['people']]; north[0]; north.table('people');
        north.mean('age'); north.columns; north.sql('x'); list(north); len(north); north.list_tables()
    """,
    "table": """
        table.head(); table.tail(3); table.sample(5); table.iloc[0]; table.loc[:, 'age']; table['age'];
        table[['age', 'amount']]; table[table['age'] > 3]; table.age; table.agee; table.shape; table.dtypes;
        table.info(); table.schema; table.describe(); table.groupby('late').mean(); table.query('age > 3');
        table.filter('age'); table.where('age > 3'); table.select('age'); table.merge(other, on='id');
        table.join(other); table.value_counts('late'); table.nunique('id'); table.median('age'); table.std('age');
        table.var('age'); table.quantile('age', 0.5); table.corr(); table.plot(); table.hist('age'); table.values;
        table.to_pandas(); table.to_arrow(); table.to_csv('x.csv'); table.sort_values('age'); table.fillna(0);
        table.apply(len); table.drop_duplicates(); table.fit(model); table.rows; table.avg('age'); len(table);
        list(table); for row in table: pass; table + 1; table > 3; pd.DataFrame(table); np.mean(table); table.mean();
        table.mean('agee'); table.mean(['age', 'amount']); table.mean('age', 'late');
        table.mean('age', groupby='late'); table.mean('age', by=['late', 'id']); table.mean('age', filter='age > 3');
        table.mean('age', where='age > 3'); table.mean(column='age', by='late'); table.count('late');
        table.count(by='late', where={'age': (0, 30)}); table.count(where={'agee': 3}); table.count(distinct='id');
        table.sum(columns='age'); table.mean(3); table.mean(None); table.meen('age'); table.agg({'age': 'mean'});
        table.columns; 'age' in table.columns; table.name
    """,
    "tables": """
        tables.mean('age'); tables.count(); tables.age; tables.north; tables['age']; tables[0]; tables.columns;
        tables.head(); tables.groupby('late'); tables.filter('x'); tables + 1; list(tables); len(tables);
        tables.join(on='id'); tables.shape
    """,
    "joint": """
        joint.mean('age'); joint.age; joint.north; joint['nroth']; joint[0]; joint[['north']]; len(joint); joint.size;
        joint.head(); joint.to_pandas(); joint.columns; joint.groupby('late'); list(joint); joint['north']['age'];
        joint['north'].age; joint['north'].head(); joint['north'].median('age'); joint['north'].groupby('late');
        joint['north'].mean(['age']); joint['north'].mean('south.age'); joint['north'].count(by='south.late');
        joint['north'].mean('age', by=['south.late']); joint['north'].fit(model);
        he.correlation(joint, ['age', 'amount']); he.mean(joint, 'age'); fl.fit(model, joint, label='late');
        dp.mean(joint, 'age', epsilon=0.1, bounds=(0, 60)); he.mean([joint['north'], joint['south']], 'age');
        psi.join(joint, table, on='id'); joint['north'].hist('age'); joint['north'].quantile(0.9);
        dp.mean(joint['north'], 'age', epsilon=0.1, bounds=(0, 60)); dp.count([joint['north']], epsilon=0.1)
    """,
    "plan": """
        plan.value; plan.result(); plan.run(); plan.execute(); plan.compute(); plan.collect(); plan.to_pandas();
        plan['count']; plan + 1; float(plan); len(plan); list(plan); plan > 3; plan.cost; plan.explain();
        plan.cancel(); plan.release(timeout=3); plan.relase(); plan.preview(rows=3); plan.show();
        plan.preview(mock='people'); plan.price; round(plan, 2)
    """,
    "run and result": """
        run.value; run.wait(); run.get(); run.status; run['count']; run.join(); float(run); result.to_pandas();
        result.to_arrow(); result['count']; result[0]; result.count; float(result); len(result); result + 1;
        result.cost; result.num_rows; result.data; result.vaule; result.save('figures.xls');
        result.save('figures.csv'); result.receipt.save('receipt.html'); list(result); pooled.value;
        pooled.to_pandas(); float(pooled.value); result.value.to_pandas(); result.head()
    """,
    "fitted": """
        fitted.predict(frame); fitted.predict(frame[['amount']]); fitted.predict(frame.to_dict('list'));
        fitted.predict([[1.0]]); fitted.predict(3); fitted.predict(np.zeros(3)); fitted.predict_proba(frame);
        fitted.probabilities(frame); fitted.coef_; fitted.intercept_; fitted.score(frame); fitted.accuracy;
        fitted.fit(frame); fitted.loss; fitted.to_pandas(); fitted.save(); fitted.evaluate(frame); len(fitted);
        fitted['age']; fitted.predict(); fitted.predict(X=frame); fitted.weights; fl.load('no such file')
    """,
    "he": """
        he.meen; he.average(tables, 'age'); he.std; he.max(tables, 'age'); he.mean(tables); he.mean('people', 'age');
        he.mean(tables, ['age', 'amount']); he.mean(tables, 'age', 'late'); he.mean(tables, 'age', groupby='late');
        he.mean(tables, 'age', by=['late'], keys=[True]); he.mean(tables, 'age', where={'age': 3});
        he.sum(frame, 'age'); he.mean(tables, columns='age'); he.count(tables, 'age'); he.corr(tables);
        he.correlation(tables, 'age', 'amount'); he.mean(fed, 'age'); he.mean(north, 'age');
        he.mean([north, south], 'age'); he.mean(None, 'age'); he.covariance(tables, ['age', 'amount']);
        he.histogram(tables, 'age'); he.mean({'a': table}, 'age')
    """,
    "dp": """
        dp.mean(table, 'age'); dp.mean(table, 'age', 1.0); dp.mean(table, 'age', eps=1); dp.average; dp.min;
        dp.count(table); dp.count(table, eps=0.1); dp.count(table, epsilon='a'); dp.mean(table, 'age', epsilon=0.1);
        dp.mean(table, 'age', epsilon=0.1, bounds=60); dp.quantile(table, 'age', q=0.5, epsilon=0.1);
        dp.count(table, epsilon=0.1, where={'age': 3}); dp.mean(table, ['age'], epsilon=0.1, bounds=(0, 60));
        dp.histogram(table, 'age', epsilon=0.1, n_bins=3); dp.count(fed, epsilon=0.1); dp.std(table, 'age');
        dp.count(table, epsilon=0.1, by=['late'], keys=[True]); dp.mean(frame, 'age', epsilon=1, bounds=(0, 9))
    """,
    "fl": """
        fl.LogisticRegression(); fl.RandomForestClassifier(); fl.train(model); fl.GridSearchCV(model, {});
        fl.cross_val_score(model); fl.cross_validate(model, tables, label='late', cv=5);
        fl.cross_validate(model, tables, label='late', grid=[1]); fl.Logistic(); fl.Logistic(C=1.0);
        fl.Logistic(['age']); fl.Logistic(features=['age']); fl.Logistic(features='age');
        fl.Logistic(features={'age': 60}); fl.MLP(features={'age': (0, 60)}, hidden_layer_sizes=[3]);
        fl.fit(tables, model, label='late'); fl.fit(model, tables); fl.fit(model, tables, target='late');
        fl.fit(model, tables, label='late', epochs=3); fl.fit(model, tables, label='late', lr=0.1);
        fl.fit(model, frame, label='late'); fl.fit('logistic', tables, label='late');
        fl.fit(fl.Logistic, tables, label='late'); fl.fit(model, fed, label='late'); fl.fit(model, tables, 'late');
        fl.fit(model, tables, label=['late']); fl.fit(model, tables, label='late', strategy='fedavg');
        fl.fit(model, tables, label='late', strategy=fl.FedAvg); fl.fit(model, tables, label='late', privacy=1.0);
        fl.fit(model, tables, label='late', rounds='3'); fl.FedProx(mu='a');
        fl.Logistic(features={'amount': (0, 15)}, positive='yes'); fl.Logistic(features={'age': (0, 9)}, positive=[1]);
        fl.fit(fl.Logistic(features={'age': (0, 60)}, positive='k1'), tables, label='id');
        fl.fit(fl.Logistic(features={'amount': (0, 15)}, positive='yes'), tables, label='age');
        fl.FedProx(0.1); fl.FedAdam(beta=0.9)
    """,
    "psi": """
        psi.inner_join(table, other); psi.join(table, other); psi.join(table, other, 'id');
        psi.join(table, other, key='id'); psi.join([table, other], on='id'); psi.join(tables, on='id');
        psi.join(*tables, on='id', how='inner'); psi.join('people', 'people', on='id');
        psi.join(frame, frame, on='id'); psi.join(fed, on='id'); psi.join(table, other, on=['id', 'age']);
        psi.join(table, other, on=3); psi.join(table, table, on='id'); psi.join(table, on='id');
        psi.union(table, other); psi.size(table, other); psi.intersection(table, other);
        psi.join(table, other, left_on='id', right_on='id'); psi.cardinality(table, other); psi.key()
    """,
    "opening": """
        ps.open(); ps.read_csv('x.csv'); ps.mean(table); ps.embedded(); ps.embedded(frame); ps.embedded({'a': 3});
        ps.embedded({'a': frame}); ps.embedded({'a': {'t': 3}});
        ps.embedded(parties={'a': {'t': frame}}, policy='open'); ps.embedded(['a', 'b']); ps.connect();
        ps.connect('localhost:9000'); ps.connect('no such file'); ps.embedded({'a': {'t': frame}}, budget=3);
        ps.embedded({'a': {'t': frame}}, epsilon=3); ps.Budget(eps=1); ps.Budget(1.0); ps.Budget(epsilon='a');
        ps.Grant(tabel='t'); ps.Grant('t', 'x'); ps.Policy(grant=[]); ps.embedded({'a': {'t': 'no such file.csv'}});
        ps.Policy(grants='all'); ps.Limit(eps=1); ps.Unit('id')
    """,
}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with federation() as fed:
        tables, table, other = fed.tables("people"), fed["north"]["people"], fed["south"]["people"]
        model = fl.Logistic(features={"age": (0, 60)})
        plan = table.count()
        yield {
            **{"ps": ps, "he": he, "dp": dp, "fl": fl, "psi": psi, "pd": pd, "np": np},
            **{
                "fed": fed,
                "tables": tables,
                "table": table,
                "other": other,
                "north": fed["north"],
                "south": fed["south"],
            },
            **{"model": model, "plan": plan, "result": table.count().release(), "run": table.count().start()},
            "joint": psi.join(table, other, on="id").release().value,
            "fitted": fl.fit(model, tables, label="late", rounds=1).release().value,
            "pooled": he.mean(tables, "age").release(),
            "frame": people().to_pandas(),
        }


@pytest.mark.claim("errors: calls from pandas, SQL and scikit-learn work, or say what to write in three lines")
@pytest.mark.parametrize("group", GROUPS)
def test_a_natural_call_works_or_says_what_to_write(
    names: dict[str, Any], group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cases: Cases
) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = []
    for call in map(str.strip, GROUPS[group].split(";")):
        try:
            exec(call, dict(names))  # noqa: S102 - the calls above
        except UsageError as error:
            lines = str(error).splitlines()
            if len(lines) > 3 or not error.hint or len(error.message) > 200:
                wrong.append(f"{call}: {error}")
        except Exception as error:
            wrong.append(f"{call}: {type(error).__name__}: {error}")
        cases()
    assert not wrong, "\n".join(wrong)


def test_a_form_that_python_asks_for_is_as_of_any_object(names: dict[str, Any]) -> None:
    for name in ("fed", "north", "table", "tables", "joint", "plan", "run", "result", "fitted"):
        each = names[name]
        assert each
        assert not hasattr(each, "to_parquet")
        assert getattr(each, "nothing", 3) == 3
        with pytest.raises(AttributeError, match="__array__") as error:
            _ = each.__array__
        assert not isinstance(error.value, PrivsdkError)
    for name in ("fed", "table", "joint"):
        with pytest.raises(TypeError, match="belongs to its open federation"):
            pickle.dumps(names[name])
    for kept in (names["fitted"].weights, names["result"].value, names["result"].receipt, names["plan"].learns):
        copy.copy(kept)
    learned = names["result"].learned
    assert pickle.loads(pickle.dumps(learned)) == learned  # noqa: S301 - our own
    table = names["table"]
    table.extra = 1
    assert table.extra == 1
    del table.extra


def test_modules_are_as_any_other(names: dict[str, Any]) -> None:
    with pytest.raises(ImportError, match="cannot import name 'meen'"):
        from privsdk.he import meen  # type: ignore[attr-defined] # noqa: F401
    with pytest.raises(AttributeError, match="__wrapped__"):
        _ = he.__wrapped__  # type: ignore[attr-defined]
    assert not hasattr(ps, "DataFrame")


class _Broken(Displayed):
    @property
    def size(self) -> int:
        return self._missing  # type: ignore[attr-defined,no-any-return]

    def _card(self) -> Card:
        return Card(title="broken")


def test_a_property_that_fails_is_not_said_to_be_absent() -> None:
    with pytest.raises(AttributeError, match="_missing") as error:
        _ = _Broken().size
    assert not isinstance(error.value, UnknownAttribute)


def test_advice_names_what_exists() -> None:
    for of, advice in INSTEAD.items():
        for text in advice.values():
            for face, name in re.findall(r"\b(he|dp|fl|psi|ps)\.(\w+)", text):
                module = importlib.import_module("privsdk" if face == "ps" else f"privsdk.{face}")
                assert hasattr(module, name), (of, text)
    parameters = {
        name
        for verb in (
            he.mean,
            he.histogram,
            dp.quantile,
            dp.histogram,
            fl.fit,
            fl.cross_validate,
            fl.MLP,
            psi.join,
            Aggregates.count,
        )
        for name in inspect.signature(verb).parameters
    }
    assert set(ARGUMENTS.values()) <= parameters


def test_after_closing_everything_says_so() -> None:
    with federation() as fed:
        table, tables, party = fed["north"]["people"], fed.tables("people"), fed["north"]
        plan = table.count()
    model = fl.Logistic(features={"age": (0, 60)})
    asked: list[Callable[[], object]] = [
        lambda: fed["north"],
        lambda: fed.tables("people"),
        lambda: fed.parties,
        lambda: fed.forget_head("north"),
        lambda: fed.preview([plan]),
        *(fed.budgets, fed.verify_audit, fed.audit_log, plan.preview, plan.release),
        lambda: table.count().release(),
        lambda: he.mean(tables, "age").release(),
        lambda: dp.count(table, epsilon=0.1).release(),
        lambda: fl.fit(model, tables, label="late").release(),
        lambda: psi.join(table, tables._tables[1], on="id").release(),
    ]
    for ask in asked:
        with pytest.raises(UnsupportedUse, match="the federation is closed"):
            ask()
    assert (repr(fed), fed.describe(), party.name) == ("federation: closed", {}, "north")
    with pytest.raises(UnknownAttribute):
        _ = fed.north  # type: ignore[attr-defined]


def test_results_come_out_as_tables_files_and_pages(names: dict[str, Any], tmp_path: Path) -> None:
    result, pooled = names["result"], names["pooled"]
    assert result.to_arrow().to_pydict() == {"count": [60]}
    assert result.to_pandas()["count"].tolist() == [60]
    assert pooled.to_arrow().to_pylist()[0]["value"] == pytest.approx(29.5)
    readers: dict[str, Callable[[Any], pa.Table]] = {
        ".csv": pyarrow.csv.read_csv,
        ".parquet": pyarrow.parquet.read_table,
        ".arrow": lambda path: pa.ipc.open_file(str(path)).read_all(),
    }
    for suffix, read in readers.items():
        path = tmp_path / f"figures{suffix}"
        for _ in range(2):  # the second in the place of the first
            result.save(path)
        assert read(path).to_pydict() == {"count": [60]}
    names["fitted"].save(tmp_path / "model.arrow")
    for shown, words in ((result, "result of aggregate"), (result.receipt, "signatures")):
        shown.save(tmp_path / "page.html")
        page = (tmp_path / "page.html").read_text()
        assert page.startswith("<!doctype html>")
        assert words in page
    names["run"].result().spent.save(tmp_path / "spent.csv")
    with pytest.raises(UnknownName, match=r"no kind of file named '\.xls'"):
        result.save(tmp_path / "figures.xls")
    with pytest.raises(DataError, match=r"a \.csv file has no form"):
        Rows(pa.table({"x": [[1, 2]]})).save(tmp_path / "lists.csv")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [
        ".arrow",
        ".arrow",
        ".csv",
        ".csv",
        ".html",
        ".parquet",
    ]


class Rows(Tabular):
    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def to_arrow(self) -> pa.Table:
        return self.table
