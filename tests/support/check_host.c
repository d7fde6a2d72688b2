/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "check_host.h"

#include "tree.h"

static void
holder_free(gpointer data)
{
    VrHolder *holder = data;

    g_free(holder->command);
    g_free(holder->unit);
    g_free(holder->node);
    g_free(holder);
}

static void
disk_fact_free(gpointer data)
{
    VrDiskFact *fact = data;

    g_free(fact->resolved);
    g_free(fact->mounted_at);
    g_free(fact->used_by);
    g_free(fact->error);
    g_free(fact);
}

static void
disk_free(gpointer data)
{
    VrProfileDisk *disk = data;

    g_free(disk->name);
    g_free(disk->path);
    g_free(disk);
}

static void
network_free(gpointer data)
{
    VrProfileNetwork *network = data;

    g_free(network->name);
    g_free(network->source);
    g_free(network);
}

static void
file_fact_free(gpointer data)
{
    VrFileFact *fact = data;

    vr_option_rom_free(fact->rom);
    g_free(fact->error);
    g_free(fact);
}

static VrProfile *
profile_new(void)
{
    VrProfile *profile = g_new0(VrProfile, 1);

    profile->name = g_strdup("gaming");
    profile->guest = VR_GUEST_WINDOWS;
    profile->cpus = 6;
    profile->memory_mib = 8192;
    profile->hugepages = VR_PAGES_NONE;
    profile->hide_hypervisor = true;
    profile->devices = g_ptr_array_new();
    profile->disks = g_ptr_array_new_with_free_func(disk_free);
    profile->networks = g_ptr_array_new_with_free_func(network_free);
    profile->stop_units = g_ptr_array_new_with_free_func(g_free);
    return profile;
}

static void
profile_free(VrProfile *profile)
{
    g_free(profile->name);
    g_ptr_array_unref(profile->devices);
    g_ptr_array_unref(profile->disks);
    g_ptr_array_unref(profile->networks);
    g_ptr_array_unref(profile->stop_units);
    g_free(profile);
}

VrPciFunction *
check_host_add_function(CheckHost *host, const char *address, unsigned class_code, int group)
{
    VrPciFunction *function = g_new0(VrPciFunction, 1);

    g_assert_true(vr_pci_address_parse(address, &function->address));
    function->class_code = class_code;
    function->vendor = 0x10de;
    function->device = 0x2484;
    function->group = group;
    function->boot_vga = VR_UNKNOWN;
    function->numa_node = -1;
    g_ptr_array_add(host->facts->functions, function);
    return function;
}

static void
add_functions(CheckHost *host)
{
    VrPciFunction *bridge = check_host_add_function(host, "0000:00:00.0", 0x060000, 0);
    bridge->vendor = 0x8086;
    VrPciFunction *graphics = check_host_add_function(host, "0000:00:02.0", 0x030000, 1);
    graphics->vendor = 0x8086;
    graphics->device = 0x3e92;
    graphics->boot_vga = VR_YES;
    graphics->driver = g_strdup("i915");
    VrPciFunction *card = check_host_add_function(host, "0000:01:00.0", 0x030000, 12);
    card->boot_vga = VR_NO;
    card->driver = g_strdup("nouveau");
    card->has_parent = true;
    VrPciFunction *audio = check_host_add_function(host, "0000:01:00.1", 0x040300, 12);
    audio->device = 0x228b;
    audio->driver = g_strdup("snd_hda_intel");
    audio->has_parent = true;
}

static void
fill_kernel_and_firmware(VrHostFacts *facts)
{
    facts->iommu = true;
    facts->iommu_in_firmware_tables = true;
    facts->kernel_release = g_strdup("6.1.0-37-amd64");
    facts->interrupt_remapping = VR_YES;
    facts->vfio_pci = VR_MODULE_LOADABLE;
    facts->computer = g_strdup("ACME B-450");
    facts->bios_version = g_strdup("4021");
    facts->bios_date = g_strdup("08/10/2021");
    facts->uefi = true;
    facts->secure_boot = VR_NO;
}

static void
fill_machine(VrHostFacts *facts)
{
    facts->cpu_model = g_strdup("Intel Core i7-9700");
    facts->cpu_is_intel = true;
    facts->cpu_has_virtualisation = true;
    for (unsigned id = 0; id < 8; id++) {
        VrCpu *cpu = g_new0(VrCpu, 1);
        cpu->id = id;
        cpu->online = true;
        cpu->siblings = g_array_new(FALSE, FALSE, sizeof(unsigned));
        g_ptr_array_add(facts->cpus, cpu);
    }
    facts->memory_total_mib = 16000;
    facts->memory_available_mib = 12000;
    facts->kvm = VR_YES;
    facts->kvm_usable = VR_YES;
    facts->kvm_evidence = g_strdup("/dev/kvm: mode 0660, owner root:kvm");
    facts->qemu_user = g_strdup("libvirt-qemu");
    facts->qemu_binary = g_strdup("/usr/bin/qemu-system-x86_64");
    facts->ovmf = facts->ovmf_secure = facts->swtpm = true;
    facts->libvirt_system_socket = true;
    facts->libvirt_socket_path = g_strdup("/run/libvirt/libvirt-sock");
    facts->qemu_settings = g_ptr_array_new();
    facts->open_vfio_nodes = g_ptr_array_new();
    g_ptr_array_add(facts->bridges, g_strdup("br0"));
}

CheckHost *
check_host_new(void)
{
    CheckHost *host = g_new0(CheckHost, 1);
    char *directory = tree_new();
    g_autoptr(VrSysroot) root = tree_root(directory);

    host->facts = vr_host_facts_load(root, 0);
    tree_remove(directory);
    host->facts->mask = VR_FACTS_ALL;
    add_functions(host);
    fill_kernel_and_firmware(host->facts);
    check_host_add_parameter(host, "BOOT_IMAGE", "/boot/vmlinuz");
    fill_machine(host->facts);
    host->profile = profile_new();
    host->holders = g_new0(VrHolders, 1);
    host->holders->holders = g_ptr_array_new_with_free_func(holder_free);
    host->devices = g_ptr_array_new();
    host->disks = g_ptr_array_new_with_free_func(disk_fact_free);
    host->files = g_ptr_array_new_with_free_func(file_fact_free);
    host->busy_groups = g_ptr_array_new_with_free_func(g_free);
    host->claimed = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    host->with_claimed = host->have_root = true;
    return host;
}

void
check_host_free(CheckHost *host)
{
    vr_host_facts_free(host->facts);
    profile_free(host->profile);
    vr_holders_free(host->holders);
    g_ptr_array_unref(host->devices);
    g_ptr_array_unref(host->disks);
    g_ptr_array_unref(host->files);
    g_ptr_array_unref(host->busy_groups);
    g_array_unref(host->claimed);
    g_free(host);
}

VrReport *
check_host_report(CheckHost *host)
{
    g_autoptr(GPtrArray) gpus = vr_gpus_judge(host->facts);
    VrCheckInput input = {
        .facts = host->facts,
        .gpus = gpus,
        .busy_groups = host->busy_groups,
        .claimed = host->with_claimed ? host->claimed : NULL,
        .have_root = host->have_root,
    };

    if (host->with_profile) {
        input.profile = host->profile;
        input.devices = host->devices;
        input.holders = host->holders;
        input.disks = host->disks;
        input.files = host->files;
    }
    return vr_checks_run(&input);
}

const VrFinding *
check_find(const VrReport *report, const char *id, int severity)
{
    for (guint i = 0; i < report->findings->len; i++) {
        const VrFinding *finding = g_ptr_array_index(report->findings, i);
        if (g_str_equal(finding->id, id) && (severity < 0 || (int) finding->severity == severity)) {
            return finding;
        }
    }
    return NULL;
}

void
check_host_add_parameter(CheckHost *host, const char *key, const char *value)
{
    VrKernelParameter *parameter = g_new0(VrKernelParameter, 1);

    parameter->key = g_strdup(key);
    parameter->value = g_strdup(value);
    g_ptr_array_add(host->facts->parameters, parameter);
}

VrPciFunction *
check_host_function(CheckHost *host, const char *address)
{
    for (guint i = 0; i < host->facts->functions->len; i++) {
        VrPciFunction *function = g_ptr_array_index(host->facts->functions, i);
        g_autofree char *text = vr_pci_address_format(function->address);
        if (g_str_equal(text, address)) {
            return function;
        }
    }
    g_error("no function %s", address);
}

VrHolder *
check_host_add_holder(CheckHost *host, VrHolderKind kind, int pid, const char *node)
{
    VrHolder *holder = g_new0(VrHolder, 1);

    holder->kind = kind;
    holder->device = check_host_function(host, "0000:01:00.0")->address;
    holder->pid = pid;
    holder->command = pid > 0 ? g_strdup("Xorg") : NULL;
    holder->node = g_strdup(node);
    g_ptr_array_add(host->holders->holders, holder);
    return holder;
}

void
check_host_add_use(CheckHost *host, const char *use, bool critical)
{
    VrDeviceUse *fact = g_new0(VrDeviceUse, 1);

    fact->address = check_host_function(host, "0000:01:00.0")->address;
    fact->use = g_strdup(use);
    fact->critical = critical;
    g_ptr_array_add(host->facts->uses, fact);
}

void
check_host_add_pool(CheckHost *host, int node, unsigned page_kib, uint64_t total,
                    uint64_t free_pages)
{
    VrHugepagePool *pool = g_new0(VrHugepagePool, 1);

    pool->node = node;
    pool->page_kib = page_kib;
    pool->total = total;
    pool->free = free_pages;
    g_ptr_array_add(host->facts->hugepages, pool);
}

VrDiskFact *
check_host_add_disk(CheckHost *host, const char *path)
{
    VrProfileDisk *disk = g_new0(VrProfileDisk, 1);
    VrDiskFact *fact = g_new0(VrDiskFact, 1);

    disk->name = g_strdup("system");
    disk->path = g_strdup(path);
    g_ptr_array_add(host->profile->disks, disk);
    fact->disk = disk;
    fact->exists = fact->is_regular = fact->readable = true;
    fact->resolved = g_strdup(path);
    g_ptr_array_add(host->disks, fact);
    return fact;
}

VrFileFact *
check_host_add_file(CheckHost *host, const char *key, const char *path)
{
    VrFileFact *fact = g_new0(VrFileFact, 1);

    fact->key = key;
    fact->path = path;
    fact->exists = fact->is_regular = true;
    g_ptr_array_add(host->files, fact);
    return fact;
}

VrProfileNetwork *
check_host_add_network(CheckHost *host, VrNetworkMode mode)
{
    VrProfileNetwork *network = g_new0(VrProfileNetwork, 1);

    network->name = g_strdup("lan");
    network->mode = mode;
    g_ptr_array_add(host->profile->networks, network);
    return network;
}
