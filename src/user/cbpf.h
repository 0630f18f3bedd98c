/*
 * Classic BPF, as seccomp filters use it: a program of 8-byte instructions looks at 64 bytes of input (struct seccomp_data)
 * with an accumulator, an index register and 16 words of scratch memory, jumps forwards only, and returns one word.
 * Knows nothing of system calls: user/seccomp.c does.
 */
#ifndef USER_CBPF_H
#define USER_CBPF_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CBPF_MAX_INSNS 4096u /* of one program, as the kernel's BPF_MAXINSNS */

/*
 * Whether the kernel would take the program for a seccomp filter whose input has `size` bytes: known instructions, aligned
 * loads inside the input, jumps inside the program, scratch words written before they are read, a return at the end.
 *   n  1..CBPF_MAX_INSNS
 */
bool cbpf_valid(const struct sock_filter *p, size_t n, size_t size);

/* Run a valid program; the input is in host byte order, 4-byte aligned. A division by zero returns 0. */
uint32_t cbpf_run(const struct sock_filter *p, const void *input, uint32_t size);

#endif
