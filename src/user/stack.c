#include "user/stack.h"

#include <elf.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#ifndef AT_RSEQ_ALIGN
#define AT_RSEQ_FEATURE_SIZE 27
#define AT_RSEQ_ALIGN 28
#endif

static size_t strings_size(char **v, size_t *count)
{
    size_t n = 0;
    for (*count = 0; v[*count]; ++*count)
        n += strlen(v[*count]) + 1;
    return n;
}

/* Copy strings upwards from `at`, noting their addresses; returns the end. */
static uint64_t put_strings(uint64_t at, char **v, size_t count, uint64_t *ptr)
{
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(v[i]) + 1;
        memcpy((void *)(uintptr_t)at, v[i], n);
        ptr[i] = at;
        at += n;
    }
    ptr[count] = 0;
    return at;
}

static uint64_t put_bytes(uint64_t *sp, const void *data, size_t n)
{
    *sp -= n;
    memcpy((void *)(uintptr_t)*sp, data, n);
    return *sp;
}

typedef struct Auxv {
    Elf64_auxv_t v[32];
    size_t n;
} Auxv;

static void add_aux(Auxv *a, uint64_t type, uint64_t value)
{
    a->v[a->n++] = (Elf64_auxv_t){ .a_type = type, .a_un.a_val = value };
}

static void make_auxv(UserProc *p, Auxv *a, uint64_t platform, uint64_t random, uint64_t execfn)
{
    uint64_t hwcap, hwcap2;
    p->abi->hwcap(p->cfg->engine.features, &hwcap, &hwcap2);
    a->n = 0;
    add_aux(a, AT_SYSINFO_EHDR, p->vdso);
    add_aux(a, AT_MINSIGSTKSZ, p->abi->min_sigstack);
    add_aux(a, AT_HWCAP, hwcap);
    add_aux(a, AT_PAGESZ, MM_PAGE);
    add_aux(a, AT_CLKTCK, 100);
    add_aux(a, AT_PHDR, p->main.phdr);
    add_aux(a, AT_PHENT, p->main.phent);
    add_aux(a, AT_PHNUM, p->main.phnum);
    add_aux(a, AT_BASE, p->interp.start);
    add_aux(a, AT_FLAGS, 0);
    add_aux(a, AT_ENTRY, p->main.entry);
    add_aux(a, AT_UID, getuid());
    add_aux(a, AT_EUID, geteuid());
    add_aux(a, AT_GID, getgid());
    add_aux(a, AT_EGID, getegid());
    add_aux(a, AT_SECURE, p->cfg->secure);
    add_aux(a, AT_RANDOM, random);
    add_aux(a, AT_HWCAP2, hwcap2);
    if (getauxval(AT_RSEQ_ALIGN)) {
        add_aux(a, AT_RSEQ_FEATURE_SIZE, getauxval(AT_RSEQ_FEATURE_SIZE));
        add_aux(a, AT_RSEQ_ALIGN, getauxval(AT_RSEQ_ALIGN));
    }
    add_aux(a, AT_EXECFN, execfn);
    add_aux(a, AT_PLATFORM, platform);
    add_aux(a, AT_NULL, 0);
}

uint64_t stack_build(UserProc *p, char **argv, char **envp, const char *execfn, Status *st)
{
    size_t argc, envc;
    size_t arg_size = strings_size(argv, &argc), env_size = strings_size(envp, &envc);
    size_t need = arg_size + env_size + strlen(execfn) + (argc + envc) * 8 + 4096;
    uint64_t top = mm_map_stack(p->mm, need, p->main.exec_stack);
    if (!top) {
        status_set(st, STATUS_HOST, "no memory for a stack of %zu bytes", need);
        return 0;
    }
    uint64_t sp = top - 8;
    uint64_t fn = put_bytes(&sp, execfn, strlen(execfn) + 1);
    p->env_start = (sp -= env_size);
    p->arg_start = (sp -= arg_size);
    p->arg_end = p->env_start;
    p->env_end = p->env_start + env_size;
    uint64_t platform = put_bytes(&sp, p->abi->platform, strlen(p->abi->platform) + 1);
    uint8_t random[16];
    p->nondet->ops->random(p->nondet, (int)getpid(), random, sizeof random);
    sp &= ~UINT64_C(15);
    uint64_t rnd = put_bytes(&sp, random, sizeof random);
    Auxv aux;
    make_auxv(p, &aux, platform, rnd, fn);
    size_t words = 1 + argc + 1 + envc + 1 + 2 * aux.n;
    sp = (sp - words * 8) & ~UINT64_C(15);
    uint64_t *w = (uint64_t *)(uintptr_t)sp;
    *w++ = argc;
    put_strings(p->arg_start, argv, argc, w);
    w += argc + 1;
    put_strings(p->env_start, envp, envc, w);
    w += envc + 1;
    memcpy(w, aux.v, aux.n * sizeof aux.v[0]);
    p->auxv_start = (uint64_t)(uintptr_t)w;
    p->auxv_end = p->auxv_start + aux.n * sizeof aux.v[0];
    p->stack_start = sp;
    return sp;
}
