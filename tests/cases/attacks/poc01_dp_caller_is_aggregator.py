"""A party that is both caller and last contributor of a pooled dp release gets exact per-id values of the others.
It follows the protocol: it only remembers the noise that it drew, as everyone 'keeps all they see'."""
import numpy as np, pyarrow as pa, privsdk as ps
from privsdk import dp
import privsdk.dp.noise as rel
rng=np.random.default_rng(1)
ids=[f"c{i}" for i in range(200)]
secret=rng.integers(0,100,200)
north=pa.table({"id":ids,"debt":pa.array(secret)})
south=pa.table({"id":ids,"debt":pa.array(np.zeros(200,dtype=np.int64))})
pol=ps.Policy(operations=("dp.sum","dp.count"),grants=(ps.Grant(table="t",columns={"id":"DP release","debt":"DP release"},max_epsilon=0.01),),min_parties=3)
fed=ps.embedded({"north":north,"south":south,"notary":{}},table="t",store=None,policy=pol,budget=ps.Budget(epsilon=1.0,exact=0),caller="south",quiet=True)
kept=[]   # what south's own role draws: only the aggregator calls add_noise in a pooled release
orig=rel.add_noise
def remember(values,*,scale):
    out=orig(values,scale=scale); kept.extend(b-a for a,b in zip(values,out)); return out
rel.add_noise=remember
plan=dp.sum([fed["north"]["t"],fed["south"]["t"]],"debt",bounds=(0,100),by="id",keys=ids,epsilon=0.01)
print([l for l in str(plan).splitlines() if "south" in l or "notary" in l][:8])
r=plan.release()

t=r.value; print(t.schema.names)
noisy=np.array(t[t.schema.names[1]].to_pylist(),dtype=float)
exact=noisy-np.array(kept)
print("spent",str(r.spent)[:200])
print("noise std",np.std(kept)," rows of north recovered exactly:",int((np.rint(exact)==secret).sum()),"of 200")
