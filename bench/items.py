"""What is measured: programs compiled from bench/src for both machines, and Debian's programs."""
import os
import subprocess

HERE = os.path.dirname(os.path.realpath(__file__))

# group, source, compiler options, argument (the amount of work: some tenths of a second natively)
PROGRAMS = [
    ("integer", "int_sieve", "-O2", 20), ("integer", "int_sort", "-O2", 4), ("integer", "int_sha256", "-O2", 600000),
    ("integer", "int_lz", "-O2", 60), ("integer", "int_hash", "-O2", 80), ("integer", "int_bignum", "-O2", 200),
    ("memory", "mem_chase", "-O2", 12), ("memory", "mem_copy", "-O2", 6000000), ("memory", "mem_tree", "-O2", 120),
    ("calls", "call_fib", "-O2", 39), ("calls", "call_virtual", "-O2", 160), ("calls", "int_queens", "-O2", 14),
    ("indirect", "ind_interp", "-O2", 10000000), ("indirect", "ind_threaded", "-O2", 8000000),
    ("indirect", "ind_qsort", "-O2", 8), ("indirect", "ind_targets", "-O2", 4000), ("fp", "fp_nbody", "-O2", 2000000), ("fp", "fp_linpack", "-O2", 60),
    ("fp", "fp_spectral", "-O2", 50), ("fp", "fp_mandel", "-O2", 900), ("fp", "fp_fft", "-O2", 1200),
    ("libm", "fp_libm", "-O2", 2000000), ("simd", "simd_matmul", "-O3", 80), ("simd", "simd_pixels", "-O3", 6000),
    ("simd", "simd_saxpy", "-O3", 20000), ("simd", "simd_intrin", "-O3", 30000), ("string", "str_libc", "-O2", 6000),
    ("string", "str_small", "-O2", 10000000), ("string", "str_format", "-O2", 500000),
    # threads and processes at scale: a thousand threads, two thousand processes, 50,000 fresh functions from 8 threads and from one
    ("scale", "scale_threads", "-O2", 100), ("scale", "scale_fork", "-O2", 2000), ("scale", "scale_fresh", "-O2", 50000),
    ("scale", "scale_fresh1", "-O2", 50000),
]
# Vectors of 128 bits on both sides, each machine's best code for them.
NATIVE_SIMD = ["-march=x86-64-v3", "-mprefer-vector-width=128"]
PACKAGES = "gcc libc6-dev python3 sqlite3 xz-utils openssl perl coreutils".split()

PYTHON = {
    "py_words": r"""
import re, json
def fib(n): return n if n < 2 else fib(n-1) + fib(n-2)
words = {}
for i in range(40000):
    w = 'w%d' % (i * 7919 % 4093); words[w] = words.get(w, 0) + i
s = json.dumps(words); d = json.loads(s)
print(fib(22), len(re.findall(r'w1\d+', s)), sum(d.values()), sorted(d)[5])
""",
    "py_nbody": r"""
import math
b = [[math.sin(i), math.cos(i), i * .1, 0., 0., 0., 1. + i] for i in range(5)]
for step in range(6000):
    for i, p in enumerate(b):
        for q in b[i+1:]:
            dx, dy, dz = p[0]-q[0], p[1]-q[1], p[2]-q[2]
            m = .001 / (dx*dx + dy*dy + dz*dz + .01) ** 1.5
            p[3] -= dx*q[6]*m; p[4] -= dy*q[6]*m; p[5] -= dz*q[6]*m
            q[3] += dx*p[6]*m; q[4] += dy*p[6]*m; q[5] += dz*p[6]*m
    for p in b:
        p[0] += .001*p[3]; p[1] += .001*p[4]; p[2] += .001*p[5]
print('%.9f' % sum(p[0] for p in b))
""",
    "py_queens": r"""
def solve(n, row=0, cols=0, l=0, r=0):
    if row == n: return 1
    c, free = 0, ~(cols | l | r) & ((1 << n) - 1)
    while free:
        bit = free & -free
        free ^= bit
        c += solve(n, row+1, cols | bit, (l | bit) << 1, (r | bit) >> 1)
    return c
print(solve(9))
""",
    "py_objects": r"""
class Shape:
    def __init__(self, n): self.n = n
    def area(self): return self.n
class Square(Shape):
    def area(self): return self.n * self.n
class Ring(Shape):
    def area(self): return 3 * self.n
shapes = [(Shape, Square, Ring)[i % 3](i) for i in range(3000)]
total = 0
for k in range(60):
    total += sum(s.area() for s in shapes if s.n % 7 != k % 7)
print(total, sorted({s.area() % 1009 for s in shapes})[:5])
""",
    "py_text": r"""
import random
random.seed(5)
text = ' '.join(''.join(chr(97 + random.randrange(26)) for _ in range(random.randrange(2, 9))) for _ in range(30000))
counts = {}
for w in text.split():
    k = w[:2]
    counts[k] = counts.get(k, 0) + len(w)
out = []
for k in sorted(counts, key=lambda x: (-counts[x], x))[:200]:
    out.append('%s=%d' % (k.upper(), counts[k]))
print(len(text), text.count('ab'), text.replace('a', 'bb').find('bbbb'), ','.join(out)[:80])
""",
}
SQL = """
create table t(a integer primary key, b text, c integer);
with recursive n(i) as (select 1 union all select i+1 from n where i<60000)
  insert into t select i, 'name' || (i*7919%20011), i*i%1009 from n;
create index tc on t(c);
select count(*), sum(c), max(b) from t where c between 100 and 600;
select c, count(*) from t group by c order by 2 desc, 1 limit 3;
select count(*) from t x join t y on x.c = y.a where y.b like '%77%';
"""
PERL = r"""
my %h; my $s = 0;
for my $i (1..120000) { my $w = 'k' . ($i * 7919 % 5003); $h{$w} += $i; $s += length($w) if $w =~ /7(\d)3/; }
my @k = sort { $h{$b} <=> $h{$a} || $a cmp $b } keys %h;
print "$s $k[0] $h{$k[0]} ", join(',', map { substr($_, 1) } @k[1..5]), "\n";
"""


def big_c(functions):
    out = []
    for i in range(functions):
        out.append(f"int f{i}(int a,int b){{int s=0;for(int i=0;i<a;i++){{s+=i*b^{i};if(s&{1 << i % 8})s-=b/({i}+1);}}return s;}}")
    out.append("int main(void){return f0(1,2)+f1(3,4);}")
    return "\n".join(out)


def write(path, text):
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())


def debian_items(tmp):
    """(group, name, argv: the program's path below the root first, {triple} to be filled in). Their input is in tmp."""
    write(f"{tmp}/big.c", big_c(250))
    write(f"{tmp}/s.sql", SQL)
    write(f"{tmp}/p.pl", PERL)
    write(f"{tmp}/data", b"".join(b"%d line of text %d\n" % (i * i % 977, i) for i in range(40000)))
    write(f"{tmp}/large", bytes(range(256)) * 200000)
    for name, text in PYTHON.items():
        write(f"{tmp}/{name}.py", text)
    python = ["/usr/bin/python3.11", "-S", "-E"]
    return [
        # the compiler proper: its driver would start a program that QEMU's user mode cannot execute without binfmt_misc
        ("debian", "gcc -O2", ["/usr/lib/gcc/{triple}/12/cc1", "-quiet", "-O2", f"{tmp}/big.c", "-o", "/dev/null"]),
        *(("debian", name, [*python, f"{tmp}/{name}.py"]) for name in PYTHON),
        ("debian", "sqlite3", ["/usr/bin/sqlite3", ":memory:", f".read {tmp}/s.sql"]),
        ("debian", "xz", ["/usr/bin/xz", "-T1", "-6", "-k", "-c", f"{tmp}/data"]),
        ("debian", "perl", ["/usr/bin/perl", f"{tmp}/p.pl"]),
        ("debian", "openssl sha3", ["/usr/bin/openssl", "dgst", "-sha3-256", "-r", f"{tmp}/large"]),
        ("start", "true", ["/usr/bin/true"]),
        ("start", "python3 -c pass", ["/usr/bin/python3.11", "-c", "pass"]),
        ("start", "gcc --version", ["/usr/bin/gcc", "--version"]),
    ]


def compile_all(work, only=None):
    """Programs of these names, by default all, for both machines."""
    os.makedirs(work, exist_ok=True)
    subprocess.run(["gcc", "-O2", "-static", "-o", f"{work}/rss", f"{HERE}/rss.c"], check=True)
    for group, name, opt, _ in PROGRAMS:
        if only is not None and name not in only:
            continue
        src = f"{HERE}/src/{name}.c"
        for cc, arch in (("gcc", "amd64"), ("aarch64-linux-gnu-gcc", "arm64")):
            out = f"{work}/{name}.{arch}"
            if os.path.exists(out) and os.path.getmtime(out) > max(os.path.getmtime(src), os.path.getmtime(__file__)):
                continue
            extra = NATIVE_SIMD if group == "simd" and arch == "amd64" else []
            subprocess.run([cc, opt, *extra, "-static", "-ffp-contract=off", "-o", out, src, "-lm"], check=True)
