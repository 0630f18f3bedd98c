/*
 * Damaged ELF files through the loader: headers read and checked, segments mapped, nothing run. What is accepted must be
 * consistent, and must lie where the guest's memory does.
 *
 *     fuzz_elf FIRST COUNT [FILE...]     cases FIRST to FIRST + COUNT - 1; FILE: programs to damage besides our own
 */
#include "fuzz.h"

#include "user/elf.h"
#include "user/mm.h"

#include <elf.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#define FILE_MAX (4u << 20)
#define MAX_SEEDS 16

typedef struct Bytes {
    uint8_t *data;
    size_t len;
} Bytes;

/* Our own program: what a linker makes, in a few pages. */
typedef struct Tiny {
    Elf64_Ehdr eh;
    Elf64_Phdr ph[6];
    char interp[32];
    uint32_t note[8];
    uint8_t text[512];
} Tiny;

static const uint64_t hostile[] = {
    0, 1, 2, 3, 4, 5, 7, 8, 0x3f, 0x40, 0xff, 0x100, 0xfff, 0x1000, 0x1001, 0x7fff, 0x8000, 0xffff, 0x10000, 0x400000,
    0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x2aaaaaaaa000, 0x3ffffffff000, 0x7fffffffe000, 0x7ffffffff000,
    0x7fffffffffff, 0x800000000000, 0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffff000, 0xffffffffffffffff,
};

static Bytes tiny(uint16_t type)
{
    uint64_t base = type == ET_EXEC ? 0x400000 : 0;
    Tiny *t = calloc(1, sizeof *t);
    if (!t)
        abort();
    t->eh = (Elf64_Ehdr){.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT}, .e_type = type,
                         .e_machine = EM_AARCH64, .e_version = 1, .e_entry = base + offsetof(Tiny, text),
                         .e_phoff = offsetof(Tiny, ph), .e_ehsize = sizeof t->eh, .e_phentsize = sizeof t->ph[0], .e_phnum = 6};
    t->ph[0] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = base, .p_filesz = sizeof *t,
                            .p_memsz = sizeof *t, .p_align = 4096};
    t->ph[1] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_offset = 64, .p_vaddr = base + 0x10000 + 64,
                            .p_filesz = 128, .p_memsz = 0x3000, .p_align = 4096};
    t->ph[2] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = base + 0x20000, .p_memsz = 0x2000};
    t->ph[3] = (Elf64_Phdr){.p_type = PT_INTERP, .p_flags = PF_R, .p_offset = offsetof(Tiny, interp),
                            .p_filesz = sizeof "/lib/ld.so"};
    t->ph[4] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W};
    t->ph[5] = (Elf64_Phdr){.p_type = PT_GNU_PROPERTY, .p_offset = offsetof(Tiny, note), .p_filesz = sizeof t->note};
    memcpy(t->interp, "/lib/ld.so", sizeof "/lib/ld.so");
    const uint32_t note[8] = {4, 16, 5, 0x554e47, 0xc0000000, 4, 3, 0};
    memcpy(t->note, note, sizeof note);
    return (Bytes){(uint8_t *)t, sizeof *t};
}

static Bytes read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    Bytes b = {malloc(FILE_MAX), 0};
    if (!f || !b.data) {
        fprintf(stderr, "fuzz_elf: cannot read %s\n", path);
        exit(2);
    }
    b.len = fread(b.data, 1, FILE_MAX, f);
    fclose(f);
    return b;
}

static void put(uint8_t *data, size_t len, size_t at, unsigned size, uint64_t v)
{
    for (unsigned k = 0; k < size && at + k < len; k++)
        data[at + k] = (uint8_t)(v >> 8 * k);
}

/* Somewhere in the headers, at a multiple of `size`. */
static size_t header_place(size_t len, unsigned size)
{
    size_t top = len < 64 + 56 * 8 ? len : 64 + 56 * 8;
    return top < size ? 0 : fuzz_below((uint32_t)(top / size)) * (size_t)size;
}

static void mutate(Bytes *b)
{
    static const unsigned sizes[] = {1, 2, 4, 8, 8, 8};
    unsigned size = sizes[fuzz_below(6)];
    size_t at = header_place(b->len, size);
    uint64_t v = hostile[fuzz_below(sizeof hostile / sizeof hostile[0])];

    if (b->len == 0)
        return;
    switch (fuzz_below(7)) {
    case 0: b->data[at] ^= (uint8_t)(1u << fuzz_below(8)); break;
    case 1: put(b->data, b->len, at, size, fuzz_next()); break;
    case 2: b->len = fuzz_below(fuzz_one_in(2) ? (uint32_t)b->len : 512) % b->len; break;
    case 3: put(b->data, b->len, at, size, v + fuzz_below(3) - 1); break;
    case 4: put(b->data, b->len, at, 8, fuzz_below((uint32_t)b->len + 4096)); break;
    case 5: { /* one program header over another */
        size_t from = 64 + 56 * fuzz_below(6), to = 64 + 56 * fuzz_below(6);
        if (from + 56 <= b->len && to + 56 <= b->len)
            memmove(b->data + to, b->data + from, 56);
        break;
    }
    default: put(b->data, b->len, at, size, v); break;
    }
}

static bool fail(const char *why)
{
    printf("# case %" PRIu64 ": %s\n", fuzz_case, why);
    return false;
}

static bool message_ok(const Status *st)
{
    return st->code != STATUS_OK && st->text[0] && !strchr(st->text, '\n');
}

/* A loaded image keeps its promises. */
static bool image_ok(UserMm *mm, const ElfImage *img)
{
    if (img->start >= img->end || img->start < MM_MIN_ADDR || img->end > UINT64_C(1) << 47)
        return fail("extent out of range");
    if (!mm_owned(mm, img->start, img->end - img->start))
        return fail("the extent is not all the guest's");
    if (img->brk < img->start || img->brk > img->end)
        return fail("the heap starts outside the program");
    if (img->phdr && (img->phdr < img->start || img->phdr + img->phnum * img->phent > img->end))
        return fail("the program headers lie outside the program");
    return img->code_start <= img->code_end || fail("code ends before it starts");
}

static bool one(const Bytes *seeds, unsigned nseeds, Nondet *n, uint64_t *accepted)
{
    const Bytes *seed = &seeds[fuzz_below(nseeds)];
    Bytes b = {malloc(seed->len + 1), seed->len};
    Status st = {0};
    ElfInfo info;
    ElfImage img;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    bool ok = true;

    if (!b.data || fd < 0)
        abort();
    memcpy(b.data, seed->data, b.len);
    for (unsigned k = 1 + fuzz_below(4); k > 0; k--)
        mutate(&b);
    if (write(fd, b.data, b.len) != (ssize_t)b.len)
        abort();
    UserMm *mm = mm_new(n, &st);
    if (!mm) {
        ok = fail(st.text);
    } else if (!elf_probe(fd, "file", &info, &st)) {
        ok = message_ok(&st) || fail("refused without a message");
    } else if (!memchr(info.interp, 0, sizeof info.interp)) {
        ok = fail("the interpreter's name has no end");
    } else if (info.guest) {
        bool loaded = elf_load(mm, fd, "file", fuzz_one_in(2), &img, &st);
        *accepted += loaded;
        ok = loaded ? image_ok(mm, &img) : message_ok(&st) || fail("refused without a message");
    }
    mm_free(mm);
    close(fd);
    free(b.data);
    return ok;
}

int main(int argc, char **argv)
{
    Bytes seeds[MAX_SEEDS] = {tiny(ET_EXEC), tiny(ET_DYN)};
    unsigned nseeds = 2;
    uint64_t accepted = 0;
    bool ok = true;

    if (argc < 3 || argc > MAX_SEEDS) {
        fprintf(stderr, "usage: fuzz_elf FIRST COUNT [FILE...]\n");
        return 2;
    }
    for (int i = 3; i < argc; i++)
        seeds[nseeds++] = read_file(argv[i]);
    uint64_t first = strtoull(argv[1], NULL, 0), count = strtoull(argv[2], NULL, 0);
    if (getenv("LONG"))
        count *= 50;
    fuzz_init();
    Nondet *n = nondet_live();
    for (uint64_t k = first; ok && k < first + count; k++) {
        fuzz_start(k);
        ok = one(seeds, nseeds, n, &accepted);
    }
    printf("1..1\n%sok 1 - %" PRIu64 " damaged ELF files, %" PRIu64 " of which can still be loaded\n", ok ? "" : "not ", count,
           accepted);
    while (nseeds > 0)
        free(seeds[--nseeds].data);
    return !ok;
}
