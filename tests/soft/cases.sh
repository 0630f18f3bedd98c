# Servers and language runtimes under load, debuggers: cases of tests/real/run.py, see its head. All commands are arm64 programs.
# scripts/soak runs those marked `soak` for its whole time side by side, and the others in turn: it sets UNTIL.

rounds=0
more() { [ $((rounds++)) = 0 ] || [ "$EPOCHSECONDS" -lt "${UNTIL:-0}" ]; }   # once, or until then
reachable() { for i in $(seq 600); do (: </dev/tcp/127.0.0.1/"$PORT") 2>/dev/null && return; sleep 0.1; done; echo "no server" >&2; return 1; }
gone() { for i in $(seq 600); do kill -0 "$1" 2>/dev/null || return 0; sleep 0.1; done; echo "$1 still runs" >&2; return 1; }
load() { wrk -t 2 -c 40 -d "${LOAD_SECONDS:-10}" --timeout 60 "$@" >wrk.out; grep -q 'requests in' wrk.out; ! grep -E 'Socket errors|Non-2xx' wrk.out; }
as=
unprivileged() { [ "$(id -u)" != 0 ] || { chown nobody .; as='setpriv --reuid=65534 --regid=65534 --clear-groups'; }; }

### redis soak timeout=3600
redis-server --port "$PORT" --enable-debug-command local --bind 127.0.0.1 --save '' --appendonly yes --dir "$PWD" >log & server=$!
reachable
while more; do
    redis-benchmark -p "$PORT" -n "${REQUESTS:-100000}" -c 50 -q 2>err | tr '\r' '\n' | grep -c 'requests per second' | sed 's/$/ kinds/'
    redis-cli -p "$PORT" bgsave >/dev/null; redis-cli -p "$PORT" ping
    redis-cli -p "$PORT" flushall >/dev/null; redis-cli -p "$PORT" bgrewriteaof >/dev/null
    sleep 1
done
redis-cli -p "$PORT" set key value; redis-cli -p "$PORT" debug reload; redis-cli -p "$PORT" get key
redis-cli -p "$PORT" shutdown; gone $server; grep -c 'bug report\|crashed' log || true
#= 20 kinds
#= PONG
#= OK
#= OK
#= value
#= 0

### nginx soak timeout=600
mkdir html; seq 20000 >html/f.txt; echo hello >html/index.html
cat >conf <<C
worker_processes 2; pid $PWD/pid; error_log $PWD/error.log; daemon off; user root root;
events { worker_connections 512; }
http { access_log off; gzip on; gzip_types text/plain; sendfile on;
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
    server { listen 127.0.0.1:$PORT; root html; } }
C
nginx -p "$PWD" -c "$PWD/conf" & server=$!
reachable
while more; do
    load "http://127.0.0.1:$PORT/"; load "http://127.0.0.1:$PORT/f.txt"; load -H 'Accept-Encoding: gzip' "http://127.0.0.1:$PORT/f.txt"
    curl -s "http://127.0.0.1:$PORT/f.txt" | cmp - html/f.txt; curl -s --compressed "http://127.0.0.1:$PORT/f.txt" | cmp - html/f.txt
    old=$(cat "/proc/$server/task/$server/children"); kill -HUP $server
    for w in $old; do gone "$w"; done   # they close the connections that they have: load goes to the new ones
done
kill -QUIT $server; wait $server; grep -v 'notice' error.log || echo ended
#= ended

### postgresql soak timeout=1200
export PGHOST=127.0.0.1 PGPORT=$PORT PGUSER=bench PGDATABASE=bench PATH=/usr/lib/postgresql/15/bin:$PATH
unprivileged
$as initdb -k -D data --no-locale -A trust -U bench >/dev/null
printf '%s\n' "listen_addresses='127.0.0.1'" "port=$PORT" "unix_socket_directories=''" "shared_buffers=32MB" >>data/postgresql.conf
$as postgres -D data 2>log & server=$!
reachable; for i in $(seq 600); do pg_isready -q && break; sleep 0.1; done
createdb bench; pgbench -i -q -s 5 2>/dev/null
while more; do
    pgbench -n -c 8 -j 2 -T "${PGBENCH_SECONDS:-60}" 2>/dev/null | grep -o 'failed transactions: 0 '
    psql -At -c 'select (select sum(abalance) from pgbench_accounts) = (select coalesce(sum(delta), 0) from pgbench_history),
                        (select sum(tbalance) from pgbench_tellers) = (select sum(bbalance) from pgbench_branches)'
    psql -q -c 'truncate pgbench_history; update pgbench_accounts set abalance = 0 where abalance <> 0;
                update pgbench_tellers set tbalance = 0; update pgbench_branches set bbalance = 0' -c vacuum
done
$as pg_ctl -D data -w -m fast stop >/dev/null; gone $server
$as pg_checksums --check -D data | grep Bad; grep -E 'PANIC|terminated by signal' log || true
#= failed transactions: 0 
#= t|t
#= Bad checksums:  0

### node-http soak timeout=600
node --max-old-space-size=64 "$SOFT/http.js" "$PORT" >log & server=$!
reachable
while more; do load "http://127.0.0.1:$PORT/a"; load "http://127.0.0.1:$PORT/z"; done
curl -s "http://127.0.0.1:$PORT/b"; echo; [ "$(curl -s "http://127.0.0.1:$PORT/count")" -gt 20 ]
kill $server; wait $server || echo "ended $?"
#= {"url":"/b","fib":144,"sha":"9812b0b9d61e09b927d03ff93f64530d8fcf373810b7007129eb4b20962412cb"}
#= ended 143

### java-garbage soak timeout=600
javac -d . "$SOFT/Garbage.java"; java -Xmx64m -cp . Garbage 4 "${UNTIL:-0}"
#= sum 200299939 count 200000 shared 200000

### javac-project timeout=900
mkdir -p src/p; for i in $(seq 60); do
    printf 'package p;\nimport java.util.*;\npublic record M%d(int a, List<String> l) implements Comparable<M%d> {\n public int compareTo(M%d o) { return a - o.a; }\n' "$i" "$i" "$i"
    printf ' public static long f(long x) { return switch ((int) (x %% 3)) { case 0 -> x + %d; case 1 -> new M%d((int) x, List.of("a")).l().stream().mapToLong(s -> s.length()).sum(); default -> %s; }; }\n}\n' "$i" "$i" \
        "$([ "$i" = 1 ] && echo 7 || echo "M$((i - 1)).f(x / 2)")"
done | awk '/^package/ { n++ } { print >"src/p/M" n ".java" }'
echo 'package p; public class Main { public static void main(String[] a) { long s = 0; for (int i = 0; i < 1000; i++) s += M60.f(i); System.out.println(s); } }' >src/p/Main.java
javac -d out src/p/*.java; java -cp out p.Main
#= 187539

### node-workers timeout=300
node "$SOFT/workers.js"
#= 588890 588890 588890 588890 400000

### go timeout=900
cp -r "$SOFT/go" m; cd m; export GOPROXY=off GOCACHE=$TMPDIR/gocache
CGO_ENABLED=0 go build -o ../program .; cd ..; file -b program 2>/dev/null | grep -q dynamically && exit 1
./program; ./program >/dev/null
#= [91a8e615 37b2b014 2080a637 ae72e0ab] 327640
#= channels 1249975000
#= runtime error: invalid memory address or nil pointer dereference
#= echoes 2500

### erlang timeout=300
erlc "$SOFT/procs.erl"; erl -noshell -s procs main
#= squares 2666866670000
#= ring done
#= table 160000
#= big 100292593
#= crc 3468009434

### ruby timeout=300
cat >t.rb <<'R'
require 'digest'; require 'json'; require 'socket'
p (1..4).map { |i| Thread.new { (1..20000).map { |x| x * i }.sum } }.map(&:value)
puts Digest::SHA256.hexdigest('x')[0, 8], JSON.generate({ a: [1, 2.5, nil] }), 2**300 % 1000007
f = Fiber.new { 5.times { |i| Fiber.yield i }; :done }; p 6.times.map { f.resume }
puts `echo sub`.strip, Process.wait2(fork { exit 3 })[1].exitstatus
s = TCPServer.new('127.0.0.1', 0); Thread.new { c = s.accept; c.puts c.gets.upcase; c.close }
c = TCPSocket.new('127.0.0.1', s.addr[1]); c.puts 'hello'; puts c.gets
def deep(n) = deep(n + 1)
begin; deep(0); rescue SystemStackError; puts 'deep'; end
h = Hash.new(0); 100000.times { |i| h["k#{i % 1000}"] += i }; GC.start; puts h.values.sum, Ractor.new { 42 }.take
R
ruby -W0 t.rb >interpreted; ruby -W0 --yjit t.rb | cmp - interpreted; cat interpreted
#= [200010000, 400020000, 600030000, 800040000]
#= 2d711642
#= {"a":[1,2.5,null]}
#= 385027
#= [0, 1, 2, 3, 4, :done]
#= sub
#= 3
#= HELLO
#= deep
#= 4999950000
#= 42

### php timeout=300
cat >t.php <<'P'
<?php
function fib($n) { return $n < 2 ? $n : fib($n - 1) + fib($n - 2); }
function numbers() { for ($i = 0; $i < 3; $i++) yield $i; }
$a = [];
for ($i = 0; $i < 100000; $i++) $a["k" . ($i % 997)] = ($a["k" . ($i % 997)] ?? 0) + $i;
ksort($a);
echo fib(22), " ", md5(json_encode($a)), " ", implode(",", iterator_to_array(numbers())), " ", php_uname('m'), "\n";
echo preg_replace_callback('/(\w+) (\w+)/', fn($m) => strtoupper($m[2]) . " " . $m[1], "hello world"), "\n";
try { intdiv(1, 0); } catch (DivisionByZeroError $e) { echo $e->getMessage(), "\n"; }
P
php8.2 t.php >interpreted
php8.2 -d zend_extension=opcache.so -d opcache.enable_cli=1 -d opcache.jit_buffer_size=32M -d opcache.jit=1255 t.php | cmp - interpreted
cat interpreted
#= 17711 3dedf4789626ce58be4e59921bd6ca5d 0,1,2 aarch64
#= WORLD hello
#= Division by zero

### lua timeout=300
cat >t.lua <<'L'
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
local t, s, z, x = {}, {}, 0, 0.0
for i = 1, 100000 do t[i] = (i * 7919) % 10007 end
table.sort(t)
for i = 1, 1000 do s[#s + 1] = string.format("%d:%s", i, ("x"):rep(i % 5)) end
local co = coroutine.wrap(function() for i = 1, 1000 do coroutine.yield(i) end end)
for i = 1, 1000 do z = z + co() end
for i = 1, 3000000 do x = x + i % 7 * 0.5 end
print(fib(24), t[1], t[50000], t[100000], #table.concat(s), z, x, (pcall(function() error({}) end)))
L
lua5.4 t.lua; luajit t.lua
#= 46368	0	5003	10006	5893	500500	4499998.5	false
#= 46368	0	5003	10006	5893	500500	4499998.5	false

### rust timeout=900
cat >hello.rs <<'R'
use std::{collections::HashMap, thread};
fn main() {
    let t: Vec<_> = (0..4).map(|i| thread::spawn(move || (0..100000u64).map(|x| x * i).sum::<u64>())).collect();
    let sum: u64 = t.into_iter().map(|x| x.join().unwrap()).sum();
    let mut m = HashMap::new();
    for i in 0..1000 { *m.entry(i % 7).or_insert(0) += i; }
    println!("hello {} {} {}", sum, m[&3], std::panic::catch_unwind(|| panic!("x")).is_err());
}
R
rustc -O hello.rs; ./hello 2>/dev/null
#= hello 29999700000 71500 true

### gdb-run timeout=900
cat >a.c <<'END'
#include <signal.h>
#include <stdio.h>

int total;

static int add(int a, int b)
{
    int c = a + b;
    total += c;
    return c;
}

int main(void)
{
    int s = 0;
    for (int i = 0; i < 4; i++)
        s = add(s, i);
    raise(SIGUSR1);
    printf("sum %d total %d\n", s, total);
    return s;
}
END
gcc -g -O0 a.c -o a
gdb -nx -batch -ex 'set debuginfod enabled off' -ex 'break add if a == 1' -ex run -ex bt -ex next -ex next -ex 'print c' -ex 'set var c = 100' \
    -ex finish -ex delete -ex 'watch total' -ex continue -ex delete -ex 'handle SIGUSR1 stop nopass' -ex continue -ex 'frame function main' \
    -ex 'print s' -ex continue ./a 2>&1 | grep -E '^(Breakpoint|#[0-9]  add|11|10|\$|Run till|Value|Old|New v|Program|sum|\[Inf)' | sed 's/process [0-9]*/process N/; s/0x[0-9a-f]*/ADDR/'
#= Breakpoint 1 at ADDR: file a.c, line 8.
#= Breakpoint 1, add (a=1, b=2) at a.c:8
#= #0  add (a=1, b=2) at a.c:8
#= 10	    return c;
#= $1 = 3
#= Value returned is $2 = 100
#= Old value = 4
#= New value = 107
#= 10	    return c;
#= Program received signal SIGUSR1, User defined signal 1.
#= $3 = 103
#= sum 103 total 107
#= [Inferior 1 (process N) exited with code 0147]

### gdb-attach-core timeout=900
cat >b.c <<'END'
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

volatile int go, loops;

static void *other(void *arg)
{
    close(open("ready", O_CREAT | O_WRONLY, 0600));
    while (!go)
        usleep(1000);
    return arg;
}

static void spin(void)
{
    while (!go)
        loops++;
}

int main(void)
{
    pthread_t t;
    pthread_create(&t, NULL, other, NULL);
    spin();
    pthread_join(t, NULL);
    puts("let go");
    return 3;
}
END
gcc -g -O0 -pthread b.c -o b
./b >out & p=$!
until [ -e ready ]; do sleep 0.1; done; sleep 1
gdb -nx -batch -ex 'set debuginfod enabled off' -p $p -ex 'print loops != 0' -ex 'info threads' -ex 'generate-core-file b.core' -ex 'set var go = 1' \
    -ex 'tbreak 28' -ex continue -ex detach >gdb.out 2>&1 || { cat gdb.out; exit 1; }
grep -cE '^[* ] [12] .*Thread' gdb.out; grep -E '^(\$|28)' gdb.out
wait $p || echo "status $?"
cat out
gdb -nx -batch -ex 'set debuginfod enabled off' -ex 'print go' -ex 'thread apply all bt' ./b b.core 2>&1 | grep -oE '^\$1 = 0|spin \(\)|in main|in other' | sort
cat >c.c <<'END'
int *nowhere;
static int fall(int n) { return n ? fall(n - 1) + 1 : *nowhere; }
int main(void) { return fall(3); }
END
gcc -g -O0 c.c -o c
ulimit -c unlimited
./c 2>err || echo "died $?"
if [ "$(cat /proc/sys/kernel/core_pattern)" != core ]; then # cores go elsewhere: one from the debugger
    gdb -nx -batch -ex 'set debuginfod enabled off' -ex run -ex 'generate-core-file core' ./c >gdb.out 2>&1
fi
gdb -nx -batch -ex 'set debuginfod enabled off' -ex bt ./c core* 2>&1 | grep -oE '^Program.*|fall \(n=[0-9]\)|in main'
#= 2
#= $1 = 1
#= 28	    puts("let go");
#= status 3
#= let go
#= $1 = 0
#= in main
#= in other
#= spin ()
#= spin ()
#= died 139
#= Program terminated with signal SIGSEGV, Segmentation fault.
#= fall (n=0)
#= fall (n=0)
#= fall (n=1)
#= fall (n=2)
#= fall (n=3)
#= in main

### strace-follow timeout=600
cat >s.c <<'END'
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int st;
    if (fork() == 0)
        execl("/bin/echo", "echo", "child", NULL);
    wait(&st);
    write(1, "parent\n", 7);
    return 5;
}
END
gcc -O1 s.c -o s
strace -f -o log ./s || echo "status $?"
grep -oE 'write\(1, .*' log; grep -oE 'execve\("[^"]*"' log; grep -cE 'clone\(' log; grep -oE '\+\+\+ exited with [0-9]* \+\+\+' log | sort; grep -c 'SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED' log
strace -e trace=write -e inject=write:retval=3:when=1 ./s 2>&1 >/dev/null | grep -oE 'write\(1.*INJECTED.*'
strace -c -o counts true; tail -1 counts | grep -o 'total'
sleep 60 & p=$!
for i in 1 2 4 8; do # it is attached to for so long
    strace -p $p -o attached & s=$!
    until grep -q 'TracerPid:.*[1-9]' /proc/$p/status; do sleep 0.1; done; sleep $i
    kill $s; wait $s || true
    ! grep -qE '(restart_syscall|clock_nanosleep)\(' attached || break # which it is depends on when
done
grep -qE '(restart_syscall|clock_nanosleep)\(' attached
kill -0 $p && echo 'let go in its sleep'; kill $p; wait $p || echo "ended $?"
#= child
#= parent
#= status 5
#= write(1, "child\n", 6)            = 6
#= write(1, "parent\n", 7)           = 7
#= execve("./s"
#= execve("/bin/echo"
#= 1
#= +++ exited with 0 +++
#= +++ exited with 5 +++
#= 1
#= write(1, "parent\n", 7)                 = 3 (INJECTED)
#= total
#= let go in its sleep
#= ended 143

### stress-ng timeout=900
for class in cpu vm futex signal fork pipe mmap pthread clone sigsegv sigq mutex switch icache; do
    stress-ng --"$class" 2 -t 3 --verify --temp-path . >log 2>&1 || { echo "$class: $?"; cat log >&2; }
done
echo all
#= all
