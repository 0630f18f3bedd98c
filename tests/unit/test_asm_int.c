/* Every integer encoder with all registers, widths and memory forms, against an independent disassembler's text. */
#include "base/arena.h"
#include "host/x86_64/asm.h"
#include "test.h"

#include <Zydis/Zydis.h>
#include <ctype.h>
#include <stdarg.h>
#include <string.h>

static uint8_t code[ASM_ROOM];
static Arena arena;
static ZydisDecoder decoder;
static ZydisFormatter formatter;
static Asm as, *const a = &as;
static int bad;
static unsigned count;

static const char *const names[4][16] = {
    {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil", "r8b", "r9b", "r10b", "r11b", "r12b", "r13b", "r14b", "r15b"},
    {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8w", "r9w", "r10w", "r11w", "r12w", "r13w", "r14w", "r15w"},
    {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d", "r15d"},
    {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"},
};
static const char *const sizes[4] = {"byte ptr ", "word ptr ", "dword ptr ", "qword ptr "};

static void begin(void)
{
    as = (Asm){.start = code, .p = code, .end = code + sizeof code, .arena = (struct Arena *)&arena};
}

/* Compare what has been emitted with the expected text, case and blanks aside; start anew. */
static void expect(const char *fmt, ...)
{
    char want[256];
    va_list ap;
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    char text[128] = "";
    va_start(ap, fmt);
    vsnprintf(want, sizeof want, fmt, ap);
    va_end(ap);
    memset(as.p, 0x90, 16);
    bool ok = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, 15, &insn, op));
    if (ok)
        ZydisFormatterFormatInstruction(&formatter, &insn, op, insn.operand_count_visible, text, sizeof text, 0, NULL);
    for (char *p = text; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    if (!ok || insn.length != as.p - code || strcmp(text, want)) {
        if (bad++ < 30)
            printf("# want '%s' (%d bytes), got '%s' (%d)\n", want, (int)(as.p - code), text, ok ? insn.length : 0);
    }
    count++;
    begin();
}

/* Text of a memory operand, with its size unless `w` is negative. */
static const char *mtext(int w, Mem m)
{
    static char ring[8][64];
    static unsigned at;
    char *s = ring[at++ & 7];
    int n = sprintf(s, "%s[%s", w < 0 ? "" : sizes[w], names[W64][m.base]);
    if (m.index != MEM_NONE)
        n += sprintf(s + n, "+%s*%d", names[W64][m.index], 1 << m.scale);
    if (m.disp)
        n += sprintf(s + n, m.disp < 0 ? "-0x%02x" : "+0x%02x", m.disp < 0 ? -(unsigned)m.disp : (unsigned)m.disp);
    sprintf(s + n, "]");
    return s;
}

static const char *itext(Width w, int64_t v)
{
    static char ring[8][32];
    static unsigned at;
    char *s = ring[at++ & 7];
    uint64_t u = w == W64 ? (uint64_t)v : (uint64_t)v & ((1ull << (8 << w)) - 1);
    sprintf(s, "0x%02lx", (unsigned long)u);
    return s;
}

static const int32_t disps[] = {0, 8, -128, 127, 128, -129, 0x12345678};

/* A memory operand for each number: bases, indices, scales and displacements of every kind. */
static Mem mem_of(unsigned k)
{
    unsigned base = k % 16, index = k / 16 % 17, d = k % 7;
    if (index == 16 || index == 4)
        return mem_b((Gpr){(uint8_t)base}, disps[d]);
    return mem_bi((Gpr){(uint8_t)base}, (Gpr){(uint8_t)index}, k / 3 % 4, disps[d]);
}

#define NAME(w, r) names[w][(r).n]

typedef void FnRR(Asm *, Width, Gpr, Gpr);
typedef void FnRM(Asm *, Width, Gpr, RGm);

static void test_rm(const char *name, FnRM *fn, Width lo, Gpr d)
{
    for (unsigned w = lo; w <= W64; w++) {
        for (unsigned s = 0; s < 16; s++) {
            fn(a, (Width)w, d, rm_r((Gpr){(uint8_t)s}));
            expect("%s %s, %s", name, NAME(w, d), names[w][s]);
        }
        for (unsigned k = d.n; k < 272; k += 5) {
            fn(a, (Width)w, d, rm_m(mem_of(k)));
            expect("%s %s, %s", name, NAME(w, d), mtext((int)w, mem_of(k)));
        }
    }
}

static const char *const alu_name[] = {"add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"};
static const int32_t imms[] = {0, 1, -1, 127, -128, 128, 0x1234, -0x1234, 0x12345678, INT32_MIN};

static bool imm_fits(Width w, int32_t v)
{
    return w >= W32 || (w == W16 ? v == (int16_t)v : v == (int8_t)v);
}

static void test_alu(Gpr d)
{
    for (unsigned op = 0; op < 8; op++)
        for (unsigned w = 0; w < 4; w++) {
            for (unsigned s = 0; s < 16; s++) {
                x64_alu_rr(a, (Alu)op, (Width)w, d, (Gpr){(uint8_t)s});
                expect("%s %s, %s", alu_name[op], NAME(w, d), names[w][s]);
            }
            for (unsigned k = d.n; k < 272; k += 11) {
                Mem m = mem_of(k);
                x64_alu_rm(a, (Alu)op, (Width)w, d, rm_m(m));
                expect("%s %s, %s", alu_name[op], NAME(w, d), mtext((int)w, m));
                x64_alu_mr(a, (Alu)op, (Width)w, m, d);
                expect("%s %s, %s", alu_name[op], mtext((int)w, m), NAME(w, d));
            }
            for (unsigned k = 0; k < sizeof imms / sizeof *imms; k++) {
                if (!imm_fits((Width)w, imms[k]))
                    continue;
                Mem m = mem_of(d.n * 7 + k);
                x64_alu_ri(a, (Alu)op, (Width)w, d, imms[k]);
                expect("%s %s, %s", alu_name[op], NAME(w, d), itext((Width)w, imms[k]));
                x64_alu_mi(a, (Alu)op, (Width)w, m, imms[k]);
                expect("%s %s, %s", alu_name[op], mtext((int)w, m), itext((Width)w, imms[k]));
            }
        }
}

static void test_mov(Gpr d)
{
    static const uint64_t v[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0xffffffff80000000, UINT64_MAX};
    for (unsigned k = 0; k < sizeof v / sizeof *v; k++) {
        x64_mov_ri(a, d, v[k]);
        expect("mov %s, %s", NAME(v[k] <= UINT32_MAX ? W32 : W64, d), itext(W64, (int64_t)v[k]));
        x64_mov_ri64(a, d, v[k]);
        expect("mov %s, %s", NAME(W64, d), itext(W64, (int64_t)v[k]));
    }
    for (unsigned k = d.n; k < 272; k += 3) {
        Mem m = mem_of(k);
        for (unsigned w = 0; w < 4; w++) {
            x64_mov_mr(a, (Width)w, m, d);
            expect("mov %s, %s", mtext((int)w, m), NAME(w, d));
            x64_xchg_mr(a, (Width)w, m, d);
            expect("xchg %s, %s", mtext((int)w, m), NAME(w, d));
            x64_mov_mi(a, (Width)w, m, 0x12);
            expect("mov %s, 0x12", mtext((int)w, m));
            x64_cmpxchg(a, (Width)w, m, d);
            expect("lock cmpxchg %s, %s", mtext((int)w, m), NAME(w, d));
            x64_xadd(a, (Width)w, m, d);
            expect("lock xadd %s, %s", mtext((int)w, m), NAME(w, d));
            x64_test_mi(a, (Width)w, m, 0x34);
            expect("test %s, 0x34", mtext((int)w, m));
        }
        for (unsigned w = W32; w < 4; w++) {
            x64_mov_rm(a, (Width)w, d, m);
            expect("mov %s, %s", NAME(w, d), mtext((int)w, m));
            x64_lea(a, (Width)w, d, m);
            expect("lea %s, %s", NAME(w, d), mtext(-1, m));
        }
        for (unsigned w = W16; w < 4; w++) {
            x64_movbe_rm(a, (Width)w, d, m);
            expect("movbe %s, %s", NAME(w, d), mtext((int)w, m));
            x64_movbe_mr(a, (Width)w, m, d);
            expect("movbe %s, %s", mtext((int)w, m), NAME(w, d));
        }
        x64_cmpxchg16b(a, m);
        expect("lock cmpxchg16b xmmword ptr %s", mtext(-1, m));
        x64_push_m(a, m);
        expect("push %s", mtext(W64, m));
        x64_jmp_m(a, m);
        expect("jmp %s", mtext(W64, m));
        x64_call_m(a, m);
        expect("call %s", mtext(W64, m));
        x64_prefetch(a, m, false);
        expect("prefetcht0 %s", mtext(W8, m));
        x64_prefetch(a, m, true);
        expect("prefetchw %s", mtext(W8, m));
        x64_ldmxcsr(a, m);
        expect("vldmxcsr %s", mtext(W32, m));
        x64_stmxcsr(a, m);
        expect("vstmxcsr %s", mtext(W32, m));
    }
}

static void test_extend(Gpr d)
{
    for (unsigned s = 0; s < 16; s++) {
        Gpr r = {(uint8_t)s};
        Mem m = mem_of(d.n * 17 + s);
        for (unsigned from = W8; from <= W32; from++) {
            const char *mn = from == W32 ? "mov" : "movzx";
            x64_movzx(a, (Width)from, d, rm_r(r));
            expect("%s %s, %s", mn, NAME(W32, d), NAME(from, r));
            x64_movzx(a, (Width)from, d, rm_m(m));
            expect("%s %s, %s", mn, NAME(W32, d), mtext((int)from, m));
            for (unsigned to = from == W32 ? W64 : W32; to <= W64; to++) {
                mn = from == W32 ? "movsxd" : "movsx";
                x64_movsx(a, (Width)to, (Width)from, d, rm_r(r));
                expect("%s %s, %s", mn, NAME(to, d), NAME(from, r));
                x64_movsx(a, (Width)to, (Width)from, d, rm_m(m));
                expect("%s %s, %s", mn, NAME(to, d), mtext((int)from, m));
            }
        }
        for (unsigned w = 0; w < 4; w++) {
            x64_crc32(a, (Width)w, d, rm_r(r));
            expect("crc32 %s, %s", NAME(w == W64 ? W64 : W32, d), NAME(w, r));
            x64_test_rr(a, (Width)w, d, r);
            expect("test %s, %s", NAME(w, d), NAME(w, r));
        }
    }
}

static void mov_rr(Asm *x, Width w, Gpr d, RGm s)
{
    if (s.mem)
        x64_mov_rm(x, w, d, s.m);
    else
        x64_mov_rr(x, w, d, s.r);
}

static void test_bits(Gpr d)
{
    static const char *const sh[] = {"rol", "ror", "rcl", "rcr", "shl", "shr", NULL, "sar"};
    static const char *const bt[] = {[BT_BT] = "bt", [BT_BTS] = "bts", [BT_BTR] = "btr", [BT_BTC] = "btc"};
    Gpr s = {(uint8_t)((d.n * 5 + 3) & 15)};
    for (unsigned w = 0; w < 4; w++) {
        for (unsigned op = 0; op < 8; op++) {
            if (!sh[op])
                continue;
            x64_shift_i(a, (Shift)op, (Width)w, d, 1);
            expect("%s %s, 0x01", sh[op], NAME(w, d));
            x64_shift_i(a, (Shift)op, (Width)w, d, 5);
            expect("%s %s, 0x05", sh[op], NAME(w, d));
            x64_shift_cl(a, (Shift)op, (Width)w, d);
            expect("%s %s, cl", sh[op], NAME(w, d));
        }
        x64_neg(a, (Width)w, d);
        expect("neg %s", NAME(w, d));
        x64_not(a, (Width)w, d);
        expect("not %s", NAME(w, d));
        x64_inc(a, (Width)w, d);
        expect("inc %s", NAME(w, d));
        x64_dec(a, (Width)w, d);
        expect("dec %s", NAME(w, d));
        x64_mul(a, (Width)w, rm_r(d));
        expect("mul %s", NAME(w, d));
        x64_imul1(a, (Width)w, rm_r(d));
        expect("imul %s", NAME(w, d));
        x64_div(a, (Width)w, rm_r(d));
        expect("div %s", NAME(w, d));
        x64_idiv(a, (Width)w, rm_r(d));
        expect("idiv %s", NAME(w, d));
        x64_test_ri(a, (Width)w, d, 0x40);
        expect("test %s, 0x40", NAME(W8, d));
        if (w >= W32) {
            x64_test_ri(a, (Width)w, d, 0x1234);
            expect("test %s, 0x1234", NAME(w, d));
        }
    }
    for (unsigned w = W16; w < 4; w++)
        for (unsigned op = BT_BT; op <= BT_BTC; op++) {
            x64_bt_i(a, (Bt)op, (Width)w, d, 7);
            expect("%s %s, 0x07", bt[op], NAME(w, d));
            x64_bt_r(a, (Bt)op, (Width)w, d, s);
            expect("%s %s, %s", bt[op], NAME(w, d), NAME(w, s));
        }
    for (unsigned w = W32; w < 4; w++) {
        x64_bswap(a, (Width)w, d);
        expect("bswap %s", NAME(w, d));
        x64_shld_i(a, (Width)w, d, s, 9);
        expect("shld %s, %s, 0x09", NAME(w, d), NAME(w, s));
        x64_shrd_i(a, (Width)w, d, s, 9);
        expect("shrd %s, %s, 0x09", NAME(w, d), NAME(w, s));
        x64_xchg_rr(a, (Width)w, d, s);
        if (d.n != s.n)
            expect("xchg %s, %s", NAME(w, d), NAME(w, s));
        begin();
        x64_imul_i(a, (Width)w, d, rm_r(s), 100);
        expect("imul %s, %s, 0x64", NAME(w, d), NAME(w, s));
        x64_imul_i(a, (Width)w, d, rm_r(s), 100000);
        expect("imul %s, %s, 0x186a0", NAME(w, d), NAME(w, s));
    }
}

/* Three-operand forms: register with all registers, and memory. */
static void test_bmi(Gpr d, Gpr v)
{
    for (unsigned w = W32; w < 4; w++)
        for (unsigned k = 0; k < 32; k++) {
            Mem m = mem_of(k * 9 + d.n);
            RGm s = k < 16 ? rm_r((Gpr){(uint8_t)k}) : rm_m(m);
            const char *t = k < 16 ? names[w][k] : mtext((int)w, m);
            x64_andn(a, (Width)w, d, v, s);
            expect("andn %s, %s, %s", NAME(w, d), NAME(w, v), t);
            x64_bextr(a, (Width)w, d, s, v);
            expect("bextr %s, %s, %s", NAME(w, d), t, NAME(w, v));
            x64_bzhi(a, (Width)w, d, s, v);
            expect("bzhi %s, %s, %s", NAME(w, d), t, NAME(w, v));
            x64_shlx(a, (Width)w, d, s, v);
            expect("shlx %s, %s, %s", NAME(w, d), t, NAME(w, v));
            x64_shrx(a, (Width)w, d, s, v);
            expect("shrx %s, %s, %s", NAME(w, d), t, NAME(w, v));
            x64_sarx(a, (Width)w, d, s, v);
            expect("sarx %s, %s, %s", NAME(w, d), t, NAME(w, v));
            x64_rorx(a, (Width)w, d, s, 11);
            expect("rorx %s, %s, 0x0b", NAME(w, d), t);
            x64_blsmsk(a, (Width)w, d, s);
            expect("blsmsk %s, %s", NAME(w, d), t);
            x64_blsr(a, (Width)w, d, s);
            expect("blsr %s, %s", NAME(w, d), t);
            x64_mulx(a, (Width)w, d, v, s);
            expect("mulx %s, %s, %s", NAME(w, d), NAME(w, v), t);
            x64_pdep(a, (Width)w, d, v, s);
            expect("pdep %s, %s, %s", NAME(w, d), NAME(w, v), t);
            x64_pext(a, (Width)w, d, v, s);
            expect("pext %s, %s, %s", NAME(w, d), NAME(w, v), t);
        }
}

static void test_cc(Gpr d)
{
    static const char *const cc[] = {"o", "no", "b", "nb", "z", "nz", "be", "nbe", "s", "ns", "p", "np", "l", "nl", "le", "nle"};
    for (unsigned c = 0; c < 16; c++) {
        Mem m = mem_of(c * 16 + d.n);
        x64_setcc(a, (Cc)c, d);
        expect("set%s %s", cc[c], NAME(W8, d));
        x64_setcc_m(a, (Cc)c, m);
        expect("set%s %s", cc[c], mtext(W8, m));
        for (unsigned w = W32; w < 4; w++) {
            x64_cmov(a, (Cc)c, (Width)w, d, rm_m(m));
            expect("cmov%s %s, %s", cc[c], NAME(w, d), mtext((int)w, m));
            for (unsigned s = 0; s < 16; s++) {
                x64_cmov(a, (Cc)c, (Width)w, d, rm_r((Gpr){(uint8_t)s}));
                expect("cmov%s %s, %s", cc[c], NAME(w, d), names[w][s]);
            }
        }
    }
}

static void test_control(void)
{
    static const char *const plain[] = {"clc", "stc", "cmc", "ret", "ud2", "int3", "cdq", "cqo", "lfence", "pause"};
    x64_clc(a), expect("%s", plain[0]);
    x64_stc(a), expect("%s", plain[1]);
    x64_cmc(a), expect("%s", plain[2]);
    x64_ret(a), expect("%s", plain[3]);
    x64_ud2(a), expect("%s", plain[4]);
    x64_int3(a), expect("%s", plain[5]);
    x64_lfence(a), expect("%s", plain[8]);
    x64_pause(a), expect("%s", plain[9]);
    x64_cdq(a, W32), expect("%s", plain[6]);
    x64_cdq(a, W64), expect("%s", plain[7]);
    for (unsigned r = 0; r < 16; r++) {
        Gpr g = {(uint8_t)r};
        x64_push(a, g), expect("push %s", NAME(W64, g));
        x64_pop(a, g), expect("pop %s", NAME(W64, g));
        x64_jmp_r(a, g), expect("jmp %s", NAME(W64, g));
        x64_call_r(a, g), expect("call %s", NAME(W64, g));
    }
    x64_push_i(a, 0x12), expect("push 0x12");
    x64_push_i(a, 0x12345), expect("push 0x12345");
    for (unsigned n = 1; n <= 9; n++) {
        ZydisDisassembledInstruction insn;
        x64_nop(a, n);
        bool ok = ZYAN_SUCCESS(ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, 0, code, n, &insn));
        bad += !ok || insn.info.length != n || (insn.info.mnemonic != ZYDIS_MNEMONIC_NOP);
        begin();
    }
}

static void report(const char *name)
{
    char text[128];
    snprintf(text, sizeof text, "%s: %u instructions", name, count);
    TEST(text, bad == 0);
    count = 0;
    bad = 0;
}

int main(void)
{
    TEST_BEGIN();
    arena_init(&arena);
    begin();
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_FORCE_SIZE, ZYAN_TRUE);
    for (unsigned r = 0; r < 16; r++) {
        Gpr d = {(uint8_t)r};
        test_alu(d);
        test_mov(d);
        test_extend(d);
        test_bits(d);
        test_cc(d);
        test_rm("mov", mov_rr, W32, d);
        test_rm("imul", x64_imul, W32, d);
        test_rm("popcnt", x64_popcnt, W16, d);
        test_rm("lzcnt", x64_lzcnt, W16, d);
        test_rm("tzcnt", x64_tzcnt, W16, d);
    }
    report("one and two operands");
    for (unsigned r = 0; r < 256; r++)
        test_bmi((Gpr){(uint8_t)(r & 15)}, (Gpr){(uint8_t)(r >> 4)});
    report("bit manipulation");
    test_control();
    report("control");
    arena_done(&arena);
    return TEST_END();
}
