/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/gpu_users.h>

#include "base/fd.h"
#include "host/gpu_nodes.h"
#include "host/gpu_users_private.h"

#include <vmrun/error.h>
#include <vmrun/process.h>

#include <fcntl.h>
#include <string.h>

/* More would make a sentence that nobody reads; `who` shows all. */
enum { DESCRIBED_HOLDERS = 3 };

static void
holder_free(gpointer data)
{
    VrHolder *holder = data;

    g_free(holder->command);
    g_free(holder->unit);
    g_free(holder->node);
    g_free(holder);
}

void
vr_holders_free(VrHolders *holders)
{
    if (holders != NULL) {
        g_ptr_array_unref(holders->holders);
        g_free(holders);
    }
}

static gint
compare_holders(gconstpointer a, gconstpointer b)
{
    const VrHolder *left = *(const VrHolder *const *) a;
    const VrHolder *right = *(const VrHolder *const *) b;
    int order = vr_pci_address_compare(left->device, right->device);

    if (order == 0) {
        order = (left->pid > right->pid) - (left->pid < right->pid);
    }
    return order != 0 ? order : strcmp(left->node, right->node);
}

typedef struct {
    const VrSysroot *root;
    const GPtrArray *nodes; /* VrDeviceNode */
    GPtrArray *holders;
} Search;

static bool
is_known(const GPtrArray *holders, const VrDeviceNode *node, int pid)
{
    for (guint i = 0; i < holders->len; i++) {
        const VrHolder *holder = g_ptr_array_index(holders, i);
        if (holder->pid == pid && vr_pci_address_equal(holder->device, node->device) &&
            g_str_equal(holder->node, node->path)) {
            return true;
        }
    }
    return false;
}

static void
add_process(Search *search, const VrDeviceNode *node, int pid)
{
    if (is_known(search->holders, node, pid)) {
        return; /* the same node open twice, or open and mapped */
    }
    VrHolder *holder = g_new0(VrHolder, 1);
    holder->kind = node->kind;
    holder->device = node->device;
    holder->pid = pid;
    holder->start_time = vr_process_start_time(search->root, pid);
    holder->command = vr_process_command(search->root, pid);
    holder->unit = vr_process_unit(search->root, pid);
    holder->node = g_strdup(node->path);
    g_ptr_array_add(search->holders, holder);
}

static void
look_at_file(void *data, const VrOpenFile *file)
{
    Search *search = data;

    for (guint i = 0; i < search->nodes->len; i++) {
        const VrDeviceNode *node = g_ptr_array_index(search->nodes, i);
        if (vr_device_node_matches(node, file)) {
            add_process(search, node, file->pid);
        }
    }
}

unsigned
vr_gpu_users_scan(const VrSysroot *processes, const GPtrArray *nodes, GPtrArray *holders)
{
    Search search = {.root = processes, .nodes = nodes, .holders = holders};

    return nodes->len == 0 ? 0 : vr_process_scan(processes, true, look_at_file, &search);
}

/* The words that network.c and keyboards.c begin a use with; disks begin with their place. */
static VrHolderKind
kind_of_use(const char *use)
{
    if (g_str_has_prefix(use, "default route") || g_str_has_prefix(use, "network interface")) {
        return VR_HOLDER_NETWORK;
    }
    if (g_str_has_prefix(use, "keyboard") || g_str_has_prefix(use, "the only keyboard")) {
        return VR_HOLDER_INPUT;
    }
    return VR_HOLDER_MOUNT;
}

/* A disk that is not mounted and an interface without a route hold nothing; a keyboard is told
 * about always, because somebody may be typing on it. */
static void
add_uses(const VrHostFacts *facts, VrPciAddress address, GPtrArray *holders)
{
    for (guint i = 0; facts->uses != NULL && i < facts->uses->len; i++) {
        const VrDeviceUse *use = g_ptr_array_index(facts->uses, i);
        if (!vr_pci_address_equal(use->address, address) ||
            (!use->critical && kind_of_use(use->use) != VR_HOLDER_INPUT)) {
            continue;
        }
        VrHolder *holder = g_new0(VrHolder, 1);
        holder->kind = kind_of_use(use->use);
        holder->device = address;
        holder->node = g_strdup(use->use);
        g_ptr_array_add(holders, holder);
    }
}

VrHolders *
vr_holders_new(void)
{
    VrHolders *holders = g_new0(VrHolders, 1);

    holders->holders = g_ptr_array_new_with_free_func(holder_free);
    return holders;
}

void
vr_holders_sort(VrHolders *holders)
{
    g_ptr_array_sort(holders->holders, compare_holders);
}

void
vr_gpu_users_add_uses(const VrHostFacts *facts, const GPtrArray *functions, VrHolders *holders)
{
    for (guint i = 0; i < functions->len; i++) {
        const VrPciFunction *function = g_ptr_array_index(functions, i);
        add_uses(facts, function->address, holders->holders);
    }
}

VrHolders *
vr_gpu_users_processes(const VrSysroot *root, const GPtrArray *functions)
{
    VrHolders *found = vr_holders_new();
    g_autoptr(GPtrArray) nodes = vr_device_nodes_find(root, functions);

    found->unreadable_processes = vr_gpu_users_scan(root, nodes, found->holders);
    vr_holders_sort(found);
    return found;
}

VrHolders *
vr_gpu_users_find(const VrHostFacts *facts, const GPtrArray *functions)
{
    VrHolders *found = vr_gpu_users_processes(facts->root, functions);

    vr_gpu_users_add_uses(facts, functions, found);
    vr_holders_sort(found);
    return found;
}

void
vr_holders_forget_inputs(VrHolders *holders)
{
    for (guint i = holders->holders->len; i-- > 0;) {
        const VrHolder *holder = g_ptr_array_index(holders->holders, i);
        if (holder->kind == VR_HOLDER_INPUT) {
            g_ptr_array_remove_index(holders->holders, i);
        }
    }
}

static void
describe_holder(const VrHolder *holder, GString *text)
{
    if (text->len > 0) {
        g_string_append(text, ", ");
    }
    if (holder->command == NULL) {
        g_string_append_printf(text, "the host (%s)", holder->node);
        return;
    }
    g_string_append_printf(text, "%s%s%s (process %d) through %s", holder->command,
                           holder->unit != NULL ? " of " : "",
                           holder->unit != NULL ? holder->unit : "", holder->pid, holder->node);
}

char *
vr_holders_describe(const VrHolders *holders)
{
    g_autoptr(GString) text = g_string_new(NULL);
    guint shown = MIN(holders->holders->len, DESCRIBED_HOLDERS);

    for (guint i = 0; i < shown; i++) {
        describe_holder(g_ptr_array_index(holders->holders, i), text);
    }
    if (holders->holders->len > shown) {
        g_string_append_printf(text, " and %u more", holders->holders->len - shown);
    }
    return text->len > 0 ? g_string_free(g_steal_pointer(&text), FALSE) : NULL;
}

VrTristate
vr_vfio_group_is_busy(const VrSysroot *root, int group)
{
    g_autofree char *path = g_strdup_printf("/dev/vfio/%d", group);
    g_autoptr(GError) error = NULL;
    vr_autofd int fd = vr_sysroot_open(root, path, O_RDWR | O_NONBLOCK | O_NOCTTY, &error);

    if (fd >= 0 || g_error_matches(error, VR_ERROR, VR_ERROR_NOT_FOUND) ||
        g_error_matches(error, VR_ERROR, VR_ERROR_GONE)) {
        return VR_NO;
    }
    return g_error_matches(error, VR_ERROR, VR_ERROR_DEVICE_BUSY) ? VR_YES : VR_UNKNOWN;
}
