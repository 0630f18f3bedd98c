/* Each form of access, for what plugins for QEMU are told of it: there they are 68 instructions, 124 loads and 56 stores (10.0.2). */
.arch armv8.5-a+crypto+sve
.globl _start
.bss
.balign 64
buf: .skip 4096
.text
_start:
 adrp x1, buf
 add x1, x1, :lo12:buf
 mov x2, #5
 ldr x0,[x1]
 ldr w0,[x1,#4]
 ldrb w0,[x1,#1]
 ldrsh x0,[x1,#2]
 ldrsw x0,[x1,#4]
 ldr q0,[x1,#16]
 ldr d0,[x1,#16]
 ldr s0,[x1,#16]
 ldr h0,[x1,#16]
 ldr b0,[x1,#16]
 str x0,[x1],#8
 str q0,[x1,#24]!
 ldp x3,x4,[x1]
 ldp w3,w4,[x1]
 ldpsw x3,x4,[x1]
 stp x3,x4,[x1,#16]!
 stp w3,w4,[x1,#16]
 ldp q1,q2,[x1]
 stp q1,q2,[x1,#32]
 ldp d1,d2,[x1]
 ldp s1,s2,[x1]
 stp d1,d2,[x1]
 ldnp x3,x4,[x1]
 ld1 {v0.16b},[x1]
 ld1 {v0.8b},[x1]
 ld1 {v0.16b,v1.16b},[x1]
 ld1 {v0.4s,v1.4s,v2.4s,v3.4s},[x1]
 st1 {v0.16b,v1.16b},[x1]
 ld2 {v0.4s,v1.4s},[x1]
 st2 {v0.8h,v1.8h},[x1]
 ld3 {v0.16b,v1.16b,v2.16b},[x1]
 ld4 {v0.2d,v1.2d,v2.2d,v3.2d},[x1]
 st4 {v0.4s,v1.4s,v2.4s,v3.4s},[x1]
 ld1 {v0.s}[1],[x1]
 st1 {v0.d}[1],[x1]
 ld2 {v0.h,v1.h}[3],[x1]
 ld1r {v0.4s},[x1]
 ld2r {v0.4s,v1.4s},[x1]
 ldar x0,[x1]
 stlr x0,[x1]
 ldapr x0,[x1]
 ldxr x0,[x1]
 stxr w5,x0,[x1]
 ldxp x3,x4,[x1]
 stxp w5,x3,x4,[x1]
 ldaxr w0,[x1]
 stlxr w5,w0,[x1]
 ldadd x2,x3,[x1]
 stadd x2,[x1]
 swp x2,x3,[x1]
 cas x2,x3,[x1]
 casp x2,x3,x4,x5,[x1]
 ldclralb w2,w3,[x1]
 prfm pldl1keep,[x1]
 dc zva, x1
 dc cvac, x1
 ldr x0, lit
 ldrsw x0, lit
 ldtr x0,[x1]
 ldur x0,[x1,#3]
 stur q0,[x1,#5]
 ldp x3,x4,[x1,#8]
 mov x0,#0
 mov x8,#93
 svc #0
.balign 8
lit: .quad 1
