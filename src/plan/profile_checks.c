/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/profile_checks.h"

#include "plan/profile_values.h"

#include <string.h>

enum {
    INTERFACE_LIMIT = 15, /* IFNAMSIZ without the NUL */
    ALIVE_SECONDS_LEAST = 30,
};

static void
complain(VrMistakes *mistakes, const VrSection *section, const VrSetting *setting,
         const char *message)
{
    vr_mistakes_add(mistakes, setting->place, section->title, setting->key->key, "%s", message);
}

/* The setting if it is there and valid. */
static const VrSetting *
valid_setting(const VrSection *section, const char *key)
{
    const VrSetting *setting = vr_section_setting(section, key);

    return setting != NULL && setting->valid ? setting : NULL;
}

static void
check_needed(const VrSection *section, VrMistakes *mistakes)
{
    for (const VrProfileKey *key = vr_profile_keys(); key->key != NULL; key++) {
        if (key->needed && vr_section_is(section, key->group) &&
            vr_section_setting(section, key->key) == NULL) {
            vr_mistakes_add(mistakes, section->place, section->title, key->key,
                            "is needed here; write %s=…", key->key);
        }
    }
}

static bool
asks_for_what_is_not_built(const VrSetting *setting)
{
    const VrProfileKey *key = setting->key;

    return setting->valid && setting->value[0] != '\0' && !key->built &&
           g_strcmp0(setting->value, key->neutral) != 0;
}

static void
check_built(const VrSection *section, VrMistakes *mistakes)
{
    for (guint i = 0; i < section->settings->len; i++) {
        const VrSetting *setting = g_ptr_array_index(section->settings, i);

        if (asks_for_what_is_not_built(setting)) {
            g_autofree char *message =
                g_strdup_printf("\"%s\" is valid, but this version of vmrun does not build its "
                                "effect yet; remove the line",
                                setting->value);
            complain(mistakes, section, setting, message);
        }
    }
    if (!section->group->built && section->settings->len == 0) {
        vr_mistakes_add(mistakes, section->place, section->title, NULL,
                        "is valid, but this version of vmrun does not build its effect yet; remove "
                        "the group");
    }
}

/* A group whose one key means nothing without another one of it. */
static void
check_goes_with(const VrSection *section, const char *key, const char *other, VrMistakes *mistakes)
{
    const VrSetting *setting = vr_section_setting(section, key);

    if (setting != NULL && vr_section_setting(section, other) == NULL) {
        g_autofree char *message =
            g_strdup_printf("means nothing without %s; set it, or remove this line", other);
        complain(mistakes, section, setting, message);
    }
}

static void
check_pin(const VrSection *machine, VrMistakes *mistakes)
{
    const VrSetting *pin = valid_setting(machine, "pin");
    const VrSetting *cpus = valid_setting(machine, "cpus");
    unsigned wanted = 0;

    if (pin == NULL || cpus == NULL || !vr_value_cpus(cpus->value, &wanted) || wanted == 0) {
        return;
    }

    g_autoptr(GArray) list = vr_value_pin(pin->value);
    if (list != NULL && list->len != wanted) {
        g_autofree char *message =
            g_strdup_printf("names %u processors for cpus=%u; name one for each, or remove cpus",
                            list->len, wanted);
        complain(mistakes, machine, pin, message);
    }
}

static void
check_hugepages(const VrSection *machine, VrMistakes *mistakes)
{
    const VrSetting *hugepages = valid_setting(machine, "hugepages");
    const char *memory = vr_section_value(machine, "memory", VR_GUEST_LINUX);
    uint64_t memory_mib = 0;
    uint64_t page_mib = 1;

    if (hugepages == NULL || !vr_value_memory(memory, &memory_mib)) {
        return;
    }
    if (strcmp(hugepages->value, "1G") == 0) {
        page_mib = 1024;
    } else if (strcmp(hugepages->value, "2M") == 0) {
        page_mib = 2;
    }
    if (memory_mib % page_mib != 0) {
        g_autofree char *message =
            g_strdup_printf("memory=%s is not made of whole pages of %s; change one of the two",
                            memory, hugepages->value);
        complain(mistakes, machine, hugepages, message);
    }
}

/* [gpu] sections must say the same about the whole guest. */
static void
check_agree(const GPtrArray *sections, const char *key, VrMistakes *mistakes)
{
    const VrSection *first = NULL;
    const char *value = NULL;

    for (guint i = 0; i < sections->len; i++) {
        const VrSection *section = g_ptr_array_index(sections, i);
        const VrSetting *setting =
            vr_section_is(section, "gpu") ? valid_setting(section, key) : NULL;

        if (setting != NULL && value != NULL && strcmp(setting->value, value) != 0) {
            g_autofree char *message = g_strdup_printf(
                "\"%s\" holds for the whole guest, but [%s] says \"%s\"; make them the same",
                setting->value, first->title, value);
            complain(mistakes, section, setting, message);
        } else if (setting != NULL && value == NULL) {
            first = section;
            value = setting->value;
        }
    }
}

static bool
asks_for_all(const VrSection *section)
{
    return vr_section_is(section, "gpu") &&
           strcmp(vr_section_value(section, "device", VR_GUEST_LINUX), "all") == 0;
}

/* device=all leaves nothing for another [gpu] section. */
static void
check_all(const GPtrArray *sections, VrMistakes *mistakes)
{
    guint gpus = 0;

    for (guint i = 0; i < sections->len; i++) {
        gpus += vr_section_is(g_ptr_array_index(sections, i), "gpu");
    }
    for (guint i = 0; gpus > 1 && i < sections->len; i++) {
        const VrSection *section = g_ptr_array_index(sections, i);

        if (asks_for_all(section)) {
            complain(
                mistakes, section, vr_section_setting(section, "device"),
                "\"all\" takes every card; remove the other [gpu] sections, or name this card");
        }
    }
}

static void
check_functions(const VrSection *gpu, VrMistakes *mistakes)
{
    const VrSetting *setting = valid_setting(gpu, "functions");
    g_autoptr(GArray) functions = setting != NULL ? vr_value_functions(setting->value) : NULL;
    VrPciAddress card = {0};

    if (functions == NULL) {
        return;
    }
    if (asks_for_all(gpu)) {
        complain(mistakes, gpu, setting, "a list cannot go with device=all; write all");
        return;
    }
    if (!vr_value_address(vr_section_value(gpu, "device", VR_GUEST_LINUX), &card)) {
        return;
    }
    if (!vr_pci_addresses_contain(functions, card)) {
        complain(mistakes, gpu, setting, "the card itself (device) is missing in the list");
    }
}

static char *
canonical_text(const char *value)
{
    return g_strdup(value);
}

/* NULL for auto, all and ids: two of them need not be the same device. */
static char *
canonical_address(const char *value)
{
    VrPciAddress address = {0};

    return vr_value_address(value, &address) ? vr_pci_address_format(address) : NULL;
}

/* No two sections of these groups may have the same value here. */
typedef struct {
    const char *key;
    const char *groups[2];
    char *(*canonical)(const char *value);
} Unique;

static void
check_unique(const GPtrArray *sections, const Unique *rule, VrMistakes *mistakes)
{
    /* canonical value -> title of the section that has it */
    g_autoptr(GHashTable) taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (guint i = 0; i < sections->len; i++) {
        const VrSection *section = g_ptr_array_index(sections, i);
        bool applies =
            vr_section_is(section, rule->groups[0]) || vr_section_is(section, rule->groups[1]);
        const VrSetting *setting = applies ? valid_setting(section, rule->key) : NULL;
        g_autofree char *value = setting != NULL ? rule->canonical(setting->value) : NULL;

        if (value == NULL) {
            continue;
        }
        const char *other = g_hash_table_lookup(taken, value);
        if (other != NULL) {
            g_autofree char *message =
                g_strdup_printf("\"%s\" is already taken by [%s]", value, other);
            complain(mistakes, section, setting, message);
        } else {
            g_hash_table_insert(taken, g_steal_pointer(&value), section->title);
        }
    }
}

static void
check_network(const VrSection *network, bool has_gap, VrMistakes *mistakes)
{
    const char *mode = vr_section_value(network, "mode", VR_GUEST_LINUX);
    const VrSetting *mode_setting = vr_section_setting(network, "mode");
    const VrSetting *source = vr_section_setting(network, "source");
    bool is_interface = strcmp(mode, "bridge") == 0 || strcmp(mode, "macvtap") == 0;
    bool is_mode_valid = mode_setting == NULL || mode_setting->valid;

    if (is_interface && mode_setting != NULL && source == NULL && !has_gap) {
        vr_mistakes_add(mistakes, mode_setting->place, network->title, "mode",
                        "\"%s\" needs source=, the name of the host's %s", mode,
                        strcmp(mode, "bridge") == 0 ? "bridge" : "interface");
    }
    if (!is_mode_valid || source == NULL || !source->valid) {
        return;
    }
    if (!is_interface && strcmp(mode, "nat") != 0) {
        g_autofree char *message = g_strdup_printf(
            "means nothing with mode=%s; set mode=nat, bridge or macvtap, or remove this line",
            mode);
        complain(mistakes, network, source, message);
    }
    if (is_interface && strlen(source->value) > INTERFACE_LIMIT) {
        complain(mistakes, network, source,
                 "is too long: names of interfaces have at most 15 characters");
    }
}

/* The agent is asked every ten seconds while it is silent: fewer questions prove nothing. */
static void
check_session(const VrSection *section, VrMistakes *mistakes)
{
    const VrSetting *timeout = valid_setting(section, "alive-timeout");
    unsigned seconds = 0;

    if (timeout != NULL && vr_value_seconds(timeout->value, &seconds) &&
        seconds < ALIVE_SECONDS_LEAST) {
        complain(mistakes, section, timeout, "is too short: a busy guest may be silent for 30 s");
    }
}

static void
check_section(const VrSection *section, bool has_gap, VrMistakes *mistakes)
{
    check_built(section, mistakes);
    if (!has_gap) {
        check_needed(section, mistakes);
    }
    if (vr_section_is(section, "machine")) {
        check_pin(section, mistakes);
        check_hugepages(section, mistakes);
    }
    if (vr_section_is(section, "boot") && !has_gap) {
        check_goes_with(section, "initrd", "kernel", mistakes);
        check_goes_with(section, "cmdline", "kernel", mistakes);
    }
    if (vr_section_is(section, "gpu")) {
        check_functions(section, mistakes);
    }
    if (vr_section_is(section, "session")) {
        check_session(section, mistakes);
    }
    if (vr_section_is(section, "network")) {
        check_network(section, has_gap, mistakes);
    }
}

void
vr_sections_check(const GPtrArray *sections, bool has_gap, VrMistakes *mistakes)
{
    static const Unique unique[] = {
        {"device", {"gpu", "pci"}, canonical_address},
        {"boot-order", {"disk", "cdrom"}, canonical_text},
        {"path", {"disk", "disk"}, canonical_text},
        {"mac", {"network", "network"}, vr_value_mac},
    };

    for (guint i = 0; i < sections->len; i++) {
        check_section(g_ptr_array_index(sections, i), has_gap, mistakes);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(unique); i++) {
        check_unique(sections, &unique[i], mistakes);
    }
    check_agree(sections, "hide-hypervisor", mistakes);
    check_agree(sections, "vendor-id", mistakes);
    check_all(sections, mistakes);
}
