#include "user/mm_room.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNCOUNTED 8192u /* calls before the first count */
#define USUAL_LIMIT 65530u

/* Without allocating. 0 when the file cannot be read. */
static unsigned count_maps(void)
{
    char buf[4096];
    unsigned lines = 0;
    ssize_t n;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    while ((n = read(fd, buf, sizeof buf)) > 0)
        for (const char *p = buf; (p = memchr(p, '\n', (size_t)(buf + n - p))); p++)
            lines++;
    close(fd);
    return lines;
}

static unsigned read_limit(void)
{
    char text[32] = "";
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return USUAL_LIMIT;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 ? (unsigned)strtoul(text, NULL, 10) : USUAL_LIMIT;
}

bool mm_room_for(MmRoom *r, unsigned keep)
{
    r->most += 2;
    if (r->limit ? r->most + keep < r->limit : r->most < UNCOUNTED)
        return true;
    r->limit = read_limit();
    r->most = count_maps() + 2;
    return r->most + keep < r->limit;
}
