#include "base/restart.h"

#include "base/os.h"

#include <linux/rseq.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HOST_SIG 0x53053053u /* the C library's, for this host */
#define AREA_MIN 32u         /* bytes that it registers at least */

#ifndef AT_RSEQ_ALIGN
#define AT_RSEQ_FEATURE_SIZE 27
#define AT_RSEQ_ALIGN 28
#endif

typedef struct Routine {
    uint32_t entry, start, commit, abort; /* offsets from restart_begin */
} Routine;

extern const char restart_begin[], restart_end[], restart_fail[];
extern const Routine restart_routines[], restart_routines_end[];

/* The C library's; not there in old ones. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

static size_t code_bytes(void)
{
    size_t page = os_page_size();

    return ((size_t)(restart_end - restart_begin) + page - 1) & ~(page - 1);
}

static void fill_in(char *code, uint32_t sig)
{
    const Routine *r = restart_routines;

    memcpy(code, restart_begin, (size_t)(restart_end - restart_begin));
    for (size_t i = 0; r + i < restart_routines_end; i++) {
        const struct rseq_cs cs = {
            .start_ip = (uintptr_t)code + r[i].start,
            .post_commit_offset = r[i].commit - r[i].start,
            .abort_ip = (uintptr_t)code + r[i].abort,
        };
        memcpy(code + i * sizeof cs, &cs, sizeof cs);
        memcpy(code + r[i].abort - sizeof sig, &sig, sizeof sig);
    }
}

Restart *restart_new(uint32_t sig)
{
    Restart *res = calloc(1, sizeof *res);
    size_t bytes = code_bytes();
    char *code = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (!res || code == MAP_FAILED)
        goto fail;
    fill_in(code, sig);
    if (mprotect(code, bytes, PROT_READ | PROT_EXEC) != 0)
        goto fail;
    res->sig = sig;
    res->code = (uintptr_t)code;
    for (unsigned i = 0; i < RESTART_SIZES; i++) {
        res->load[i] = (RestartFn *)(res->code + restart_routines[i].entry);
        res->store[i] = (RestartFn *)(res->code + restart_routines[RESTART_SIZES + i].entry);
        res->cas[i] = (RestartFn *)(res->code + restart_routines[2 * RESTART_SIZES + i].entry);
    }
    return res;
fail:
    if (code != MAP_FAILED)
        munmap(code, bytes);
    free(res);
    return NULL;
}

bool restart_fixup(const Restart *r, void *uc)
{
    uintptr_t pc = os_uc_pc(uc);

    if (!r || pc < r->code || pc >= r->code + code_bytes())
        return false;
    /* A fault of the access itself has been moved to the abort label, as any signal inside a section. */
    os_uc_set_pc(uc, r->code + (uintptr_t)(restart_fail - restart_begin));
    return true;
}

void restart_release_own(void)
{
    if (!&__rseq_offset || !&__rseq_size)
        return;
    char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
    unsigned long align = getauxval(AT_RSEQ_ALIGN), want = getauxval(AT_RSEQ_FEATURE_SIZE);

    align = align ? align : AREA_MIN;
    want = (want + align - 1) / align * align;
    /* Which of the lengths it took is not to be learnt. */
    if (syscall(SYS_rseq, area, AREA_MIN, RSEQ_FLAG_UNREGISTER, HOST_SIG) != 0 && want > AREA_MIN)
        syscall(SYS_rseq, area, want, RSEQ_FLAG_UNREGISTER, HOST_SIG);
}

bool restart_is_own(uint32_t sig)
{
    return sig == HOST_SIG;
}
