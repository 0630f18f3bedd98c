/*
 * The ELF loader against damaged files: a good one, with bytes changed, cut short, or fields set to extreme values, must
 * load or be refused with a message; never crash, never map anything outside the guest's address space.
 * LONG=1 in the environment runs a hundred times as many cases.
 */
#include "test.h"

#include "replay/nondet.h"
#include "user/elf.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SIZE = 0x3000 };

static uint8_t good[SIZE], file[SIZE];
static uint64_t seed = 88172645463325252u;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static void make_good(void)
{
    Elf64_Ehdr *eh = (Elf64_Ehdr *)good;
    Elf64_Phdr *ph = (Elf64_Phdr *)(good + sizeof *eh);
    memcpy(eh->e_ident, ELFMAG "\2\1\1", 7);
    eh->e_type = ET_DYN;
    eh->e_machine = EM_AARCH64;
    eh->e_version = 1;
    eh->e_entry = 0x200;
    eh->e_phoff = sizeof *eh;
    eh->e_phentsize = sizeof *ph;
    eh->e_phnum = 5;
    ph[0] = (Elf64_Phdr){ PT_LOAD, PF_R | PF_X, 0, 0, 0, 0x1000, 0x1000, 0x1000 };
    ph[1] = (Elf64_Phdr){ PT_LOAD, PF_R | PF_W, 0x1800, 0x2800, 0x2800, 0x900, 0x3000, 0x1000 };
    ph[2] = (Elf64_Phdr){ PT_INTERP, PF_R, 0x400, 0x400, 0x400, 27, 27, 1 };
    ph[3] = (Elf64_Phdr){ PT_GNU_STACK, PF_R | PF_W };
    ph[4] = (Elf64_Phdr){ PT_GNU_PROPERTY, PF_R, 0x500, 0x500, 0x500, 32, 32, 8 };
    memcpy(good + 0x400, "/lib/ld-linux-aarch64.so.1", 27);
}

/* Values that sit at the edges of what a field can hold. */
static uint64_t edge(void)
{
    static const uint64_t edges[] = { 0, 1, 0xfff, 0x1000, 0x7fffffff, 0xffffffff, UINT64_C(1) << 47, UINT64_MAX, UINT64_MAX - 0xfff,
                                      INT64_MAX, UINT64_C(0x8000000000000000), SIZE, SIZE - 1 };
    return edges[rnd() % (sizeof edges / sizeof edges[0])];
}

static size_t damage(void)
{
    memcpy(file, good, SIZE);
    size_t size = SIZE;
    for (unsigned n = 1 + rnd() % 4; n > 0; n--) {
        size_t head = sizeof(Elf64_Ehdr) + 5 * sizeof(Elf64_Phdr);
        uint64_t v = edge();
        switch (rnd() % 4) {
        case 0:
            file[rnd() % head] = (uint8_t)rnd();
            break;
        case 1:
            memcpy(file + (rnd() % (head / 8)) * 8, &v, 8);
            break;
        case 2:
            memcpy(file + (rnd() % (head / 2)) * 2, &v, 2);
            break;
        default:
            size = rnd() % SIZE;
        }
    }
    return size;
}

static void inside(void *ctx, const MmRange *r)
{
    bool *ok = ctx;
    *ok &= r->start >= MM_MIN_ADDR && r->end <= UINT64_C(1) << 47 && r->start < r->end;
}

typedef struct Ranges {
    MmRange r[64];
    unsigned n;
} Ranges;

static void collect(void *ctx, const MmRange *r)
{
    Ranges *a = ctx;
    if (a->n < 64)
        a->r[a->n++] = *r;
}

/* Returns false when the loader broke its promises. */
static bool try_file(UserMm *mm, int fd, size_t size, unsigned *loaded)
{
    ElfInfo info;
    ElfImage img;
    Status st = { 0 };
    bool ok = true;
    if (ftruncate(fd, 0) != 0 || pwrite(fd, file, size, 0) != (ssize_t)size)
        return false;
    if (elf_probe(fd, "file", &info, &st) && info.wide && info.little && elf_load(mm, fd, "file", rnd() & 1, &img, &st))
        ++*loaded;
    else
        ok = st.code != STATUS_OK ? st.text[0] && !strchr(st.text, '\n') : !info.wide || !info.little;
    mm_each(mm, inside, &ok);
    Ranges all = { .n = 0 };
    mm_each(mm, collect, &all);
    for (unsigned i = 0; i < all.n; i++)
        ok &= mm_unmap(mm, all.r[i].start, all.r[i].end - all.r[i].start) == 0;
    return ok;
}

int main(void)
{
    TEST_BEGIN();
    Status st = { 0 };
    UserMm *mm = mm_new(nondet_live(), &st);
    int fd = memfd_create("elf", MFD_CLOEXEC);
    unsigned loaded = 0, cases = getenv("LONG") ? 2000000 : 20000;
    make_good();
    memcpy(file, good, SIZE);
    TEST("the good file loads", mm && try_file(mm, fd, SIZE, &loaded) && loaded == 1);
    bool ok = true;
    for (unsigned i = 0; ok && i < cases; i++)
        ok = try_file(mm, fd, damage(), &loaded);
    TEST("damaged files load or are refused with a line", ok);
    TEST("some do, not all", loaded > cases / 100 && loaded < cases);
    mm_free(mm);
    return TEST_END();
}
