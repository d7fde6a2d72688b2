/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host_facts_private.h"

/* The first of some paths that exists. Static; NULL if none does. */
static const char *
first_of(const VrSysroot *root, const char *const *paths)
{
    for (; *paths != NULL; paths++) {
        if (vr_sysroot_exists(root, *paths)) {
            return *paths;
        }
    }
    return NULL;
}

void
vr_virtualisation_load(VrHostFacts *facts)
{
    static const char *const emulators[] = {"/usr/bin/qemu-system-x86_64",
                                            "/usr/local/bin/qemu-system-x86_64",
                                            "/usr/bin/qemu-kvm", "/usr/libexec/qemu-kvm", NULL};
    static const char *const tpms[] = {"/usr/bin/swtpm", "/usr/local/bin/swtpm", NULL};
    /* The monolithic daemon, or the modular one. */
    static const char *const sockets[] = {
        "/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock", "/var/run/libvirt/libvirt-sock",
        "/var/run/libvirt/virtqemud-sock", NULL};

    facts->qemu_binary = g_strdup(first_of(facts->root, emulators));
    facts->swtpm = first_of(facts->root, tpms) != NULL;
    facts->libvirt_socket_path = g_strdup(first_of(facts->root, sockets));
    facts->libvirt_system_socket = facts->libvirt_socket_path != NULL;
    vr_kvm_access_load(facts);
    vr_qemu_conf_load(facts);
    vr_ovmf_load(facts);
}
