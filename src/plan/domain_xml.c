/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/domain_xml.h>

#include "plan/domain_xml_private.h"

#include <vmrun/text.h>

#include <string.h>

#define QEMU_NAMESPACE "http://libvirt.org/schemas/domain/qemu/1.0"

/* What Windows and its drivers read as the name of the hypervisor: twelve characters. */
#define DEFAULT_VENDOR_ID "vmrun-domain"

/* More threads do not make zeroing memory faster (QEMU's own measurements, 8 against 16). */
#define PREALLOCATION_THREADS_LIMIT 16u

#define EMBEDDED_PREFIX "qemu:///embed?root="

/* --- the tree --- */

/* XML 1.0, section 2.2, production Char. */
static bool
is_xml_char(gunichar c)
{
    return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c < 0xd800) ||
           (c >= 0xe000 && c < 0xfffe) || c >= 0x10000;
}

static char *
make_xml_text(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *clean = g_string_new(NULL);

    for (const char *at = valid; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);

        g_string_append_unichar(clean, is_xml_char(c) ? c : 0xfffd);
    }
    return g_string_free(clean, FALSE);
}

static const xmlChar *
xml_string(const char *text)
{
    return (const xmlChar *) text;
}

xmlNode *
vr_xml_add(xmlNode *parent, const char *name)
{
    return xmlNewChild(parent, NULL, xml_string(name), NULL);
}

xmlNode *
vr_xml_add_text(xmlNode *parent, const char *name, const char *text)
{
    g_autofree char *clean = make_xml_text(text);

    return xmlNewTextChild(parent, NULL, xml_string(name), xml_string(clean));
}

void
vr_xml_set(xmlNode *node, const char *name, const char *value)
{
    g_autofree char *clean = make_xml_text(value);

    xmlNewProp(node, xml_string(name), xml_string(clean));
}

void
vr_xml_set_number(xmlNode *node, const char *name, unsigned long long value)
{
    g_autofree char *text = g_strdup_printf("%llu", value);

    vr_xml_set(node, name, text);
}

xmlNode *
vr_xml_add_with(xmlNode *parent, const char *name, const char *attribute, const char *value)
{
    xmlNode *node = vr_xml_add(parent, name);

    vr_xml_set(node, attribute, value);
    return node;
}

static void
add_number(xmlNode *parent, const char *name, unsigned long long value)
{
    g_autofree char *text = g_strdup_printf("%llu", value);

    vr_xml_add_text(parent, name, text);
}

/* --- places --- */

char *
vr_domain_serial_log(const char *uri, const char *profile_name)
{
    /* The dot keeps it apart from libvirt's own log of another profile. */
    if (g_str_has_prefix(uri, EMBEDDED_PREFIX)) {
        return g_strdup_printf("%s/log/qemu/%s.serial.log", uri + strlen(EMBEDDED_PREFIX),
                               profile_name);
    }
    return g_strdup_printf("/var/log/libvirt/qemu/%s.serial.log", profile_name);
}

char *
vr_domain_nvram(const char *state_directory, const VrProfile *profile)
{
    return g_strdup_printf("%s/nvram/%s%s.fd", state_directory, profile->name,
                           profile->firmware == VR_FIRMWARE_UEFI_SECURE ? ".secure" : "");
}

/* --- parts of the domain --- */

static void
add_identity(xmlNode *domain, const VrDomainSpec *spec)
{
    vr_xml_add_text(domain, "name", spec->profile->name);
    vr_xml_add_text(domain, "uuid", spec->identity->uuid);
    if (spec->profile->description[0] != '\0') {
        vr_xml_add_text(domain, "description", spec->profile->description);
    }

    xmlNode *mark = vr_xml_add(vr_xml_add(domain, "metadata"), "domain");

    xmlSetNs(mark, xmlNewNs(mark, xml_string(VR_METADATA_NAMESPACE), xml_string("vmrun")));
    vr_xml_set(mark, "profile", spec->profile->name);
    vr_xml_set(mark, "digest", spec->profile->digest);
}

static unsigned
count_online(const VrHostFacts *facts)
{
    unsigned count = 0;

    for (guint i = 0; i < facts->cpus->len; i++) {
        count += ((const VrCpu *) facts->cpus->pdata[i])->online ? 1 : 0;
    }
    return count;
}

/*
 * Huge pages come through memfd, which needs no mounted hugetlbfs of the right page size. Memory is
 * filled at once and by many threads: VFIO pins all of it before the guest runs in any case, and
 * would zero it in one thread.
 */
static void
add_memory(xmlNode *domain, const VrDomainSpec *spec)
{
    xmlNode *memory = vr_xml_add(domain, "memory");
    g_autofree char *size = g_strdup_printf("%" G_GUINT64_FORMAT, spec->profile->memory_mib);

    vr_xml_set(memory, "unit", "MiB");
    xmlAddChild(memory, xmlNewText(xml_string(size)));

    xmlNode *backing = vr_xml_add(domain, "memoryBacking");

    if (spec->pages == VR_PAGES_2M || spec->pages == VR_PAGES_1G) {
        xmlNode *page = vr_xml_add(vr_xml_add(backing, "hugepages"), "page");

        vr_xml_set_number(page, "size", spec->pages == VR_PAGES_2M ? 2048 : 1048576);
        vr_xml_set(page, "unit", "KiB");
    }
    vr_xml_add(backing, "nosharepages");
    if (spec->pages == VR_PAGES_2M || spec->pages == VR_PAGES_1G) {
        vr_xml_add_with(backing, "source", "type", "memfd");
    }

    xmlNode *allocation = vr_xml_add_with(backing, "allocation", "mode", "immediate");
    unsigned threads = CLAMP(count_online(spec->facts), 1, PREALLOCATION_THREADS_LIMIT);

    vr_xml_set_number(allocation, "threads", threads);
}

static void
add_pins(xmlNode *domain, const VrCpuPlacement *placement, unsigned io_threads)
{
    if (placement->vcpus->len == 0) {
        return;
    }

    xmlNode *tune = vr_xml_add(domain, "cputune");

    for (guint i = 0; i < placement->vcpus->len; i++) {
        xmlNode *pin = vr_xml_add(tune, "vcpupin");

        vr_xml_set_number(pin, "vcpu", i);
        vr_xml_set_number(pin, "cpuset", g_array_index(placement->vcpus, unsigned, i));
    }
    if (placement->emulator->len == 0) {
        return;
    }

    g_autofree char *rest = vr_text_from_cpu_list(placement->emulator);

    vr_xml_add_with(tune, "emulatorpin", "cpuset", rest);
    for (unsigned i = 1; i <= io_threads; i++) {
        xmlNode *pin = vr_xml_add(tune, "iothreadpin");

        vr_xml_set_number(pin, "iothread", i);
        vr_xml_set(pin, "cpuset", rest);
    }
}

static void
add_processors(xmlNode *domain, const VrDomainSpec *spec)
{
    const VrCpuPlacement *placement = spec->placement;
    unsigned io_threads = vr_domain_count_io_threads(spec->profile);
    g_autofree char *count = g_strdup_printf("%u", placement->count);
    xmlNode *vcpu = vr_xml_add_text(domain, "vcpu", count);

    vr_xml_set(vcpu, "placement", "static");
    if (io_threads > 0) {
        add_number(domain, "iothreads", io_threads);
    }
    add_pins(domain, placement, io_threads);
    if (placement->node >= 0) {
        xmlNode *memory = vr_xml_add(vr_xml_add(domain, "numatune"), "memory");

        /* Reserved pages are on that node or nowhere; other memory may spill over. */
        vr_xml_set(memory, "mode", spec->pages == VR_PAGES_NONE ? "preferred" : "strict");
        vr_xml_set_number(memory, "nodeset", (unsigned) placement->node);
    }
}

static void
add_firmware_feature(xmlNode *firmware, const char *name, bool enabled)
{
    vr_xml_set(vr_xml_add_with(firmware, "feature", "enabled", enabled ? "yes" : "no"), "name",
               name);
}

/* Both features are asked for by name: without them libvirt takes the first descriptor, which is
 * the one with Secure Boot and Microsoft's keys. */
static void
add_boot(xmlNode *domain, const VrDomainSpec *spec)
{
    const VrProfile *profile = spec->profile;
    bool secure = profile->firmware == VR_FIRMWARE_UEFI_SECURE;
    xmlNode *os = vr_xml_add_with(domain, "os", "firmware", "efi");
    xmlNode *type = vr_xml_add_text(os, "type", "hvm");
    g_autofree char *nvram = vr_domain_nvram(spec->state_directory, profile);

    vr_xml_set(type, "arch", "x86_64");
    vr_xml_set(type, "machine", "q35");

    xmlNode *firmware = vr_xml_add(os, "firmware");

    add_firmware_feature(firmware, "enrolled-keys", secure);
    add_firmware_feature(firmware, "secure-boot", secure);
    vr_xml_add_text(os, "nvram", nvram);
    if (profile->kernel == NULL) {
        return;
    }
    vr_xml_add_text(os, "kernel", profile->kernel);
    if (profile->initrd != NULL) {
        vr_xml_add_text(os, "initrd", profile->initrd);
    }
    if (profile->cmdline != NULL) {
        vr_xml_add_text(os, "cmdline", profile->cmdline);
    }
}

/* Not evmcs: it is for guests that run virtual machines on Intel, and switches posted interrupts
 * off (QEMU, docs/system/i386/hyperv.rst). */
static void
add_windows_features(xmlNode *hyperv, const VrHostFacts *facts)
{
    static const char *const plain[] = {"vpindex", "runtime", "synic"};
    static const char *const last[] = {"reset", "frequencies", "tlbflush", "ipi"};

    vr_xml_add_with(hyperv, "relaxed", "state", "on");
    vr_xml_add_with(hyperv, "vapic", "state", "on");
    vr_xml_set(vr_xml_add_with(hyperv, "spinlocks", "state", "on"), "retries", "8191");
    for (gsize i = 0; i < G_N_ELEMENTS(plain); i++) {
        vr_xml_add_with(hyperv, plain[i], "state", "on");
    }
    vr_xml_add_with(vr_xml_add_with(hyperv, "stimer", "state", "on"), "direct", "state", "on");
    for (gsize i = 0; i < G_N_ELEMENTS(last); i++) {
        vr_xml_add_with(hyperv, last[i], "state", "on");
    }
    /* Without it SynIC would switch AVIC or APICv off; on a host without those it only costs. */
    if (facts->apic_virtualisation) {
        vr_xml_add_with(hyperv, "avic", "state", "on");
    }
}

static void
add_hyperv(xmlNode *features, const VrDomainSpec *spec)
{
    const VrProfile *profile = spec->profile;
    bool windows = profile->guest == VR_GUEST_WINDOWS;
    const char *vendor = profile->vendor_id;

    if (vendor == NULL && profile->hide_hypervisor) {
        vendor = DEFAULT_VENDOR_ID;
    }
    if (!windows && vendor == NULL) {
        return;
    }

    xmlNode *hyperv = vr_xml_add_with(features, "hyperv", "mode", "custom");

    if (windows) {
        add_windows_features(hyperv, spec->facts);
    }
    if (vendor != NULL) {
        vr_xml_set(vr_xml_add_with(hyperv, "vendor_id", "state", "on"), "value", vendor);
    }
}

/* The hints tell a Linux guest that its CPUs are its own, which is true only if they are pinned. */
static void
add_kvm(xmlNode *features, const VrDomainSpec *spec)
{
    bool hints = spec->profile->guest == VR_GUEST_LINUX && spec->placement->vcpus->len > 0;

    if (!spec->profile->hide_hypervisor && !hints) {
        return;
    }

    xmlNode *kvm = vr_xml_add(features, "kvm");

    if (spec->profile->hide_hypervisor) {
        vr_xml_add_with(kvm, "hidden", "state", "on");
        return;
    }
    vr_xml_add_with(kvm, "hint-dedicated", "state", "on");
    vr_xml_add_with(kvm, "poll-control", "state", "on");
}

static void
add_features(xmlNode *domain, const VrDomainSpec *spec)
{
    xmlNode *features = vr_xml_add(domain, "features");

    vr_xml_add(features, "acpi");
    vr_xml_add(features, "apic");
    add_hyperv(features, spec);
    add_kvm(features, spec);
    vr_xml_add_with(features, "vmport", "state", "off");
    /* The whole interrupt controller in the kernel: NVIDIA's Windows driver fails without on q35.
     */
    vr_xml_add_with(features, "ioapic", "driver", "kvm");
}

static void
require_feature(xmlNode *cpu, const char *name)
{
    vr_xml_set(vr_xml_add_with(cpu, "feature", "policy", "require"), "name", name);
}

static void
add_cpu(xmlNode *domain, const VrDomainSpec *spec)
{
    const VrHostFacts *facts = spec->facts;
    xmlNode *cpu = vr_xml_add_with(domain, "cpu", "mode", "host-passthrough");

    vr_xml_set(cpu, "check", "none");
    vr_xml_set(cpu, "migratable", "off");

    xmlNode *topology = vr_xml_add(cpu, "topology");

    vr_xml_set_number(topology, "sockets", 1);
    vr_xml_set_number(topology, "dies", 1);
    vr_xml_set_number(topology, "cores", spec->placement->cores);
    vr_xml_set_number(topology, "threads", spec->placement->threads);
    vr_xml_add_with(cpu, "cache", "mode", "passthrough");
    /* Else a guest has 40 bits, and large cards do not fit into what is above its memory. */
    vr_xml_add_with(cpu, "maxphysaddr", "mode", "passthrough");
    /* Both make QEMU fail to start on a host that lacks them. */
    if (facts->cpu_is_amd && facts->cpu_has_topoext) {
        require_feature(cpu, "topoext");
    }
    if (spec->profile->hide_hypervisor && facts->cpu_has_invariant_tsc) {
        require_feature(cpu, "invtsc");
    }
}

static xmlNode *
add_timer(xmlNode *clock, const char *name, const char *attribute, const char *value)
{
    xmlNode *timer = vr_xml_add_with(clock, "timer", "name", name);

    vr_xml_set(timer, attribute, value);
    return timer;
}

static void
add_clock(xmlNode *domain, const VrProfile *profile)
{
    bool windows = profile->guest == VR_GUEST_WINDOWS;
    xmlNode *clock = vr_xml_add_with(domain, "clock", "offset", windows ? "localtime" : "utc");

    if (windows) {
        add_timer(clock, "rtc", "tickpolicy", "catchup");
    }
    add_timer(clock, "pit", "tickpolicy", windows ? "discard" : "delay");
    add_timer(clock, "hpet", "present", "no");
    if (windows) {
        add_timer(clock, "hypervclock", "present", "yes");
    } else {
        add_timer(clock, "kvmclock", "present", profile->hide_hypervisor ? "no" : "yes");
    }
}

/* A guest that sleeps with a real card seldom wakes up. */
static void
add_life_cycle(xmlNode *domain)
{
    vr_xml_add_text(domain, "on_poweroff", "destroy");
    vr_xml_add_text(domain, "on_reboot", "restart");
    vr_xml_add_text(domain, "on_crash", "destroy");

    xmlNode *power = vr_xml_add(domain, "pm");

    vr_xml_add_with(power, "suspend-to-mem", "enabled", "no");
    vr_xml_add_with(power, "suspend-to-disk", "enabled", "no");
}

static char *
write_document(xmlDoc *document)
{
    xmlChar *text = NULL;
    int size_bytes = 0;

    xmlDocDumpFormatMemoryEnc(document, &text, &size_bytes, "UTF-8", 1);

    char *copy = g_strndup((const char *) text, (gsize) size_bytes);

    xmlFree(text);
    return copy;
}

char *
vr_domain_xml(const VrDomainSpec *spec)
{
    xmlDoc *document = xmlNewDoc(xml_string("1.0"));
    xmlNode *domain = xmlNewNode(NULL, xml_string("domain"));

    xmlDocSetRootElement(document, domain);
    vr_xml_set(domain, "type", "kvm");
    add_identity(domain, spec);
    add_memory(domain, spec);
    add_processors(domain, spec);
    add_boot(domain, spec);
    add_features(domain, spec);
    add_cpu(domain, spec);
    add_clock(domain, spec->profile);
    add_life_cycle(domain);
    vr_domain_add_devices(domain, spec);
    if (vr_domain_needs_override(spec->profile)) {
        xmlNs *space = xmlNewNs(domain, xml_string(QEMU_NAMESPACE), xml_string("qemu"));

        vr_domain_add_override(domain, spec->profile, space);
    }

    char *text = write_document(document);

    xmlFreeDoc(document);
    return text;
}
