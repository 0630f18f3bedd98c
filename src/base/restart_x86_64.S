/*
 * Accesses that take place only while a word is armed: see restart.h. Data here: restart_new copies it to where it is executed,
 * fills in the descriptors at its head and the signature before each abort label.
 *
 * rdi: the word; rsi: what is accessed; rdx: value, rcx: expected value, r8: where the old one goes. Nothing is kept on the stack;
 * rbx is kept in xmm1, so that one place serves every routine's fault.
 *
 * The kernel alone changes the word, and only between two instructions of this thread: no lock prefix.
 */
        .section .rodata
        .set    count, 0
        .macro  routine before, access, after
        .set    number, count
        .set    count, count + 1
        .p2align 4
.Lentry\@:
        movq    %rbx, %xmm1
        mov     (%rdi), %r9
        \before
        mov     %r9, %rax
        test    %rax, %rax
        jz      .Labort\@
        lea     restart_begin + 32 * number(%rip), %r10
        cmpxchg %r10, (%rdi)            /* from here on the kernel watches the descriptor of this routine */
.Lstart\@:
        jne     .Labort\@
        \access
.Lcommit\@:
        \after
        mov     %r10, %rax
        cmpxchg %r9, (%rdi)             /* armed as before, unless it has been cleared meanwhile */
        movq    %xmm1, %rbx
        xor     %eax, %eax
        ret
        .long   0
.Labort\@:
        movq    %xmm1, %rbx
        mov     $2, %eax
        ret
        .pushsection .rodata.restart_routines, "a"
        .long   .Lentry\@ - restart_begin, .Lstart\@ - restart_begin, .Lcommit\@ - restart_begin, .Labort\@ - restart_begin
        .popsection
        .endm

        .globl  restart_begin, restart_fail, restart_end, restart_routines, restart_routines_end
        .hidden restart_begin, restart_fail, restart_end, restart_routines, restart_routines_end
        .pushsection .rodata.restart_routines, "a"
        .p2align 2
restart_routines:
        .popsection

        .p2align 6
restart_begin:
        .fill   15 * 32, 1, 0
restart_fail:
        movq    %xmm1, %rbx
        mov     $1, %eax
        ret
        routine "", "movzbl (%rsi), %r11d", "mov %r11b, (%rdx)"
        routine "", "movzwl (%rsi), %r11d", "mov %r11w, (%rdx)"
        routine "", "mov (%rsi), %r11d", "mov %r11d, (%rdx)"
        routine "", "mov (%rsi), %r11", "mov %r11, (%rdx)"
        routine "", "movups (%rsi), %xmm0", "movups %xmm0, (%rdx)"
        routine "mov (%rdx), %r11b", "mov %r11b, (%rsi)", ""
        routine "mov (%rdx), %r11w", "mov %r11w, (%rsi)", ""
        routine "mov (%rdx), %r11d", "mov %r11d, (%rsi)", ""
        routine "mov (%rdx), %r11", "mov %r11, (%rsi)", ""
        routine "movups (%rdx), %xmm0", "movups %xmm0, (%rsi)", ""
        routine "mov (%rdx), %dl", "mov (%rcx), %al; lock cmpxchg %dl, (%rsi)", "mov %al, (%r8)"
        routine "mov (%rdx), %dx", "mov (%rcx), %ax; lock cmpxchg %dx, (%rsi)", "mov %ax, (%r8)"
        routine "mov (%rdx), %edx", "mov (%rcx), %eax; lock cmpxchg %edx, (%rsi)", "mov %eax, (%r8)"
        routine "mov (%rdx), %rdx", "mov (%rcx), %rax; lock cmpxchg %rdx, (%rsi)", "mov %rax, (%r8)"
        routine "mov (%rdx), %rbx; mov 8(%rdx), %r11", \
                "mov (%rcx), %rax; mov 8(%rcx), %rdx; mov %r11, %rcx; lock cmpxchg16b (%rsi)", \
                "mov %rax, (%r8); mov %rdx, 8(%r8)"
restart_end:
        .pushsection .rodata.restart_routines, "a"
restart_routines_end:
        .popsection
        .if     count - 15
        .error  "a descriptor for each routine"
        .endif

        .section .note.GNU-stack, "", @progbits
