#include "user/elf.h"

#include "base/check.h"
#include "base/log.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_PHNUM 128 /* far more than any linker makes; bounds what a damaged file costs */

static const struct {
    uint16_t machine;
    const char *name;
} machines[] = {
    { EM_386, "i386" }, { EM_X86_64, "x86-64" }, { EM_ARM, "32-bit Arm" }, { EM_AARCH64, "AArch64" }, { EM_RISCV, "RISC-V" },
    { EM_PPC64, "PowerPC64" }, { EM_PPC, "PowerPC" }, { EM_S390, "S/390" }, { EM_MIPS, "MIPS" }, { EM_SPARCV9, "SPARC64" },
    { EM_LOONGARCH, "LoongArch" },
};

const char *elf_machine_name(uint16_t machine, char buf[32])
{
    for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++)
        if (machines[i].machine == machine)
            return machines[i].name;
    snprintf(buf, 32, "machine %u", machine);
    return buf;
}

/* Read exactly n bytes at off. */
static bool read_at(int fd, void *buf, size_t n, uint64_t off)
{
    char *p = buf;
    while (n > 0) {
        ssize_t got = off <= INT64_MAX ? pread(fd, p, n, (off_t)off) : 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        p += got;
        n -= (size_t)got;
        off += (uint64_t)got;
    }
    return true;
}

/* The file header of a 64-bit little-endian file whose identification has been checked. */
static bool read_header(int fd, const char *name, Elf64_Ehdr *eh, Status *st)
{
    if (!read_at(fd, eh, sizeof *eh, 0))
        return status_set(st, STATUS_NOT_RUN, "%s: truncated ELF file: no file header", name);
    if (eh->e_type != ET_EXEC && eh->e_type != ET_DYN)
        return status_set(st, STATUS_NOT_RUN, "%s: not a program: %s", name,
                          eh->e_type == ET_REL ? "an object file" : eh->e_type == ET_CORE ? "a core dump" : "damaged ELF file");
    if (eh->e_phentsize != sizeof(Elf64_Phdr) || eh->e_phnum == 0 || eh->e_phnum > MAX_PHNUM)
        return status_set(st, STATUS_NOT_RUN, "%s: damaged ELF file: bad program headers", name);
    return true;
}

static Elf64_Phdr *read_phdrs(int fd, const char *name, const Elf64_Ehdr *eh, Status *st)
{
    Elf64_Phdr *ph = calloc(eh->e_phnum, sizeof *ph);
    CHECK(ph != NULL);
    if (read_at(fd, ph, eh->e_phnum * sizeof *ph, eh->e_phoff))
        return ph;
    free(ph);
    status_set(st, STATUS_NOT_RUN, "%s: truncated ELF file: program headers are missing", name);
    return NULL;
}

static bool read_interp(int fd, const char *name, const Elf64_Ehdr *eh, ElfInfo *info, Status *st)
{
    Elf64_Phdr *ph = read_phdrs(fd, name, eh, st);
    if (!ph)
        return false;
    bool ok = true;
    for (unsigned i = 0; ok && i < eh->e_phnum; i++) {
        if (ph[i].p_type != PT_INTERP)
            continue;
        uint64_t n = ph[i].p_filesz;
        ok = n >= 2 && n <= sizeof info->interp && read_at(fd, info->interp, n, ph[i].p_offset) && info->interp[n - 1] == 0;
        if (!ok)
            status_set(st, STATUS_NOT_RUN, "%s: damaged ELF file: bad interpreter name", name);
        break;
    }
    free(ph);
    return ok;
}

bool elf_probe(int fd, const char *name, ElfInfo *info, Status *st)
{
    unsigned char id[20];
    memset(info, 0, sizeof *info);
    size_t want = sizeof id;
    while (want > 0 && !read_at(fd, id, want, 0))
        want--;
    if (want == 0)
        return status_set(st, STATUS_NOT_RUN, "%s: %s", name, lseek(fd, 0, SEEK_END) == 0 ? "empty file" : "cannot be read");
    if (want < 4 || memcmp(id, ELFMAG, 4) != 0)
        return status_set(st, STATUS_NOT_RUN, "%s: not an ELF file", name);
    if (want < sizeof id)
        return status_set(st, STATUS_NOT_RUN, "%s: truncated ELF file", name);
    if ((id[EI_CLASS] != ELFCLASS32 && id[EI_CLASS] != ELFCLASS64) || (id[EI_DATA] != ELFDATA2LSB && id[EI_DATA] != ELFDATA2MSB))
        return status_set(st, STATUS_NOT_RUN, "%s: damaged ELF file: bad identification", name);
    info->wide = id[EI_CLASS] == ELFCLASS64;
    info->little = id[EI_DATA] == ELFDATA2LSB;
    info->type = (uint16_t)(info->little ? id[16] | id[17] << 8 : id[17] | id[16] << 8);
    info->machine = (uint16_t)(info->little ? id[18] | id[19] << 8 : id[19] | id[18] << 8);
    info->guest = info->wide && info->little ? guest_by_elf(info->machine) : NULL;
    if (!info->wide || !info->little)
        return true;
    Elf64_Ehdr eh;
    return read_header(fd, name, &eh, st) && read_interp(fd, name, &eh, info, st);
}

/* --- mapping -------------------------------------------------------------------------------------------------------- */

typedef struct Loader {
    UserMm *mm;
    int fd;
    const char *name;
    Elf64_Ehdr eh;
    Elf64_Phdr *ph;
    uint64_t low, high;   /* extent of PT_LOAD, page-aligned, file addresses */
    ElfImage *img;
    Status *st;
} Loader;

static uint64_t page_down(uint64_t v)
{
    return v & ~(uint64_t)(MM_PAGE - 1);
}

static bool damaged(Loader *l, const char *what)
{
    return status_set(l->st, STATUS_NOT_RUN, "%s: damaged ELF file: %s", l->name, what);
}

/* Check every segment before anything is mapped. */
static bool check_segments(Loader *l)
{
    off_t size = lseek(l->fd, 0, SEEK_END);
    l->low = UINT64_MAX;
    for (unsigned i = 0; i < l->eh.e_phnum; i++) {
        const Elf64_Phdr *p = &l->ph[i];
        if (p->p_type != PT_LOAD || p->p_memsz == 0)
            continue;
        const uint64_t limit = UINT64_C(1) << 47;
        if (p->p_filesz > p->p_memsz || p->p_vaddr >= limit || p->p_memsz > limit || p->p_vaddr + p->p_memsz > limit)
            return damaged(l, "segment out of range");
        if ((p->p_vaddr & (MM_PAGE - 1)) != (p->p_offset & (MM_PAGE - 1)))
            return damaged(l, "segment not aligned");
        if (p->p_filesz && (p->p_offset > (uint64_t)size || p->p_filesz > (uint64_t)size - p->p_offset))
            return status_set(l->st, STATUS_NOT_RUN, "%s: truncated ELF file: segment %u ends beyond the file", l->name, i);
        if (page_down(p->p_vaddr) < l->low)
            l->low = page_down(p->p_vaddr);
        if (p->p_vaddr + p->p_memsz > l->high)
            l->high = page_down(p->p_vaddr + p->p_memsz + MM_PAGE - 1);
    }
    return l->low != UINT64_MAX || damaged(l, "nothing to load");
}

/* Choose the base and reserve the whole extent, so that segments land together. */
static bool reserve(Loader *l, bool main)
{
    uint64_t len = l->high - l->low, want = l->low;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    if (l->eh.e_type == ET_EXEC)
        flags |= MAP_FIXED_NOREPLACE;
    else if (main)
        want = mm_pie_base(l->mm, len);
    int64_t at = l->eh.e_type == ET_EXEC && want < MM_MIN_ADDR ? -EPERM : mm_map(l->mm, want, len, PROT_NONE, flags, -1, 0);
    if (at < 0)
        return status_set(l->st, STATUS_NOT_RUN, "%s: cannot be placed at 0x%llx: %s", l->name, (unsigned long long)want,
                          strerror((int)-at));
    l->img->base = (uint64_t)at - l->low;
    l->img->start = (uint64_t)at;
    l->img->end = (uint64_t)at + len;
    return true;
}

/* Zero from the end of the file's bytes to the end of their page (the guest's dynamic linker allocates in what is left of
 * it and relies on zeroes); more pages come from anonymous memory. */
static bool map_bss(Loader *l, const Elf64_Phdr *p, int prot)
{
    uint64_t from = l->img->base + p->p_vaddr + p->p_filesz, to = l->img->base + p->p_vaddr + p->p_memsz;
    uint64_t page = page_down(from + MM_PAGE - 1);
    if (p->p_filesz && from < page) {
        if (!(prot & PROT_WRITE))
            mm_protect(l->mm, page - MM_PAGE, MM_PAGE, prot | PROT_WRITE);
        memset((void *)(uintptr_t)from, 0, page - from);
        if (!(prot & PROT_WRITE))
            mm_protect(l->mm, page - MM_PAGE, MM_PAGE, prot);
    }
    if (!p->p_filesz)
        page = page_down(from);
    if (page >= to)
        return true;
    int64_t got = mm_map(l->mm, page, to - page, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    return got >= 0 || status_set(l->st, STATUS_HOST, "%s: no memory: %s", l->name, strerror((int)-got));
}

static bool map_segment(Loader *l, const Elf64_Phdr *p)
{
    ElfImage *img = l->img;
    int prot = (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) | (p->p_flags & PF_X ? PROT_EXEC : 0);
    uint64_t start = page_down(p->p_vaddr), skip = p->p_vaddr - start;
    if (p->p_filesz) {
        int64_t got = mm_map(l->mm, img->base + start, p->p_filesz + skip, prot, MAP_PRIVATE | MAP_FIXED, l->fd,
                             p->p_offset - skip);
        if (got < 0)
            return status_set(l->st, STATUS_NOT_RUN, "%s: cannot be mapped: %s", l->name, strerror((int)-got));
    }
    if (p->p_memsz > p->p_filesz && !map_bss(l, p, prot))
        return false;
    uint64_t a = img->base + p->p_vaddr, file_end = a + p->p_filesz, end = a + p->p_memsz;
    if (prot & PROT_EXEC) {
        if (!img->code_start || a < img->code_start)
            img->code_start = a;
        if (file_end > img->code_end)
            img->code_end = file_end;
    }
    if (a > img->data_start)
        img->data_start = a;
    if (file_end > img->data_end)
        img->data_end = file_end;
    if (end > img->brk)
        img->brk = end;
    if (l->eh.e_phoff >= p->p_offset && l->eh.e_phoff - p->p_offset + l->eh.e_phnum * sizeof(Elf64_Phdr) <= p->p_filesz)
        img->phdr = a + (l->eh.e_phoff - p->p_offset);
    return true;
}

/* PT_GNU_STACK, PT_GNU_PROPERTY. */
static void read_notes(Loader *l)
{
    for (unsigned i = 0; i < l->eh.e_phnum; i++) {
        const Elf64_Phdr *p = &l->ph[i];
        if (p->p_type == PT_GNU_STACK)
            l->img->exec_stack = (p->p_flags & PF_X) != 0;
        uint32_t note[8]; /* namesz, descsz, type, "GNU\0", property type, size, value: AArch64's comes first */
        if (p->p_type == PT_GNU_PROPERTY && p->p_filesz >= sizeof note - 4 && read_at(l->fd, note, sizeof note - 4, p->p_offset))
            l->img->bti = note[2] == 5 && note[4] == 0xc0000000 && (note[6] & 1);
    }
}

bool elf_load(UserMm *mm, int fd, const char *name, bool main, ElfImage *img, Status *st)
{
    Loader l = { .mm = mm, .fd = fd, .name = name, .img = img, .st = st };
    memset(img, 0, sizeof *img);
    if (!read_header(fd, name, &l.eh, st))
        return false;
    l.ph = read_phdrs(fd, name, &l.eh, st);
    if (!l.ph)
        return false;
    bool ok = check_segments(&l) && reserve(&l, main);
    for (unsigned i = 0; ok && i < l.eh.e_phnum; i++)
        if (l.ph[i].p_type == PT_LOAD && l.ph[i].p_memsz != 0)
            ok = map_segment(&l, &l.ph[i]);
    if (ok) {
        img->entry = img->base + l.eh.e_entry;
        img->phnum = l.eh.e_phnum;
        img->phent = l.eh.e_phentsize;
        read_notes(&l);
        if (log_on(LOG_LOAD))
            log_line("load: %s at 0x%llx, entry 0x%llx", name, (unsigned long long)img->base, (unsigned long long)img->entry);
    }
    free(l.ph);
    return ok;
}
