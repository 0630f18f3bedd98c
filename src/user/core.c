#include "user/core.h"

#include "base/check.h"
#include "user/procfs.h"
#include "user/ptrace_table.h"
#include "user/signal.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PARK_TRIES 2000 /* of a millisecond: for threads that do not come to a boundary */
#define KERNEL_LEAST 4096 /* of RLIMIT_CORE: below, the kernel does not set the bit in the status */

/* One mapping of the guest. */
typedef struct CoreMap {
    uint64_t start, end, offset;
    bool code, written;  /* written: private to this process, not what the file holds */
    bool file;           /* of `name` */
    char *name;
} CoreMap;

typedef struct Core {
    UserThread *t;
    int sig;
    const siginfo_t *info;
    int fd, pagemap;
    uint64_t limit;      /* RLIMIT_CORE */
    CoreMap *map;
    size_t nmaps;
    uint8_t *notes;
    size_t nnotes, cap;
} Core;

/* --- threads --------------------------------------------------------------------------------------------------------- */

static void save_registers(UserThread *t)
{
    void *regs = calloc(1, t->p->abi->regs_size);
    CHECK(regs != NULL);
    if (t->pt) /* the number of the system call */
        memcpy((char *)regs + t->p->abi->regs_call, t->pt->regs + t->p->abi->regs_call, sizeof(int32_t));
    t->p->abi->get_regs(t->cpu, regs);
    __atomic_store_n(&t->core_regs, regs, __ATOMIC_RELEASE);
}

void core_park(UserThread *t)
{
    save_registers(t);
    engine_block_begin(t->cpu);
    for (;;)
        pause();
}

static bool all_parked(const UserThread *t)
{
    for (UserThread *o = t->p->threads; o; o = o->next)
        if (!__atomic_load_n(&o->core_regs, __ATOMIC_ACQUIRE))
            return false;
    return true;
}

/* Have every other thread of the process stop between two instructions. False: another thread does this already. */
static bool stop_threads(UserThread *t)
{
    siginfo_t info = { .si_signo = SIGTRAP, .si_code = PTRACE_CODE_NOTE };
    if (__atomic_exchange_n(&t->p->dumping, true, __ATOMIC_ACQ_REL))
        return false;
    save_registers(t);
    info.si_pid = t->p->pid;
    pthread_mutex_lock(&t->p->lock);
    for (UserThread *o = t->p->threads; o; o = o->next)
        if (o != t)
            HOST4(t, SYS_rt_tgsigqueueinfo, t->p->pid, o->tid, SIGTRAP, (uintptr_t)&info);
    for (unsigned i = 0; i < PARK_TRIES && !all_parked(t); i++)
        usleep(1000);
    pthread_mutex_unlock(&t->p->lock);
    return true;
}

/* --- notes ----------------------------------------------------------------------------------------------------------- */

static void *add_bytes(Core *c, const void *data, size_t n)
{
    while (c->nnotes + n + 4 > c->cap) {
        c->cap = c->cap ? c->cap * 2 : 16384;
        c->notes = realloc(c->notes, c->cap);
        CHECK(c->notes != NULL);
    }
    uint8_t *at = memset(c->notes + c->nnotes, 0, (n + 3) & ~(size_t)3);
    if (n)
        memcpy(at, data, n);
    c->nnotes += (n + 3) & ~(size_t)3;
    return at;
}

static void add_note(Core *c, uint32_t type, const void *data, size_t n)
{
    const char *name = type == NT_PRSTATUS || type == NT_PRFPREG || type == NT_PRPSINFO || type == NT_AUXV ||
                       type == NT_SIGINFO || type == NT_FILE ? "CORE" : "LINUX";
    const Elf64_Nhdr h = { (Elf64_Word)strlen(name) + 1, (Elf64_Word)n, type };
    add_bytes(c, &h, sizeof h);
    add_bytes(c, name, h.n_namesz);
    add_bytes(c, data, n);
}

/* struct elf_prstatus of a 64-bit architecture, but for its registers, which stand in the middle. */
typedef struct Status64 {
    int32_t signo, code, err;
    int16_t cursig, pad;
    uint64_t pending, held;
    int32_t pid, ppid, pgrp, sid;
    uint64_t times[8];
} Status64;

static void add_status(Core *c, const UserThread *o, const AbiRegset *r)
{
    uint8_t note[sizeof(Status64) + PTRACE_REGS + 8] = { 0 };
    Status64 s = {
        .signo = c->sig, .code = c->info ? c->info->si_code : 0, .cursig = (int16_t)c->sig, .held = o->mask,
        .pid = o->tid, .ppid = getppid(), .pgrp = getpgrp(), .sid = getsid(0),
    };
    const uint32_t fp_valid = 1;
    memcpy(note, &s, sizeof s);
    memcpy(note + sizeof s, (char *)o->core_regs + r->at, r->size);
    memcpy(note + sizeof s + r->size, &fp_valid, sizeof fp_valid);
    add_note(c, NT_PRSTATUS, note, sizeof s + r->size + 8);
}

/* The other sets of a thread. */
static void add_sets(Core *c, const UserThread *o)
{
    uint64_t cap, cap2;
    o->p->abi->hwcap(o->p->cfg->engine.features, &cap, &cap2);
    for (const AbiRegset *r = o->p->abi->regsets + 1; r->note; r++)
        if ((r->hwcap & ~cap) == 0)
            add_note(c, r->note, (char *)o->core_regs + r->at, r->size);
}

static void add_process(Core *c)
{
    const UserProc *p = c->t->p;
    struct elf_prpsinfo info = {
        .pr_sname = 'R', .pr_uid = getuid(), .pr_gid = getgid(), .pr_pid = p->pid, .pr_ppid = getppid(),
        .pr_pgrp = getpgrp(), .pr_sid = getsid(0),
    };
    const char *base = strrchr(p->exe_guest, '/');
    snprintf(info.pr_fname, sizeof info.pr_fname, "%.15s", base ? base + 1 : p->exe_guest);
    size_t n = p->arg_end - p->arg_start < sizeof info.pr_psargs ? p->arg_end - p->arg_start : sizeof info.pr_psargs - 1;
    if (guest_read(c->t->cpu, info.pr_psargs, p->arg_start, n))
        for (size_t i = 0; i < n; i++)
            if (info.pr_psargs[i] == 0)
                info.pr_psargs[i] = i + 1 < n ? ' ' : 0;
    add_note(c, NT_PRPSINFO, &info, sizeof info);
    siginfo_t none = { .si_signo = c->sig };
    add_note(c, NT_SIGINFO, c->info ? c->info : &none, sizeof none);
    add_note(c, NT_AUXV, (void *)(uintptr_t)p->auxv_start, p->auxv_end - p->auxv_start);
}

static void add_files(Core *c)
{
    size_t count = 0, names = 0;
    for (size_t i = 0; i < c->nmaps; i++) {
        count += c->map[i].file;
        names += c->map[i].file ? strlen(c->map[i].name) + 1 : 0;
    }
    size_t size = (2 + 3 * count) * sizeof(uint64_t) + names;
    uint64_t *v = calloc(1, size), *at = v;
    CHECK(v != NULL);
    char *text = (char *)(v + 2 + 3 * count);
    *at++ = count;
    *at++ = MM_PAGE;
    for (size_t i = 0; i < c->nmaps; i++) {
        const CoreMap *m = &c->map[i];
        if (!m->file)
            continue;
        *at++ = m->start;
        *at++ = m->end;
        *at++ = m->offset / MM_PAGE;
        text = stpcpy(text, m->name) + 1;
    }
    add_note(c, NT_FILE, v, size);
    free(v);
}

static void make_notes(Core *c)
{
    const AbiRegset *general = c->t->p->abi->regsets;
    add_status(c, c->t, general);
    add_process(c);
    add_files(c);
    add_sets(c, c->t);
    for (UserThread *o = c->t->p->threads; o; o = o->next) {
        if (o == c->t || !o->core_regs)
            continue;
        add_status(c, o, general);
        add_sets(c, o);
    }
}

/* --- mappings -------------------------------------------------------------------------------------------------------- */

enum { PAGE_CHUNK = 512, PAGE_THERE = 1, PAGE_OWN = 2 };

/* What is known of pages from `va` on. */
static size_t look_at_pages(const Core *c, uint64_t va, uint64_t end, uint8_t what[PAGE_CHUNK])
{
    uint64_t entry[PAGE_CHUNK] = { 0 };
    size_t n = (end - va) / MM_PAGE < PAGE_CHUNK ? (end - va) / MM_PAGE : PAGE_CHUNK;
    bool known = c->pagemap >= 0 && pread(c->pagemap, entry, n * sizeof entry[0], (off_t)(va / MM_PAGE * sizeof entry[0])) ==
                                        (ssize_t)(n * sizeof entry[0]);
    for (size_t i = 0; i < n; i++) {
        bool there = !known || (entry[i] >> 62) != 0, of_file = known && (entry[i] >> 61 & 1);
        what[i] = (uint8_t)((there ? PAGE_THERE : 0) | (there && !of_file ? PAGE_OWN : 0));
    }
    return n;
}

static bool any_own_page(const Core *c, uint64_t va, uint64_t end)
{
    uint8_t what[PAGE_CHUNK];
    for (; va < end; va += PAGE_CHUNK * (uint64_t)MM_PAGE)
        for (size_t n = look_at_pages(c, va, end, what), i = 0; i < n; i++)
            if (what[i] & PAGE_OWN)
                return true;
    return false;
}

/* The guest's own view of its map: /proc/self/maps as it would read it. */
static void read_maps(Core *c)
{
    char line[PATH_MAX + 128], perm[8];
    int64_t fd = procfs_open(c->t, AT_FDCWD, "/proc/self/maps", O_RDONLY);
    FILE *f = fd < 0 ? NULL : fdopen((int)fd, "r");
    size_t cap = 0;
    while (f && fgets(line, sizeof line, f)) {
        int at = 0;
        if (c->nmaps == cap) {
            cap = cap ? cap * 2 : 64;
            c->map = realloc(c->map, cap * sizeof *c->map);
            CHECK(c->map != NULL);
        }
        CoreMap *m = &c->map[c->nmaps];
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s %n", &m->start, &m->end, perm, &m->offset, &at) < 4)
            continue;
        line[strcspn(line, "\n")] = 0;
        m->name = strdup(at ? line + at : "");
        m->file = m->name[0] == '/';
        m->code = perm[2] == 'x';
        m->written = !m->file || (perm[3] == 'p' && any_own_page(c, m->start, m->end));
        c->nmaps++;
    }
    if (f)
        fclose(f);
}

/* Bytes of a mapping that go into the file: as the kernel's default filter has it, all that the files do not hold. */
static uint64_t dump_size(const Core *c, const CoreMap *m)
{
    uint8_t magic[SELFMAG];
    if (m->written)
        return m->end - m->start;
    bool head = m->offset == 0 && guest_read(c->t->cpu, magic, m->start, sizeof magic) && memcmp(magic, ELFMAG, SELFMAG) == 0;
    return head ? MM_PAGE : 0;
}

/* --- the file -------------------------------------------------------------------------------------------------------- */

static bool put(const Core *c, const void *data, size_t n, uint64_t at)
{
    if (at >= c->limit)
        return false;
    if (n > c->limit - at)
        n = (size_t)(c->limit - at);
    return pwrite(c->fd, data, n, (off_t)at) == (ssize_t)n;
}

/* Pages that are not there are holes in the file. */
static bool put_memory(const Core *c, uint64_t va, uint64_t size, uint64_t at)
{
    uint8_t what[PAGE_CHUNK], page[MM_PAGE];
    for (uint64_t end = va + size; va < end;) {
        size_t n = look_at_pages(c, va, end, what);
        for (size_t i = 0; i < n; i++, va += MM_PAGE, at += MM_PAGE)
            if ((what[i] & PAGE_THERE) && guest_read(c->t->cpu, page, va, MM_PAGE) && !put(c, page, MM_PAGE, at))
                return false;
    }
    return true;
}

static uint64_t page_up(uint64_t v)
{
    return (v + MM_PAGE - 1) & ~(uint64_t)(MM_PAGE - 1);
}

static void write_core(Core *c)
{
    size_t nph = c->nmaps + 1;
    Elf64_Ehdr h = {
        .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT }, .e_type = ET_CORE,
        .e_machine = c->t->p->abi->elf_machine, .e_version = EV_CURRENT, .e_phoff = sizeof h, .e_ehsize = sizeof h,
        .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = nph < PN_XNUM ? (Elf64_Half)nph : PN_XNUM - 1,
    };
    nph = h.e_phnum;
    Elf64_Phdr *ph = calloc(nph, sizeof *ph);
    CHECK(ph != NULL);
    uint64_t notes = sizeof h + nph * sizeof *ph, at = page_up(notes + c->nnotes);
    ph[0] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = notes, .p_filesz = c->nnotes, .p_align = 4 };
    for (size_t i = 1; i < nph; i++) {
        const CoreMap *m = &c->map[i - 1];
        ph[i] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R | (m->code ? PF_X : 0) | (m->written && !m->code ? PF_W : 0),
                              .p_offset = at, .p_vaddr = m->start, .p_filesz = dump_size(c, m), .p_memsz = m->end - m->start,
                              .p_align = MM_PAGE };
        at += ph[i].p_filesz;
    }
    bool ok = put(c, &h, sizeof h, 0) && put(c, ph, nph * sizeof *ph, sizeof h) && put(c, c->notes, c->nnotes, notes);
    for (size_t i = 1; ok && i < nph; i++)
        ok = put_memory(c, ph[i].p_vaddr, ph[i].p_filesz, ph[i].p_offset);
    if (ok && ftruncate(c->fd, (off_t)(at < c->limit ? at : c->limit)) != 0) /* holes at its end */
        ok = false;
    free(ph);
}

/* --- its name -------------------------------------------------------------------------------------------------------- */

typedef struct Name {
    char text[PATH_MAX];
    size_t n;
} Name;

__attribute__((format(printf, 2, 3))) static void add_text(Name *o, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(o->text + o->n, sizeof o->text - o->n, fmt, ap);
    va_end(ap);
    if (n > 0)
        o->n = o->n + (size_t)n < sizeof o->text ? o->n + (size_t)n : sizeof o->text - 1;
}

/* A name inside the file's name: its slashes are not directories. */
static void add_flat(Name *o, const char *s)
{
    for (; *s; s++)
        add_text(o, "%c", *s == '/' ? '!' : *s);
}

static void add_field(Name *o, const Core *c, char which)
{
    const UserProc *p = c->t->p;
    const char *base = strrchr(p->exe_guest, '/');
    char host[256] = "";
    switch (which) {
    case '%': add_text(o, "%%"); break;
    case 'p': case 'P': add_text(o, "%d", p->pid); break;
    case 'i': case 'I': add_text(o, "%d", c->t->tid); break;
    case 'u': add_text(o, "%u", getuid()); break;
    case 'g': add_text(o, "%u", getgid()); break;
    case 'd': add_text(o, "1"); break;
    case 's': add_text(o, "%d", c->sig); break;
    case 't': add_text(o, "%" PRId64, (int64_t)time(NULL)); break;
    case 'c': add_text(o, "%" PRIu64, c->limit); break;
    case 'e': case 'f': add_flat(o, base ? base + 1 : p->exe_guest); break;
    case 'E': add_flat(o, p->exe_guest); break;
    case 'h':
        gethostname(host, sizeof host - 1);
        add_flat(o, host);
        break;
    default: break; /* the kernel drops what it does not know */
    }
}

static void read_setting(const char *name, char *buf, size_t len)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/sys/kernel/%s", name);
    FILE *f = fopen(path, "re");
    if (f && fgets(buf, (int)len, f))
        buf[strcspn(buf, "\n")] = 0;
    if (f)
        fclose(f);
}

/* False when cores go to a program, or nowhere. */
static bool make_name(const Core *c, Name *o)
{
    char pattern[256] = "core", uses_pid[8] = "0";
    read_setting("core_pattern", pattern, sizeof pattern);
    read_setting("core_uses_pid", uses_pid, sizeof uses_pid);
    if (pattern[0] == '|' || pattern[0] == '@' || pattern[0] == 0)
        return false;
    for (const char *s = pattern; *s; s++) {
        if (*s == '%' && s[1])
            add_field(o, c, *++s);
        else if (*s != '%')
            add_text(o, "%c", *s);
    }
    if (uses_pid[0] != '0' && !strstr(pattern, "%p"))
        add_text(o, ".%d", c->t->p->pid);
    return true;
}

static int open_core(const Name *name)
{
    struct stat sb;
    int fd = open(name->text, O_CREAT | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 && fstat(fd, &sb) == 0 && S_ISREG(sb.st_mode) && sb.st_nlink == 1 && sb.st_uid == geteuid() &&
        ftruncate(fd, 0) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* --- the kernel's own ------------------------------------------------------------------------------------------------ */

/*
 * The bit in the exit status is the kernel's to set, when it has written a core file itself. It gets the least that it
 * takes, in a directory of its own, which a process that outlives this one removes.
 */
static void divert_kernel(const Name *name, const struct rlimit *now)
{
    char dir[] = "/tmp/dragoman-core-XXXXXX";
    int p[2];
    struct rlimit least = { KERNEL_LEAST, now->rlim_max };
    struct rlimit none = { 0, now->rlim_max };
    bool relative = name->text[0] != '/' && !strchr(name->text, '/');
    if (!relative || now->rlim_cur < KERNEL_LEAST || !mkdtemp(dir)) {
        setrlimit(RLIMIT_CORE, &none);
        return;
    }
    if (pipe2(p, O_CLOEXEC) != 0 || chdir(dir) != 0) {
        rmdir(dir);
        setrlimit(RLIMIT_CORE, &none);
        return;
    }
    if (syscall(SYS_clone, 0, 0, 0, 0, 0) == 0) { /* no exit signal: nobody is told of it */
        char c;
        setsid();
        for (int fd = 0; fd < 3; fd++)
            close(fd);
        close(p[1]);
        while (read(p[0], &c, 1) > 0)
            ;
        unlink(name->text);
        rmdir(dir);
        _exit(0);
    }
    setrlimit(RLIMIT_CORE, &least);
}

void core_dump(UserThread *t, int sig, const siginfo_t *info)
{
    struct rlimit rl;
    Core c = { .t = t, .sig = sig, .info = info };
    Name name = { .n = 0 };
    if (!(CORE_SIGNALS & SIG_BIT(sig)) || getrlimit(RLIMIT_CORE, &rl) != 0 || rl.rlim_cur == 0 ||
        prctl(PR_GET_DUMPABLE) != 1 || !make_name(&c, &name))
        return;
    const struct rlimit none = { 0, rl.rlim_max };
    if (t->vforked) { /* its parent's memory, whose threads are another process's */
        setrlimit(RLIMIT_CORE, &none);
        return;
    }
    if (!stop_threads(t)) /* two threads die at once: the first one's core is the process's */
        core_park(t);
    c.limit = rl.rlim_cur;
    c.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    c.fd = open_core(&name);
    if (c.fd >= 0) {
        read_maps(&c);
        make_notes(&c);
        write_core(&c);
        close(c.fd);
        divert_kernel(&name, &rl);
    } else {
        setrlimit(RLIMIT_CORE, &none);
    }
}
