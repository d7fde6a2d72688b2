/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host_facts_private.h"

#include <libkmod.h>

#include <dlfcn.h>
#include <string.h>

#define VFIO_PCI "/sys/module/vfio_pci"

/*
 * libkmod is opened when the question comes up: it brings libcrypto along, and relocating that
 * would cost every command more than reading all PCI devices does.
 */
typedef struct {
    void *handle;
    __typeof__(kmod_new) *context_new;
    __typeof__(kmod_unref) *context_unref;
    __typeof__(kmod_set_log_fn) *set_log;
    __typeof__(kmod_module_new_from_lookup) *lookup;
    __typeof__(kmod_module_get_module) *first;
    __typeof__(kmod_module_get_path) *path;
    __typeof__(kmod_module_unref) *module_unref;
    __typeof__(kmod_module_unref_list) *list_unref;
    __typeof__(kmod_module_apply_filter) *filter;
} Kmod;

static bool
kmod_open(Kmod *kmod)
{
    const struct {
        const char *name;
        void **place;
    } symbols[] = {
        {"kmod_new", (void **) &kmod->context_new},
        {"kmod_unref", (void **) &kmod->context_unref},
        {"kmod_set_log_fn", (void **) &kmod->set_log},
        {"kmod_module_new_from_lookup", (void **) &kmod->lookup},
        {"kmod_module_get_module", (void **) &kmod->first},
        {"kmod_module_get_path", (void **) &kmod->path},
        {"kmod_module_unref", (void **) &kmod->module_unref},
        {"kmod_module_unref_list", (void **) &kmod->list_unref},
        {"kmod_module_apply_filter", (void **) &kmod->filter},
    };

    kmod->handle = dlopen("libkmod.so.2", RTLD_NOW | RTLD_LOCAL);
    for (gsize i = 0; i < G_N_ELEMENTS(symbols) && kmod->handle != NULL; i++) {
        *symbols[i].place = dlsym(kmod->handle, symbols[i].name);
        if (*symbols[i].place == NULL) {
            dlclose(kmod->handle);
            kmod->handle = NULL;
        }
    }
    return kmod->handle != NULL;
}

static char *
join_root(const VrSysroot *root, const char *path)
{
    const char *top = vr_sysroot_directory(root);

    return g_strconcat(strcmp(top, "/") == 0 ? "" : top, path, NULL);
}

/* The modules of the kernel that runs there; NULL if there are none to be seen. */
static struct kmod_ctx *
open_modules(const Kmod *kmod, const VrHostFacts *facts)
{
    static const char *const places[] = {"/etc/modprobe.d", "/run/modprobe.d",
                                         "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d",
                                         "/lib/modprobe.d"};
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    const char *release = facts->kernel_release;

    if (release == NULL || release[0] == '\0' || strchr(release, '/') != NULL) {
        return NULL;
    }

    g_autofree char *wanted = g_strconcat("/lib/modules/", release, NULL);
    g_autofree char *resolved = vr_sysroot_resolve(facts->root, wanted, NULL);
    if (resolved == NULL) {
        return NULL;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *place = vr_sysroot_resolve(facts->root, places[i], NULL);

        if (place != NULL) {
            g_ptr_array_add(paths, join_root(facts->root, place));
        }
    }
    g_ptr_array_add(paths, NULL);

    g_autofree char *directory = join_root(facts->root, resolved);
    return kmod->context_new(directory, (const char *const *) paths->pdata);
}

/* "a,b" has b; '-' and '_' are one in module names. */
static bool
list_has_module(const char *list, const char *module)
{
    g_autofree char *same = g_strdelimit(g_strdup(list), "-", '_');
    g_auto(GStrv) names = g_strsplit(same, ",", -1);

    return g_strv_contains((const char *const *) names, module);
}

/* module_blacklist= is the kernel's, modprobe.blacklist= is kmod's. */
static bool
is_blacklisted_at_boot(const VrHostFacts *facts, const char *module)
{
    for (guint i = 0; i < facts->parameters->len; i++) {
        const VrKernelParameter *parameter = g_ptr_array_index(facts->parameters, i);

        if (parameter->value != NULL &&
            (strcmp(parameter->key, "modprobe.blacklist") == 0 ||
             strcmp(parameter->key, "module_blacklist") == 0) &&
            list_has_module(parameter->value, module)) {
            return true;
        }
    }
    return false;
}

static VrModuleState
state_in_files(const Kmod *kmod, struct kmod_ctx *modules, const char *name)
{
    struct kmod_list *found = NULL, *allowed = NULL;

    if (kmod->lookup(modules, name, &found) < 0 || found == NULL) {
        return VR_MODULE_MISSING;
    }

    struct kmod_module *module = kmod->first(found);
    bool is_file = kmod->path(module) != NULL;
    VrModuleState state = is_file ? VR_MODULE_LOADABLE : VR_MODULE_BUILTIN;

    kmod->module_unref(module);
    kmod->filter(modules, KMOD_FILTER_BLACKLIST, found, &allowed);
    if (is_file && allowed == NULL) {
        state = VR_MODULE_BLACKLISTED;
    }
    kmod->list_unref(allowed);
    kmod->list_unref(found);
    return state;
}

static void
ignore_log(void *data, int priority, const char *file, int line, const char *function,
           const char *format, va_list arguments)
{
    (void) data, (void) priority, (void) file, (void) line, (void) function, (void) format;
    (void) arguments;
}

static VrModuleState
look_up(const Kmod *kmod, const VrHostFacts *facts)
{
    struct kmod_ctx *modules = open_modules(kmod, facts);

    if (modules == NULL) {
        return VR_MODULE_MISSING;
    }
    kmod->set_log(modules, ignore_log, NULL);

    VrModuleState state = state_in_files(kmod, modules, "vfio_pci");

    kmod->context_unref(modules);
    return state;
}

/* The running kernel's word comes first: a module that is loaded has a state, one built in none. */
static VrModuleState
vfio_pci_state(const VrHostFacts *facts)
{
    Kmod kmod = {0};

    if (vr_sysroot_exists(facts->root, VFIO_PCI "/initstate")) {
        return VR_MODULE_LOADED;
    }
    if (vr_sysroot_exists(facts->root, VFIO_PCI)) {
        return VR_MODULE_BUILTIN;
    }
    if (!kmod_open(&kmod)) {
        return VR_MODULE_MISSING;
    }

    VrModuleState state = look_up(&kmod, facts);

    dlclose(kmod.handle);
    if (state == VR_MODULE_LOADABLE && is_blacklisted_at_boot(facts, "vfio_pci")) {
        return VR_MODULE_BLACKLISTED;
    }
    return state;
}

/*
 * A chip's name begins with "IR-" where interrupts go through a remapping table
 * (drivers/iommu/intel/irq_remapping.c, amd/iommu.c); on arm64 the ITS isolates them by itself.
 * Message interrupts without either are not remapped. None at all: a capture that tells nothing.
 */
static VrTristate
judge_interrupts(const char *text)
{
    if (text == NULL) {
        return VR_UNKNOWN;
    }
    if (strstr(text, " IR-") != NULL || strstr(text, "ITS-") != NULL) {
        return VR_YES;
    }
    return strstr(text, "PCI-MSI") != NULL || strstr(text, "IO-APIC") != NULL ? VR_NO : VR_UNKNOWN;
}

static bool
is_yes(const VrSysroot *root, const char *path)
{
    g_autofree char *text = vr_sysroot_read_optional(root, path);

    return text != NULL && (text[0] == 'Y' || text[0] == '1');
}

void
vr_modules_load(VrHostFacts *facts)
{
    const VrSysroot *root = facts->root;
    g_autofree char *interrupts = vr_sysroot_read_optional(root, "/proc/interrupts");

    facts->kernel_release = vr_sysroot_read_optional(root, "/proc/sys/kernel/osrelease");
    facts->boot_id = vr_sysroot_read_optional(root, "/proc/sys/kernel/random/boot_id");
    facts->interrupt_remapping = judge_interrupts(interrupts);
    facts->unsafe_interrupts =
        is_yes(root, "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts");
    facts->vfio_pci_ids = vr_sysroot_read_optional(root, VFIO_PCI "/parameters/ids");
    facts->vfio_pci = vfio_pci_state(facts);
}
