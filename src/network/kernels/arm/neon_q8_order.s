// What `neon_q8_tiles.s` does most often, with its registers. The order was found by trying changes and keeping those that LLVM's models
// of Cortex-A53 and A55 together take for faster.

// A step of two pairs: 4 pixels by 16 channels.
.macro double_16x4
    add x1, x1, #4
    add x0, x0, #4
    ldrb w10, [x9]
    smull2 v9.8h, v4.16b, v0.16b
    smull v12.8h, v4.8b, v2.8b
    smull2 v15.8h, v5.16b, v2.16b
    smull2 v13.8h, v4.16b, v2.16b
    smull v10.8h, v5.8b, v0.8b
    smull v8.8h, v4.8b, v0.8b
    smull2 v11.8h, v5.16b, v0.16b
    smlal2 v9.8h, v6.16b, v1.16b
    smlal2 v15.8h, v7.16b, v3.16b
    smull v14.8h, v5.8b, v2.8b
    smlal v10.8h, v7.8b, v1.8b
    smlal v12.8h, v6.8b, v3.8b
    smlal2 v11.8h, v7.16b, v1.16b
    smlal2 v13.8h, v6.16b, v3.16b
    smlal v8.8h, v6.8b, v1.8b
    ld2r {v0.8h, v1.8h}, [x2]
    smlal v14.8h, v7.8b, v3.8b
    sadalp v18.4s, v10.8h
    sadalp v17.4s, v9.8h
    ld2r {v2.8h, v3.8h}, [x3]
    sadalp v19.4s, v11.8h
    sadalp v16.4s, v8.8h
    smull v10.8h, v5.8b, v0.8b
    smull v8.8h, v4.8b, v0.8b
    sadalp v20.4s, v12.8h
    sadalp v21.4s, v13.8h
    smull2 v13.8h, v4.16b, v2.16b
    sadalp v22.4s, v14.8h
    smull v14.8h, v5.8b, v2.8b
    smull2 v11.8h, v5.16b, v0.16b
    smlal v8.8h, v6.8b, v1.8b
    smull2 v9.8h, v4.16b, v0.16b
    sadalp v23.4s, v15.8h
    smull2 v15.8h, v5.16b, v2.16b
    smull v12.8h, v4.8b, v2.8b
    smlal v14.8h, v7.8b, v3.8b
    smlal2 v11.8h, v7.16b, v1.16b
    smlal v10.8h, v7.8b, v1.8b
    sadalp v24.4s, v8.8h
    smlal2 v15.8h, v7.16b, v3.16b
    smlal2 v9.8h, v6.16b, v1.16b
    smlal v12.8h, v6.8b, v3.8b
    smlal2 v13.8h, v6.16b, v3.16b
    sadalp v30.4s, v14.8h
    ld2r {v2.8h, v3.8h}, [x1]
    sadalp v31.4s, v15.8h
    sadalp v27.4s, v11.8h
    ld2r {v0.8h, v1.8h}, [x0]
    sadalp v29.4s, v13.8h
    sadalp v25.4s, v9.8h
    sadalp v28.4s, v12.8h
    sadalp v26.4s, v10.8h
    ldr q6, [x8, #96]
    add x9, x9, #1
    ldr q4, [x8, #64]
    add x2, x2, #4
    ldr q5, [x8, #80]
    add x3, x3, #4
    ldr q7, [x8, #112]
    add x8, x8, #64
.endm
// 3 pixels by 16 channels.
.macro double_16x3
    ldrb w10, [x9]
    add x1, x1, #4
    smull2 v9.8h, v4.16b, v0.16b
    smull v10.8h, v5.8b, v0.8b
    smull2 v11.8h, v5.16b, v0.16b
    smull2 v15.8h, v5.16b, v2.16b
    smull v8.8h, v4.8b, v0.8b
    smull v12.8h, v4.8b, v2.8b
    smull v14.8h, v5.8b, v2.8b
    smlal2 v9.8h, v6.16b, v1.16b
    smlal2 v11.8h, v7.16b, v1.16b
    smull2 v13.8h, v4.16b, v2.16b
    smlal v10.8h, v7.8b, v1.8b
    smlal v8.8h, v6.8b, v1.8b
    ld2r {v0.8h, v1.8h}, [x2]
    smlal v12.8h, v6.8b, v3.8b
    sadalp v19.4s, v11.8h
    smlal2 v13.8h, v6.16b, v3.16b
    sadalp v17.4s, v9.8h
    sadalp v18.4s, v10.8h
    smull2 v9.8h, v4.16b, v0.16b
    smull v10.8h, v5.8b, v0.8b
    sadalp v16.4s, v8.8h
    smlal2 v15.8h, v7.16b, v3.16b
    smull2 v11.8h, v5.16b, v0.16b
    smull v8.8h, v4.8b, v0.8b
    ldr q4, [x8, #64]
    add x0, x0, #4
    ldr q5, [x8, #80]
    add x9, x9, #1
    smlal2 v9.8h, v6.16b, v1.16b
    smlal v14.8h, v7.8b, v3.8b
    smlal2 v11.8h, v7.16b, v1.16b
    sadalp v23.4s, v15.8h
    ld2r {v2.8h, v3.8h}, [x1]
    smlal v10.8h, v7.8b, v1.8b
    sadalp v25.4s, v9.8h
    sadalp v20.4s, v12.8h
    smlal v8.8h, v6.8b, v1.8b
    sadalp v27.4s, v11.8h
    ld2r {v0.8h, v1.8h}, [x0]
    sadalp v26.4s, v10.8h
    sadalp v22.4s, v14.8h
    sadalp v21.4s, v13.8h
    sadalp v24.4s, v8.8h
    ldr q6, [x8, #96]
    add x2, x2, #4
    ldr q7, [x8, #112]
    add x8, x8, #64
.endm
// 2 pixels by 16 channels.
.macro double_16x2
    ldrb w10, [x9]
    smull2 v11.8h, v5.16b, v0.16b
    smull v8.8h, v4.8b, v0.8b
    smull2 v13.8h, v4.16b, v2.16b
    smull v14.8h, v5.8b, v2.8b
    smull2 v15.8h, v5.16b, v2.16b
    smull2 v9.8h, v4.16b, v0.16b
    smlal2 v11.8h, v7.16b, v1.16b
    smull v10.8h, v5.8b, v0.8b
    smull v12.8h, v4.8b, v2.8b
    smlal v14.8h, v7.8b, v3.8b
    smlal v8.8h, v6.8b, v1.8b
    smlal2 v9.8h, v6.16b, v1.16b
    smlal2 v13.8h, v6.16b, v3.16b
    smlal v10.8h, v7.8b, v1.8b
    smlal2 v15.8h, v7.16b, v3.16b
    ldr q5, [x8, #80]
    add x0, x0, #4
    add x1, x1, #4
    ldr q4, [x8, #64]
    smlal v12.8h, v6.8b, v3.8b
    sadalp v22.4s, v14.8h
    sadalp v16.4s, v8.8h
    sadalp v23.4s, v15.8h
    ld2r {v0.8h, v1.8h}, [x0]
    sadalp v21.4s, v13.8h
    sadalp v20.4s, v12.8h
    sadalp v17.4s, v9.8h
    ld2r {v2.8h, v3.8h}, [x1]
    sadalp v19.4s, v11.8h
    sadalp v18.4s, v10.8h
    ldr q7, [x8, #112]
    add x9, x9, #1
    ldr q6, [x8, #96]
    add x8, x8, #64
.endm
// 4 pixels by 8 channels.
.macro double_8x4
    ldrb w10, [x9]
    add x0, x0, #4
    add x3, x3, #4
    add x2, x2, #4
    add x9, x9, #1
    add x1, x1, #4
    smull2 v11.8h, v4.16b, v2.16b
    smull2 v9.8h, v4.16b, v0.16b
    smull v10.8h, v4.8b, v2.8b
    smull v8.8h, v4.8b, v0.8b
    smull v14.8h, v4.8b, v28.8b
    smull2 v15.8h, v4.16b, v28.16b
    smlal2 v11.8h, v5.16b, v3.16b
    smull2 v13.8h, v4.16b, v6.16b
    smull v12.8h, v4.8b, v6.8b
    smlal v10.8h, v5.8b, v3.8b
    smlal v14.8h, v5.8b, v29.8b
    ld2r {v2.8h, v3.8h}, [x1]
    smlal v8.8h, v5.8b, v1.8b
    sadalp v19.4s, v11.8h
    smlal2 v15.8h, v5.16b, v29.16b
    smlal2 v13.8h, v5.16b, v7.16b
    sadalp v22.4s, v14.8h
    ld2r {v28.8h, v29.8h}, [x3]
    smlal2 v9.8h, v5.16b, v1.16b
    ldr q4, [x8, #32]
    sadalp v16.4s, v8.8h
    smlal v12.8h, v5.8b, v7.8b
    sadalp v23.4s, v15.8h
    sadalp v21.4s, v13.8h
    ld2r {v0.8h, v1.8h}, [x0]
    sadalp v17.4s, v9.8h
    sadalp v18.4s, v10.8h
    ld2r {v6.8h, v7.8h}, [x2]
    sadalp v20.4s, v12.8h
    ldr q5, [x8, #48]
    add x8, x8, #32
.endm
// A step of four pairs: 4 pixels by 16 channels.
.macro quad_16x4
    smull2 v13.8h, v4.16b, v2.16b
    smull2 v9.8h, v4.16b, v0.16b
    smull2 v15.8h, v5.16b, v2.16b
    smull v12.8h, v4.8b, v2.8b
    smull2 v11.8h, v5.16b, v0.16b
    smull v14.8h, v5.8b, v2.8b
    smull v8.8h, v4.8b, v0.8b
    ldr q4, [x8, #64]
    add x1, x1, #4
    ldrb w10, [x9]
    add x0, x0, #4
    smull v10.8h, v5.8b, v0.8b
    ldr q5, [x8, #80]
    smlal2 v15.8h, v7.16b, v3.16b
    smlal v14.8h, v7.8b, v3.8b
    smlal v12.8h, v6.8b, v3.8b
    smlal2 v13.8h, v6.16b, v3.16b
    smlal v8.8h, v6.8b, v1.8b
    ld2r {v2.8h, v3.8h}, [x1]
    smlal2 v9.8h, v6.16b, v1.16b
    smlal v10.8h, v7.8b, v1.8b
    ldr q6, [x8, #96]
    smlal2 v11.8h, v7.16b, v1.16b
    ld2r {v0.8h, v1.8h}, [x0]
    smlal v12.8h, v4.8b, v2.8b
    smlal v14.8h, v5.8b, v2.8b
    smlal2 v13.8h, v4.16b, v2.16b
    ldr q7, [x8, #112]
    smlal2 v15.8h, v5.16b, v2.16b
    smlal2 v11.8h, v5.16b, v0.16b
    smlal2 v9.8h, v4.16b, v0.16b
    smlal v8.8h, v4.8b, v0.8b
    smlal v10.8h, v5.8b, v0.8b
    smlal v14.8h, v7.8b, v3.8b
    smlal2 v15.8h, v7.16b, v3.16b
    smlal v12.8h, v6.8b, v3.8b
    smlal2 v11.8h, v7.16b, v1.16b
    smlal2 v13.8h, v6.16b, v3.16b
    ld2r {v2.8h, v3.8h}, [x3]
    sadalp v22.4s, v14.8h
    smlal v10.8h, v7.8b, v1.8b
    smlal2 v9.8h, v6.16b, v1.16b
    sadalp v23.4s, v15.8h
    sadalp v19.4s, v11.8h
    smlal v8.8h, v6.8b, v1.8b
    ld2r {v0.8h, v1.8h}, [x2]
    sadalp v20.4s, v12.8h
    ldr q5, [x8, #16]
    add x3, x3, #4
    ldr q4, [x8]
    add x2, x2, #4
    ldr q6, [x8, #32]
    ldr q7, [x8, #48]
    sadalp v21.4s, v13.8h
    smull2 v15.8h, v5.16b, v2.16b
    sadalp v17.4s, v9.8h
    sadalp v16.4s, v8.8h
    smull2 v11.8h, v5.16b, v0.16b
    smull2 v9.8h, v4.16b, v0.16b
    smull v12.8h, v4.8b, v2.8b
    sadalp v18.4s, v10.8h
    smull2 v13.8h, v4.16b, v2.16b
    smull v14.8h, v5.8b, v2.8b
    smull v10.8h, v5.8b, v0.8b
    smull v8.8h, v4.8b, v0.8b
    ldr q5, [x8, #80]
    smlal2 v11.8h, v7.16b, v1.16b
    smlal2 v9.8h, v6.16b, v1.16b
    smlal2 v15.8h, v7.16b, v3.16b
    smlal2 v13.8h, v6.16b, v3.16b
    smlal v8.8h, v6.8b, v1.8b
    smlal v10.8h, v7.8b, v1.8b
    ld2r {v0.8h, v1.8h}, [x2]
    smlal v14.8h, v7.8b, v3.8b
    smlal v12.8h, v6.8b, v3.8b
    ld2r {v2.8h, v3.8h}, [x3]
    add x3, x3, #4
    ldr q7, [x8, #112]
    add x9, x9, #1
    ldr q4, [x8, #64]
    ldr q6, [x8, #96]
    smlal v10.8h, v5.8b, v0.8b
    smlal v14.8h, v5.8b, v2.8b
    smlal2 v15.8h, v5.16b, v2.16b
    smlal2 v13.8h, v4.16b, v2.16b
    smlal v12.8h, v4.8b, v2.8b
    smlal2 v9.8h, v4.16b, v0.16b
    smlal2 v11.8h, v5.16b, v0.16b
    smlal v8.8h, v4.8b, v0.8b
    smlal v10.8h, v7.8b, v1.8b
    smlal2 v13.8h, v6.16b, v3.16b
    smlal v12.8h, v6.8b, v3.8b
    smlal2 v9.8h, v6.16b, v1.16b
    smlal v14.8h, v7.8b, v3.8b
    smlal2 v11.8h, v7.16b, v1.16b
    smlal2 v15.8h, v7.16b, v3.16b
    smlal v8.8h, v6.8b, v1.8b
    sadalp v29.4s, v13.8h
    ldr q5, [x8, #144]
    add x0, x0, #4
    ldr q4, [x8, #128]
    add x1, x1, #4
    add x2, x2, #4
    ldr q7, [x8, #176]
    sadalp v27.4s, v11.8h
    sadalp v31.4s, v15.8h
    ld2r {v2.8h, v3.8h}, [x1]
    sadalp v26.4s, v10.8h
    sadalp v25.4s, v9.8h
    sadalp v30.4s, v14.8h
    sadalp v24.4s, v8.8h
    ld2r {v0.8h, v1.8h}, [x0]
    sadalp v28.4s, v12.8h
    ldr q6, [x8, #160]
    add x8, x8, #128
.endm
// The end of 4 pixels by 16 channels with zero point -128 and an upper limit.
.macro end_16x4_upper
    subs x15, x15, #1
    ldr q11, [x13, #112]
    mov x8, x14
    ldr q10, [x13, #96]
    add x12, x22, #8
    ldr q9, [x13, #80]
    csel x16, xzr, x24, eq
    ldr q8, [x13, #64]
    ldr x17, [x22]
    scvtf v25.4s, v25.4s
    scvtf v24.4s, v24.4s
    scvtf v23.4s, v23.4s
    scvtf v20.4s, v20.4s
    scvtf v18.4s, v18.4s
    scvtf v19.4s, v19.4s
    scvtf v30.4s, v30.4s
    fmul v25.4s, v25.4s, v9.4s
    fmul v24.4s, v24.4s, v8.4s
    movi v13.16b, #128
    scvtf v28.4s, v28.4s
    scvtf v22.4s, v22.4s
    fmul v18.4s, v18.4s, v10.4s
    fmul v30.4s, v30.4s, v10.4s
    scvtf v31.4s, v31.4s
    scvtf v21.4s, v21.4s
    scvtf v26.4s, v26.4s
    fcvtns v24.4s, v24.4s
    fmul v20.4s, v20.4s, v8.4s
    scvtf v27.4s, v27.4s
    fcvtns v18.4s, v18.4s
    scvtf v29.4s, v29.4s
    scvtf v17.4s, v17.4s
    fmul v28.4s, v28.4s, v8.4s
    fmul v23.4s, v23.4s, v11.4s
    fmul v22.4s, v22.4s, v10.4s
    ldr q12, [x23]
    scvtf v16.4s, v16.4s
    fmul v21.4s, v21.4s, v9.4s
    fmul v31.4s, v31.4s, v11.4s
    fmul v26.4s, v26.4s, v10.4s
    fmul v17.4s, v17.4s, v9.4s
    fmul v29.4s, v29.4s, v9.4s
    fmul v19.4s, v19.4s, v11.4s
    fmul v16.4s, v16.4s, v8.4s
    fmul v27.4s, v27.4s, v11.4s
    ldr q7, [x8, #48]
    fcvtns v22.4s, v22.4s
    fcvtns v28.4s, v28.4s
    fcvtns v21.4s, v21.4s
    ldr q4, [x8]
    fcvtns v20.4s, v20.4s
    fcvtns v25.4s, v25.4s
    fcvtns v16.4s, v16.4s
    sqxtn v24.4h, v24.4s
    fcvtns v23.4s, v23.4s
    fcvtns v27.4s, v27.4s
    sqxtn v18.4h, v18.4s
    sqxtn v20.4h, v20.4s
    fcvtns v29.4s, v29.4s
    fcvtns v17.4s, v17.4s
    sqxtn v16.4h, v16.4s
    sqxtn v28.4h, v28.4s
    fcvtns v26.4s, v26.4s
    fcvtns v31.4s, v31.4s
    sqxtn2 v20.8h, v21.4s
    fcvtns v19.4s, v19.4s
    fcvtns v30.4s, v30.4s
    sqxtn v22.4h, v22.4s
    sqxtn v26.4h, v26.4s
    sqxtn2 v24.8h, v25.4s
    sqxtun v9.8b, v20.8h
    sqxtn2 v28.8h, v29.4s
    sqxtn v30.4h, v30.4s
    sqxtn2 v16.8h, v17.4s
    sqxtn2 v18.8h, v19.4s
    sqxtun v10.8b, v24.8h
    sqxtn2 v26.8h, v27.4s
    sqxtun v11.8b, v28.8h
    sqxtn2 v22.8h, v23.4s
    ldr q27, [x13, #48]
    add x9, x20, #1
    ldr q20, [x13]
    add x4, x4, x16
    mov x11, x21
    ldr q19, [x13, #48]
    sqxtn2 v30.8h, v31.4s
    ldr q23, [x13, #48]
    add x0, x4, x17
    add x16, x6, x7, lsl #1
    ldr q28, [x13]
    sqxtun v8.8b, v16.8h
    ldr q6, [x8, #32]
    add x1, x0, x5
    ldr q31, [x13, #48]
    ldr q5, [x8, #16]
    sqxtun2 v9.16b, v22.8h
    ld2r {v2.8h, v3.8h}, [x1]
    sqxtun2 v8.16b, v18.8h
    sqxtun2 v10.16b, v26.8h
    ld2r {v0.8h, v1.8h}, [x0]
    sqxtun2 v11.16b, v30.8h
    ldr q17, [x13, #16]
    ldr q30, [x13, #32]
    eor v8.16b, v8.16b, v13.16b
    eor v10.16b, v10.16b, v13.16b
    ldrb w10, [x20]
    eor v9.16b, v9.16b, v13.16b
    eor v11.16b, v11.16b, v13.16b
    ldr q22, [x13, #32]
    smin v8.16b, v8.16b, v12.16b
    ldr q25, [x13, #16]
    smin v10.16b, v10.16b, v12.16b
    ldr q29, [x13, #16]
    smin v9.16b, v9.16b, v12.16b
    ldr q21, [x13, #16]
    smin v11.16b, v11.16b, v12.16b
    str q10, [x16]
    str q8, [x6]
    str q9, [x6, x7]
    ldr q18, [x13, #32]
    add x3, x1, x5, lsl #1
    ldr q24, [x13]
    ldr q16, [x13]
    add x6, x6, x7, lsl #2
    ldr q26, [x13, #32]
    add x2, x0, x5, lsl #1
    str q11, [x16, x7]
.endm
