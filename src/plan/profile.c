/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/profile.h>

#include "plan/profile_checks.h"
#include "plan/profile_sections.h"
#include "plan/profile_values.h"

#include <vmrun/text.h>

#include <string.h>

static void
device_free(void *data)
{
    VrProfileDevice *device = data;

    g_free(device->name);
    g_clear_pointer(&device->functions, g_array_unref);
    g_free(device->rom);
    g_free(device->origin.file);
    g_free(device);
}

static void
disk_free(void *data)
{
    VrProfileDisk *disk = data;

    g_free(disk->name);
    g_free(disk->path);
    g_free(disk->format);
    g_free(disk->origin.file);
    g_free(disk);
}

static void
network_free(void *data)
{
    VrProfileNetwork *network = data;

    g_free(network->name);
    g_free(network->source);
    g_free(network->mac);
    g_free(network->origin.file);
    g_free(network);
}

static void
value_free(void *data)
{
    VrProfileValue *value = data;

    g_free(value->group);
    g_free(value->key);
    g_free(value->value);
    g_free(value->origin.file);
    g_free(value);
}

void
vr_profile_free(VrProfile *profile)
{
    if (profile == NULL) {
        return;
    }
    g_free(profile->name);
    g_free(profile->description);
    g_clear_pointer(&profile->pin_cpus, g_array_unref);
    g_free(profile->hypervisor_uri);
    g_clear_pointer(&profile->devices, g_ptr_array_unref);
    g_free(profile->vendor_id);
    g_free(profile->kernel);
    g_free(profile->initrd);
    g_free(profile->cmdline);
    g_clear_pointer(&profile->disks, g_ptr_array_unref);
    g_clear_pointer(&profile->networks, g_ptr_array_unref);
    g_clear_pointer(&profile->stop_units, g_ptr_array_unref);
    g_clear_pointer(&profile->values, g_ptr_array_unref);
    g_free(profile->digest);
    g_free(profile);
}

void
vr_profile_mistake_free(VrProfileMistake *mistake)
{
    if (mistake != NULL) {
        g_free(mistake->file);
        g_free(mistake->group);
        g_free(mistake->key);
        g_free(mistake->message);
        g_free(mistake);
    }
}

char *
vr_profile_mistake_format(const VrProfileMistake *mistake)
{
    g_autoptr(GString) text = g_string_new(mistake->file);

    if (mistake->line > 0) {
        g_string_append_printf(text, ":%u", mistake->line);
    }
    g_string_append(text, ":");
    if (mistake->group != NULL) {
        g_string_append_printf(text, " [%s]", mistake->group);
    }
    if (mistake->key != NULL) {
        g_string_append_printf(text, " %s:", mistake->key);
    }
    g_string_append_printf(text, " %s", mistake->message);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

char *
vr_profile_value_write(const VrProfileValue *value)
{
    g_autofree char *text = vr_profile_value_escape(value->value);

    return g_strdup_printf("%s=%s", value->key, text);
}

/* The last [profile] extends of a text and its line; NULL: none. */
static char *
find_extends(const VrProfileText *text, unsigned *out_line)
{
    g_autoptr(GPtrArray) lines = vr_profile_lines_read(text, 0, NULL);
    const VrProfileLine *found = NULL;
    const char *group = NULL;

    for (guint i = 0; i < lines->len; i++) {
        const VrProfileLine *line = g_ptr_array_index(lines, i);

        if (line->key == NULL) {
            group = line->group;
        } else if (g_strcmp0(group, "profile") == 0 && strcmp(line->key, "extends") == 0) {
            found = line;
        }
    }
    if (found == NULL || found->value[0] == '\0') {
        return NULL;
    }
    *out_line = found->line;
    return g_strdup(found->value);
}

char *
vr_profile_text_extends(const char *text, size_t size_bytes)
{
    VrProfileText whole = {.file = "", .text = text, .size_bytes = size_bytes};
    unsigned line = 0;

    return find_extends(&whole, &line);
}

/* Everything below fills a profile from sections that are known to be right. */
typedef struct {
    VrProfile *profile;
    const GPtrArray *sections;
} Filler;

static const char *
value_of(const Filler *filler, const VrSection *section, const char *key)
{
    return vr_section_value(section, key, filler->profile->guest);
}

static bool
is_yes(const Filler *filler, const VrSection *section, const char *key)
{
    return g_strcmp0(value_of(filler, section, key), "yes") == 0;
}

/* Place of the value among the choices of its key: the enumerations stand in the order given. */
static int
choice_of(const Filler *filler, const VrSection *section, const char *key, const char *const *words)
{
    const char *value = value_of(filler, section, key);

    for (int i = 0; words[i] != NULL; i++) {
        if (g_strcmp0(value, words[i]) == 0) {
            return i;
        }
    }
    return 0;
}

static VrOrigin
origin_of(VrPlace place)
{
    return (VrOrigin){.file = g_strdup(place.file), .line = place.line};
}

static void
fill_hypervisor(Filler *filler, const VrSection *machine)
{
    static const char *const words[] = {"auto", "system", "embedded", NULL};
    const char *value = value_of(filler, machine, "hypervisor");

    if (g_str_has_prefix(value, "qemu:")) {
        filler->profile->hypervisor = VR_HYPERVISOR_URI;
        filler->profile->hypervisor_uri = g_strdup(value);
    } else {
        filler->profile->hypervisor =
            (VrHypervisorChoice) choice_of(filler, machine, "hypervisor", words);
    }
}

static void
fill_pin(Filler *filler, const VrSection *machine)
{
    static const char *const words[] = {"auto", "none", NULL};
    VrProfile *profile = filler->profile;

    profile->pin_cpus = vr_value_pin(value_of(filler, machine, "pin"));
    if (profile->pin_cpus == NULL) {
        profile->pin = (VrChoice) choice_of(filler, machine, "pin", words);
        return;
    }
    profile->pin = VR_LISTED;
    if (profile->cpus == 0) { /* the list says how many there are */
        profile->cpus = profile->pin_cpus->len;
    }
}

static void
fill_machine(Filler *filler)
{
    static const char *const pages[] = {"auto", "none", "2M", "1G", NULL};
    static const char *const numa[] = {"auto", "none", NULL};
    static const char *const firmware[] = {"uefi", "uefi-secure", NULL};
    const VrSection *machine = vr_sections_find(filler->sections, "machine");
    VrProfile *profile = filler->profile;

    vr_value_cpus(value_of(filler, machine, "cpus"), &profile->cpus);
    vr_value_memory(value_of(filler, machine, "memory"), &profile->memory_mib);
    fill_pin(filler, machine);
    profile->hugepages = (VrPages) choice_of(filler, machine, "hugepages", pages);
    profile->numa = (VrChoice) choice_of(filler, machine, "numa", numa);
    profile->firmware = (VrFirmware) choice_of(filler, machine, "firmware", firmware);
    profile->tpm = is_yes(filler, machine, "tpm");
    fill_hypervisor(filler, machine);
}

static void
fill_choice(VrProfileDevice *device, const char *value)
{
    if (strcmp(value, "auto") == 0) {
        device->choice = VR_DEVICE_AUTO;
    } else if (strcmp(value, "all") == 0) {
        device->choice = VR_DEVICE_ALL;
    } else if (vr_value_address(value, &device->address)) {
        device->choice = VR_DEVICE_ADDRESS;
    } else {
        device->choice = VR_DEVICE_ID;
        vr_value_ids(value, &device->vendor, &device->device);
    }
}

static VrProfileDevice *
add_device(Filler *filler, const VrSection *section)
{
    VrProfileDevice *device = g_new0(VrProfileDevice, 1);

    device->name = g_strdup(section->name);
    device->origin = origin_of(section->place);
    fill_choice(device, value_of(filler, section, "device"));
    g_ptr_array_add(filler->profile->devices, device);
    return device;
}

static void
add_gpu(Filler *filler, const VrSection *section)
{
    VrProfile *profile = filler->profile;
    VrProfileDevice *gpu = add_device(filler, section);

    gpu->is_gpu = true;
    gpu->functions = vr_value_functions(value_of(filler, section, "functions"));
    gpu->rom = g_strdup(value_of(filler, section, "rom"));
    gpu->allow_boot_display = is_yes(filler, section, "allow-boot-display");
    /* These two are the same in every section (vr_sections_spread). */
    profile->hide_hypervisor = is_yes(filler, section, "hide-hypervisor");
    g_free(profile->vendor_id);
    profile->vendor_id = g_strdup(value_of(filler, section, "vendor-id"));
}

static VrProfileDisk *
add_disk(Filler *filler, const VrSection *section)
{
    static const char *const buses[] = {"virtio", "nvme", "sata", NULL};
    VrProfileDisk *disk = g_new0(VrProfileDisk, 1);
    const char *order = value_of(filler, section, "boot-order");

    disk->name = g_strdup(section->name);
    disk->origin = origin_of(section->place);
    disk->path = g_strdup(value_of(filler, section, "path"));
    if (order != NULL) {
        vr_value_order(order, &disk->boot_order);
    }
    disk->is_cdrom = vr_section_is(section, "cdrom");
    disk->bus = VR_BUS_SATA;
    disk->read_only = true;
    if (!disk->is_cdrom) {
        disk->bus = (VrDiskBus) choice_of(filler, section, "bus", buses);
        disk->format = g_strdup(value_of(filler, section, "format"));
        disk->read_only = is_yes(filler, section, "read-only");
    }
    g_ptr_array_add(filler->profile->disks, disk);
    return disk;
}

static void
add_network(Filler *filler, const VrSection *section)
{
    static const char *const modes[] = {"auto", "user", "nat", "bridge", "macvtap", "none", NULL};
    VrProfileNetwork *network = g_new0(VrProfileNetwork, 1);
    const char *mac = value_of(filler, section, "mac");

    network->name = g_strdup(section->name);
    network->origin = origin_of(section->place);
    network->mode = (VrNetworkMode) choice_of(filler, section, "mode", modes);
    network->source = g_strdup(value_of(filler, section, "source"));
    network->mac = mac != NULL ? vr_value_mac(mac) : NULL;
    g_ptr_array_add(filler->profile->networks, network);
}

static void
fill_lists(Filler *filler, const char *group)
{
    for (guint i = 0; i < filler->sections->len; i++) {
        const VrSection *section = g_ptr_array_index(filler->sections, i);

        if (!vr_section_is(section, group)) {
            continue;
        }
        if (strcmp(group, "gpu") == 0) {
            add_gpu(filler, section);
        } else if (strcmp(group, "pci") == 0) {
            add_device(filler, section);
        } else if (strcmp(group, "network") == 0) {
            add_network(filler, section);
        } else {
            add_disk(filler, section);
        }
    }
}

static void
fill_boot_and_session(Filler *filler)
{
    static const char *const after[] = {"restore", "keep", NULL};
    static const char *const governors[] = {"performance", "keep", NULL};
    const VrSection *boot = vr_sections_find(filler->sections, "boot");
    const VrSection *session = vr_sections_find(filler->sections, "session");
    VrProfile *profile = filler->profile;
    const char *units = value_of(filler, session, "stop-units");

    profile->kernel = g_strdup(value_of(filler, boot, "kernel"));
    profile->initrd = g_strdup(value_of(filler, boot, "initrd"));
    profile->cmdline = g_strdup(value_of(filler, boot, "cmdline"));
    vr_value_seconds(value_of(filler, session, "start-timeout"), &profile->start_timeout_s);
    vr_value_seconds(value_of(filler, session, "stop-timeout"), &profile->stop_timeout_s);
    profile->after_stop = (VrAfterStop) choice_of(filler, session, "after-stop", after);
    profile->governor = (VrGovernor) choice_of(filler, session, "governor", governors);
    vr_text_to_yes_no(value_of(filler, session, "isolate-cpus"), &profile->isolate_cpus);
    profile->alive_agent = strcmp(value_of(filler, session, "alive"), "agent") == 0;
    vr_value_seconds(value_of(filler, session, "alive-timeout"), &profile->alive_timeout_s);
    profile->stop_units = units != NULL ? vr_value_units(units) : g_ptr_array_new();
}

/* The effective value of one key, if it has an effect. `extends` has had its effect already. */
static void
add_value(Filler *filler, const VrSection *section, const VrProfileKey *key)
{
    const VrSetting *setting = vr_section_setting(section, key->key);
    const char *text = value_of(filler, section, key->key);

    if (!key->built || key->kind == VR_VALUE_PROFILE || text == NULL) {
        return;
    }

    VrProfileValue *value = g_new0(VrProfileValue, 1);

    value->group = g_strdup(section->title);
    value->key = g_strdup(key->key);
    value->value = g_strdup(text);
    value->origin = setting != NULL ? origin_of(setting->place) : (VrOrigin){0};
    g_ptr_array_add(filler->profile->values, value);
}

/* All keys of all sections of one group. */
static void
add_group_values(Filler *filler, const char *group)
{
    for (guint i = 0; i < filler->sections->len; i++) {
        const VrSection *section = g_ptr_array_index(filler->sections, i);

        for (const VrProfileKey *key = vr_profile_keys(); key->key != NULL; key++) {
            if (vr_section_is(section, group) && strcmp(key->group, group) == 0) {
                add_value(filler, section, key);
            }
        }
    }
}

static char *
digest_values(const GPtrArray *values)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < values->len; i++) {
        const VrProfileValue *value = g_ptr_array_index(values, i);

        /* None of the three has a newline in it. */
        g_string_append_printf(text, "%s\n%s\n%s\n", value->group, value->key, value->value);
    }
    return vr_text_digest(text->str);
}

static VrProfile *
profile_from_sections(const char *name, VrGuest guest, const GPtrArray *sections)
{
    VrProfile *profile = g_new0(VrProfile, 1);
    Filler filler = {.profile = profile, .sections = sections};
    const char *description = NULL;

    profile->name = g_strdup(name);
    profile->guest = guest;
    profile->devices = g_ptr_array_new_with_free_func(device_free);
    profile->disks = g_ptr_array_new_with_free_func(disk_free);
    profile->networks = g_ptr_array_new_with_free_func(network_free);
    profile->values = g_ptr_array_new_with_free_func(value_free);
    profile->hide_hypervisor = true; /* also of a profile without [gpu] */
    description = value_of(&filler, vr_sections_find(sections, "profile"), "description");
    profile->description = g_strdup(description != NULL ? description : "");
    fill_machine(&filler);
    fill_lists(&filler, "gpu");
    fill_lists(&filler, "pci");
    fill_lists(&filler, "disk");
    fill_lists(&filler, "cdrom");
    fill_lists(&filler, "network");
    fill_boot_and_session(&filler);
    for (const VrProfileGroup *group = vr_profile_groups(); group->name != NULL; group++) {
        add_group_values(&filler, group->name);
    }
    profile->digest = digest_values(profile->values);
    return profile;
}

static VrGuest
guest_of(const GPtrArray *sections)
{
    const VrSection *section = vr_sections_find(sections, "profile");
    const char *value = vr_section_value(section, "guest", VR_GUEST_LINUX);

    return g_strcmp0(value, "windows") == 0 ? VR_GUEST_WINDOWS : VR_GUEST_LINUX;
}

/* The lines that name a profile which could not be found or read. */
static bool
report_gaps(const VrProfileText *texts, size_t text_count, VrMistakes *mistakes)
{
    bool has_gap = false;

    for (size_t i = 0; i < text_count; i++) {
        VrPlace place = {texts[i].file, i, 0};

        if (texts[i].extends_problem != NULL) {
            g_autofree char *extends = find_extends(&texts[i], &place.line);

            vr_mistakes_add(mistakes, place, "profile", "extends", "%s", texts[i].extends_problem);
            has_gap = true;
        }
    }
    return has_gap;
}

VrProfile *
vr_profile_parse(const char *name, const VrProfileText *texts, size_t text_count,
                 GPtrArray *mistakes)
{
    g_autoptr(VrMistakes) found = vr_mistakes_new();
    g_autoptr(GPtrArray) sections = vr_sections_read(texts, text_count, found);

    vr_sections_complete(sections);
    bool has_gap = report_gaps(texts, text_count, found);
    vr_sections_check(sections, has_gap, found);
    if (vr_mistakes_any(found)) {
        vr_mistakes_move(found, mistakes);
        return NULL;
    }
    vr_sections_spread(sections, "gpu", "hide-hypervisor");
    vr_sections_spread(sections, "gpu", "vendor-id");
    return profile_from_sections(name, guest_of(sections), sections);
}
