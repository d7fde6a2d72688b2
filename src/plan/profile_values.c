/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/profile_values.h"

#include <vmrun/text.h>

#include <string.h>

#define DIGITS "0123456789"
#define LETTERS_AND_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" DIGITS
#define LIST_SEPARATORS " ;"

enum {
    SECTION_NAME_LIMIT = 32,
    QUOTED_LIMIT = 60,       /* of a value in a message */
    TEXT_LIMIT_BYTES = 2047, /* COMMAND_LINE_SIZE of x86 kernels, without the NUL */
    PATH_LIMIT_BYTES = 1024,
    CPUS_LIMIT = 512,
    CPU_NUMBER_LIMIT = 8191, /* CONFIG_NR_CPUS of the largest x86 kernels */
    MEMORY_LEAST_MIB = 256,
    SECONDS_LIMIT = 24 * 3600,
    ORDER_LIMIT = 64,
    /* libvirt's monitor socket below the embedded root must fit sun_path, unix(7): 108 bytes. */
    EMBED_ROOT_LIMIT = 40,
    VENDOR_ID_LIMIT = 12, /* three CPUID registers */
    INTERFACE_LIMIT = 15, /* IFNAMSIZ without the NUL */
    TAG_LIMIT = 36,       /* virtio specification, file system device: tag */
};

static const uint64_t memory_most_mib = UINT64_C(16) * 1024 * 1024;

static bool
consists_of(const char *text, const char *characters, size_t limit_bytes)
{
    size_t length = strspn(text, characters);

    return length > 0 && length <= limit_bytes && text[length] == '\0';
}

bool
vr_value_is_section_name(const char *name)
{
    return g_ascii_isalnum(name[0]) &&
           consists_of(name, LETTERS_AND_DIGITS "_-", SECTION_NAME_LIMIT);
}

bool
vr_value_cpus(const char *value, unsigned *out_cpus)
{
    uint64_t cpus = 0;

    if (strcmp(value, "auto") != 0 && !vr_text_to_uint(value, 1, CPUS_LIMIT, &cpus)) {
        return false;
    }
    *out_cpus = (unsigned) cpus;
    return true;
}

bool
vr_value_memory(const char *value, uint64_t *out_mib)
{
    uint64_t mib = 0;

    if (!vr_text_to_mib(value, &mib) || mib < MEMORY_LEAST_MIB || mib > memory_most_mib) {
        return false;
    }
    *out_mib = mib;
    return true;
}

bool
vr_value_seconds(const char *value, unsigned *out_seconds)
{
    uint64_t seconds = 0;

    if (!vr_text_to_seconds(value, &seconds) || seconds == 0 || seconds > SECONDS_LIMIT) {
        return false;
    }
    *out_seconds = (unsigned) seconds;
    return true;
}

bool
vr_value_order(const char *value, unsigned *out_order)
{
    uint64_t order = 0;

    if (!vr_text_to_uint(value, 1, ORDER_LIMIT, &order)) {
        return false;
    }
    *out_order = (unsigned) order;
    return true;
}

/* Also libvirt's name for a function, "pci_0000_01_00_0", as `virsh nodedev-list` prints it. */
bool
vr_value_address(const char *value, VrPciAddress *out_address)
{
    if (!g_str_has_prefix(value, "pci_")) {
        return vr_pci_address_parse(value, out_address);
    }

    g_auto(GStrv) parts = g_strsplit(value + 4, "_", -1);
    if (g_strv_length(parts) != 4) {
        return false;
    }

    g_autofree char *address =
        g_strdup_printf("%s:%s:%s.%s", parts[0], parts[1], parts[2], parts[3]);
    return vr_pci_address_parse(address, out_address);
}

/* Exactly four hexadecimal digits each, as lspci -n prints them. */
bool
vr_value_ids(const char *value, uint16_t *out_first, uint16_t *out_second)
{
    for (size_t i = 0; i < 9; i++) {
        if (i == 4 ? value[i] != ':' : !g_ascii_isxdigit(value[i])) {
            return false;
        }
    }
    if (value[9] != '\0') {
        return false;
    }
    *out_first = (uint16_t) g_ascii_strtoull(value, NULL, 16);
    *out_second = (uint16_t) g_ascii_strtoull(value + 5, NULL, 16);
    return true;
}

/* Append first..last unless one of them is there already. */
static bool
append_range(GArray *cpus, unsigned first, unsigned last)
{
    for (unsigned cpu = first; cpu <= last; cpu++) {
        for (guint i = 0; i < cpus->len; i++) {
            if (g_array_index(cpus, unsigned, i) == cpu) {
                return false;
            }
        }
        g_array_append_val(cpus, cpu);
        if (cpus->len > CPUS_LIMIT) {
            return false;
        }
    }
    return true;
}

GArray *
vr_value_pin(const char *value)
{
    g_autoptr(GArray) cpus = g_array_new(FALSE, FALSE, sizeof(unsigned));
    g_auto(GStrv) ranges = g_strsplit(value, ",", -1);

    for (guint i = 0; ranges[i] != NULL; i++) {
        g_auto(GStrv) ends = g_strsplit(ranges[i], "-", 2);
        uint64_t first = 0, last = 0;

        if (ends[0] == NULL || !vr_text_to_uint(ends[0], 0, CPU_NUMBER_LIMIT, &first) ||
            !vr_text_to_uint(ends[1] != NULL ? ends[1] : ends[0], first, CPU_NUMBER_LIMIT, &last) ||
            !append_range(cpus, (unsigned) first, (unsigned) last)) {
            return NULL;
        }
    }
    return cpus->len > 0 ? g_steal_pointer(&cpus) : NULL;
}

GArray *
vr_value_functions(const char *value)
{
    g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof(VrPciAddress));
    g_auto(GStrv) words = g_strsplit_set(value, LIST_SEPARATORS ",", -1);

    for (guint i = 0; words[i] != NULL; i++) {
        VrPciAddress address = {0};

        if (words[i][0] == '\0') {
            continue;
        }
        if (!vr_value_address(words[i], &address) || vr_pci_addresses_contain(addresses, address)) {
            return NULL;
        }
        g_array_append_val(addresses, address);
    }
    return addresses->len > 0 ? g_steal_pointer(&addresses) : NULL;
}

/* systemd.unit(5): these characters, a known suffix, at most 255 of them. */
static bool
is_unit(const char *word)
{
    static const char *const suffixes[] = {".service", ".socket", ".target", ".timer", ".path",
                                           ".mount",   ".scope",  ".slice",  NULL};

    if (!consists_of(word, LETTERS_AND_DIGITS ":_.@\\-", 255) || word[0] == '-') {
        return false;
    }
    for (guint i = 0; suffixes[i] != NULL; i++) {
        if (g_str_has_suffix(word, suffixes[i]) && strlen(word) > strlen(suffixes[i])) {
            return true;
        }
    }
    return false;
}

GPtrArray *
vr_value_units(const char *value)
{
    g_autoptr(GPtrArray) units = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) words = g_strsplit_set(value, LIST_SEPARATORS, -1);

    for (guint i = 0; words[i] != NULL; i++) {
        if (words[i][0] == '\0') {
            continue;
        }
        if (!is_unit(words[i]) ||
            g_ptr_array_find_with_equal_func(units, words[i], g_str_equal, NULL)) {
            return NULL;
        }
        g_ptr_array_add(units, g_strdup(words[i]));
    }
    return units->len > 0 ? g_steal_pointer(&units) : NULL;
}

/* Six pairs of digits; not the address of a group (lowest bit of the first byte) and not all zero.
 */
char *
vr_value_mac(const char *value)
{
    bool all_zero = true;

    for (size_t i = 0; i < 17; i++) {
        if (i % 3 == 2 ? value[i] != ':' : !g_ascii_isxdigit(value[i])) {
            return NULL;
        }
        all_zero = all_zero && (value[i] == '0' || value[i] == ':');
    }
    if (value[17] != '\0' || all_zero || (g_ascii_xdigit_value(value[1]) & 1) != 0) {
        return NULL;
    }
    return g_ascii_strdown(value, -1);
}

static bool
is_path(const char *value)
{
    g_auto(GStrv) parts = g_strsplit(value, "/", -1);

    return value[0] == '/' && value[1] != '\0' && strlen(value) <= PATH_LIMIT_BYTES &&
           !g_strv_contains((const char *const *) parts, "..");
}

static bool
is_text(const char *value)
{
    return strlen(value) <= TEXT_LIMIT_BYTES;
}

static bool
is_yes_no(const char *value)
{
    bool yes = false;

    return vr_text_to_yes_no(value, &yes);
}

static bool
is_cpus(const char *value)
{
    unsigned cpus = 0;

    return vr_value_cpus(value, &cpus);
}

static bool
is_memory(const char *value)
{
    uint64_t mib = 0;

    return vr_value_memory(value, &mib);
}

static bool
is_pin(const char *value)
{
    g_autoptr(GArray) cpus = vr_value_pin(value);

    return cpus != NULL || strcmp(value, "auto") == 0 || strcmp(value, "none") == 0;
}

bool
vr_value_is_uri(const char *value)
{
    static const char embed[] = "qemu:///embed?root=";

    if (strcmp(value, "qemu:///system") == 0) {
        return true;
    }
    if (!g_str_has_prefix(value, embed)) {
        return false;
    }

    const char *directory = value + strlen(embed);
    return is_path(directory) &&
           consists_of(directory, LETTERS_AND_DIGITS "/._-", EMBED_ROOT_LIMIT);
}

static bool
is_hypervisor(const char *value)
{
    static const char *const words[] = {"auto", "system", "embedded", NULL};

    return g_strv_contains(words, value) || vr_value_is_uri(value);
}

static bool
is_pci(const char *value)
{
    VrPciAddress address = {0};
    uint16_t vendor = 0, device = 0;

    return vr_value_address(value, &address) || vr_value_ids(value, &vendor, &device);
}

static bool
is_gpu(const char *value)
{
    return is_pci(value) || strcmp(value, "auto") == 0 || strcmp(value, "all") == 0;
}

static bool
is_functions(const char *value)
{
    g_autoptr(GArray) addresses = vr_value_functions(value);

    return addresses != NULL || strcmp(value, "all") == 0;
}

static bool
is_vendor_id(const char *value)
{
    return consists_of(value, LETTERS_AND_DIGITS "_.-", VENDOR_ID_LIMIT);
}

static bool
is_order(const char *value)
{
    unsigned order = 0;

    return vr_value_order(value, &order);
}

/* Names of interfaces and of libvirt networks; which limit holds is checked with the mode. */
static bool
is_source(const char *value)
{
    return g_ascii_isalnum(value[0]) && consists_of(value, LETTERS_AND_DIGITS "_.:@-", 64);
}

static bool
is_mac(const char *value)
{
    g_autofree char *mac = vr_value_mac(value);

    return mac != NULL;
}

static bool
is_tag(const char *value)
{
    return g_ascii_isalnum(value[0]) && consists_of(value, LETTERS_AND_DIGITS "_.-", TAG_LIMIT);
}

/* "1-2.3": bus, then the ports on the way, as in /sys/bus/usb/devices. */
static bool
is_usb(const char *value)
{
    uint16_t vendor = 0, product = 0;

    return vr_value_ids(value, &vendor, &product) ||
           g_regex_match_simple("^[1-9][0-9]{0,2}-[1-9][0-9]{0,2}(\\.[1-9][0-9]{0,2}){0,5}$", value,
                                G_REGEX_DOLLAR_ENDONLY, 0);
}

static bool
is_evdev(const char *value)
{
    return is_path(value) && g_str_has_prefix(value, "/dev/input/");
}

static bool
is_shared_memory(const char *value)
{
    uint64_t mib = 0;

    return vr_text_to_mib(value, &mib) && mib <= 1024 && (mib & (mib - 1)) == 0;
}

static bool
is_seconds(const char *value)
{
    unsigned seconds = 0;

    return vr_value_seconds(value, &seconds);
}

static bool
is_seconds_or_auto(const char *value)
{
    return is_seconds(value) || strcmp(value, "auto") == 0;
}

static bool
is_units(const char *value)
{
    g_autoptr(GPtrArray) units = vr_value_units(value);

    return units != NULL;
}

/* By kind: is it one, what it is called, what to write. */
typedef struct {
    bool (*is)(const char *value);
    const char *noun;
    const char *accepts;
} Kind;

static const Kind kinds[] = {
    [VR_VALUE_TEXT] = {is_text, "a short enough text", "text of at most 2047 bytes"},
    [VR_VALUE_CHOICE] = {NULL, NULL, NULL},
    [VR_VALUE_YES_NO] = {is_yes_no, "yes or no", "yes or no"},
    [VR_VALUE_PROFILE] = {vr_text_is_profile_name, "the name of a profile",
                          "a-z, 0-9, _ and -, at most 32, without .conf"},
    [VR_VALUE_CPUS] = {is_cpus, "a number of processors", "auto or 1 to 512"},
    [VR_VALUE_MEMORY] = {is_memory, "an amount of memory",
                         "a number with its unit, 256M to 16T, as in 16G or 16384M"},
    [VR_VALUE_PIN] = {is_pin, "a list of processors",
                      "auto, none or numbers as in 2-5,10-13, each once"},
    [VR_VALUE_HYPERVISOR] = {is_hypervisor, "a hypervisor",
                             "auto, system, embedded, qemu:///system or "
                             "qemu:///embed?root=/DIRECTORY (at most 40 characters, no \"..\")"},
    [VR_VALUE_GPU] = {is_gpu, "a card", "auto, all, an address (0000:01:00.0) or ids (10de:2484)"},
    [VR_VALUE_PCI] = {is_pci, "a PCI device", "an address (0000:01:00.0) or ids (10de:2484)"},
    [VR_VALUE_FUNCTIONS] = {is_functions, "a list of functions",
                            "all, or addresses with blanks between them, each once"},
    [VR_VALUE_VENDOR_ID] = {is_vendor_id, "a vendor id",
                            "1 to 12 letters, digits, \"_\", \".\" or \"-\""},
    [VR_VALUE_PATH] = {is_path, "a path", "an absolute path without \"..\", at most 1024 bytes"},
    [VR_VALUE_ORDER] = {is_order, "a place in the order", "1 to 64"},
    [VR_VALUE_SOURCE] = {is_source, "the name of an interface or network",
                         "letters, digits, \"_\", \".\", \":\", \"@\" and \"-\""},
    [VR_VALUE_MAC] = {is_mac, "the address of one network card",
                      "six pairs as in 52:54:00:12:34:56, the first one even"},
    [VR_VALUE_TAG] = {is_tag, "a tag", "1 to 36 letters, digits, \"_\", \".\" or \"-\""},
    [VR_VALUE_USB] = {is_usb, "a USB device", "ids (046d:c52b) or a port (1-2.3)"},
    [VR_VALUE_EVDEV] = {is_evdev, "an input device", "a path below /dev/input/"},
    [VR_VALUE_SHARED_MEMORY] = {is_shared_memory, "a size of shared memory",
                                "a power of two from 1M to 1G, as in 64M"},
    [VR_VALUE_SECONDS] = {is_seconds, "a time", "1 second to 24h, as in 90, 90s, 5min, 2h"},
    [VR_VALUE_SECONDS_OR_AUTO] = {is_seconds_or_auto, "a time",
                                  "auto, or 1 second to 24h, as in 90, 90s, 5min, 2h"},
    [VR_VALUE_UNITS] = {is_units, "a list of units",
                        "full names (a.service b.socket) with blanks between them, each once"},
};

const char *
vr_value_accepts(VrValueKind kind)
{
    return kinds[kind].accepts;
}

/* In quotes, shortened for a message. */
static char *
quote(const char *value)
{
    if (g_utf8_strlen(value, -1) <= QUOTED_LIMIT) {
        return g_strdup_printf("\"%s\"", value);
    }

    g_autofree char *start = g_utf8_substring(value, 0, QUOTED_LIMIT);
    return g_strdup_printf("\"%s…\"", start);
}

static char *
choice_problem(const VrProfileKey *key, const char *value, const char *quoted)
{
    g_auto(GStrv) words = g_strsplit(key->choices, "|", -1);

    if (g_strv_contains((const char *const *) words, value)) {
        return NULL;
    }

    g_autofree char *list = g_strjoinv(", ", words);
    const char *nearest = vr_text_nearest(value, (const char *const *) words);
    if (nearest == NULL) {
        return g_strdup_printf("%s is none of: %s", quoted, list);
    }
    return g_strdup_printf("%s is none of: %s (did you mean \"%s\"?)", quoted, list, nearest);
}

static bool
has_control_character(const char *value)
{
    for (; *value != '\0'; value = g_utf8_next_char(value)) {
        if (g_unichar_iscntrl(g_utf8_get_char(value))) {
            return true;
        }
    }
    return false;
}

/* They let a value look like another one (Unicode 15, section 23.2, bidirectional formatting). */
static bool
turns_the_order(gunichar character)
{
    return (character >= 0x202a && character <= 0x202e) ||
           (character >= 0x2066 && character <= 0x2069);
}

static bool
has_turning_character(const char *value)
{
    for (; *value != '\0'; value = g_utf8_next_char(value)) {
        if (turns_the_order(g_utf8_get_char(value))) {
            return true;
        }
    }
    return false;
}

char *
vr_value_problem(const VrProfileKey *key, const char *value)
{
    if (has_control_character(value)) {
        return g_strdup("the value has a control character in it");
    }
    if (has_turning_character(value)) {
        return g_strdup("the value has a character in it that turns the direction of text");
    }

    g_autofree char *quoted = quote(value);
    const Kind *kind = &kinds[key->kind];
    if (key->kind == VR_VALUE_CHOICE) {
        return choice_problem(key, value, quoted);
    }
    if (kind->is(value)) {
        return NULL;
    }
    return g_strdup_printf("%s is not %s; write %s", quoted, kind->noun, kind->accepts);
}
