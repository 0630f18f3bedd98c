/*
 * Linux on AArch64: registers of calls, signal frames, structures that differ from the host's. Facts from the kernel's
 * user interface headers (asm/sigcontext.h, asm-generic/fcntl.h, asm-generic/stat.h, asm/hwcap.h).
 */
#include "user/abi.h"

#include "guest/aarch64/state.h"
#include "user/process.h"
#include "user/vdso.h"

#include <elf.h>
#include <errno.h>
#include <linux/audit.h>
#include <stddef.h>
#include <string.h>

enum { RESTART_SYSCALL = 128 };

/* --- calls, threads ------------------------------------------------------------------------------------------------- */

static void get_call(IrCpu *cpu, uint64_t *nr, uint64_t arg[6])
{
    const A64State *s = a64_state(cpu);
    *nr = s->x[8];
    memcpy(arg, s->x, 6 * sizeof arg[0]);
}

static void set_result(IrCpu *cpu, uint64_t value)
{
    a64_state(cpu)->x[0] = value;
}

static void set_restart(IrCpu *cpu)
{
    a64_state(cpu)->x[8] = RESTART_SYSCALL;
}

static void start(IrCpu *cpu, uint64_t pc, uint64_t sp)
{
    cpu->pc = pc;
    a64_state(cpu)->sp = sp;
}

static void set_stack(IrCpu *cpu, uint64_t sp)
{
    a64_state(cpu)->sp = sp;
}

static void set_tls(IrCpu *cpu, uint64_t tls)
{
    a64_state(cpu)->tpidr = tls;
}

static uint64_t get_stack(IrCpu *cpu)
{
    return a64_state(cpu)->sp;
}

static void clone_args(const uint64_t arg[6], uint64_t *tls, uint64_t *ctid)
{
    *tls = arg[3];
    *ctid = arg[4];
}

static void set_secrets(IrCpu *cpu, const uint8_t random[80], unsigned which)
{
    A64State *s = a64_state(cpu);
    const A64Key old[5] = { s->key_ia, s->key_ib, s->key_da, s->key_db, s->key_ga };
    A64Key *key[5] = { &s->key_ia, &s->key_ib, &s->key_da, &s->key_db, &s->key_ga };
    a64_set_keys(cpu, random);
    for (unsigned i = 0; which != 0 && i < 5; i++)
        if (!(which >> i & 1))
            *key[i] = old[i];
}

static void hwcap(const void *features, uint64_t *cap, uint64_t *cap2)
{
    *cap = a64_hwcap(features);
    *cap2 = a64_hwcap2(features);
}

/* --- signal frames -------------------------------------------------------------------------------------------------- */

typedef struct A64Stack {
    uint64_t sp;
    int32_t flags, pad;
    uint64_t size;
} A64Stack;

typedef struct A64SigContext {
    uint64_t fault_address, regs[31], sp, pc, pstate;
    _Alignas(16) uint8_t reserved[4096];
} A64SigContext;

typedef struct A64UContext {
    uint64_t flags, link;
    A64Stack stack;
    uint64_t sigmask;
    uint8_t unused[120];
    _Alignas(16) A64SigContext mc;
} A64UContext;

typedef struct A64SigFrame {
    siginfo_t info;
    A64UContext uc;
} A64SigFrame;

typedef struct A64FpContext {
    uint32_t magic, size, fpsr, fpcr;
    IrVal v[32];
} A64FpContext;

typedef struct A64EsrContext {
    uint32_t magic, size;
    uint64_t esr;
} A64EsrContext;

static_assert(sizeof(A64SigFrame) == 4688, "as the kernel's struct rt_sigframe");
static_assert(offsetof(A64UContext, mc) == 176, "as the kernel's struct ucontext");

enum { FPSIMD_MAGIC = 0x46508001, ESR_MAGIC = 0x45535201, SSBS_BIT = 1u << 12, DIT_BIT = 1u << 24, BTYPE_CALL = 2 };

static uint64_t get_pstate(const A64State *s)
{
    return (uint64_t)s->n << 31 | (uint64_t)s->z << 30 | (uint64_t)s->c << 29 | (uint64_t)s->v << 28 |
           (s->dit ? DIT_BIT : 0) | (s->ssbs ? SSBS_BIT : 0) | (uint64_t)s->btype << 10;
}

/* Whether it is a process's: no other mode than EL0t of AArch64, no exception masked (the kernel's valid_user_regs). */
static bool pstate_valid(uint64_t v)
{
    return (v & 0x3df) == 0; /* D, A, I, F, nRW, M[3:0] */
}

static void set_pstate(A64State *s, uint64_t v)
{
    s->n = v >> 31 & 1;
    s->z = v >> 30 & 1;
    s->c = v >> 29 & 1;
    s->v = v >> 28 & 1;
    s->ssbs = (v & SSBS_BIT) != 0;
    s->dit = (v & DIT_BIT) != 0;
    s->btype = v >> 10 & 3;
}

/* Exception syndrome of a data or instruction abort, as far as a process may see it. */
static uint64_t fault_esr(const GuestFault *f, uint64_t pc)
{
    if (f->sig != SIGSEGV && f->sig != SIGBUS)
        return 0;
    bool fetch = f->addr == pc;
    uint64_t status = f->sig == SIGBUS ? (f->code == BUS_ADRALN ? 0x21 : 0x10) : f->code == SEGV_ACCERR ? 0x0f : 0x07;
    return (fetch ? 0x20ull : 0x24ull) << 26 | 1ull << 25 | (f->write && !fetch ? 1u << 6 : 0) | status;
}

static void fill_reserved(Vcpu *cpu, A64SigContext *mc, const AbiFrame *f)
{
    IrCpu *ir = &cpu->h.ir;
    A64State *s = a64_state(ir);
    uint8_t *p = mc->reserved;
    vcpu_fp_sync(cpu);
    A64FpContext *fp = (A64FpContext *)p;
    fp->magic = FPSIMD_MAGIC;
    fp->size = sizeof *fp;
    fp->fpsr = (uint32_t)a64_get_fpsr(ir);
    fp->fpcr = (uint32_t)s->fpcr;
    memcpy(fp->v, s->q, sizeof fp->v);
    p += sizeof *fp;
    uint64_t esr = f->fault ? fault_esr(f->fault, ir->pc) : 0;
    if (esr) {
        A64EsrContext *e = (A64EsrContext *)p;
        *e = (A64EsrContext){ ESR_MAGIC, sizeof *e, esr };
        p += sizeof *e;
    }
    memset(p, 0, 8); /* the end mark */
}

static bool push_frame(Vcpu *cpu, const AbiFrame *f)
{
    IrCpu *ir = &cpu->h.ir;
    A64State *s = a64_state(ir);
    A64SigFrame frame;
    memset(&frame, 0, sizeof frame);
    memcpy(&frame.info, f->info, sizeof frame.info);
    frame.uc.stack = (A64Stack){ f->alt_sp, (int32_t)f->alt_flags, 0, f->alt_size };
    frame.uc.sigmask = f->mask;
    A64SigContext *mc = &frame.uc.mc;
    mc->fault_address = f->fault ? f->fault->addr : 0;
    memcpy(mc->regs, s->x, sizeof mc->regs);
    mc->sp = s->sp;
    mc->pc = ir->pc;
    mc->pstate = get_pstate(s);
    fill_reserved(cpu, mc, f);

    /* A frame record above links the handler's frame to the interrupted one for unwinders. */
    uint64_t record[2] = { s->x[29], s->x[30] };
    uint64_t record_at = (f->stack - sizeof record) & ~UINT64_C(15);
    uint64_t at = record_at - sizeof frame;
    if (!guest_write(cpu, record_at, record, sizeof record) || !guest_write(cpu, at, &frame, sizeof frame))
        return false;
    s->x[0] = (uint64_t)f->sig;
    s->x[1] = at + offsetof(A64SigFrame, info);
    s->x[2] = at + offsetof(A64SigFrame, uc);
    s->x[29] = record_at;
    s->x[30] = f->restorer;
    s->sp = at;
    s->btype = ir->mode & A64_MODE_BTI ? BTYPE_CALL : 0;
    s->excl_addr = A64_NO_EXCL;
    ir->pc = f->handler;
    return true;
}

static bool restore_fp(Vcpu *cpu, const A64SigContext *mc)
{
    IrCpu *ir = &cpu->h.ir;
    bool found = false;
    for (size_t at = 0; at + 8 <= sizeof mc->reserved;) {
        uint32_t head[2];
        memcpy(head, mc->reserved + at, sizeof head);
        if (head[0] == 0)
            return found && head[1] == 0;
        if (head[1] < 8 || head[1] % 16 != 0 || head[1] > sizeof mc->reserved - at)
            return false;
        if (head[0] == FPSIMD_MAGIC) {
            A64FpContext fp;
            if (head[1] != sizeof fp || found)
                return false;
            memcpy(&fp, mc->reserved + at, sizeof fp);
            memcpy(a64_state(ir)->q, fp.v, sizeof fp.v);
            vcpu_fp_sync(cpu);
            a64_set_fpcr(ir, fp.fpcr);
            a64_set_fpsr(ir, fp.fpsr);
            vcpu_fp_changed(cpu);
            found = true;
        } else if (head[0] != ESR_MAGIC) {
            return false;
        }
        at += head[1];
    }
    return false;
}

static bool pop_frame(Vcpu *cpu, AbiReturn *out)
{
    IrCpu *ir = &cpu->h.ir;
    A64State *s = a64_state(ir);
    A64SigFrame frame;
    if ((s->sp & 15) || !guest_read(cpu, &frame, s->sp, sizeof frame))
        return false;
    const A64SigContext *mc = &frame.uc.mc;
    if (!pstate_valid(mc->pstate) || !restore_fp(cpu, mc))
        return false;
    memcpy(s->x, mc->regs, sizeof mc->regs);
    s->sp = mc->sp;
    ir->pc = mc->pc;
    set_pstate(s, mc->pstate);
    s->excl_addr = A64_NO_EXCL;
    out->mask = frame.uc.sigmask;
    out->alt_sp = frame.uc.stack.sp;
    out->alt_size = frame.uc.stack.size;
    out->alt_flags = (uint32_t)frame.uc.stack.flags;
    return true;
}

/* --- register sets -------------------------------------------------------------------------------------------------- */

typedef struct A64Debug { /* struct user_hwdebug_state */
    uint32_t info, pad;
    uint64_t slot[16][2];
} A64Debug;

typedef struct A64Regs {
    uint64_t x[31], sp, pc, pstate; /* struct user_pt_regs */
    IrVal v[32];                    /* struct user_fpsimd_state */
    uint32_t fpsr, fpcr, fp_pad[2];
    uint64_t tls;
    int32_t call, pad;
    A64Debug breaks, watches;
    uint64_t pac_mask[2];           /* of data, of code */
    uint64_t tag_control;
} A64Regs;

enum { DEBUG_ARCH_V8 = 6 << 8, HWCAP_PACA = 1u << 30 };
#define PAC_MASK UINT64_C(0x007f000000000000) /* bits that a pointer's code takes in the lower range */

static const AbiRegset regsets[] = {
    { 1 /* NT_PRSTATUS */, 0, 272, true },
    { 2 /* NT_PRFPREG */, offsetof(A64Regs, v), 528, true },
    { 0x401 /* NT_ARM_TLS */, offsetof(A64Regs, tls), 8, true },
    { 0x402 /* NT_ARM_HW_BREAK */, offsetof(A64Regs, breaks), sizeof(A64Debug), false },
    { 0x403 /* NT_ARM_HW_WATCH */, offsetof(A64Regs, watches), sizeof(A64Debug), false },
    { 0x404 /* NT_ARM_SYSTEM_CALL */, offsetof(A64Regs, call), 4, true },
    { 0x406 /* NT_ARM_PAC_MASK */, offsetof(A64Regs, pac_mask), 16, false, HWCAP_PACA },
    { 0x409 /* NT_ARM_TAGGED_ADDR_CTRL */, offsetof(A64Regs, tag_control), 8, false },
    { 0 },
};

static void get_regs(Vcpu *cpu, void *regs)
{
    A64Regs *r = regs;
    IrCpu *ir = &cpu->h.ir;
    const A64State *s = a64_state(ir);
    vcpu_fp_sync(cpu);
    memcpy(r->x, s->x, sizeof r->x);
    r->sp = s->sp;
    r->pc = ir->pc;
    r->pstate = get_pstate(s);
    memcpy(r->v, s->q, sizeof r->v);
    r->fpsr = (uint32_t)a64_get_fpsr(ir);
    r->fpcr = (uint32_t)s->fpcr;
    r->fp_pad[0] = r->fp_pad[1] = 0;
    r->tls = s->tpidr;
    r->breaks = r->watches = (A64Debug){ .info = DEBUG_ARCH_V8 }; /* and no register of either kind */
    r->pac_mask[0] = r->pac_mask[1] = PAC_MASK;
    r->tag_control = user_thread(cpu)->p->tagged_addr;
}

static bool regs_valid(const void *regs)
{
    return pstate_valid(((const A64Regs *)regs)->pstate);
}

static void set_regs(Vcpu *cpu, const void *regs)
{
    const A64Regs *r = regs;
    IrCpu *ir = &cpu->h.ir;
    A64State *s = a64_state(ir);
    memcpy(s->x, r->x, sizeof r->x);
    s->sp = r->sp;
    ir->pc = r->pc;
    set_pstate(s, r->pstate);
    memcpy(s->q, r->v, sizeof r->v);
    vcpu_fp_sync(cpu);
    a64_set_fpcr(ir, r->fpcr);
    a64_set_fpsr(ir, r->fpsr);
    vcpu_fp_changed(cpu);
    s->tpidr = r->tls;
}

/* --- structures and flags ------------------------------------------------------------------------------------------- */

typedef struct A64Stat {
    uint64_t dev, ino;
    uint32_t mode, nlink, uid, gid;
    uint64_t rdev, pad1;
    int64_t size;
    int32_t blksize, pad2;
    int64_t blocks, atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns;
    uint32_t unused[2];
} A64Stat;

static_assert(sizeof(A64Stat) == 128, "as the kernel's struct stat");

static void put_stat(void *dst, const struct stat *st)
{
    A64Stat g = {
        .dev = st->st_dev, .ino = st->st_ino, .mode = st->st_mode, .nlink = (uint32_t)st->st_nlink, .uid = st->st_uid,
        .gid = st->st_gid, .rdev = st->st_rdev, .size = st->st_size, .blksize = (int32_t)st->st_blksize,
        .blocks = st->st_blocks, .atime = st->st_atim.tv_sec, .atime_ns = st->st_atim.tv_nsec,
        .mtime = st->st_mtim.tv_sec, .mtime_ns = st->st_mtim.tv_nsec, .ctime = st->st_ctim.tv_sec,
        .ctime_ns = st->st_ctim.tv_nsec,
    };
    memcpy(dst, &g, sizeof g);
}

/* O_* flags that are elsewhere on the host; all others are the same. 0100000 is O_NOFOLLOW here; the host's O_LARGEFILE,
 * which has that value, is always on for 64-bit processes. */
static const struct {
    uint64_t guest, host;
} open_flags[] = {
    { 040000, 0200000 },  /* O_DIRECTORY */
    { 0100000, 0400000 }, /* O_NOFOLLOW */
    { 0200000, 040000 },  /* O_DIRECT */
    { 0400000, 0100000 }, /* O_LARGEFILE */
};
#define OPEN_MOVED 0740000u

static uint64_t open_flags_in(uint64_t guest)
{
    uint64_t host = guest & ~(uint64_t)OPEN_MOVED;
    for (unsigned i = 0; i < sizeof open_flags / sizeof open_flags[0]; i++)
        if (guest & open_flags[i].guest)
            host |= open_flags[i].host;
    return host;
}

static uint64_t open_flags_out(uint64_t host)
{
    uint64_t guest = host & ~(uint64_t)OPEN_MOVED;
    for (unsigned i = 0; i < sizeof open_flags / sizeof open_flags[0]; i++)
        if (host & open_flags[i].host)
            guest |= open_flags[i].guest;
    return guest;
}

/* --- prctl, /proc/cpuinfo ------------------------------------------------------------------------------------------- */

enum { SVE_SET_VL = 50, SVE_GET_VL, PAC_RESET_KEYS = 54, PAC_SET_ENABLED_KEYS = 60, PAC_GET_ENABLED_KEYS, SME_SET_VL = 63,
       SME_GET_VL };
enum { PAC_ALL_KEYS = 31, PAC_ADDRESS_KEYS = 15 };

static int64_t reset_keys(Vcpu *cpu, uint64_t which)
{
    UserThread *t = user_thread(cpu);
    uint8_t random[80];
    if (which & ~(uint64_t)PAC_ALL_KEYS)
        return -EINVAL;
    t->p->nondet->ops->random(t->p->nondet, t->tid, random, sizeof random);
    set_secrets(&cpu->h.ir, random, which ? (unsigned)which : PAC_ALL_KEYS);
    return 0;
}

static bool arch_prctl(Vcpu *cpu, const uint64_t arg[6], int64_t *ret)
{
    bool pac = a64_hwcap(a64_state(&cpu->h.ir)->features) & HWCAP_PACA;
    *ret = -EINVAL;
    switch (arg[0]) {
    case SVE_SET_VL: case SVE_GET_VL: case SME_SET_VL: case SME_GET_VL:
        return true;
    case PAC_RESET_KEYS:
        if (pac && !arg[2] && !arg[3] && !arg[4])
            *ret = reset_keys(cpu, arg[1]);
        return true;
    case PAC_SET_ENABLED_KEYS: /* address keys can all be on, which they are */
        if (pac && !arg[3] && !arg[4] && !(arg[1] & ~(uint64_t)PAC_ADDRESS_KEYS) && !(arg[2] & ~arg[1]) && arg[2] == arg[1])
            *ret = 0;
        return true;
    case PAC_GET_ENABLED_KEYS:
        if (pac && !arg[1] && !arg[2] && !arg[3] && !arg[4])
            *ret = PAC_ADDRESS_KEYS;
        return true;
    default:
        return false;
    }
}

static const char *const hwcap_names[64] = {
    "fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "atomics", "fphp", "asimdhp", "cpuid", "asimdrdm",
    "jscvt", "fcma", "lrcpc", "dcpop", "sha3", "sm3", "sm4", "asimddp", "sha512", "sve", "asimdfhm", "dit", "uscat", "ilrcpc",
    "flagm", "ssbs", "sb", "paca", "pacg",
};
static const char *const hwcap2_names[64] = {
    "dcpodp", "sve2", "sveaes", "svepmull", "svebitperm", "svesha3", "svesm4", "flagm2", "frint", "svei8mm", "svef32mm",
    "svef64mm", "svebf16", "i8mm", "bf16", "dgh", "rng", "bti", "mte", "ecv", "afp", "rpres", "mte3", "sme", "smei16i64",
    "smef64f64", "smei8i32", "smef16f32", "smeb16f32", "smef32f32", "smefa64", "wfxt", "ebf16", "sveebf16", "cssc", "rprfm",
    "sve2p1", "sme2", "sme2p1", "smei16i32", "smebi32i32", "smeb16b16", "smef16f16", "mops", "hbc", "sveb16b16", "lrcpc3",
    "lse128",
};

static void cpuinfo(FILE *f, const void *features, unsigned ncpus)
{
    uint64_t cap = a64_hwcap(features), cap2 = a64_hwcap2(features);
    for (unsigned i = 0; i < ncpus; i++) {
        fprintf(f, "processor\t: %u\nBogoMIPS\t: 2000.00\nFeatures\t:", i);
        for (unsigned b = 0; b < 64; b++)
            if ((cap >> b & 1) && hwcap_names[b])
                fprintf(f, " %s", hwcap_names[b]);
        for (unsigned b = 0; b < 64; b++)
            if ((cap2 >> b & 1) && hwcap2_names[b])
                fprintf(f, " %s", hwcap2_names[b]);
        fprintf(f, "\nCPU implementer\t: 0x%02x\nCPU architecture: 8\nCPU variant\t: 0x%x\nCPU part\t: 0x%03x\nCPU revision\t: %u\n\n",
                (unsigned)(A64_MIDR >> 24), (unsigned)(A64_MIDR >> 20 & 15), (unsigned)(A64_MIDR >> 4 & 0xfff),
                (unsigned)(A64_MIDR & 15));
    }
}

const UserAbi abi_aarch64 = {
    .guest = "aarch64", .machine = "aarch64", .platform = "aarch64", .insn_size = 4,
    .audit_arch = AUDIT_ARCH_AARCH64, .min_sigstack = sizeof(A64SigFrame) + 32, .rseq_sig = 0xd428bc00,
    .get_call = get_call, .set_result = set_result, .start = start, .set_stack = set_stack, .set_tls = set_tls,
    .get_stack = get_stack, .clone_args = clone_args, .set_secrets = set_secrets, .hwcap = hwcap,
    .guard_pages = a64_guard_pages, .set_restart = set_restart,
    .get_regs = get_regs, .regs_valid = regs_valid, .set_regs = set_regs,
    .regsets = regsets, .regs_size = sizeof(A64Regs),
    .regs_call = offsetof(A64Regs, call), .regs_pc = offsetof(A64Regs, pc), .regs_sp = offsetof(A64Regs, sp),
    .regs_result = offsetof(A64Regs, x), .elf_machine = EM_AARCH64,
    .push_frame = push_frame, .pop_frame = pop_frame, .put_stat = put_stat, .stat_size = sizeof(A64Stat), .open_flags_in = open_flags_in,
    .open_flags_out = open_flags_out, .epoll_size = 16, .epoll_data = 8, .prctl = arch_prctl, .cpuinfo = cpuinfo,
    .vdso = vdso_aarch64, .vdso_size = &vdso_aarch64_size, .vdso_sigreturn = &vdso_aarch64_sigreturn,
};
