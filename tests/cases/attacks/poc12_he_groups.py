"""he.sum(by=id, keys=all ids): every single row of north in ONE exact disclosure,
(a) for the caller with one contributor who has rows of each id (real or made up) - floors count its rows;
(b) for the key holder, always, whatever the minimum count. Policy as in README's party.toml: min_parties=2, min_count=10."""
from common import *
from privsdk import he
import privsdk.he.statistics.operation as D
rng=np.random.default_rng(5); N=60; ids=[f"c{i}" for i in range(N)]; debt=rng.integers(0,100000,N)
north=pa.table({"id":ids,"debt":debt})
bob=pa.table({"id":[i for i in ids for _ in range(10)],"debt":pa.array([0]*(10*N))})
pol=ps.Policy(operations=("he.sum",),grants=(ps.Grant(table="t",columns={"id":"group key","debt":"HE operand"},min_count=10),),min_parties=2)
fed=ps.embedded({"north":north,"bob":bob,"notary":{}},table="t",store=None,policy=pol,budget=ps.Budget(epsilon=0,exact=1),quiet=True)
r=he.sum([fed["north"]["t"],fed["bob"]["t"]],"debt",by="id",keys=ids,bound=10**6).release()
t=r.value.to_arrow() if hasattr(r.value,"to_arrow") else r.value
got=[None if v is None else float(v) for v in t["sum"].to_pylist()]
print("(a) caller+bob: rows of north exact:",sum(g is not None and round(g)==d for g,d in zip(got,debt)),"of",N,"exact disclosures used 1")
seen={}
orig=D._answer
def keep(statistic,totals,floors): seen["t"]=list(totals); return orig(statistic,totals,floors)
D._answer=keep   # what the key holder decrypts
fed=ps.embedded({"north":north,"south":pa.table({"id":ids[:1],"debt":[1]*1} if False else {"id":["z"]*20,"debt":[1]*20}),"notary":{}},table="t",store=None,policy=pol,budget=ps.Budget(epsilon=0,exact=1),quiet=True)
r=he.sum([fed["north"]["t"],fed["south"]["t"]],"debt",by="id",keys=ids,bound=10**6).release()
print("(b) key holder alone: rows exact:",sum(int(a)==d for a,d in zip(seen["t"][:N],debt)),"of",N,"| caller was shown",sum(v is not None for v in r.value["sum"].to_pylist()))
