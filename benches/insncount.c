/* A plugin for QEMU's user-mode emulation that counts the guest instructions of a program.
 *
 * Prints "instructions N" to stderr when the guest exits. QEMU compiles an addition into each block of code as it translates the
 * block, so counting costs little. The additions are not atomic: the count is exact for a guest with one thread, slightly low for
 * more.
 *
 *     gcc -O2 -shared -fPIC -o libinsncount.so benches/insncount.c
 *     qemu-aarch64 -cpu cortex-a72 -plugin ./libinsncount.so PROGRAM
 *
 * It declares the few parts of QEMU's plugin interface (version 1) that it needs, so no QEMU header is required.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SHOWN __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
enum { ADD_U64 = 0 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int operation, void *counter, uint64_t amount);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*exited)(plugin_id, void *), void *data);

SHOWN int qemu_plugin_version = 1;

static uint64_t instructions;

static void translated(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &instructions, qemu_plugin_tb_n_insns(block));
}

static void exited(plugin_id id, void *data) {
    (void)id;
    (void)data;
    fprintf(stderr, "instructions %" PRIu64 "\n", instructions);
}

SHOWN int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info;
    (void)argc;
    (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, exited, NULL);
    return 0;
}
