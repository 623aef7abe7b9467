/* A plugin for QEMU's user-mode emulation that records which blocks of code a program ran, and how often.
 *
 * When the guest exits, it writes one line per block to the file of the option `out=FILE`: the address, the number of executions,
 * and the instructions as hexadecimal words (4 bytes each, as on AArch64). QEMU compiles the counting into each block, so it costs
 * little. The counters are not atomic: they are exact for a guest with one thread.
 *
 *     gcc -O2 -shared -fPIC -o blockcount.so benches/blockcount.c
 *     qemu-aarch64 -cpu cortex-a72 -plugin ./blockcount.so,out=blocks PROGRAM
 *
 * It declares the few parts of QEMU's plugin interface (version 1) that it needs, so no QEMU header is required.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { ADD_U64 = 0 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int operation, void *counter, uint64_t amount);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*exited)(plugin_id, void *), void *data);

SHOWN int qemu_plugin_version = 1;

struct block {
    struct block *next;
    uint64_t address, executions;
    size_t instructions;
    uint32_t words[];
};

enum { BUCKETS = 1 << 16 };
static struct block *buckets[BUCKETS];
static FILE *out;

/* QEMU may translate a block again after it has emptied its cache: the counter goes on. The same address with another length, as
 * where a page ends, is another block. */
static struct block *found(uint64_t address, size_t instructions) {
    struct block **place = &buckets[(address >> 2) % BUCKETS];
    for (struct block *block = *place; block; block = block->next)
        if (block->address == address && block->instructions == instructions)
            return block;
    struct block *block = calloc(1, sizeof *block + instructions * sizeof block->words[0]);
    if (!block)
        abort();
    *block = (struct block){.next = *place, .address = address, .instructions = instructions};
    *place = block;
    return block;
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb) {
    (void)id;
    struct block *block = found(qemu_plugin_tb_vaddr(tb), qemu_plugin_tb_n_insns(tb));
    for (size_t i = 0; i < block->instructions; i++)
        memcpy(&block->words[i], qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), sizeof block->words[i]);
    qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &block->executions, 1);
}

static void exited(plugin_id id, void *data) {
    (void)id;
    (void)data;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct block *block = buckets[i]; block; block = block->next) {
            fprintf(out, "%" PRIx64 " %" PRIu64 " ", block->address, block->executions);
            for (size_t k = 0; k < block->instructions; k++)
                fprintf(out, "%08" PRIx32, block->words[k]);
            fputc('\n', out);
        }
    fclose(out);
}

SHOWN int qemu_plugin_install(plugin_id id, const void *machine, int argc, char **argv) {
    (void)machine;
    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], "out=", 4) == 0)
            out = fopen(argv[i] + 4, "w");
    if (!out) {
        fputs("blockcount: out=FILE names no file that can be written\n", stderr);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, exited, NULL);
    return 0;
}
