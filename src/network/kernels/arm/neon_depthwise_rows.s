// Rows of `neon_depthwise`'s 3x3 kernels, 16 channels at a time; `neon_depthwise_rows.rs` calls them. Weights and the three columns of
// a window stay in registers. While one output's products are added, the one before it ends, in an order for CPUs that keep to it: it
// was found by trying changes and keeping those that LLVM's models of Cortex-A53 and A55 take for faster.
//
// x0-x2   rows                               v0-v3    sums of products in 16 bits
// x4, x5  next column, from one to the next  v4-v7    sums in 32 bits
// x6, x7  output, from one to the next       v10-v13  sums that become bytes
// x8      biases, multipliers, weights       v14-v15  multipliers
// x9      limits                             v16-v24  weights, by columns
// x10     outputs until the columns change   v25-v31, v8, v9  columns
// x11     outputs with padding left
// x12     padding
// x13     stride 2: the column after the next one

// Instructions of the products, of the end, of one with a zero point of -128 and an upper limit, and of any other.
.macro p instruction:vararg
    .if PRODUCTS
    \instruction
    .endif
.endm
.macro e instruction:vararg
    .if ENDS
    \instruction
    .endif
.endm
.macro u instruction:vararg
    .if ENDS & UPPER
    \instruction
    .endif
.endm
.macro a instruction:vararg
    .if ENDS & !UPPER
    \instruction
    .endif
.endm

// An output from columns a, b and c. Then a holds the next column.
.macro output_1 a0, a1, a2, b0, b1, b2, c0, c1, c2
    p smull v2.8h, v18.8b, v\a2\().8b
    e scvtf v11.4s, v5.4s
    e scvtf v10.4s, v4.4s
    p smull v0.8h, v16.8b, v\a0\().8b
    p smull2 v3.8h, v18.16b, v\a2\().16b
    p smull2 v1.8h, v16.16b, v\a0\().16b
    p ldr q4, [x8, #0]
    e scvtf v12.4s, v6.4s
    e fmul v11.4s, v11.4s, v15.4s
    p smlal v0.8h, v17.8b, v\a1\().8b
    p smlal2 v3.8h, v19.16b, v\b0\().16b
    e fmul v10.4s, v10.4s, v14.4s
    p ldr q\a2, [x2, x4]
    p subs x10, x10, #1
    p ldr q5, [x8, #16]
    e add x6, x6, x7
    e ldr q14, [x8, #96]
    e ldr q15, [x8, #112]
    e fcvtns v11.4s, v11.4s
    e fcvtns v10.4s, v10.4s
    e scvtf v13.4s, v7.4s
    p saddw2 v5.4s, v5.4s, v0.8h
    p ldr q6, [x8, #32]
    p smlal v2.8h, v19.8b, v\b0\().8b
    p smlal2 v1.8h, v17.16b, v\a1\().16b
    e fmul v12.4s, v12.4s, v14.4s
    e fmul v13.4s, v13.4s, v15.4s
    e sqxtn v10.4h, v10.4s
    p saddw v4.4s, v4.4s, v0.4h
    p ldr q7, [x8, #48]
    p smull v0.8h, v20.8b, v\b1\().8b
    e fcvtns v12.4s, v12.4s
    e fcvtns v13.4s, v13.4s
    p saddw v6.4s, v6.4s, v1.4h
    p saddw2 v5.4s, v5.4s, v2.8h
    e sqxtn2 v10.8h, v11.4s
    p smlal v0.8h, v21.8b, v\b2\().8b
    p saddw2 v7.4s, v7.4s, v1.8h
    p smull2 v1.8h, v20.16b, v\b1\().16b
    e sqxtn v12.4h, v12.4s
    p saddw v4.4s, v4.4s, v2.4h
    u sqxtun v10.8b, v10.8h
    a ldr q11, [x9, #32]
    a sqadd v10.8h, v10.8h, v11.8h
    a sqxtn v10.8b, v10.8h
    p smull v2.8h, v22.8b, v\c0\().8b
    p saddw2 v7.4s, v7.4s, v3.8h
    p ldr q\a0, [x0, x4]
    e sqxtn2 v12.8h, v13.4s
    p saddw v6.4s, v6.4s, v3.4h
    p smull2 v3.8h, v22.16b, v\c0\().16b
    p saddw2 v5.4s, v5.4s, v0.8h
    p smlal v2.8h, v23.8b, v\c1\().8b
    p ldr q\a1, [x1, x4]
    p smlal2 v1.8h, v21.16b, v\b2\().16b
    u sqxtun2 v10.16b, v12.8h
    a sqadd v12.8h, v12.8h, v11.8h
    a sqxtn2 v10.16b, v12.8h
    p smlal2 v3.8h, v23.16b, v\c1\().16b
    p saddw v4.4s, v4.4s, v0.4h
    u movi v13.16b, #128
    p smull v0.8h, v24.8b, v\c2\().8b
    p saddw2 v5.4s, v5.4s, v2.8h
    p saddw v6.4s, v6.4s, v1.4h
    p saddw2 v7.4s, v7.4s, v1.8h
    p saddw v4.4s, v4.4s, v2.4h
    u eor v10.16b, v10.16b, v13.16b
    a ldr q11, [x9]
    a ldr q13, [x9, #16]
    a smax v10.16b, v10.16b, v13.16b
    u ldr q11, [x9]
    p smull2 v1.8h, v24.16b, v\c2\().16b
    p saddw v6.4s, v6.4s, v3.4h
    p saddw2 v7.4s, v7.4s, v3.8h
    p saddw v4.4s, v4.4s, v0.4h
    p saddw2 v5.4s, v5.4s, v0.8h
    p ldr q15, [x8, #80]
    e smin v10.16b, v10.16b, v11.16b
    p saddw v6.4s, v6.4s, v1.4h
    p ldr q14, [x8, #64]
    p saddw2 v7.4s, v7.4s, v1.8h
    p add x4, x4, x5
    e str q10, [x6]
.endm
// The same with stride 2: then a and b hold the next columns.
.macro output_2 a0, a1, a2, b0, b1, b2, c0, c1, c2
    p smull v0.8h, v16.8b, v\a0\().8b
    p smull2 v1.8h, v16.16b, v\a0\().16b
    e scvtf v10.4s, v4.4s
    e scvtf v11.4s, v5.4s
    p smull2 v3.8h, v18.16b, v\a2\().16b
    p smull v2.8h, v18.8b, v\a2\().8b
    p ldr q\a2, [x2, x4]
    e add x6, x6, x7
    p ldr q5, [x8, #16]
    p ldr q4, [x8, #0]
    e scvtf v12.4s, v6.4s
    p smlal v0.8h, v17.8b, v\a1\().8b
    e fmul v11.4s, v11.4s, v15.4s
    p smlal v2.8h, v19.8b, v\b0\().8b
    p smlal2 v3.8h, v19.16b, v\b0\().16b
    p smlal2 v1.8h, v17.16b, v\a1\().16b
    e fmul v10.4s, v10.4s, v14.4s
    p saddw2 v5.4s, v5.4s, v0.8h
    p ldr q6, [x8, #32]
    p saddw v4.4s, v4.4s, v0.4h
    e ldr q14, [x8, #96]
    p subs x10, x10, #1
    e scvtf v13.4s, v7.4s
    p saddw v6.4s, v6.4s, v1.4h
    p ldr q7, [x8, #48]
    p saddw2 v5.4s, v5.4s, v2.8h
    e ldr q15, [x8, #112]
    e fcvtns v10.4s, v10.4s
    e fcvtns v11.4s, v11.4s
    e fmul v12.4s, v12.4s, v14.4s
    p saddw2 v7.4s, v7.4s, v1.8h
    p smull v0.8h, v20.8b, v\b1\().8b
    e fmul v13.4s, v13.4s, v15.4s
    p saddw v4.4s, v4.4s, v2.4h
    p ldr q14, [x8, #64]
    e sqxtn v10.4h, v10.4s
    p saddw v6.4s, v6.4s, v3.4h
    p smull2 v1.8h, v20.16b, v\b1\().16b
    p saddw2 v7.4s, v7.4s, v3.8h
    e fcvtns v12.4s, v12.4s
    e fcvtns v13.4s, v13.4s
    p smull2 v3.8h, v22.16b, v\c0\().16b
    e sqxtn2 v10.8h, v11.4s
    p smlal2 v1.8h, v21.16b, v\b2\().16b
    p smull v2.8h, v22.8b, v\c0\().8b
    p ldr q\a0, [x0, x4]
    e sqxtn v12.4h, v12.4s
    p smlal2 v3.8h, v23.16b, v\c1\().16b
    u sqxtun v10.8b, v10.8h
    a ldr q11, [x9, #32]
    a sqadd v10.8h, v10.8h, v11.8h
    a sqxtn v10.8b, v10.8h
    p ldr q\b1, [x1, x13]
    p smlal v0.8h, v21.8b, v\b2\().8b
    p saddw v6.4s, v6.4s, v1.4h
    e sqxtn2 v12.8h, v13.4s
    p smlal v2.8h, v23.8b, v\c1\().8b
    p saddw2 v7.4s, v7.4s, v1.8h
    p smull2 v1.8h, v24.16b, v\c2\().16b
    p saddw2 v5.4s, v5.4s, v0.8h
    u movi v13.16b, #128
    p saddw v4.4s, v4.4s, v0.4h
    p ldr q\b0, [x0, x13]
    u sqxtun2 v10.16b, v12.8h
    a sqadd v12.8h, v12.8h, v11.8h
    a sqxtn2 v10.16b, v12.8h
    p smull v0.8h, v24.8b, v\c2\().8b
    p saddw2 v5.4s, v5.4s, v2.8h
    p saddw2 v7.4s, v7.4s, v3.8h
    p ldr q15, [x8, #80]
    p saddw v4.4s, v4.4s, v2.4h
    u eor v10.16b, v10.16b, v13.16b
    a ldr q11, [x9]
    a ldr q13, [x9, #16]
    a smax v10.16b, v10.16b, v13.16b
    u ldr q11, [x9]
    p saddw v6.4s, v6.4s, v3.4h
    p ldr q\b2, [x2, x13]
    p saddw2 v5.4s, v5.4s, v0.8h
    p saddw v4.4s, v4.4s, v0.4h
    e smin v10.16b, v10.16b, v11.16b
    p saddw2 v7.4s, v7.4s, v1.8h
    p saddw v6.4s, v6.4s, v1.4h
    p ldr q\a1, [x1, x4]
    p add x4, x4, x5
    p add x13, x13, x5
    e str q10, [x6]
.endm
// From here on columns are padding. The last column of a row is also loaded ahead, so this comes once more often than needed.
.macro padding stride
    cbz x11, 6f
    sub x11, x11, #1
    sub x0, x12, x4
    mov x1, x0
    mov x2, x0
    .if \stride == 2
    mov x13, x4
    .endif
    mov x10, #1
.endm

.macro row stride, upper
    .set UPPER, \upper
    .set PRODUCTS, 1
    .set ENDS, 0
    output_\stride 25, 26, 27, 28, 29, 30, 31, 8, 9
    .set ENDS, 1
    b.eq 3f
    b 2f
    .p2align 10  // The loop takes less than 1 KB.
2:  .if \stride == 1
    output_1 28, 29, 30, 31, 8, 9, 25, 26, 27
    .else
    output_2 31, 8, 9, 25, 26, 27, 28, 29, 30
    .endif
    b.eq 4f
7:  .if \stride == 1
    output_1 31, 8, 9, 25, 26, 27, 28, 29, 30
    .else
    output_2 28, 29, 30, 31, 8, 9, 25, 26, 27
    .endif
    b.eq 5f
9:  output_\stride 25, 26, 27, 28, 29, 30, 31, 8, 9
    b.ne 2b
3:  padding \stride
    b 2b
4:  padding \stride
    b 7b
5:  padding \stride
    b 9b
6:  .set PRODUCTS, 0
    output_\stride 25, 26, 27, 28, 29, 30, 31, 8, 9
    b 8f
.endm

    mov w14, w1
    ldp x2, x3, [x0]
    ldr q25, [x2]
    ldr q26, [x3]
    ldp x2, x3, [x0, #16]
    ldr q27, [x2]
    ldr q28, [x3]
    ldp x2, x3, [x0, #32]
    ldr q29, [x2]
    ldr q30, [x3]
    ldp x2, x3, [x0, #48]
    ldr q31, [x2]
    ldr q8, [x3]
    ldp x2, x8, [x0, #64]
    ldr q9, [x2]
    ldr q16, [x8, #128]
    ldr q17, [x8, #128 + 3 * 16]
    ldr q18, [x8, #128 + 6 * 16]
    ldr q19, [x8, #128 + 1 * 16]
    ldr q20, [x8, #128 + 4 * 16]
    ldr q21, [x8, #128 + 7 * 16]
    ldr q22, [x8, #128 + 2 * 16]
    ldr q23, [x8, #128 + 5 * 16]
    ldr q24, [x8, #128 + 8 * 16]
    ldp x9, x10, [x0, #80]
    ldp x11, x12, [x0, #96]
    ldp x5, x13, [x0, #112]
    ldp x6, x7, [x0, #128]
    ldr x2, [x0, #160]
    ldp x0, x1, [x0, #144]
    mov x4, #0
    add x13, x4, x13
    cbz w14, 11f
    cmp w14, #2
    b.lt 12f
    b.eq 13f
    row 2, 1
11: row 1, 0
12: row 1, 1
13: row 2, 0
8:
// This text may come more than once.
.purgem p
.purgem e
.purgem u
.purgem a
.purgem output_1
.purgem output_2
.purgem padding
.purgem row
