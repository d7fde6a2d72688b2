/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/domain_xml_private.h"

#include <vmrun/pci.h>
#include <vmrun/text.h>

#include <string.h>

/* Root ports of the cards sit in slots of their own, so that a card keeps its place in the guest
 * when disks or networks come and go. 0x1b to 0x1f are the chipset's. */
#define FIRST_PORT_SLOT 0x10u

/* NVMe Base Specification 1.4, Identify Controller: the serial number has 20 characters. */
#define SERIAL_LIMIT 20u

/* --- small helpers --- */

static void
set_hex(xmlNode *node, const char *name, unsigned value, unsigned digits)
{
    g_autofree char *text = g_strdup_printf("0x%0*x", (int) digits, value);

    vr_xml_set(node, name, text);
}

static xmlNode *
add_pci_address(xmlNode *parent, VrPciAddress address)
{
    xmlNode *node = vr_xml_add(parent, "address");

    set_hex(node, "domain", address.domain, 4);
    set_hex(node, "bus", address.bus, 2);
    set_hex(node, "slot", address.slot, 2);
    set_hex(node, "function", address.function, 1);
    return node;
}

static xmlNode *
add_guest_address(xmlNode *parent, VrPciAddress address, bool multifunction)
{
    xmlNode *node = add_pci_address(parent, address);

    vr_xml_set(node, "type", "pci");
    if (multifunction) {
        vr_xml_set(node, "multifunction", "on");
    }
    return node;
}

/* --- assigned devices --- */

/* Guest bus of the card with this index: the number of its root port. Bus 0 is the root. */
static unsigned
bus_of_card(guint index)
{
    return index + 1;
}

static void
add_root_port(xmlNode *devices, guint index)
{
    unsigned slot = FIRST_PORT_SLOT + index / 8;
    unsigned function = index % 8;
    xmlNode *port = vr_xml_add_with(devices, "controller", "type", "pci");

    vr_xml_set_number(port, "index", bus_of_card(index));
    vr_xml_set(port, "model", "pcie-root-port");

    xmlNode *target = vr_xml_add(port, "target");

    vr_xml_set_number(target, "chassis", bus_of_card(index));
    set_hex(target, "port", slot << 3 | function, 2);
    vr_xml_set(target, "hotplug", "off");
    add_guest_address(port, (VrPciAddress){0, 0, (uint8_t) slot, (uint8_t) function},
                      function == 0);
}

/* managed='yes' on a function that is on vfio-pci already: libvirt neither moves it nor keeps it on
 * a list of its own, on which another tool's guest would find it. */
static void
add_function(xmlNode *devices, const VrChosenDevice *device, const VrChosenFunction *chosen,
             unsigned bus)
{
    xmlNode *node = vr_xml_add_with(devices, "hostdev", "mode", "subsystem");
    bool is_main = chosen->guest_function == 0;

    vr_xml_set(node, "type", "pci");
    vr_xml_set(node, "managed", "yes");
    vr_xml_add_with(node, "driver", "name", "vfio");
    add_pci_address(vr_xml_add(node, "source"), chosen->function->address);
    if (is_main && device->section->rom != NULL) {
        vr_xml_set(vr_xml_add_with(node, "rom", "bar", "on"), "file", device->section->rom);
    }
    add_guest_address(node, (VrPciAddress){0, (uint8_t) bus, 0, chosen->guest_function},
                      is_main && device->functions->len > 1);
}

static void
add_root_ports(xmlNode *devices, const GPtrArray *chosen)
{
    for (guint i = 0; i < chosen->len; i++) {
        add_root_port(devices, i);
    }
}

static void
add_assigned(xmlNode *devices, const GPtrArray *chosen)
{
    for (guint i = 0; i < chosen->len; i++) {
        const VrChosenDevice *device = chosen->pdata[i];

        for (guint j = 0; j < device->functions->len; j++) {
            add_function(devices, device, &g_array_index(device->functions, VrChosenFunction, j),
                         bus_of_card(i));
        }
    }
}

/* --- disks --- */

static bool
uses_io_thread(const VrProfileDisk *disk)
{
    return !disk->is_cdrom && disk->bus == VR_BUS_VIRTIO;
}

unsigned
vr_domain_count_io_threads(const VrProfile *profile)
{
    unsigned count = 0;

    for (guint i = 0; i < profile->disks->len; i++) {
        count += uses_io_thread(profile->disks->pdata[i]) ? 1 : 0;
    }
    return count;
}

static bool
is_block_device(const VrProfileDisk *disk)
{
    return g_str_has_prefix(disk->path, "/dev/");
}

static const char *
format_of(const VrProfileDisk *disk)
{
    if (disk->format != NULL) {
        return disk->format;
    }
    return g_str_has_suffix(disk->path, ".qcow2") ? "qcow2" : "raw";
}

/* Without the host's page cache, where the file system can: the guest has one of its own. */
static void
add_disk_driver(xmlNode *node, const VrDomainSpec *spec, const VrProfileDisk *disk,
                unsigned io_thread)
{
    xmlNode *driver = vr_xml_add_with(node, "driver", "name", "qemu");
    bool buffered =
        spec->buffered != NULL && g_ptr_array_find((GPtrArray *) spec->buffered, disk, NULL);

    vr_xml_set(driver, "type", format_of(disk));
    if (disk->is_cdrom) {
        return;
    }
    vr_xml_set(driver, "cache", buffered ? "writeback" : "none");
    vr_xml_set(driver, "io", buffered ? "threads" : "native");
    if (!disk->read_only) {
        vr_xml_set(driver, "discard", "unmap");
        vr_xml_set(driver, "detect_zeroes", "unmap");
    }
    if (io_thread > 0) {
        vr_xml_set_number(driver, "queues", MIN(spec->placement->count, 4u));
        vr_xml_set_number(driver, "iothread", io_thread);
    }
}

/* The guest knows its disks by it: from the section's name, shortened to what NVMe can hold. */
static char *
serial_of(const VrProfileDisk *disk)
{
    bool plain = disk->name[strspn(disk->name, "abcdefghijklmnopqrstuvwxyz"
                                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] == '\0';

    if (disk->name[0] != '\0' && plain && strlen(disk->name) <= SERIAL_LIMIT - strlen("vmrun-")) {
        return g_strdup_printf("vmrun-%s", disk->name);
    }

    g_autofree char *digest = vr_text_digest(disk->name);

    return g_strdup_printf("vmrun-%.12s", digest);
}

/* libvirt's override of QEMU's properties works on devices with an alias of the user's own. */
static char *
nvme_alias(guint index)
{
    return g_strdup_printf("ua-nvme%u", index);
}

static bool
is_nvme(const VrProfileDisk *disk)
{
    return !disk->is_cdrom && disk->bus == VR_BUS_NVME;
}

static bool
is_on_sata(const VrProfileDisk *disk)
{
    return disk->is_cdrom || disk->bus == VR_BUS_SATA;
}

/* "vda", "sdb", …, "vdaa": the letters count like columns of a table. */
static char *
target_name(const char *prefix, guint index)
{
    g_autoptr(GString) letters = g_string_new(NULL);

    for (guint rest = index + 1; rest > 0; rest = (rest - 1) / 26) {
        g_string_prepend_c(letters, (char) ('a' + (rest - 1) % 26));
    }
    return g_strconcat(prefix, letters->str, NULL);
}

/* How many disks before this one are on the same kind of bus. */
static char *
target_of(const VrProfile *profile, guint index)
{
    const VrProfileDisk *disk = profile->disks->pdata[index];
    guint before = 0;

    for (guint i = 0; i < index; i++) {
        before += is_on_sata(profile->disks->pdata[i]) == is_on_sata(disk) ? 1 : 0;
    }
    return target_name(is_on_sata(disk) ? "sd" : "vd", before);
}

/* Without any order in the profile: the disks, then the cdroms, as they come. */
static unsigned
boot_order_of(const VrProfile *profile, guint index)
{
    const VrProfileDisk *disk = profile->disks->pdata[index];
    unsigned order = 1;

    for (guint i = 0; i < profile->disks->len; i++) {
        const VrProfileDisk *other = profile->disks->pdata[i];

        if (other->boot_order > 0) {
            return disk->boot_order;
        }
        bool first = other->is_cdrom != disk->is_cdrom ? !other->is_cdrom : i < index;

        order += first ? 1 : 0;
    }
    return order;
}

static void
add_disk(xmlNode *devices, const VrDomainSpec *spec, guint index, unsigned io_thread)
{
    const VrProfileDisk *disk = spec->profile->disks->pdata[index];
    bool block = is_block_device(disk);
    xmlNode *node = vr_xml_add_with(devices, "disk", "type", block ? "block" : "file");
    g_autofree char *target = target_of(spec->profile, index);
    g_autofree char *serial = serial_of(disk);
    unsigned order = boot_order_of(spec->profile, index);

    vr_xml_set(node, "device", disk->is_cdrom ? "cdrom" : "disk");
    add_disk_driver(node, spec, disk, io_thread);
    vr_xml_add_with(node, "source", block ? "dev" : "file", disk->path);
    vr_xml_set(vr_xml_add_with(node, "target", "dev", target), "bus",
               is_on_sata(disk) ? "sata" : "virtio");
    if (!disk->is_cdrom) {
        vr_xml_add_text(node, "serial", serial);
    }
    if (disk->read_only || disk->is_cdrom) {
        vr_xml_add(node, "readonly");
    }
    if (order > 0) {
        vr_xml_set_number(vr_xml_add(node, "boot"), "order", order);
    }
    if (is_nvme(disk)) {
        g_autofree char *alias = nvme_alias(index);

        vr_xml_add_with(node, "alias", "name", alias);
    }
}

static void
add_disks(xmlNode *devices, const VrDomainSpec *spec)
{
    unsigned io_thread = 0;

    for (guint i = 0; i < spec->profile->disks->len; i++) {
        bool threaded = uses_io_thread(spec->profile->disks->pdata[i]);

        io_thread += threaded ? 1 : 0;
        add_disk(devices, spec, i, threaded ? io_thread : 0);
    }
}

bool
vr_domain_needs_override(const VrProfile *profile)
{
    for (guint i = 0; i < profile->disks->len; i++) {
        if (is_nvme(profile->disks->pdata[i])) {
            return true;
        }
    }
    return false;
}

/*
 * An emulated NVMe disk. libvirt has no such bus before 11.5, and a -device on QEMU's command line
 * would keep it from owning, labelling and locking the file. So the disk is an ordinary virtio one
 * for libvirt, and QEMU is told another driver for it; all properties that libvirt sets are common
 * to both (without iothread and queues). Tried with libvirt 9.0 and QEMU 7.2: OVMF boots from it.
 */
void
vr_domain_add_override(xmlNode *domain, const VrProfile *profile, xmlNs *space)
{
    xmlNode *overrides = xmlNewChild(domain, space, (const xmlChar *) "override", NULL);

    for (guint i = 0; i < profile->disks->len; i++) {
        if (!is_nvme(profile->disks->pdata[i])) {
            continue;
        }

        g_autofree char *alias = nvme_alias(i);
        xmlNode *device = vr_xml_add_with(overrides, "device", "alias", alias);
        xmlNode *frontend = vr_xml_add(device, "frontend");
        xmlNode *property = vr_xml_add_with(frontend, "property", "name", "driver");

        vr_xml_set(property, "type", "string");
        vr_xml_set(property, "value", "nvme");
    }
}

/* --- networks --- */

/* Bridges that containers and libvirt make for themselves lead nowhere that a user means. */
static bool
is_private_bridge(const char *name)
{
    static const char *const prefixes[] = {"virbr",   "docker", "br-",    "lxcbr",   "lxdbr",
                                           "incusbr", "cni",    "podman", "waydroid"};

    for (gsize i = 0; i < G_N_ELEMENTS(prefixes); i++) {
        if (g_str_has_prefix(name, prefixes[i])) {
            return true;
        }
    }
    return false;
}

static const char *
find_bridge(const VrHostFacts *facts)
{
    for (guint i = 0; i < facts->bridges->len; i++) {
        if (!is_private_bridge(facts->bridges->pdata[i])) {
            return facts->bridges->pdata[i];
        }
    }
    return NULL;
}

static VrNetworkMode
resolve_auto(const VrHostFacts *facts, bool default_network, const char **out_source)
{
    const char *bridge = find_bridge(facts);

    if (bridge != NULL) {
        *out_source = bridge;
        return VR_NETWORK_BRIDGE;
    }
    *out_source = default_network ? "default" : NULL;
    return default_network ? VR_NETWORK_NAT : VR_NETWORK_USER;
}

VrNetworkMode
vr_network_resolve(const VrProfileNetwork *network, const VrHostFacts *facts, bool default_network,
                   const char **out_source)
{
    *out_source = network->source;
    switch (network->mode) {
    case VR_NETWORK_AUTO:
        return resolve_auto(facts, default_network, out_source);
    case VR_NETWORK_NAT:
        *out_source = network->source != NULL ? network->source : "default";
        return VR_NETWORK_NAT;
    case VR_NETWORK_BRIDGE:
        *out_source = network->source != NULL ? network->source : find_bridge(facts);
        return VR_NETWORK_BRIDGE;
    case VR_NETWORK_USER:
    case VR_NETWORK_MACVTAP:
    case VR_NETWORK_NONE:
        break;
    }
    return network->mode;
}

static void
add_network_source(xmlNode *node, VrNetworkMode mode, const char *source)
{
    switch (mode) {
    case VR_NETWORK_BRIDGE:
        vr_xml_set(node, "type", "bridge");
        vr_xml_add_with(node, "source", "bridge", source != NULL ? source : "br0");
        break;
    case VR_NETWORK_NAT:
        vr_xml_set(node, "type", "network");
        vr_xml_add_with(node, "source", "network", source);
        break;
    case VR_NETWORK_MACVTAP:
        vr_xml_set(node, "type", "direct");
        vr_xml_set(vr_xml_add_with(node, "source", "dev", source != NULL ? source : ""), "mode",
                   "bridge");
        break;
    case VR_NETWORK_AUTO:
    case VR_NETWORK_USER:
    case VR_NETWORK_NONE:
        vr_xml_set(node, "type", "user");
        break;
    }
}

/* Windows brings a driver for e1000e; Linux one for virtio. */
static void
add_network(xmlNode *devices, const VrDomainSpec *spec, const VrProfileNetwork *network)
{
    const char *source = NULL;
    VrNetworkMode mode = vr_network_resolve(network, spec->facts, spec->default_network, &source);
    bool windows = spec->profile->guest == VR_GUEST_WINDOWS;
    const char *mac = network->mac != NULL
                          ? network->mac
                          : g_hash_table_lookup(spec->identity->macs, network->name);
    unsigned queues = MIN(spec->placement->count, 8u);

    if (mode == VR_NETWORK_NONE) {
        return;
    }

    xmlNode *node = vr_xml_add(devices, "interface");

    add_network_source(node, mode, source);
    if (mac != NULL) {
        vr_xml_add_with(node, "mac", "address", mac);
    }
    vr_xml_add_with(node, "model", "type", windows ? "e1000e" : "virtio");
    if (!windows && mode != VR_NETWORK_USER && queues > 1) {
        vr_xml_set_number(vr_xml_add(node, "driver"), "queues", queues);
    }
}

static void
add_networks(xmlNode *devices, const VrDomainSpec *spec)
{
    for (guint i = 0; i < spec->profile->networks->len; i++) {
        add_network(devices, spec, spec->profile->networks->pdata[i]);
    }
}

/* --- the small ones --- */

/* With no display a failed boot would be invisible otherwise. A terminal, too: virsh console. */
static void
add_serial(xmlNode *devices, const VrDomainSpec *spec)
{
    xmlNode *serial = vr_xml_add_with(devices, "serial", "type", "pty");
    g_autofree char *path = vr_domain_serial_log(spec->uri, spec->profile->name);

    vr_xml_set(vr_xml_add_with(serial, "log", "file", path), "append", "on");
    vr_xml_set(vr_xml_add_with(serial, "target", "type", "isa-serial"), "port", "0");
}

static void
add_agent_channel(xmlNode *devices)
{
    xmlNode *channel = vr_xml_add_with(devices, "channel", "type", "unix");

    vr_xml_set(vr_xml_add_with(channel, "target", "type", "virtio"), "name",
               "org.qemu.guest_agent.0");
}

/* persistent_state: libvirt deletes the state of a transient domain's TPM otherwise. */
static void
add_tpm(xmlNode *devices)
{
    xmlNode *backend = vr_xml_add_with(vr_xml_add_with(devices, "tpm", "model", "tpm-crb"),
                                       "backend", "type", "emulator");

    vr_xml_set(backend, "version", "2.0");
    vr_xml_set(backend, "persistent_state", "yes");
}

static void
add_rng(xmlNode *devices)
{
    xmlNode *rng = vr_xml_add_with(devices, "rng", "model", "virtio");

    vr_xml_set(vr_xml_add_text(rng, "backend", "/dev/urandom"), "model", "random");
}

void
vr_domain_add_devices(xmlNode *domain, const VrDomainSpec *spec)
{
    xmlNode *devices = vr_xml_add(domain, "devices");

    if (spec->facts->qemu_binary != NULL) {
        vr_xml_add_text(devices, "emulator", spec->facts->qemu_binary);
    }
    add_root_ports(devices, spec->devices);
    vr_xml_set(vr_xml_add_with(devices, "controller", "type", "usb"), "model", "qemu-xhci");
    add_disks(devices, spec);
    add_networks(devices, spec);
    add_serial(devices, spec);
    add_agent_channel(devices);
    if (spec->profile->tpm) {
        add_tpm(devices);
    }
    add_assigned(devices, spec->devices);
    vr_xml_add_with(vr_xml_add(devices, "video"), "model", "type", "none");
    vr_xml_add_with(devices, "memballoon", "model", "none");
    add_rng(devices);
}
