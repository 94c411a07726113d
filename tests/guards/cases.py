"""Tables of (code, verdict): what has to be refused, and what must not be."""

from __future__ import annotations

DANGEROUS_PYTHON = """
import subprocess
---
from subprocess import run as r
---
import os; os.system("ls")
---
import os as o; o.popen("x")
---
from os import system as s
---
import os
f = os.system
---
__import__("subprocess").run(["ls"])
---
__import__("o" + "s").system("x")
---
import os
getattr(os, "sys" + "tem")("x")
---
import os
getattr(os, name)("x")
---
import importlib
importlib.import_module("socket")
---
import importlib
importlib.import_module(name)
---
import sys
sys.modules["os"].system("x")
---
import os
vars(os)["system"]("x")
---
import os
os.__dict__["popen"]("x")
---
os.fork()
---
os.execv("/bin/sh", ["sh"])
---
os.kill(1, 9)
---
from asyncio import create_subprocess_shell
---
import shutil
shutil.rmtree("/")
---
import shutil
shutil.rmtree(path)
---
from shutil import rmtree as gone
gone("/data")
---
import os; os.remove("/etc/hosts")
---
import os; os.remove("../neighbour.csv")
---
import os; os.unlink(os.path.expanduser("~/x"))
---
import os
for name in os.listdir("/data"):
    os.remove(os.path.join("/data", name))
---
from pathlib import Path
for path in Path("/data").rglob("*"):
    path.unlink()
---
from pathlib import Path
(Path.home() / ".bashrc").write_text("x")
---
open("/etc/cron.d/x", "w").write("x")
---
with open(f"/srv/{name}", mode="a") as f:
    f.write("x")
---
df.to_csv("/etc/x.csv")
---
import os; os.rename("/data/x", "y")
---
open("/etc/passwd").read()
---
import os
open(os.path.join(os.path.expanduser("~"), ".ssh", "id_rsa"))
---
from pathlib import Path
(Path.home() / ".databrickscfg").read_text()
---
open("/proc/self/environ").read()
---
import pandas as pd
pd.read_csv("/run/secrets/token")
---
import os; print(os.environ)
---
import os; print(dict(os.environ))
---
import os; os.environ["DATABRICKS_TOKEN"]
---
import os; os.getenv("OPENAI_API_KEY")
---
dbutils.secrets.get("scope", "key")
---
dbutils.fs.rm("/Volumes/a/b", True)
---
import socket
---
import requests
---
from urllib.request import urlopen
---
import urllib.request
---
import http.client
---
import ctypes
---
import pip
---
eval(text)
---
exec("import os; os.system('x')")
---
exec(open("x.py").read())
---
().__class__.__bases__[0].__subclasses__()
---
(lambda: 0).__globals__["__builtins__"]
"""

DANGEROUS_SQL_IN_PYTHON = '''
execute_sql("DROP TABLE sales.orders")
---
execute_sql(f"DROP TABLE sales.{name}")
---
sql = "DELETE FROM all_silos.vendors"
execute_sql(sql)
---
for sql in ["select 1", "drop table all_silos.vendors"]:
    execute_sql(sql)
---
execute_sql("DELETE " + "FROM all_silos.vendors")
---
execute_sql("""
-- tidy up
DROP TABLE sample.all_silos.vendors
""")
---
execute_sql("select 1; drop table sample.all_silos.vendors")
---
execute_sql("select * from read_csv('/etc/passwd')")
---
execute_sql("COPY vendors TO 'x.csv'")
---
execute_sql(sql="SELECT * FROM 'x.csv'", as_pandas=True)
---
ask = execute_sql
ask("SELECT * FROM glob('*')")
---
spark.sql("TRUNCATE TABLE a.b")
---
spark.sql("ALTER TABLE a.b DROP COLUMN c")
---
cursor.execute("UPDATE users.accounts SET a = 1")
---
statements = {"clean": "DROP SCHEMA silo_north CASCADE"}
---
connection = warehouse.connect()
connection.execute("INSERT INTO sales.orders VALUES (1)")
'''

HARMLESS = '''
df = execute_sql("SELECT * FROM vendors", as_pandas=True).df
print(df.describe())
---
print("drop table below threshold")
---
title = "Delete from cart by month"
---
text = "insert coin"; update = "update available"
---
words = ["delete", "drop", "truncate", "alter table"]
---
if "DROP TABLE" in line:
    n = 1
---
import re
re.search("drop table x|/etc/passwd", text)
---
"""drop table x"""
x = 1
---
execute_sql("SELECT * FROM notes WHERE note = 'DROP TABLE x'")
---
execute_sql(f"select * from {table} where name = '{name}'")
---
execute_sql(query)
---
execute_sql("CREATE TABLE mine AS SELECT 1")
---
execute_sql("CREATE OR REPLACE TEMP VIEW v AS SELECT 1")
---
logger.info("DELETE FROM x was asked for")
---
raise ValueError("UPDATE x SET y is not what we want")
---
import duckdb
con = duckdb.connect()
con.execute("CREATE OR REPLACE TABLE x AS SELECT 1")
con.execute("DROP TABLE x")
---
import duckdb
duckdb.sql("COPY (SELECT 1) TO 'out.parquet'")
---
import sqlite3
cursor = sqlite3.connect(":memory:").cursor()
cursor.execute("INSERT INTO t VALUES (1)")
---
df = df.query("a > 5").drop(columns=["x"]).drop_duplicates()
settings.update({"a": 1})
del df
---
df.eval("b = a + 1")
---
import os; os.remove("tmp.csv")
---
import shutil, tempfile
folder = tempfile.mkdtemp()
shutil.rmtree(folder)
---
import shutil
shutil.rmtree("scratch_folder", ignore_errors=True)
---
with open("out.csv", "w") as f:
    f.write("x")
---
from pathlib import Path
Path("out").mkdir(exist_ok=True)
Path("out/x.txt").write_text("x")
---
from pathlib import Path
Path("/tmp/x.csv").unlink(missing_ok=True)
---
df.to_parquet("/Volumes/a/b/c/x.parquet")
---
import os
print(os.environ.get("HOME"), os.getcwd(), os.path.join("a", "b"), os.environ["TZ"])
---
import os
os.environ["OMP_NUM_THREADS"] = "1"
---
import os
if "TZ" in os.environ:
    pass
---
from urllib.parse import urlparse, quote
---
import http
http.HTTPStatus.OK
---
import multiprocessing, asyncio, signal, threading
from concurrent.futures import ThreadPoolExecutor
---
import sys
sys.exit(0)
---
import ast, json
ast.literal_eval("[1]"); json.loads("{}")
---
getattr(df, method)()
---
eval("1 + 1")
---
import pandas as pd
pd.eval("1 + 1")
---
import matplotlib.pyplot as plt
plt.savefig("chart.png")
---
for line in context:
    if "Failed password" in line:
        print(line)
---
import re
pattern = re.compile(r"\\d+")
---
import importlib
importlib.import_module("statistics")
---
class Point:
    __slots__ = ("x",)
    def __init__(self): self.x = 1
print(Point.__name__, Point().__class__.__name__)
---
result = {"update": "ok", "query": "select 1"}
---
open("/dev/null", "w")
---
spark.sql("SELECT 1").show()
---
import socketio_metrics
---
def rate(requests, seconds):
    return requests.sum() / seconds
---
for address, requests in counts.items():
    print(address, requests.mean())
---
requests = execute_sql("SELECT * FROM orders", as_pandas=True).df
print(requests.groupby("vendor_id").size())
---
import os, pandas as pd
os.makedirs("output", exist_ok=True)
frames = [pd.read_csv(path) for path in sorted(os.listdir("."))]
---
from datetime import datetime, timedelta
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
fig, ax = plt.subplots()
ax.set_title("Update orders set in May")
fig.savefig(os.path.join(os.getcwd(), "chart.png"))
---
import re
from collections import Counter
users = Counter(m.group(1) for line in context if (m := re.search(r"Failed password for (\\w+)", line)))
result = users.most_common(10)
---
try:
    df = execute_sql("SELECT nope", as_pandas=True).df
except Exception as error:
    print(f"failed: {error}")
'''


def listed(text: str) -> list[str]:
    return [case.strip("\n") for case in text.split("\n---\n")]


READING_SQL = """
select 1
from t
table t
values (1)
(select 1)
select 1 union all select 2
with a as (select 1) select * from a
with recursive r as (select 1 as n union all select n + 1 from r where n < 5) select * from r
from t select a where b
select * exclude (a) from t qualify row_number() over (partition by b) = 1
select columns('a.*') from t
select t.* replace (a + 1 as a) from t
select list_transform([1, 2], lambda x: x + 1) from t
select {'a': 1}.a
select median(x) filter (where y) from t
select * from t asof join u on t.a >= u.a
select * from t, lateral (select 1)
select * from t tablesample 10 percent
select date_trunc('month', d), count(*) from s.t group by all order by 1
select regexp_extract(a, 'x'), strftime(d, '%Y') from t
select $$a; drop table b$$
select 'drop table t; delete from u'
-- a comment
select 1;
/* drop table t */ select 1
select * from range(10)
select * from generate_series(1, 5)
select * from unnest([1, 2])
select * from json_each('[1]')
select * from duckdb_tables()
select * from pragma_table_info('t')
select * from information_schema.columns
summarize t
describe t
describe select 1
show tables
show all tables
pivot t on a using sum(b)
unpivot t on a, b into name n value v
use s
explain select 1
explain analyze select 1
"""

CHANGING_SQL = """
drop table t
drop schema s cascade
delete from t
truncate t
insert into t values (1)
update t set a = 1
merge into t using s on t.a = s.a when matched then delete
alter table t add column x int
create table x as select 1
create temp table x as select 1
create or replace view v as select 1
create macro f(x) as x
create secret x (type s3)
comment on table t is 'x'
select 1; drop table t
show tables; drop table t
describe t; drop table t
with x as (delete from t returning *) select * from x
with x as (insert into t values (1) returning *) from x
select * into y from t
explain analyze delete from t
explain (analyze) drop table t
/* /* */ select 1; */ drop table t
prepare p as delete from t
execute p
call pragma_version()
begin
checkpoint
vacuum
grant select on t to x
copy t to 'x.csv'
copy (select 1) to 'x'
export database 'x'
import database 'x'
attach 'x.db'
detach x
install httpfs
load httpfs
pragma table_info('t')
set memory_limit = '1TB'
reset memory_limit
select * from read_csv('x')
select * from read_csv_auto('x')
select * from parquet_scan('x')
select * from read_blob('x')
select * from sniff_csv('x')
select * from glob('*')
select * from "read_text"('x')
select * from main.read_text('x')
select * from system.main.read_csv('x')
select * from arrow_scan(1, 2, 3)
select * from query('drop table x')
select * from unknown_function('x')
select read_text('x')
select getenv('HOME')
select (select content from read_text('/etc/passwd'))
select * from t where exists (select * from glob('/*'))
select * from 'x.csv'
select * from "x.csv"
select * from data.csv
select * from '/etc/passwd'
select * from 's3://bucket/x'
from 'a.parquet'
table 'x.csv'
summarize 'x.csv'
describe 'x.csv'
pivot 'x.csv' on a
select 'a' from t; select 'b' from t
this is no sql
select from where
"""


def statements(text: str) -> list[str]:
    """One on a line; a comment goes with the line after it."""
    lines = text.strip().replace("-- a comment\n", "-- a comment\r").split("\n")
    return [line.replace("\r", "\n") for line in lines]
