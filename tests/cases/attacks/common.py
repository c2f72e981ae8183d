import sys, tempfile, pathlib, subprocess, numpy as np, pyarrow as pa, pyarrow.parquet as pq, msgspec
import privsdk as ps
from cluster import Cluster
from privsdk.deploy.config import PartyConfig, ServedTable, Tls
def strip(x):
    if isinstance(x,dict): return {k:strip(v) for k,v in x.items() if v is not None}
    if isinstance(x,(list,tuple)): return [strip(v) for v in x]
    return x
def serve_as(tmp,name,tables,patch="",fed_text=""):
    for t,d in tables.items(): pq.write_table(d,tmp/f"own-{name}-{t}.parquet")
    cfg=PartyConfig(name=name,listen="grpc+tls://127.0.0.1:0",ledger=f"own-{name}.sqlite",federation="evil.toml",
        tls=Tls(authority="ca.pem",certificate=f"{name}.pem",key=f"{name}.key"),tables={t:ServedTable(path=f"own-{name}-{t}.parquet") for t in tables},
        policy=ps.Policy(operations=("*",),grants=(ps.Grant(table="*",columns={"*":("join key","DP release","payload","group key","comparison","aggregate")},max_epsilon=100.,min_count=2),)),budgets={"*":ps.Budget(epsilon=100,exact=100000)})
    (tmp/f"own-{name}.toml").write_bytes(msgspec.toml.encode(strip(msgspec.to_builtins(cfg))))
    code=patch+"\nimport sys\nfrom privsdk.deploy.serve import serve\nfrom pathlib import Path\nserve(Path(sys.argv[1]))"
    p=subprocess.Popen([sys.executable,"-c",code,str(tmp/f"own-{name}.toml")],stdout=subprocess.PIPE,stderr=open(tmp/f"own-{name}.log","a"),text=True)
    addr=p.stdout.readline().strip().rpartition(" ")[2]
    (tmp/"evil.toml").write_text(fed_text.replace("[parties]",f"[parties]\n{name} = \"{addr}\""))
    return p
def folder(): return pathlib.Path(tempfile.mkdtemp())
