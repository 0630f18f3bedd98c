#include "base/os.h"

#include "base/check.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h> /* its macros do nothing in other builds */
#else
#define ASAN_POISON_MEMORY_REGION(p, size) ((void)(p), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(p, size) ((void)(p), (void)(size))
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#define LEAK_CHECK() __lsan_do_leak_check()

static bool leaks_off;

/* The checker asks before it looks, whichever end it is. */
int __lsan_is_turned_off(void)
{
    return leaks_off;
}

#define LEAK_CHECK_OFF() (leaks_off = true)
#define LEAK_ROOT(p, size) __lsan_register_root_region(p, size)
#define LEAK_ROOT_END(p, size) __lsan_unregister_root_region(p, size)
#else
#define LEAK_CHECK() ((void)0)
#define LEAK_CHECK_OFF() ((void)0)
#define LEAK_ROOT(p, size) ((void)(p), (void)(size))
#define LEAK_ROOT_END(p, size) ((void)(p), (void)(size))
#endif

size_t os_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

void os_leak_check(void)
{
    LEAK_CHECK();
}

void os_leak_check_off(void)
{
    LEAK_CHECK_OFF();
}

int os_tid(void)
{
    return (int)syscall(SYS_gettid);
}

void os_yield(void)
{
    sched_yield();
}

bool os_thread_there(int tid)
{
    return syscall(SYS_tgkill, getpid(), tid, 0) == 0;
}

void os_thread_gone(int tid)
{
    enum { STEP_US = 50 };

    for (unsigned k = 0; k < 1000000 / STEP_US && os_thread_there(tid); k++)
        usleep(STEP_US);
}

bool os_barrier_all(void)
{
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0)
        return true;
    return errno == EPERM && syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
           syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t os_thread_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t os_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

void os_cpu_features(char *buf, size_t len)
{
    static const char *const names[] = {"avx2", "fma", "bmi2", "aes", "pclmulqdq", "sha_ni", "gfni", "vaes", "vpclmulqdq",
                                        "avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512vbmi", "avx512_vbmi2",
                                        "avx512_bitalg", "avx512_vpopcntdq", "avx512_bf16", "avx512_fp16"};
    char line[4096], word[64];
    size_t at = (size_t)snprintf(buf, len, "x86_64");
    FILE *f = fopen("/proc/cpuinfo", "r");

    while (f && fgets(line, sizeof line - 1, f)) {
        if (strncmp(line, "flags", 5) != 0)
            continue;
        line[strcspn(line, "\n")] = ' ';
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            snprintf(word, sizeof word, " %s ", names[i]);
            if (strstr(line, word) && at < len)
                at += (size_t)snprintf(buf + at, len - at, " %s", names[i]);
        }
        break;
    }
    if (f)
        fclose(f);
}

void *os_reserve(size_t size, Status *st)
{
    void *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        status_set(st, STATUS_HOST, "cannot reserve %zu MiB of address space: %s", size >> 20, strerror(errno));
        return NULL;
    }
    return p;
}

void os_release(void *p, size_t size)
{
    if (p)
        munmap(p, size);
}

void *os_alloc(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    LEAK_ROOT(p, size); /* what is allocated may be known from here alone */
    return p;
}

void *os_alloc_large(size_t size)
{
    void *p = os_alloc(size);

    if (p)
        madvise(p, size, MADV_HUGEPAGE);
    return p;
}

void os_populate(void *p, size_t size)
{
    madvise(p, size, MADV_POPULATE_WRITE);
}

void os_free(void *p, size_t size)
{
    if (!p)
        return;
    LEAK_ROOT_END(p, size);
    ASAN_UNPOISON_MEMORY_REGION(p, size); /* it may have been a stack whose frames were never left */
    munmap(p, size);
}

void os_poison(void *p, size_t size)
{
    ASAN_POISON_MEMORY_REGION(p, size);
}

void os_unpoison(void *p, size_t size)
{
    ASAN_UNPOISON_MEMORY_REGION(p, size);
}

bool os_commit(void *p, size_t size)
{
    return mprotect(p, size, PROT_READ | PROT_WRITE) == 0;
}

void os_decommit(void *p, size_t size)
{
    /* MAP_FIXED over what is there: the range stays reserved at every instant. */
    mmap(p, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

bool os_map_dual(void *rw, void *rx, size_t size)
{
    void *p = mmap(rw, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    if (p == MAP_FAILED)
        return false;
    /* mremap of a shared mapping with old size 0 maps the same object a second time. */
    if (mremap(rw, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, rx) == MAP_FAILED)
        return false;
    return mprotect(rx, size, PROT_READ | PROT_EXEC) == 0;
}

bool os_remap_dual(void *rw, void *rx, size_t size, size_t used)
{
    char *tmp = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (tmp == MAP_FAILED)
        return false;
    memcpy(tmp, rx, used);
    /*
     * The executable view has to change in one step: a second view of the copy is made and its protection set first,
     * then it is moved over the old one.
     */
    char *exec = mremap(tmp, 0, size, MREMAP_MAYMOVE);
    if (exec == MAP_FAILED || mprotect(exec, size, PROT_READ | PROT_EXEC) != 0)
        return false;
    return mremap(tmp, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, rw) != MAP_FAILED &&
           mremap(exec, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, rx) != MAP_FAILED;
}

bool os_map_code(void *rx, size_t size, int fd, uint64_t off)
{
    return mmap(rx, size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED | MAP_POPULATE, fd, (off_t)off) != MAP_FAILED;
}

typedef struct BuildId {
    uint8_t *buf;
    size_t len, found;
} BuildId;

/* The first object is the program itself. */
static int find_build_id(struct dl_phdr_info *info, size_t size, void *ctx)
{
    BuildId *b = ctx;

    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        const char *p = (const char *)(info->dlpi_addr + ph->p_vaddr), *end = p + ph->p_memsz;
        while (ph->p_type == PT_NOTE && end - p >= (ptrdiff_t)sizeof(ElfW(Nhdr))) {
            const ElfW(Nhdr) *n = (const ElfW(Nhdr) *)p;
            const char *name = p + sizeof *n, *desc = name + ((n->n_namesz + 3) & ~3u);
            if (n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 && !memcmp(name, "GNU", 4)) {
                b->found = n->n_descsz < b->len ? n->n_descsz : b->len;
                memcpy(b->buf, desc, b->found);
            }
            p = desc + ((n->n_descsz + 3) & ~3u);
        }
    }
    return 1;
}

size_t os_build_id(uint8_t *buf, size_t len)
{
    BuildId b = {buf, len, 0};

    dl_iterate_phdr(find_build_id, &b);
    return b.found;
}

uintptr_t os_uc_pc(const void *uc)
{
    return (uintptr_t)((const ucontext_t *)uc)->uc_mcontext.gregs[REG_RIP];
}

void os_uc_set_pc(void *uc, uintptr_t pc)
{
    ((ucontext_t *)uc)->uc_mcontext.gregs[REG_RIP] = (greg_t)pc;
}

bool os_uc_is_write(const void *uc)
{
    return (((const ucontext_t *)uc)->uc_mcontext.gregs[REG_ERR] & 2) != 0;
}

static char start_dir[PATH_MAX] = ".";

void os_start_dir_set(const char *dir)
{
    if (strlen(dir) < sizeof start_dir)
        strcpy(start_dir, dir);
}

const char *os_start_dir(void)
{
    return start_dir;
}

char *os_from_start(const char *path, size_t len)
{
    char *full = NULL;
    bool whole = *path == '/';

    int n = asprintf(&full, "%s%s%.*s", whole ? "" : start_dir, whole ? "" : "/", (int)len, path);
    CHECK(n >= 0);
    return full;
}
