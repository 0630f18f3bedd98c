// A loop that a timer interrupts, without a C library. Each tick executes 7 instructions more (5 of the handler, 2 that return), one
// of which reads and one writes; their number goes to stdout, 8 bytes. With an argument the timer stays off.
    .arch armv8-a
    .text
    .global _start
_start:
    ldr x19, [sp]
    mov x0, #14
    adr x1, action
    mov x2, #0
    mov x3, #8
    mov x8, #134 // rt_sigaction
    svc #0
    adr x1, interval
    adr x2, off
    cmp x19, #1
    csel x1, x1, x2, eq
    mov x0, #0
    mov x2, #0
    mov x8, #103 // setitimer
    svc #0
    adr x20, data
    ldr x21, rounds
1:  ldr x2, [x20]
    add x2, x2, x21
    str x2, [x20]
    subs x21, x21, #1
    b.ne 1b
    .global over
over:
    mov x0, #0
    adr x1, off
    mov x2, #0
    mov x8, #103
    svc #0
    mov x0, #1
    adr x1, ticks
    mov x2, #8
    mov x8, #64 // write
    svc #0
    mov x0, #0
    mov x8, #93 // exit
    svc #0

handler:
    adr x1, ticks
    ldr x2, [x1]
    add x2, x2, #1
    str x2, [x1]
    ret
back:
    mov x8, #139 // rt_sigreturn
    svc #0

    .balign 8
rounds:
    .quad 2000000
    .data
    .balign 16
action:
    .quad handler, 0x04000000, back, 0
interval:
    .quad 0, 400, 0, 400
off:
    .quad 0, 0, 0, 0
ticks:
    .quad 0
data:
    .quad 0
