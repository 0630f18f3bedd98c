// The smallest program: no library, one message, an exit status from a loop and a call.
        .globl  _start
_start: mov     x0, #1
        adr     x1, text
        mov     x2, #(end - text)
        mov     x8, #64
        svc     #0
        mov     x19, #0
        mov     x20, #10
1:      mov     x0, x20
        bl      twice
        add     x19, x19, x0
        subs    x20, x20, #1
        b.ne    1b
        cmp     x19, #110
        cset    w0, ne
        mov     x8, #94
        svc     #0
twice:  add     x0, x0, x0
        ret
text:   .ascii  "hello from arm64\n"
end:
