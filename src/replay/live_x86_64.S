/*
 * long live_call(const volatile uint32_t *stop, long nr, const uint64_t arg[6])
 *
 * A host system call that a signal handler can tell from its pc: before live_call_insn nothing has happened yet; at it
 * with rcx = 0 neither; at it with rcx set (the processor puts the return address there on entry) the kernel has been in
 * and has backed up to restart. live_call_stop and live_call_end are where the handler sends it.
 */
        .text
        .globl  live_call, live_call_begin, live_call_insn, live_call_end, live_call_stop
        .hidden live_call, live_call_begin, live_call_insn, live_call_end, live_call_stop
        .type   live_call, @function
live_call:
        mov     %rdi, %r11
        mov     %rsi, %rax
        mov     %rdx, %rcx
        mov     (%rcx), %rdi
        mov     8(%rcx), %rsi
        mov     16(%rcx), %rdx
        mov     24(%rcx), %r10
        mov     32(%rcx), %r8
        mov     40(%rcx), %r9
        xor     %ecx, %ecx
live_call_begin:
        cmpl    $0, (%r11)
        jne     live_call_stop
live_call_insn:
        syscall
live_call_end:
        ret
live_call_stop:
        mov     $-5001, %rax
        ret
        .size   live_call, . - live_call
        .section .note.GNU-stack, "", @progbits
