"""A caller with nothing but an analyst's certificate serves a party of that name and puts itself into runs:
(a) psi.join with enumerated keys against north: learns which of north's keys exist;
(b) pooled dp.sum as aggregator: exact values of north at epsilon 0.01 (here the noise it draws is 0: `add_noise` replaced in its own server)."""
import sys, tempfile, pathlib, subprocess, numpy as np, pyarrow as pa, pyarrow.parquet as pq, msgspec
import privsdk as ps
from privsdk import psi, dp
from cluster import Cluster
from privsdk.deploy.config import PartyConfig, ServedTable, Tls
tmp=pathlib.Path(tempfile.mkdtemp())
rng=np.random.default_rng(1)
have=np.sort(rng.choice(5000,60,replace=False)); debt=rng.integers(0,100,60)
north={"t":pa.table({"phone":pa.array(have),"debt":pa.array(debt)})}
south={"t":pa.table({"phone":pa.array(rng.choice(5000,60,replace=False)),"debt":pa.array(rng.integers(0,100,60))})}
pol=ps.Policy(operations=("psi.join","dp.sum"),grants=(ps.Grant(table="t",columns={"phone":("join key","DP release"),"debt":"DP release"},to=("analyst",),max_epsilon=0.01,min_count=10),),min_parties=3)
with Cluster(tmp,{"north":north,"south":south,"notary":{}},policy=pol,budget=ps.Budget(epsilon=1,exact=5)) as c:
    # the analyst's own machine: a party.toml in the name of its certificate
    pq.write_table(pa.table({"phone":pa.array(np.arange(5000)),"debt":pa.array(np.zeros(5000,dtype=np.int64))}),tmp/"mine.parquet")
    cfg=PartyConfig(name="analyst",listen="grpc+tls://127.0.0.1:0",ledger="analyst.sqlite",federation="evil.toml",
        tls=Tls(authority="ca.pem",certificate="analyst.pem",key="analyst.key"),tables={"t":ServedTable(path="mine.parquet")},
        policy=ps.Policy(operations=("*",),grants=(ps.Grant(table="*",columns={"*":("join key","DP release")},max_epsilon=100.),)),budgets={"*":ps.Budget(epsilon=100,exact=1000)})
    def strip(x):
        if isinstance(x,dict): return {k:strip(v) for k,v in x.items() if v is not None}
        if isinstance(x,(list,tuple)): return [strip(v) for v in x]
        return x
    (tmp/"analyst.toml").write_bytes(msgspec.toml.encode(strip(msgspec.to_builtins(cfg))))
    patched="import sys,privsdk.party.runs as S;o=S.PartyRuns.keep\ndef k(self,r,op,v,al):\n open('learned.txt','w').write(','.join(map(str,sorted(al.rows.tolist()))));return o(self,r,op,v,al)\nS.PartyRuns.keep=k\nimport privsdk.dp.noise as r;r.add_noise=lambda v,*,scale:list(v);from privsdk.deploy.serve import serve;from pathlib import Path;serve(Path(sys.argv[1]))"
    p=subprocess.Popen([sys.executable,"-c",patched,str(tmp/"analyst.toml")],stdout=subprocess.PIPE,stderr=open(tmp/"analyst.log","a"),text=True)
    addr=p.stdout.readline().strip().rpartition(" ")[2]
    text=c.federation.read_text()
    evil=text.replace("[parties]","[parties]\nanalyst = \"%s\""%addr)
    (tmp/"evil.toml").write_text(evil)
    try:
        fed=ps.connect(tmp/"evil.toml")
        j=psi.join(fed["analyst"]["t"],fed["north"]["t"],on="phone")
        r=j.release(); print("(a) join ran:",r.value, "| north's ledger names the partner only by name")
        got=[int(x) for x in open("learned.txt").read().split(",")]; print("(a) what the analyst's own server was told: north's keys known exactly:",sorted(got)==sorted(have.tolist()),len(got))
        # the alignment at the analyst's own party says which keys: ask its own side
        side=None
        try:
            plan=dp.sum([fed["north"]["t"],fed["analyst"]["t"]],"debt",bounds=(0,100),by="phone",keys=[int(x) for x in range(0,5000)],epsilon=0.01)
            got=plan.release().value
            # analyst first in dial order would need north to know its address; print
            col=np.array(got[got.schema.names[1]].to_pylist(),dtype=float)
            want=np.zeros(5000); want[have]=debt
            print("(b) dp.sum epsilon 0.01: rows of north recovered exactly", int((np.rint(col)[have]==debt).sum()),"of",len(have))
        except Exception as e: print("(b) refused:",type(e).__name__,str(e)[:300])
    except Exception as e:
        print("refused:",type(e).__name__,str(e)[:400])
    finally:
        p.terminate(); p.wait()
