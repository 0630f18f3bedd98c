/*
 * How many more mappings the process may have. The kernel bounds them (vm.max_map_count), the guest's and Dragoman's own together,
 * and without a new one Dragoman cannot so much as allocate: the guest is told that there are no more while some are left. No
 * locking: it is mm.c's.
 */
#ifndef USER_MM_ROOM_H
#define USER_MM_ROOM_H

#include <stdbool.h>

typedef struct MmRoom {
    unsigned most;  /* mappings that there may be by now; counted when that is near the limit */
    unsigned limit; /* 0: not asked for yet */
} MmRoom;

/* How many are left for Dragoman by a call that makes mappings; and by one that may split them, which giving back may need. */
enum { MM_ROOM_NEW = 2048, MM_ROOM_SPLIT = 1024 };

/* Whether a call may go ahead that makes at most two mappings more, and leaves `keep`. */
bool mm_room_for(MmRoom *r, unsigned keep);

#endif
