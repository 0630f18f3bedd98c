// A guest program without a C library, so that another emulator runs exactly the same instructions: loops, calls, pairs,
// atomics, vectors, conditional code, a jump through a table.
    .arch armv8.1-a
    .text
    .global _start
_start:
    adr x20, data
    mov x19, #300
1:  mov x0, x19
    bl work
    and x1, x0, #3
    adr x2, table
    ldrsw x3, [x2, x1, lsl #2]
    add x2, x2, x3
    br x2
case0:
    ldp x4, x5, [x20], #16
    stp x5, x4, [x20, #-16]!
    b 2f
case1:
    ldadd x19, x4, [x20]
    b 2f
case2:
3:  ldxr w4, [x20]
    add w4, w4, #1
    stxr w5, w4, [x20]
    cbnz w5, 3b
    b 2f
case3:
    ld1 {v0.16b, v1.16b}, [x20]
    add v0.4s, v0.4s, v1.4s
    st1 {v0.16b}, [x20]
2:  subs x19, x19, #1
    b.ne 1b
    mov x0, #0
    mov x8, #94
    svc #0

work:
    stp x29, x30, [sp, #-16]!
    mov x1, #0
4:  tst x0, #1
    csel x2, x0, xzr, ne
    add x1, x1, x2
    tbz x0, #2, 5f
    add x1, x1, #7
5:  lsr x0, x0, #1
    b 6f // does nothing, and ends a block
6:  nop
    cbnz x0, 4b
    mov x0, x1
    ldp x29, x30, [sp], #16
    ret

    .balign 4
table:
    .word case0 - table, case1 - table, case2 - table, case3 - table
    .data
    .balign 16
data:
    .skip 64
