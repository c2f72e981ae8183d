"""File names: globs and hive partitions in the path of a table."""
import pyarrow as pa, pyarrow.parquet as pq, pathlib, os
import privsdk as ps
from privsdk.party.tables.store import Store
d=pathlib.Path("globs")
pq.write_table(pa.table({"x":[1,2,3]}),d/"sales[1].parquet"); pq.write_table(pa.table({"x":[777]*5}),d/"sales1.parquet")
s=Store("p",{"t":str(d/"sales[1].parquet")}); print("sales[1].parquet read as:",s.read("t",("x",))["x"].to_pylist())
(d/"r?.csv").write_text("x\n1\n2\n"); (d/"rZ.csv").write_text("x\n9\n9\n")
try: s=Store("p",{"t":str(d/"r?.csv")}); print("r?.csv read as:",s.read("t",("x",))["x"].to_pylist())
except Exception as e: print(type(e).__name__,e)
(d/"dept=7").mkdir(); pq.write_table(pa.table({"x":[1,2,3]}),d/"dept=7"/"a.parquet")
s=Store("p",{"t":str(d/"dept=7"/"a.parquet")}); print("hive path, columns:",s.schema("t").names)
(d/"dept=7"/"b.csv").write_text("x\n1\n2\n"); s=Store("p",{"t":str(d/"dept=7"/"b.csv")}); print("hive csv, columns:",s.schema("t").names)
# csv whose types change after the sample; ragged; quotes; BOM; header-less; duplicate names
for name,text in {"types":"x,y\n"+"1,2\n"*30000+"oops,3\n","dups":"x,x\n1,2\n","rows":"rows,x\n1,2\n","nohdr":"1,2\n3,4\n","quoted":'x,y\n"a\nb",1\n',"nul":"x\n\x00\n","comment":"#c\nx\n1\n","ragged":"x,y\n1\n2,3,4\n","empty":""}.items():
    (d/f"{name}.csv").write_text(text)
    try: s=Store("p",{"t":str(d/f"{name}.csv")}); print(name,s.schema("t").names,[str(f.type) for f in s.schema("t")],s.read("t",tuple(s.schema("t").names)).num_rows)
    except Exception as e: print(name,type(e).__name__,str(e).splitlines()[0][:110])
# duplicate-by-case column names
(d/"case.csv").write_text("x,X\n1,2\n"); 
try: s=Store("p",{"t":str(d/"case.csv")}); print("x,X:",s.schema("t").names,s.read("t",("X",)).to_pydict())
except Exception as e: print("case",type(e).__name__,str(e)[:100])
pq.write_table(pa.table([pa.array([1]),pa.array([2])],names=["x","X"]),d/"case.parquet")
try: s=Store("p",{"t":str(d/"case.parquet")}); print("x,X parquet:",s.schema("t").names,s.read("t",tuple(s.schema("t").names)).to_pydict(), s.read("t",("x",)).to_pydict())
except Exception as e: print("case",type(e).__name__,str(e)[:100])
# arrow in-memory with x and X vs policy
# policy: is a column name compared exactly while DuckDB ignores case?
pq.write_table(pa.table({"Public":[1,2],"secret":[5,6]}),d/"c2.parquet"); s=Store("p",{"t":str(d/"c2.parquet")})
try: print(s.read("t",("SECRET",)))
except Exception as e: print("SECRET:",type(e).__name__)
# symlink, mtime unchanged replacement
p=d/"v.parquet"; pq.write_table(pa.table({"x":[1]*50}),p); s=Store("p",{"t":str(p)}); v=s.version("t"); st=p.stat(); pq.write_table(pa.table({"x":[2]*50}),p); os.utime(p,ns=(st.st_atime_ns,st.st_mtime_ns)); print("same size and mtime, other content: version equal",v==s.version("t"))
