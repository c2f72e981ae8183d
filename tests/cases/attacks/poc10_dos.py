"""What one member can do to a party for free: memory by body and by stream, all session places, tracebacks by unused Flight methods."""
from common import *
import time, threading, collections, os
from privsdk.protocol import control as calls
from privsdk.transport.flight import FlightNetwork as Network, FRAMES, ACTION
from privsdk.transport.identities import Credentials as Identity, make_certificates
from privsdk.protocol.operation import Request, Operand
from pyarrow import flight
tmp=folder(); T=pa.table({"k":np.arange(300),"x":np.arange(300)})
def ident(n): return Identity.read(authority=tmp/"ca.pem",certificate=tmp/f"{n}.pem",key=tmp/f"{n}.key")
def mem(pid):
    d=dict(l.split(":",1) for l in open(f"/proc/{pid}/status") if l.startswith("Vm")); return {k:int(d[k].split()[0])//1024 for k in ("VmRSS","VmHWM")}
with Cluster(tmp,{"north":{"t":T},"south":{"t":T}},budget=ps.Budget(epsilon=10,exact=1000)) as c:
    make_certificates(tmp,["mallory"]); addr=dict(c.addresses); A=Network(ident("analyst"),lambda:addr); M=Network(ident("mallory"),lambda:addr)
    pid=c._processes["north"].pid; cl=M._connect("north",addr["north"])
    try: list(cl.list_flights())
    except Exception as e: print("list_flights by any member:",str(e)[:600].replace("\n"," / "))
    print("before",mem(pid))
    # session places
    def req(i,caller="mallory"): return Request(run_id=f"{caller}{i}",operation="aggregate",caller=caller,purpose="workshop",parties=("north",),operands={"north":Operand(table="t",columns=("x",))},parameters={"statistic":"count","party":"north","column":"x","by":None,"where":[{"type":"between","name":{"party":"north","column":"x"},"low":i,"high":None}]})
    from privsdk.protocol import predicates
    import msgspec as ms
    w=predicates.canonical({"x":(1,None)},lambda col: predicates.Name(party="north",column=col))
    def req(i,caller="mallory"):
        w=predicates.canonical({"x":(i,None)},lambda col: predicates.Name(party="north",column=col))
        return Request(run_id=f"{caller}{i}",operation="aggregate",caller=caller,purpose="workshop",parties=("north",),operands={"north":Operand(table="t",columns=("x",))},parameters={"statistic":"count","party":"north","column":"x","by":None,"where":ms.to_builtins(w)})
    cnt=collections.Counter(); last=""
    for i in range(70):
        try: M.call("north",calls.Prepare(request=req(i)),calls.Prepared); cnt["ok"]+=1
        except Exception as e: cnt[type(e).__name__]+=1; last=str(e).splitlines()[0]
    print("mallory prepares 70 and starts none:",dict(cnt),last)
    try: A.call("north",calls.Prepare(request=req(500,"analyst")),calls.Prepared); print("analyst: prepared")
    except Exception as e: print("analyst, at the same time:",type(e).__name__,str(e).splitlines()[0])
    for i in range(70):
        try: M.call("north",calls.Release(run_id=f"mallory{i}"),calls.Done)
        except Exception: pass
    # stream into a run that was prepared and never started (nothing charged)
    def j(i): return Request(run_id=f"j{i}",operation="psi.join",caller="mallory",purpose="workshop",parties=("mallory","north"),operands={p:Operand(table="t",columns=("k",)) for p in ("mallory","north")},parameters={"keys":{p:{"columns":["k"]} for p in ("mallory","north")},"protocol":"auto"})
    try:
        r=j(0); M.call("north",calls.Prepare(request=r),calls.Prepared)
    except Exception as e: print("prepare join",str(e)[:300])
    from privsdk.psi import join as verbs
    for i in range(3):
        if i: M.call("north",calls.Prepare(request=j(i)),calls.Prepared)
        k=M._connect("north",addr["north"]); w,rd=k.do_exchange(flight.FlightDescriptor.for_command(b'{"run_id":"j%d","session":"x"}'%i)); w.begin(FRAMES)
        chunk=pa.array([b"\0"*(32<<20)],pa.large_binary()); t0=time.time()
        for n in range(12): w.write_batch(pa.record_batch([pa.array([b""],pa.binary()),chunk],schema=FRAMES))
        time.sleep(1.5); print(f"after {(i+1)*384} MB into {i+1} prepared, unstarted runs:",mem(pid),f"{time.time()-t0:.1f}s")
    import sqlite3; db=sqlite3.connect(f"file:{tmp}/north.sqlite?mode=ro",uri=True)
    print("charged to mallory:",db.execute("select state,count(*) from run where caller='mallory' group by state").fetchall())
    # one body
    body=b" "*(1<<30)
    t0=time.time()
    try:
        r=[x.body.to_pybytes() for x in cl.do_action(flight.Action(ACTION,body),flight.FlightCallOptions(timeout=100))]; print("1 GiB body:",r[0][-160:-40])
    except Exception as e: print("1 GiB body:",type(e).__name__,str(e)[:200])
    print("after one 1 GiB body",mem(pid),f"{time.time()-t0:.1f}s")
