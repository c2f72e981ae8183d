"""A peer's stream into a run that is prepared and given back is never closed: its thread, connection and queued bytes stay for the
life of the server, free of charge, and SIGTERM no longer ends the server."""
from common import *
import time, os, signal
from privsdk.protocol import control as calls
from privsdk.transport.flight import FlightNetwork as Network, FRAMES
from privsdk.transport.identities import Credentials as Identity, make_certificates
from privsdk.protocol.operation import Request, Operand
from pyarrow import flight
tmp=folder(); T=pa.table({"k":np.arange(300),"x":np.arange(300)})
def ident(n): return Identity.read(authority=tmp/"ca.pem",certificate=tmp/f"{n}.pem",key=tmp/f"{n}.key")
c=Cluster(tmp,{"north":{"t":T},"south":{"t":T}},budget=ps.Budget(epsilon=10,exact=1000)); c.__enter__()
make_certificates(tmp,["mallory"]); addr=dict(c.addresses); M=Network(ident("mallory"),lambda:addr); A=Network(ident("analyst"),lambda:addr); proc=c._processes["north"]; pid=proc.pid
def state(): 
    d=dict(l.split(":",1) for l in open(f"/proc/{pid}/status")); return f"threads {d['Threads'].strip()} rss {int(d['VmRSS'].split()[0])//1024} MB fds {len(os.listdir(f'/proc/{pid}/fd'))}"
print("before",state()); keep=[]
big=pa.array([b"\0"*(16<<20)],pa.large_binary())
for i in range(40):
    r=Request(run_id=f"j{i}",operation="psi.join",caller="mallory",purpose="workshop",parties=("mallory","north"),operands={p:Operand(table="t",columns=("k",)) for p in ("mallory","north")},parameters={"keys":{p:{"columns":["k"]} for p in ("mallory","north")},"protocol":"auto"})
    M.call("north",calls.Prepare(request=r),calls.Prepared)
    k=M._connect("north",addr["north"]); w,rd=k.do_exchange(flight.FlightDescriptor.for_command(b'{"run_id":"j%d","session":"x"}'%i)); w.begin(FRAMES)
    w.write_batch(pa.record_batch([pa.array([b""],pa.binary()),big],schema=FRAMES)); time.sleep(.15)
    M.call("north",calls.Release(run_id=f"j{i}"),calls.Done)
    if i%2: w.done_writing()           # polite clients too: half of them end their half of the stream
    keep.append((k,w,rd))
    if i in (9,39): time.sleep(1); print("after",i+1,"released runs with a stream each:",state())
import sqlite3; print(sqlite3.connect(f"file:{tmp}/north.sqlite?mode=ro",uri=True).execute("select state,count(*) from run group by state").fetchall())
for k,w,rd in keep: 
    try: k.close()
    except Exception: pass
keep.clear(); del k,w,rd; time.sleep(3); print("after all clients closed:",state())
t0=time.time(); proc.send_signal(signal.SIGTERM)
try: proc.wait(25); print("SIGTERM ended it after",round(time.time()-t0,1),"s")
except subprocess.TimeoutExpired: print("SIGTERM did not end it within 25 s:",state()); proc.kill()
for n in list(c._processes):
    c._processes[n].kill()
