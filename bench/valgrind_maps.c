/*
 * Lets the program run under valgrind, to count where the instructions of a translation go: it maps its code cache twice by
 * mremap with old size 0, which valgrind does not know. Here the same object is a memory file, mapped twice.
 *
 *   cc -O2 -shared -fPIC -o /tmp/maps.so bench/valgrind_maps.c
 *   LD_PRELOAD=/tmp/maps.so valgrind --tool=callgrind --smc-check=all build/dragoman run --cache=off -L SYSROOT PROGRAM
 *
 * Compare "translate_as" of callgrind_annotate --inclusive=yes, divided by the guest instructions that --stats counts.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_FILES 4096

static struct {
    void *at;
    int fd;
} file[MAX_FILES];
static int nfiles;

static void *map(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
    return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, off);
}

void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
    if (!(flags & MAP_SHARED) || !(flags & MAP_ANONYMOUS) || nfiles == MAX_FILES)
        return map(at, len, prot, flags, fd, off);
    fd = memfd_create("shared", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)len) != 0)
        return MAP_FAILED;
    file[nfiles].at = map(at, len, prot, flags & ~MAP_ANONYMOUS, fd, 0);
    file[nfiles].fd = fd;
    return file[nfiles++].at;
}

void *mmap64(void *at, size_t len, int prot, int flags, int fd, off_t off) __attribute__((alias("mmap")));

void *mremap(void *old, size_t old_len, size_t len, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    void *at = flags & MREMAP_FIXED ? va_arg(ap, void *) : NULL;
    va_end(ap);
    for (int i = nfiles; old_len == 0 && i-- > 0;)
        if (file[i].at == old)
            return map(at, len, PROT_READ | PROT_WRITE, MAP_SHARED | (at ? MAP_FIXED : 0), file[i].fd, 0);
    return (void *)syscall(SYS_mremap, old, old_len, len, flags, at);
}
