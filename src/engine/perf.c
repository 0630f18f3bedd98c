/*
 * Files for perf: which guest function each piece of translated code is of. Formats:
 *   map      "START SIZE NAME\n" for each, in hexadecimal: linux/tools/perf/Documentation/jit-interface.txt
 *   jitdump  a header, then records: linux/tools/perf/Documentation/jitdump-specification.txt
 * The file is opened anew for each record: no descriptor of ours is among the guest's.
 */
#include "engine/internal.h"

#include "base/check.h"
#include "base/elf_symbols.h"
#include "base/os.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define NAME 256

/* The functions of a file that code was translated from. */
typedef struct PerfImage {
    EnvImage where;
    uint64_t base; /* guest address of the file's address 0 */
    ElfSymbols symbols;
    struct PerfImage *next;
} PerfImage;

struct Perf {
    pthread_mutex_t lock;
    char path[PATH_MAX];
    PerfImage *images;
    uint64_t index; /* of the next record of code */
    size_t size;    /* of the file */
    void *mark;     /* the mapping by which perf finds a jitdump */
};

typedef struct DumpHeader {
    uint32_t magic, version, size, machine, pad, pid;
    uint64_t time, flags;
} DumpHeader;

typedef struct DumpLoad {
    uint32_t id, size;
    uint64_t time;
    uint32_t pid, tid;
    uint64_t vma, code, code_size, index;
} DumpLoad;

#define DUMP_MAGIC 0x4a695444u /* "JiTD", in this machine's order */
#define DUMP_VERSION 1
#define DUMP_CODE_LOAD 0

/* --- names -------------------------------------------------------------------------------------------------------- */

static void read_image(PerfImage *im, const char *path)
{
    ElfFile f;
    unsigned n;

    if (!elf_file_open(&f, path))
        return;
    const Elf64_Phdr *ph = elf_file_segments(&f, &n);
    for (unsigned i = 0; i < n; i++)
        if (ph[i].p_type == PT_LOAD && im->where.offset - ph[i].p_offset < ph[i].p_filesz) {
            im->base = im->where.start - im->where.offset + ph[i].p_offset - ph[i].p_vaddr;
            break;
        }
    elf_symbols_read(&im->symbols, &f);
    elf_file_close(&f);
}

static PerfImage *image_locked(Vcpu *cpu, uint64_t pc)
{
    const EnvOps *env = cpu->e->cfg.env;
    struct Perf *p = cpu->e->perf;
    char path[PATH_MAX];
    EnvImage at;

    if (!env->image || !env->image_name || !env->image(cpu, pc, &at))
        return NULL;
    for (PerfImage *im = p->images; im; im = im->next)
        if (im->where.start == at.start && im->where.end == at.end && im->where.offset == at.offset)
            return im;
    PerfImage *im = calloc(1, sizeof *im);
    CHECK(im != NULL);
    im->where = at;
    env->image_name(cpu, pc, path, sizeof path);
    read_image(im, path);
    im->next = p->images;
    return p->images = im;
}

static void name_locked(Vcpu *cpu, const Translation *t, char *buf)
{
    PerfImage *im = image_locked(cpu, t->pc);
    const ElfSymbol *s = im ? elf_symbols_before(&im->symbols, t->pc - im->base) : NULL;

    if (s && (s->end == s->start || t->pc - im->base < s->end))
        snprintf(buf, NAME, "%s", s->name);
    else
        snprintf(buf, NAME, "guest_0x%llx", (unsigned long long)t->pc);
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static void append(struct Perf *p, const void *a, size_t na, const void *b, size_t nb, const void *c, size_t nc)
{
    const struct iovec iov[] = {{(void *)(uintptr_t)a, na}, {(void *)(uintptr_t)b, nb}, {(void *)(uintptr_t)c, nc}};
    int fd = open(p->path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return;
    ssize_t n = writev(fd, iov, 3);
    if (n < 0) /* a full disk: the profile lacks names, the program goes on */
        unlink(p->path);
    p->size += n > 0 ? (size_t)n : 0;
    close(fd);
}

static uint64_t monotonic(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* As this program's own file says. */
static uint32_t host_machine(void)
{
    ElfFile f;
    uint32_t machine = 0;

    if (elf_file_open(&f, "/proc/self/exe")) {
        const Elf64_Ehdr *eh = elf_file_header(&f);
        machine = eh ? eh->e_machine : 0;
        elf_file_close(&f);
    }
    return machine;
}

/* A new file, which nobody has put there for us, with what begins it. */
static bool begin_file(Engine *e)
{
    struct Perf *p = e->perf;
    const DumpHeader h = {.magic = DUMP_MAGIC, .version = DUMP_VERSION, .size = sizeof h, .machine = host_machine(), .pid = (uint32_t)getpid(),
                          .time = monotonic()};

    unlink(p->path);
    p->size = e->cfg.perf == PERF_JITDUMP ? sizeof h : 0;
    int fd = open(p->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    bool ok = fd >= 0;
    if (ok && e->cfg.perf == PERF_JITDUMP) {
        ok = write(fd, &h, sizeof h) == sizeof h;
        p->mark = mmap(NULL, os_page_size(), PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    }
    if (fd >= 0)
        close(fd);
    return ok;
}

static void place(Engine *e)
{
    if (e->cfg.perf == PERF_MAP)
        snprintf(e->perf->path, sizeof e->perf->path, "/tmp/perf-%d.map", (int)getpid());
    else
        snprintf(e->perf->path, sizeof e->perf->path, "%s/jit-%d.dump", os_start_dir(), (int)getpid());
}

bool perf_init(Engine *e, Status *st)
{
    if (e->cfg.perf == PERF_NONE)
        return true;
    e->perf = calloc(1, sizeof *e->perf);
    CHECK(e->perf != NULL);
    pthread_mutex_init(&e->perf->lock, NULL);
    place(e);
    return begin_file(e) || status_set(st, STATUS_HOST, "--perf: cannot write %s", e->perf->path);
}

void perf_note(Vcpu *cpu, const Translation *t)
{
    struct Perf *p = cpu->e->perf;
    char name[NAME], line[NAME + 64];

    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    name_locked(cpu, t, name);
    if (cpu->e->cfg.perf == PERF_MAP) {
        int n = snprintf(line, sizeof line, "%llx %x %s\n", (unsigned long long)(uintptr_t)t->hpc, t->size, name);
        append(p, line, (size_t)n, NULL, 0, NULL, 0);
    } else {
        size_t len = strlen(name) + 1;
        const DumpLoad d = {.id = DUMP_CODE_LOAD, .size = (uint32_t)(sizeof d + len + t->size), .time = monotonic(), .pid = (uint32_t)getpid(),
                            .tid = (uint32_t)os_tid(), .vma = (uintptr_t)t->hpc, .code = (uintptr_t)t->hpc, .code_size = t->size,
                            .index = p->index++};
        append(p, &d, sizeof d, name, len, t->rw, t->size);
    }
    pthread_mutex_unlock(&p->lock);
}

/* A copy of a file's records, of a jitdump's as of this process. */
static uint8_t *own_records(const uint8_t *from, size_t n, bool dump)
{
    uint8_t *copy = malloc(n);

    CHECK(copy != NULL);
    memcpy(copy, from, n);
    for (size_t at = 0; dump && n - at >= sizeof(DumpLoad);) {
        DumpLoad d;
        memcpy(&d, copy + at, sizeof d);
        d.pid = (uint32_t)getpid();
        d.tid = (uint32_t)os_tid();
        memcpy(copy + at, &d, sizeof d);
        if (d.size < sizeof d || d.size > n - at)
            break;
        at += d.size;
    }
    return copy;
}

/* The child has the parent's code: its file begins with what the parent's has. */
void perf_fork_child(Engine *e)
{
    char from[PATH_MAX];
    ElfFile f;

    if (!e->perf)
        return;
    pthread_mutex_init(&e->perf->lock, NULL);
    memcpy(from, e->perf->path, sizeof from);
    const size_t size = e->perf->size; /* the parent goes on writing */
    char *slash = strrchr(e->perf->path, '/'); /* the current directory may be another one by now */
    snprintf(slash + 1, sizeof e->perf->path - (size_t)(slash + 1 - e->perf->path), e->cfg.perf == PERF_MAP ? "perf-%d.map" : "jit-%d.dump",
             (int)getpid());
    if (!begin_file(e) || !elf_file_open(&f, from))
        return;
    size_t head = e->cfg.perf == PERF_JITDUMP ? sizeof(DumpHeader) : 0;
    if (size > head && size <= f.size) {
        uint8_t *own = own_records(f.data + head, size - head, head != 0);
        append(e->perf, own, size - head, NULL, 0, NULL, 0);
        free(own);
    }
    elf_file_close(&f);
}

void perf_done(Engine *e)
{
    struct Perf *p = e->perf;

    for (PerfImage *im = p ? p->images : NULL, *next; im; im = next) {
        next = im->next;
        elf_symbols_free(&im->symbols);
        free(im);
    }
    if (p)
        pthread_mutex_destroy(&p->lock);
    free(p);
}
