"""What make demo runs in the arm64 Python: threads, sockets, sqlite3, subprocess, hashlib, decimal."""
import decimal
import hashlib
import platform
import queue
import socket
import sqlite3
import subprocess
import sys
import threading

print("python", platform.python_version(), "on", platform.machine())

work, done = queue.Queue(), queue.Queue()


def worker():
    while (n := work.get()) is not None:
        done.put(sum(i * i for i in range(n)))


threads = [threading.Thread(target=worker) for _ in range(4)]
for t in threads:
    t.start()
for n in range(0, 40000, 1000):
    work.put(n)
for _ in threads:
    work.put(None)
for t in threads:
    t.join()
print("threads: 4 workers,", done.qsize(), "sums, total", sum(done.get() for _ in range(done.qsize())))

server = socket.create_server(("127.0.0.1", 0))


def echo():
    conn, _ = server.accept()
    with conn:
        while data := conn.recv(4096):
            conn.sendall(data.upper())


echoer = threading.Thread(target=echo)
echoer.start()
with socket.create_connection(server.getsockname()) as c:
    c.sendall(b"hello over loopback")
    c.shutdown(socket.SHUT_WR)
    reply = b"".join(iter(lambda: c.recv(4096), b""))
echoer.join()
print("sockets:", reply.decode())

db = sqlite3.connect(":memory:")
db.execute("create table t (a integer, b text)")
db.executemany("insert into t values (?, ?)", ((i, str(i * i)) for i in range(1000)))
print("sqlite3:", db.execute("select count(*), max(cast(b as integer)) from t where a % 7 = 0").fetchone())

out = subprocess.run(["uname", "-sm"], capture_output=True, text=True, check=True).stdout.strip()
print("subprocess: uname -sm says", out)

print("hashlib:", hashlib.sha256(b"dragoman").hexdigest()[:32])
decimal.getcontext().prec = 40
print("decimal: sqrt(2) =", decimal.Decimal(2).sqrt())
sys.exit(0 if reply == b"HELLO OVER LOOPBACK" and "aarch64" in out else 1)
