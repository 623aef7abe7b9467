// The tiles of `neon_q8`, see there; `neon_q8_tiles.rs` calls them. A tile's sums stay in registers from its biases to its bytes. The
// order of the instructions is for CPUs that keep to it (Cortex-A53, A55): between an instruction and the next that needs its result
// are at least five others, and loads are spread among products, early enough for their use. Other CPUs find their own order.
//
// x0-x3    the pixels' next values                v0-v3    values of two pixels, each pair of them in all lanes
// x4, x5   the tile's first pixel, their pitch    v4-v7    weights
// x6, x7   their output, its pitch                v8-v15   sums of products in 16 bits
// x8       weights                                v16-v31  sums in 32 bits
// x9, x10  kinds of the steps to come, the next one
// x11, x12 runs left, offsets of the next ones
// x13, x14 panel, its weights
// x15      tiles left
// x16, x17 for a moment
// x20-x24  of the call: kinds, runs, offsets, limits, bytes from one tile's first pixel to the next one's

// The end of a tile, four vectors of sums at a time (a pixel by 16 channels or two by 8), woven with the loads for the next tile.
.macro convert a, b, c, d, t
    scvtf v\a\().4s, v\a\().4s
    scvtf v\b\().4s, v\b\().4s
    scvtf v\c\().4s, v\c\().4s
    scvtf v\d\().4s, v\d\().4s
.endm
.macro scale a, b, c, d, t
    fmul v\a\().4s, v\a\().4s, v8.4s
    fmul v\b\().4s, v\b\().4s, v9.4s
    fmul v\c\().4s, v\c\().4s, v10.4s
    fmul v\d\().4s, v\d\().4s, v11.4s
.endm
.macro round a, b, c, d, t
    fcvtns v\a\().4s, v\a\().4s
    fcvtns v\b\().4s, v\b\().4s
    fcvtns v\c\().4s, v\c\().4s
    fcvtns v\d\().4s, v\d\().4s
.endm
.macro narrow a, b, c, d, t
    sqxtn v\a\().4h, v\a\().4s
    sqxtn v\c\().4h, v\c\().4s
.endm
.macro narrow2 a, b, c, d, t
    sqxtn2 v\a\().8h, v\b\().4s
    sqxtn2 v\c\().8h, v\d\().4s
.endm
// Zero point -128, and an upper limit.
.macro bytes_upper a, b, c, d, t
    sqxtun v\t\().8b, v\a\().8h
.endm
.macro bytes2_upper a, b, c, d, t
    sqxtun2 v\t\().16b, v\c\().8h
.endm
.macro flip a, b, c, d, t
    eor v\t\().16b, v\t\().16b, v13.16b
.endm
// Any zero point and limits.
.macro zero a, b, c, d, t
    sqadd v\a\().8h, v\a\().8h, v14.8h
    sqadd v\c\().8h, v\c\().8h, v14.8h
.endm
.macro bytes_any a, b, c, d, t
    sqxtn v\t\().8b, v\a\().8h
.endm
.macro bytes2_any a, b, c, d, t
    sqxtn2 v\t\().16b, v\c\().8h
.endm
.macro lower a, b, c, d, t
    smax v\t\().16b, v\t\().16b, v13.16b
.endm
.macro upper a, b, c, d, t
    smin v\t\().16b, v\t\().16b, v12.16b
.endm
// \op for each four of \count, with loads after each.
.macro each count, op, one, two, three, four
    \op 16, 17, 18, 19, 8
    \one
    .if \count > 1
    \op 20, 21, 22, 23, 9
    .endif
    \two
    .if \count > 2
    \op 24, 25, 26, 27, 10
    .endif
    \three
    .if \count > 3
    \op 28, 29, 30, 31, 11
    .endif
    \four
.endm
// \s is the bytes from the first two vectors of a panel's biases, or multipliers, to the next two: 0 if these are the same.
.macro multipliers s
    ldr q8, [x13, #32 + \s]
    ldr q9, [x13, #48 + \s]
.endm
.macro multipliers2 s
    ldr q10, [x13, #32 + 2 * \s]
    ldr q11, [x13, #48 + 2 * \s]
.endm
.macro biases a, b, s
    ldr q\a, [x13]
    ldr q\b, [x13, #\s]
.endm
.macro biases2 count, at, a, b, s
    .if \count > \at
    ldr q\a, [x13, #16]
    ldr q\b, [x13, #16 + \s]
    .endif
.endm
.macro next_tile
    subs x15, x15, #1
    ldr x17, [x22]
    csel x16, xzr, x24, eq
.endm
.macro next_pixel
    add x4, x4, x16
    mov x8, x14
    add x12, x22, #8
.endm
.macro addresses pixels
    add x0, x4, x17
    add x1, x0, x5
    .if \pixels > 2
    add x2, x0, x5, lsl #1
    add x3, x1, x5, lsl #1
    .endif
.endm
.macro restart
    ldrb w10, [x20]
    add x9, x20, #1
    mov x11, x21
.endm

.macro end_of pixels, channels, fours, s, mode
    each \fours, convert, "multipliers \s", "multipliers2 \s", limits_\mode, next_tile
    each \fours, scale, next_pixel, "start_\channels \pixels", "addresses \pixels", restart
    each \fours, round, "values_\channels \pixels"
    each \fours, narrow
    each \fours, narrow2, "biases2 \fours, 0, 17, 19, \s", "biases2 \fours, 1, 21, 23, \s", "biases2 \fours, 2, 25, 27, \s", "biases2 \fours, 3, 29, 31, \s"
    .ifc \mode, any
    each \fours, zero
    .endif
    each \fours, bytes_\mode
    each \fours, bytes2_\mode
    .ifc \mode, any
    each \fours, lower
    .else
    each \fours, flip
    .endif
    biases 16, 18, \s
    .if \fours > 1
    biases 20, 22, \s
    .endif
    each \fours, upper
    .if \fours > 2
    biases 24, 26, \s
    .endif
    .if \fours > 3
    biases 28, 30, \s
    .endif
    store_\channels \pixels
.endm
.macro end_any pixels, channels, fours, s
    end_of \pixels, \channels, \fours, \s, any
.endm
.macro end_upper pixels, channels, fours, s
    .if \pixels * \channels == 64
    end_16x4_upper
    .else
    end_of \pixels, \channels, \fours, \s, upper
    .endif
.endm

// All tiles of a call: \pixels by \channels, with \fours vectors of sums; \s as above.
.macro tiles pixels, channels, fours, s, mode
    mov x8, x14
    mov x9, x20
    mov x11, x21
    mov x12, x22
    start_\channels \pixels
    each \fours, first_biases_\channels
5:  // A run.
    ldr x17, [x12], #8
    addresses \pixels
    values_\channels \pixels
    next_kind
6:  tbnz w10, #1, 2f
    tbz w10, #2, 4f
3:  quad_\channels \pixels
    tbnz w10, #2, 3b
    cbnz w10, 6b
    b 7f
4:  single_\channels \pixels
    cbnz w10, 6b
    b 7f
    .p2align 8  // A loop of 64 instructions in 4 lines of the cache.
2:  double_\channels \pixels
    tbnz w10, #1, 2b
    cbnz w10, 6b
7:  subs x11, x11, #1
    b.ne 5b
    end_\mode \pixels, \channels, \fours, \s
    b.eq 8f
    tbnz w10, #1, 2b
    b 6b
.endm
.macro limits_upper
    ldr q12, [x23]
    movi v13.16b, #128
.endm
.macro limits_any
    ldr q12, [x23]
    ldr q13, [x23, #16]
    ldr q14, [x23, #32]
.endm
.macro first_biases_16 a, b, c, d, t
    ldr q\a, [x13]
    ldr q\b, [x13, #16]
    ldr q\c, [x13, #32]
    ldr q\d, [x13, #48]
.endm
.macro first_biases_8 a, b, c, d, t
    ldr q\a, [x13]
    ldr q\b, [x13, #16]
    ldr q\c, [x13]
    ldr q\d, [x13, #16]
.endm
.macro store_16 pixels
    str q8, [x6]
    .if \pixels > 1
    str q9, [x6, x7]
    .endif
    .if \pixels > 2
    add x16, x6, x7, lsl #1
    str q10, [x16]
    .endif
    .if \pixels > 3
    str q11, [x16, x7]
    .endif
    .if \pixels == 1
    add x6, x6, x7
    .elseif \pixels == 2
    add x6, x6, x7, lsl #1
    .elseif \pixels == 3
    add x6, x16, x7
    .else
    add x6, x6, x7, lsl #2
    .endif
.endm
.macro store_8 pixels
    str d8, [x6]
    .if \pixels == 1
    add x6, x6, x7
    .else
    add x16, x6, x7
    st1 {v8.d}[1], [x16]
    add x17, x6, x7, lsl #1
    str d9, [x17]
    add x16, x16, x7, lsl #1
    st1 {v9.d}[1], [x16]
    add x6, x6, x7, lsl #2
    .endif
.endm

    ldp x4, x5, [x0]
    ldp x6, x7, [x0, #16]
    ldp x13, x14, [x0, #32]
    ldp x15, x20, [x0, #48]
    ldp x21, x22, [x0, #64]
    ldp x23, x24, [x0, #80]
    adr x16, 9f
    add x16, x16, x1, lsl #2
    br x16
9:  b 11f
    b 12f
    b 13f
    b 14f
    b 15f
    b 18f
    b 21f
    b 22f
    b 23f
    b 24f
    b 25f
    b 28f
11: tiles 1, 16, 1, 32, any
12: tiles 2, 16, 2, 32, any
13: tiles 3, 16, 3, 32, any
14: tiles 4, 16, 4, 32, any
15: tiles 1, 8, 1, 0, any
18: tiles 4, 8, 2, 0, any
21: tiles 1, 16, 1, 32, upper
22: tiles 2, 16, 2, 32, upper
23: tiles 3, 16, 3, 32, upper
24: tiles 4, 16, 4, 32, upper
25: tiles 1, 8, 1, 0, upper
28: tiles 4, 8, 2, 0, upper
8:
// These texts may come more than once.
.purgem double_16x4
.purgem double_16x3
.purgem double_16x2
.purgem double_8x4
.purgem quad_16x4
.purgem end_16x4_upper
.purgem eight
.purgem weights
.purgem next_a
.purgem next_b
.purgem next_kind
.purgem even_a
.purgem even_b
.purgem odd_a
.purgem odd_b
.purgem sums_a
.purgem sums_b
.purgem single1
.purgem single2
.purgem quad1
.purgem quad2
.purgem single_16
.purgem double_16
.purgem quad_16
.purgem start_16
.purgem values_16
.purgem even_8
.purgem odd_8
.purgem on_8
.purgem sums_8
.purgem values_8
.purgem single_8
.purgem double_8
.purgem quad_8
.purgem start_8
.purgem convert
.purgem scale
.purgem round
.purgem narrow
.purgem narrow2
.purgem bytes_upper
.purgem bytes2_upper
.purgem flip
.purgem zero
.purgem bytes_any
.purgem bytes2_any
.purgem lower
.purgem upper
.purgem each
.purgem multipliers
.purgem multipliers2
.purgem biases
.purgem biases2
.purgem next_tile
.purgem next_pixel
.purgem addresses
.purgem restart
.purgem end_of
.purgem end_any
.purgem end_upper
.purgem tiles
.purgem limits_upper
.purgem limits_any
.purgem first_biases_16
.purgem first_biases_8
.purgem store_16
.purgem store_8
