/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Facts: what a host is, read once and not changed afterwards. No judgement here.
 *
 * A caller asks for the parts that it needs; a part that was not asked for is empty. A fact that
 * could not be read says so in its own fields (a NULL text, VR_UNKNOWN, -1) and, where a reason is
 * worth showing, in an `…_error` beside it. Sources of each fact: README.md, "What vmrun reads".
 */
#pragma once

#include <vmrun/pci.h>
#include <vmrun/sysroot.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    VR_FACTS_PCI = 1 << 0,    /* functions, groups, IOMMU */
    VR_FACTS_KERNEL = 1 << 1, /* command line, release, modules, interrupt remapping */
    VR_FACTS_FIRMWARE = 1 << 2,
    VR_FACTS_CPU = 1 << 3,
    VR_FACTS_MEMORY = 1 << 4,
    VR_FACTS_VIRTUALISATION = 1 << 5, /* KVM, QEMU, OVMF, libvirt's places */
    VR_FACTS_NAMES = 1 << 6,   /* vendor and device names of the functions (hardware database) */
    VR_FACTS_STORAGE = 1 << 7, /* mounts, swaps, block devices: what a neighbour costs */
    VR_FACTS_NETWORK = 1 << 8, /* interfaces with the default route, bridges */
    VR_FACTS_ALL = (1 << 9) - 1,
} VrFactsMask;

/* One "key" or "key=value" of the kernel command line; order and duplicates are kept. */
typedef struct {
    char *key;
    char *value; /* NULL: no '=' */
} VrKernelParameter;

typedef enum {
    VR_MODULE_MISSING,
    VR_MODULE_LOADABLE,
    VR_MODULE_LOADED,
    VR_MODULE_BUILTIN,
    VR_MODULE_BLACKLISTED
} VrModuleState;

typedef struct {
    unsigned id; /* the kernel's CPU number */
    bool online, isolated;
    int package, die, core; /* -1: not told */
    int node;               /* NUMA node, 0 if the host has one */
    int l3;                 /* lowest CPU of the L3 group, -1: not told */
    unsigned l3_kib;
    bool efficiency;  /* an E core of a hybrid processor */
    GArray *siblings; /* unsigned: threads of the same core, itself included */
} VrCpu;

typedef struct {
    int node;          /* -1: the whole host */
    unsigned page_kib; /* 2048, 1048576 */
    uint64_t total, free;
} VrHugepagePool;

/* Something on the host that would stop working if a PCI function went away. */
typedef struct {
    VrPciAddress address; /* the function that it hangs on */
    char *use;            /* "/ (nvme0n1p2)", "default route (enp5s0)", "swap (sda2)", "keyboard" */
    bool critical;        /* mounted disk, swap, default route, last keyboard */
} VrDeviceUse;

/* One "key = value" of a qemu.conf of libvirt's; a list has several values, or none. */
typedef struct {
    char *file, *key, **values;
    unsigned line;
} VrQemuSetting;

typedef struct _VrPciNames VrPciNames;

typedef struct {
    VrSysroot *root;
    unsigned mask;

    /* VR_FACTS_PCI */
    GPtrArray *functions;          /* VrPciFunction, sorted by address */
    bool iommu;                    /* /sys/class/iommu has an entry, or a group exists */
    bool iommu_in_firmware_tables; /* an ACPI table DMAR or IVRS is there */
    char *functions_error;         /* the directory could not be listed */

    /* VR_FACTS_NAMES */
    GHashTable *names; /* "10de:2484" -> "NVIDIA … GA104", as vr_host_facts_name() is asked */
    VrPciNames *name_database; /* host/pci_names.c */

    /* VR_FACTS_KERNEL */
    GPtrArray *parameters; /* VrKernelParameter */
    char *kernel_release;
    VrTristate interrupt_remapping; /* chips that remap in /proc/interrupts */
    bool unsafe_interrupts;         /* VFIO was told to do without (allow_unsafe_interrupts) */
    char *vfio_pci_ids;             /* parameter of the loaded module, "" or NULL */
    VrModuleState vfio_pci;
    char *boot_id;

    /* VR_FACTS_FIRMWARE */
    char *computer;     /* vendor and product */
    char *bios_version; /* NULL: not told */
    char *bios_date;
    VrTristate secure_boot;
    bool uefi, is_virtual_machine; /* DMI or CPU flag says hypervisor */

    /* VR_FACTS_CPU */
    GPtrArray *cpus; /* VrCpu by id */
    char *cpu_model;
    bool cpu_is_amd, cpu_is_intel, cpu_has_virtualisation, cpu_has_topoext, cpu_has_invariant_tsc;
    bool apic_virtualisation;           /* kvm_amd avic or kvm_intel enable_apicv */
    unsigned node_count, physical_bits; /* bits 0: not told */

    /* VR_FACTS_MEMORY */
    uint64_t memory_total_mib, memory_available_mib; /* 0: not told */
    GPtrArray *hugepages;                            /* VrHugepagePool, one per node and size */

    /* VR_FACTS_VIRTUALISATION */
    VrTristate kvm;        /* /dev/kvm is there */
    VrTristate kvm_usable; /* and open to the user that QEMU runs as */
    char *kvm_evidence;    /* "/dev/kvm: mode 0600, owner root:root; QEMU runs as libvirt-qemu" */
    char *qemu_user;   /* from qemu.conf, else the distribution's: "libvirt-qemu", "qemu", "root" */
    char *qemu_binary; /* NULL: not found */
    bool ovmf, ovmf_secure; /* a firmware descriptor with the feature is there */
    bool swtpm, libvirt_system_socket;
    char *libvirt_socket_path;
    GPtrArray *qemu_settings;   /* VrQemuSetting: of libvirtd's file and of the embedded drivers' */
    char *qemu_conf_error;      /* one of the files could not be read, NULL */
    GPtrArray *open_vfio_nodes; /* strings: "/dev/vfio/13: mode 0666, group 0" */

    /* VR_FACTS_STORAGE, VR_FACTS_NETWORK */
    GPtrArray *uses;       /* VrDeviceUse */
    GPtrArray *mounted;    /* strings: device nodes, loop files, swap; resolved */
    GPtrArray *bridges;    /* strings: network bridges that are up, sorted */
    GPtrArray *interfaces; /* strings: all network interfaces, sorted */
} VrHostFacts;

/*
 * Read the parts in `mask` (VR_FACTS_PCI is implied by NAMES, STORAGE and NETWORK). Never fails as
 * a whole: what cannot be read is a fact, too. Reads no attribute that can block (driver_override,
 * config) and wakes no sleeping device.
 */
VrHostFacts *vr_host_facts_load(VrSysroot *root, unsigned mask);

/* Read the parts of `mask` that are not there yet. What was judged before: judge it again. */
void vr_host_facts_load_more(VrHostFacts *facts, unsigned mask);

void vr_host_facts_free(VrHostFacts *facts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VrHostFacts, vr_host_facts_free)

/* The function at an address, or NULL. */
const VrPciFunction *vr_host_facts_function(const VrHostFacts *facts, VrPciAddress address);

/* Its name, or its id if names were not asked for or not known. Owned by the facts, never NULL. */
const char *vr_host_facts_name(const VrHostFacts *facts, const VrPciFunction *function);

/* Functions of one IOMMU group, sorted: owned array that lends its elements. */
GPtrArray *vr_host_facts_group(const VrHostFacts *facts, int group);

/* The last value of a kernel parameter, "" for a bare key, NULL if it is not there. */
const char *vr_host_facts_parameter(const VrHostFacts *facts, const char *key);
