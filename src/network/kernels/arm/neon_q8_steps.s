// The steps of `neon_q8_tiles.s`, with its registers: one, two or four pairs of values of each pixel. The most frequent ones are in
// `neon_q8_order.s`.

// A pair of a pixel's values times the weights of 8 channels. `mull` begins sums, `mlal` adds to them.
.macro eight op, w, x, a, b
    s\op v\a\().8h, v\w\().8b, v\x\().8b
    s\op\()2 v\b\().8h, v\w\().16b, v\x\().16b
.endm
.macro weights a, b, at
    ldr q\a, [x8, #\at]
    ldr q\b, [x8, #\at + 16]
.endm
.macro next_a p
    ld2r {v0.8h, v1.8h}, [\p]
.endm
.macro next_b p
    ld2r {v2.8h, v3.8h}, [\p]
.endm
.macro next_kind
    ldrb w10, [x9]
    add x9, x9, #1
.endm

// Two pixels, a and b, times 16 channels. The weights of even pairs are in v4 and v5, those of odd pairs in v6 and v7.
.macro even_a op
    eight \op, 4, 0, 8, 9
    eight \op, 5, 0, 10, 11
.endm
.macro even_b op
    eight \op, 4, 2, 12, 13
    eight \op, 5, 2, 14, 15
.endm
.macro odd_a
    eight mlal, 6, 1, 8, 9
    eight mlal, 7, 1, 10, 11
.endm
.macro odd_b
    eight mlal, 6, 3, 12, 13
    eight mlal, 7, 3, 14, 15
.endm
.macro sums_a a, b, c, d
    sadalp v\a\().4s, v8.8h
    sadalp v\b\().4s, v9.8h
    sadalp v\c\().4s, v10.8h
    sadalp v\d\().4s, v11.8h
.endm
.macro sums_b a, b, c, d
    sadalp v\a\().4s, v12.8h
    sadalp v\b\().4s, v13.8h
    sadalp v\c\().4s, v14.8h
    sadalp v\d\().4s, v15.8h
.endm

// One or two pixels, at \p and \q, through a step of one or four pairs. After four come the pixels at \pn and \qn, and the weights at \w.
.macro single1 p, a, b, c, d
    even_a mull
    add \p, \p, #2
    sums_a \a, \b, \c, \d
.endm
.macro single2 p, q, a, b, c, d, e, f, g, h
    even_a mull
    even_b mull
    add \p, \p, #2
    add \q, \q, #2
    sums_a \a, \b, \c, \d
    sums_b \e, \f, \g, \h
.endm
.macro quad1 p, pn, w, a, b, c, d
    even_a mull
    add \p, \p, #4
    weights 4, 5, 64
    odd_a
    next_a \p
    weights 6, 7, 96
    even_a mlal
    add \p, \p, #4
    weights 4, 5, \w
    odd_a
    next_a \pn
    weights 6, 7, \w + 32
    sums_a \a, \b, \c, \d
.endm
.macro quad2 p, q, pn, qn, w, a, b, c, d, e, f, g, h
    even_a mull
    add \p, \p, #4
    add \q, \q, #4
    even_b mull
    weights 4, 5, 64
    odd_a
    next_a \p
    odd_b
    next_b \q
    weights 6, 7, 96
    even_a mlal
    add \p, \p, #4
    add \q, \q, #4
    even_b mlal
    weights 4, 5, \w
    odd_a
    next_a \pn
    odd_b
    next_b \qn
    weights 6, 7, \w + 32
    sums_a \a, \b, \c, \d
    sums_b \e, \f, \g, \h
.endm

// Steps of 1 to 4 pixels by 16 channels.
.macro single_16 pixels
    next_kind
    .if \pixels == 1
    single1 x0, 16, 17, 18, 19
    .else
    single2 x0, x1, 16, 17, 18, 19, 20, 21, 22, 23
    .endif
    .if \pixels == 3
    next_a x2
    single1 x2, 24, 25, 26, 27
    .elseif \pixels == 4
    next_a x2
    next_b x3
    single2 x2, x3, 24, 25, 26, 27, 28, 29, 30, 31
    .endif
    next_a x0
    .if \pixels > 1
    next_b x1
    .endif
    add x8, x8, #32
    weights 4, 5, 0
    weights 6, 7, 32
.endm
.macro double_16 pixels
    .if \pixels == 1
    next_kind
    even_a mull
    add x0, x0, #4
    weights 4, 5, 64
    odd_a
    next_a x0
    weights 6, 7, 96
    sums_a 16, 17, 18, 19
    add x8, x8, #64
    .else
    double_16x\pixels
    .endif
.endm
.macro quad_16 pixels
    .if \pixels == 4
    quad_16x4
    .else
    next_kind
    .if \pixels == 1
    quad1 x0, x0, 128, 16, 17, 18, 19
    .elseif \pixels == 2
    quad2 x0, x1, x0, x1, 128, 16, 17, 18, 19, 20, 21, 22, 23
    .else
    quad2 x0, x1, x2, x1, 0, 16, 17, 18, 19, 20, 21, 22, 23
    quad1 x2, x0, 128, 24, 25, 26, 27
    .endif
    add x8, x8, #128
    .endif
.endm
.macro start_16 pixels
    weights 4, 5, 0
    weights 6, 7, 32
.endm
.macro values_16 pixels
    next_a x0
    .if \pixels > 1
    next_b x1
    .endif
.endm

// 1 or 4 pixels by 8 channels. The weights of even pairs are in v4, those of odd pairs in v5; the values of two more pixels in v6, v7,
// v28 and v29.
.macro even_8 pixels, op
    eight \op, 4, 0, 8, 9
    .if \pixels > 1
    eight \op, 4, 2, 10, 11
    eight \op, 4, 6, 12, 13
    eight \op, 4, 28, 14, 15
    .endif
.endm
.macro odd_8 pixels
    eight mlal, 5, 1, 8, 9
    next_a x0
    .if \pixels > 1
    eight mlal, 5, 3, 10, 11
    next_b x1
    eight mlal, 5, 7, 12, 13
    ld2r {v6.8h, v7.8h}, [x2]
    eight mlal, 5, 29, 14, 15
    ld2r {v28.8h, v29.8h}, [x3]
    .endif
.endm
.macro on_8 pixels, bytes
    add x0, x0, #\bytes
    .if \pixels > 1
    add x1, x1, #\bytes
    add x2, x2, #\bytes
    add x3, x3, #\bytes
    .endif
.endm
.macro sums_8 pixels
    sadalp v16.4s, v8.8h
    sadalp v17.4s, v9.8h
    .if \pixels > 1
    sadalp v18.4s, v10.8h
    sadalp v19.4s, v11.8h
    sums_b 20, 21, 22, 23
    .endif
.endm
.macro values_8 pixels
    next_a x0
    .if \pixels > 1
    next_b x1
    ld2r {v6.8h, v7.8h}, [x2]
    ld2r {v28.8h, v29.8h}, [x3]
    .endif
.endm
.macro single_8 pixels
    next_kind
    even_8 \pixels, mull
    on_8 \pixels, 2
    sums_8 \pixels
    values_8 \pixels
    add x8, x8, #16
    weights 4, 5, 0
.endm
.macro double_8 pixels
    .if \pixels == 1
    next_kind
    even_8 1, mull
    add x0, x0, #4
    ldr q4, [x8, #32]
    odd_8 1
    ldr q5, [x8, #48]
    sums_8 1
    add x8, x8, #32
    .else
    double_8x4
    .endif
.endm
.macro quad_8 pixels
    next_kind
    even_8 \pixels, mull
    on_8 \pixels, 4
    ldr q4, [x8, #32]
    odd_8 \pixels
    ldr q5, [x8, #48]
    even_8 \pixels, mlal
    on_8 \pixels, 4
    ldr q4, [x8, #64]
    odd_8 \pixels
    ldr q5, [x8, #80]
    sums_8 \pixels
    add x8, x8, #64
.endm
.macro start_8 pixels
    weights 4, 5, 0
.endm
