/* Requests of ioctl, as spec/ioctls.tbl lists them: read by sys_ioctl and by --strace. */
#ifndef USER_IOCTLS_H
#define USER_IOCTLS_H

#include <stddef.h>
#include <stdint.h>

/* What the third argument is. */
typedef enum IoctlArg { IOA_NONE, IOA_INT, IOA_PTR, IOA_IN, IOA_OUT, IOA_IO } IoctlArg;

typedef struct IoctlDesc {
    uint32_t request;
    uint16_t size;       /* bytes that an IOA_IN, OUT or IO argument points to */
    uint8_t arg;         /* IoctlArg */
    const char *name;    /* NULL: none is known */
} IoctlDesc;

/* All requests of a type (bits 8..15) that are refused. */
typedef struct IoctlRefusal {
    uint8_t type;
    const char *name;
} IoctlRefusal;

extern const IoctlDesc ioctl_table[]; /* sorted by request */
extern const size_t ioctl_count;
extern const IoctlRefusal ioctl_refusals[];
extern const size_t ioctl_nrefusals;

/* What is known of a request; of one that is not in the table, what its number says. */
IoctlDesc ioctl_describe(uint32_t request);

#endif
