/*
 * Memory accesses that may fault: see safe.h. Leaf routines that keep nothing on the stack, so that a handler may send
 * them to their failure label from any instruction in the range.
 */
        .text
        .macro  entry name
        .p2align 4
        .globl  \name
        .hidden \name
        .type   \name, @function
\name:
        .endm
        .macro  label name
        .globl  \name
        .hidden \name
\name:
        .endm

label safe_word_begin
entry safe_load1
        movzbl  (%rdi), %eax
        mov     %al, (%rsi)
        xor     %eax, %eax
        ret
entry safe_load2
        movzwl  (%rdi), %eax
        mov     %ax, (%rsi)
        xor     %eax, %eax
        ret
entry safe_load4
        mov     (%rdi), %eax
        mov     %eax, (%rsi)
        xor     %eax, %eax
        ret
entry safe_load8
        mov     (%rdi), %rax
        mov     %rax, (%rsi)
        xor     %eax, %eax
        ret
entry safe_load16
        movups  (%rdi), %xmm0
        movups  %xmm0, (%rsi)
        xor     %eax, %eax
        ret
entry safe_store1
        mov     (%rsi), %al
        mov     %al, (%rdi)
        xor     %eax, %eax
        ret
entry safe_store2
        mov     (%rsi), %ax
        mov     %ax, (%rdi)
        xor     %eax, %eax
        ret
entry safe_store4
        mov     (%rsi), %eax
        mov     %eax, (%rdi)
        xor     %eax, %eax
        ret
entry safe_store8
        mov     (%rsi), %rax
        mov     %rax, (%rdi)
        xor     %eax, %eax
        ret
entry safe_store16
        movups  (%rsi), %xmm0
        movups  %xmm0, (%rdi)
        xor     %eax, %eax
        ret
entry safe_cas1
        mov     %rdx, %r8
        mov     (%rsi), %al
        mov     (%r8), %dl
        lock cmpxchg %dl, (%rdi)
        mov     %al, (%rcx)
        xor     %eax, %eax
        ret
entry safe_cas2
        mov     %rdx, %r8
        mov     (%rsi), %ax
        mov     (%r8), %dx
        lock cmpxchg %dx, (%rdi)
        mov     %ax, (%rcx)
        xor     %eax, %eax
        ret
entry safe_cas4
        mov     %rdx, %r8
        mov     (%rsi), %eax
        mov     (%r8), %edx
        lock cmpxchg %edx, (%rdi)
        mov     %eax, (%rcx)
        xor     %eax, %eax
        ret
entry safe_cas8
        mov     %rdx, %r8
        mov     (%rsi), %rax
        mov     (%r8), %rdx
        lock cmpxchg %rdx, (%rdi)
        mov     %rax, (%rcx)
        xor     %eax, %eax
        ret
label safe_word_end
label safe_word_fail
        mov     $1, %eax
        ret

/* rbx belongs to the caller: kept in r10 while cmpxchg16b needs it. */
entry safe_cas16
        mov     %rbx, %r10
        mov     %rdx, %r8
        mov     %rcx, %r9
        mov     (%rsi), %rax
        mov     8(%rsi), %rdx
        mov     (%r8), %rbx
        mov     8(%r8), %rcx
label safe_cas16_begin
        lock cmpxchg16b (%rdi)
label safe_cas16_end
        mov     %r10, %rbx
        mov     %rax, (%r9)
        mov     %rdx, 8(%r9)
        xor     %eax, %eax
        ret
label safe_cas16_fail
        mov     %r10, %rbx
        mov     $1, %eax
        ret

/* A string instruction that faults leaves in rcx the count that is still to do. */
label safe_bulk_begin
entry safe_copy
        mov     %rdx, %rcx
        rep movsb
        mov     %rcx, %rax
        ret
entry safe_fill
        mov     %rdx, %rcx
        mov     %esi, %eax
        rep stosb
        mov     %rcx, %rax
        ret
entry safe_copy_down
        mov     %rdx, %rcx
        lea     -1(%rdi,%rdx), %rdi
        lea     -1(%rsi,%rdx), %rsi
        std
        rep movsb
        cld
        mov     %rcx, %rax
        ret
label safe_bulk_end
label safe_bulk_fail
        cld
        mov     %rcx, %rax
        ret

        .section .note.GNU-stack, "", @progbits
