# Cases of tests/real/run.py: see its head. All commands are arm64 programs.

### uname short
uname -m
#= aarch64

### bash-pipelines short
seq 1 1000 | awk '{ s += $1 } END { print s }' | tr 0-9 a-j
for i in 3 1 2; do echo "$i"; done | sort | paste -sd,
x=$(printf '%s\n' a b c | while read -r l; do printf '<%s>' "$l"; done); echo "$x"
diff <(seq 3) <(printf '1\n2\n3\n') && echo same
{ echo out; echo err >&2; } 2>&1 | sort
(exit 7) || echo "status $?"
#= faafaa
#= 1,2,3
#= <a><b><c>
#= same
#= err
#= out
#= status 7

### bash-jobs short
set -m
sleep 30 & p=$!
jobs -p | grep -qx "$p"
kill -STOP %1; sleep 0.2; jobs %1 | grep -o Stopped
kill -CONT %1; kill -TERM %1; wait %1 || echo "ended $?"
(trap 'echo got USR1; exit 3' USR1; kill -USR1 $BASHPID; sleep 5) || echo "trap $?"
for i in 1 2 3; do (sleep 0.0$i; exit "$i") & done; wait; echo waited
#= Stopped
#= ended 143
#= got USR1
#= trap 3
#= waited

### bash-features short
declare -A m=([one]=1 [two]=2); echo "${#m[@]} ${m[two]}"
s=hello; echo "${s^^} ${s/l/L} ${s:1:3} ${#s}"
printf '%05.2f %x %q\n' 3.14159 255 'a b'
[[ abc123 =~ ([a-z]+)([0-9]+) ]] && echo "${BASH_REMATCH[2]}"
echo $(( (1 << 40) / 7 % 1000 ))
coproc cat; echo hi >&"${COPROC[1]}"; read -r l <&"${COPROC[0]}"; echo "$l"
ulimit -n >/dev/null; exec 9<<<here; read -r l <&9; echo "$l"
#= 2 2
#= HELLO heLlo ell 5
#= 03.14 ff a\ b
#= 123
#= 682
#= hi
#= here

### coreutils short
mkdir -p a/b; seq 100 >a/n; cp -a a c; cmp a/n c/n; mv c d; ln -s ../a/n d/link; ln a/n hard
stat -c '%h %s' a/n; readlink d/link; realpath --relative-to=. d/link; wc <a/n
sha256sum <a/n | cut -c1-16; md5sum <a/n | cut -c1-16; cksum <a/n
sort -rn a/n | head -2; shuf a/n | sort -n | cmp - a/n; split -l 30 a/n part.; cat part.* | cmp - a/n
factor 1234567890123456789; numfmt --to=iec 123456789; date -u -d @86400 +%F; expr 6 \* 7
od -An -tx1 -N4 a/n; base64 <<<dragoman; tac a/n | head -1; nl a/n | tail -1; uniq -c <<<'x' | tr -s ' '
touch -d '2001-02-03 04:05:06 UTC' t; date -u -r t +%s; chmod 640 t; stat -c %A t; du -s a >/dev/null; df . >/dev/null; ls -la >/dev/null
timeout 0.2 sleep 5 || echo "timed out $?"; env -i A=1 env; id -u >/dev/null; test -e nothing || echo none
dd if=/dev/zero bs=1k count=64 2>/dev/null | tr '\0' x | wc -c
rm -r a d; ls
#= 2 292
#= ../a/n
#= a/n
#= 100 100 292
#= 93d4e5c77838e0aa
#= d632eba71107bf7b
#= 3917710714 292
#= 100
#= 99
#= 1234567890123456789: 3 3 101 3541 3607 3803 27961
#= 118M
#= 1970-01-02
#= 42
#=  31 0a 32 0a
#= ZHJhZ29tYW4K
#= 100
#=    100	100
#=  1 x
#= 981173106
#= -rw-r-----
#= timed out 124
#= A=1
#= none
#= 65536
#= hard
#= part.aa
#= part.ab
#= part.ac
#= part.ad
#= t

### findutils-sed-gawk short
mkdir -p p/q; touch p/a.c p/q/b.c p/q/c.h
find p -name '*.c' | sort | xargs -n1 basename; find p -type f -newer p/nothing 2>/dev/null || true
find p -type f -print0 | xargs -0 -P2 -n1 echo | wc -l
printf 'one two\nthree four\n' | sed -E 's/(\w+) (\w+)/\2 \1/; 2{s/f/F/;q}'; seq 9 | sed -n '3,5p;$='
printf 'b 2\na 1\n' | gawk '{ v[$1]=$2 } END { n=asorti(v,k); for(i=1;i<=n;i++) printf "%s=%d ", k[i], v[k[i]]; print length(v), sprintf("%.3f", sin(1)), toupper("x"), gensub(/a/,"b","g","aa") }'
gawk 'BEGIN { "echo sub" | getline x; print x; print strftime("%Y", 0, 1); print 2^53, substr("hello",2,3), match("foobar","o+") }'
#= a.c
#= b.c
#= 3
#= two one
#= Four three
#= 3
#= 4
#= 5
#= 9
#= a=1 b=2 2 0.841 X bb
#= sub
#= 1970
#= 9007199254740992 ell 2

### perl short
perl -e 'my %h = map { $_ => $_**2 } 1..10; print join(",", map { "$_=$h{$_}" } sort { $a <=> $b } keys %h), "\n";'
perl -e '$_ = "The quick brown fox"; s/(\w+)/ucfirst lc $1/ge; print; print "\n"; printf "%.15g %s\n", atan2(1,1)*4, 1e308*10;'
perl -MData::Dumper -MPOSIX -e '$Data::Dumper::Sortkeys=1; $Data::Dumper::Indent=0; print Dumper({a=>[1,2],b=>{c=>undef}}), floor(-2.5), "\n"'
perl -e 'my $p = fork // die; if (!$p) { exit 5 } waitpid $p, 0; print $? >> 8, "\n"; local $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; select undef, undef, undef, 3; '
perl -e 'my @a = sort { $a <=> $b } map { ($_ * 7919) % 10007 } 1..20000; my $s = 0; $s = ($s * 31 + $_) % 1000003 for @a; print "$s\n"'
#= 1=1,2=4,3=9,4=16,5=25,6=36,7=49,8=64,9=81,10=100
#= The Quick Brown Fox
#= 3.14159265358979 Inf
#= $VAR1 = {'a' => [1,2],'b' => {'c' => undef}};-3
#= 5
#= alarm
#= 792809

### python-basics short
python3 - <<'P'
import threading, subprocess, hashlib, decimal, sqlite3, json, struct, math, zlib, socket
t = [threading.Thread(target=lambda: sum(range(100000))) for _ in range(8)]; [x.start() for x in t]; [x.join() for x in t]
print(subprocess.check_output(["echo", "sub"]).decode().strip(), hashlib.sha1(b"x").hexdigest()[:8], decimal.Decimal(1) / 7)
db = sqlite3.connect(":memory:"); print(db.execute("select sum(value) from json_each('[1,2,3]')").fetchone())
a, b = socket.socketpair(); a.send(b"ping"); print(b.recv(9), struct.pack("<d", 1.5).hex(), math.fsum([0.1] * 10), round(math.gamma(5.5), 6))
print(zlib.crc32(zlib.decompress(zlib.compress(b"abc" * 1000))), json.dumps({"é": [1.1e300, None]}), 2**200 % 10**9, f"{1/3:.20f}")
P
#= sub 11f6ad8e 0.1428571428571428571428571429
#= (6,)
#= b'ping' 000000000000f83f 1.0 52.342778
#= 733562123 {"\u00e9": [1.1e+300, null]} 835301376 0.33333333333333331483

### sqlite3 short
sqlite3 t.db <<'S'
create table t(a integer primary key, b text, c real);
with recursive n(i) as (select 1 union all select i+1 from n where i<5000) insert into t select i, hex(i*i), i/7.0 from n;
create index tb on t(b); select count(*), round(sum(c),3), max(b) from t; pragma integrity_check;
begin; delete from t where a%3=0; rollback; select count(*) from t where b like '3%'; select group_concat(a) from (select a from t order by c desc limit 3);
S
#= 5000|1786071.429|39393938323434
#= ok
#= 5000
#= 5000,4999,4998

### xz-zstd short
seq 1 60000 >f; xz -k -2 f; xz -dc f.xz | cmp - f; zstd -q -9 f; zstd -qdc f.zst | cmp - f; xz -t f.xz; zstd -qt f.zst; echo ok
#= ok

### python-tests timeout=3000
cd "$TMPDIR"; python3 -m test -q -i '*VSOCK*' test_json test_re test_struct test_hashlib test_math test_float test_decimal test_zlib test_signal test_threading test_subprocess test_socket

### python-sqlite3 timeout=600 fetch=sqlite_tests
cat >t.py <<'P'
import os, sys, test, unittest
test.__path__.append(os.environ["FETCHED"])
names = sorted(n[:-3] for n in os.listdir(os.environ["FETCHED"] + "/test_sqlite3") if n.startswith("test_"))
tests = unittest.defaultTestLoader.loadTestsFromNames(["test.test_sqlite3." + n for n in names])
result = unittest.TextTestRunner(verbosity=0).run(tests)
sys.exit(not result.wasSuccessful() or result.testsRun < 400)
P
python3 t.py

### git timeout=300
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
git init -q -b main r; cd r; for i in $(seq 40); do seq "$i" $((i * 20)) >"f$i"; git add .; git commit -qm "change $i"; done
git rev-parse HEAD; git log --oneline | wc -l; cd ..; git clone -q r c; git -C c fsck --strict; git -C c log -1 --format=%s
git -C c checkout -q -b topic HEAD~3; echo x >>c/f1; git -C c commit -qam topic; git -C c rebase -q main; git -C c diff --stat main | tail -1; git -C c gc -q; git -C c fsck
#= a0d42ffd69fbb27e4c1d903091f6e24dc134035e
#= 40
#= change 40
#=  1 file changed, 1 insertion(+)
#= dangling commit 9511121d8c9fb8c995dc6078e7e4ef6eb452a53b

### gcc-make timeout=900
mkdir p; cd p; python3 "$REAL/project.py" 60; make -s -j2; ./prog; make -s clean; make -s CFLAGS=-O0; ./prog
#= 60 modules, checksum 6735383
#= 60 modules, checksum 6735383

### openssl timeout=600
openssl genrsa -out k.pem 2048 2>/dev/null; openssl rsa -in k.pem -pubout -out pub.pem 2>/dev/null
seq 1000 >m; openssl dgst -sha256 -sign k.pem -out s m; openssl dgst -sha256 -verify pub.pem -signature s m
openssl ecparam -name prime256v1 -genkey -noout -out e.pem; openssl dgst -sha512 -sign e.pem -out s2 m; openssl ec -in e.pem -pubout -out ep.pem 2>/dev/null; openssl dgst -sha512 -verify ep.pem -signature s2 m
for c in aes-128-gcm aes-256-cbc chacha20; do case $c in *gcm) continue;; esac; openssl enc -$c -pass pass:x -pbkdf2 -in m -out m.$c; openssl enc -d -$c -pass pass:x -pbkdf2 -in m.$c | cmp - m; done
openssl req -x509 -newkey rsa:2048 -nodes -keyout tk.pem -out tc.pem -days 2 -subj /CN=localhost 2>/dev/null
openssl s_server -accept 127.0.0.1:0 -key tk.pem -cert tc.pem -naccept 1 -www >srv.log 2>&1 & sp=$!
for i in $(seq 50); do port=$(sed -n 's/^ACCEPT.*:\([0-9]*\)$/\1/p' srv.log); [ -n "$port" ] && break; sleep 0.2; done
printf 'GET / HTTP/1.0\r\n\r\n' | timeout 30 openssl s_client -connect "127.0.0.1:$port" -CAfile tc.pem -quiet 2>/dev/null | grep -ao 'HTTP/1.0 200 ok' | head -1
wait $sp || true; openssl speed -seconds 1 sha256 aes-128-cbc rsa2048 2>/dev/null | grep -c .  | sed 's/.*/speed ran/'
#= Verified OK
#= Verified OK
#= HTTP/1.0 200 ok
#= speed ran

### 7z timeout=600
mkdir d; for i in $(seq 30); do seq $((i * 100)) >d/$i; done; 7z a -bd -bso0 a.7z d; 7z t -bd -bso0 a.7z; mkdir x; 7z x -bd -bso0 -ox a.7z; diff -r d x/d; echo same
7z b 1 -mmt1 -md18 >/dev/null; echo benchmarked
#= same
#= benchmarked

### tar-links-modes timeout=120
mkdir -p t/a; echo 1 >t/a/f; ln -s f t/a/l; ln t/a/f t/h; chmod 751 t/a; chmod 604 t/h; mkfifo t/p; touch -d @1000000000 t/a/f
tar -czf t.tgz t; tar -cJf t.txz t; mkdir o; tar -xpzf t.tgz -C o; find o -printf '%P %y %m %l\n' | sort; stat -c '%h %Y' o/t/h; tar -tJf t.txz | wc -l
#=  d 755 
#= t d 755 
#= t/a d 751 
#= t/a/f f 604 
#= t/a/l l 777 f
#= t/h f 604 
#= t/p p 644 
#= 2 1000000000
#= 6
