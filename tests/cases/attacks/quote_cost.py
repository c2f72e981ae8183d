"""What one free Quote costs a party: CPU seconds by number of distinct epsilons (in process)."""
import time, pyarrow as pa, privsdk as ps
from privsdk import dp
from privsdk.protocol import control as calls
from privsdk.protocol.operation import Request, Operand
fed=ps.embedded({"n":{"t":pa.table({"x":list(range(300))})}},store=None,budget=ps.Budget(epsilon=10,exact=10),quiet=True)
link=[v for v in vars(fed).values() if hasattr(v,"call") and hasattr(v,"parties")][0]
for n in (1,10,40):
    rs=tuple(Request(run_id=f"q{n}-{i}",operation="dp.mean",caller="analyst",purpose="workshop",parties=("n",),operands={"n":Operand(table="t",columns=("x",))},parameters={"statistic":"mean","epsilon":0.01+n*1e-4+i*1.7e-5,"column":"x","bounds":[0,300],"resolution":0.5}) for i in range(n))
    t=time.process_time(); link.call("n",calls.Quote(requests=rs),calls.Quoted); print(n,"requests:",round(time.process_time()-t,1),"CPU s, bytes of the call",len(calls.encode_call(calls.Quote(requests=rs))))
