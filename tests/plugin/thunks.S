// Calls and jumps by thunks, as compilers make them against speculation: code that the translator takes for one branch, and that
// tools must see as the instructions that it is. No C library, so that a debugger can step through all of it.
    .text
    .global _start
_start:
    mov x19, #400
    mov x20, #0
1:  and x1, x19, #3
    adr x2, targets
    ldr x1, [x2, x1, lsl #3]
    bl plain
    bl call
    adr x1, target0
    adr x30, 2f
    b call
2:  subs x19, x19, #1
    b.ne 1b
    and x0, x20, #63
    mov x8, #94
    svc #0

plain:
    mov x16, x1
    br x16
    dsb sy
    isb

call:
    mov x17, x30
    bl 2f
1:  wfe
    b 1b
2:  mov x30, x17
    ret x1

target0:
    add x20, x20, #1
    ret
target1:
    add x20, x20, #2
    b target0
target2:
    str x20, [sp, #-16]!
    ldr x20, [sp], #16
    ret
target3:
    cbz x20, target2
    add x20, x20, #4
    ret

    .balign 8
targets:
    .quad target0, target1, target2, target3
