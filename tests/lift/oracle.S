/* oracle_run(x0: case, x1: code). x28 holds the case meanwhile: tested code touches x0 to x15, V registers and flags. */
    .globl oracle_run
    .type oracle_run, %function
oracle_run:
    stp x29, x30, [sp, #-160]!
    stp x19, x20, [sp, #16]
    stp x21, x22, [sp, #32]
    stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]
    stp x27, x28, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x28, x0
    mov x17, x1
    ldp w0, w1, [x28, #4]
    msr fpcr, x0
    msr fpsr, x1
    ldr w0, [x28, #12]
    msr nzcv, x0
    add x16, x28, #144
    ldp q0, q1, [x16, #0]
    ldp q2, q3, [x16, #32]
    ldp q4, q5, [x16, #64]
    ldp q6, q7, [x16, #96]
    ldp q8, q9, [x16, #128]
    ldp q10, q11, [x16, #160]
    ldp q12, q13, [x16, #192]
    ldp q14, q15, [x16, #224]
    ldp q16, q17, [x16, #256]
    ldp q18, q19, [x16, #288]
    ldp q20, q21, [x16, #320]
    ldp q22, q23, [x16, #352]
    ldp q24, q25, [x16, #384]
    ldp q26, q27, [x16, #416]
    ldp q28, q29, [x16, #448]
    ldp q30, q31, [x16, #480]
    ldp x0, x1, [x28, #16]
    ldp x2, x3, [x28, #32]
    ldp x4, x5, [x28, #48]
    ldp x6, x7, [x28, #64]
    ldp x8, x9, [x28, #80]
    ldp x10, x11, [x28, #96]
    ldp x12, x13, [x28, #112]
    ldp x14, x15, [x28, #128]
    blr x17
    stp x0, x1, [x28, #16]
    stp x2, x3, [x28, #32]
    stp x4, x5, [x28, #48]
    stp x6, x7, [x28, #64]
    stp x8, x9, [x28, #80]
    stp x10, x11, [x28, #96]
    stp x12, x13, [x28, #112]
    stp x14, x15, [x28, #128]
    mrs x0, fpcr
    mrs x1, fpsr
    stp w0, w1, [x28, #4]
    mrs x0, nzcv
    str w0, [x28, #12]
    msr fpcr, xzr
    add x16, x28, #144
    stp q0, q1, [x16, #0]
    stp q2, q3, [x16, #32]
    stp q4, q5, [x16, #64]
    stp q6, q7, [x16, #96]
    stp q8, q9, [x16, #128]
    stp q10, q11, [x16, #160]
    stp q12, q13, [x16, #192]
    stp q14, q15, [x16, #224]
    stp q16, q17, [x16, #256]
    stp q18, q19, [x16, #288]
    stp q20, q21, [x16, #320]
    stp q22, q23, [x16, #352]
    stp q24, q25, [x16, #384]
    stp q26, q27, [x16, #416]
    stp q28, q29, [x16, #448]
    stp q30, q31, [x16, #480]
    ldp x19, x20, [sp, #16]
    ldp x21, x22, [sp, #32]
    ldp x23, x24, [sp, #48]
    ldp x25, x26, [sp, #64]
    ldp x27, x28, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    ldp x29, x30, [sp], #160
    ret
    .section .note.GNU-stack, "", %progbits
