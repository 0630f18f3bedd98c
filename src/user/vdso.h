/* The vDSO images that scripts/gen_vdso.py makes. */
#ifndef USER_VDSO_H
#define USER_VDSO_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t vdso_aarch64[];
extern const size_t vdso_aarch64_size;
extern const uint64_t vdso_aarch64_sigreturn; /* offset of its signal return code */

#endif
