/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Journals with a right checksum and a wrong value: only the validation of values stands between
 * them and a write to the host. Every field with every text, and the texts that are made for one.
 */
#include <vmrun/journal.h>

#include <vmrun/error.h>
#include <vmrun/text.h>

#include <json-glib/json-glib.h>

#include <string.h>

/* What a field may hold beside what it is for. */
typedef enum {
    STRICT, /* none of the texts */
    /* Shown, or written to one attribute and nowhere else: what comes back must be the same text,
     * and be printable. */
    TEXT,
} Openness;

typedef struct {
    const char *array; /* of the host state: "bindings"; NULL: a key of the file itself */
    const char *group;
    const char *key;
    Openness openness;
} Field;

static const Field fields[] = {
    {NULL, "session", "version", STRICT},  {NULL, "session", "profile", STRICT},
    {NULL, "session", "boot-id", STRICT},  {NULL, "session", "uri", STRICT},
    {NULL, "session", "domain", STRICT},   {NULL, "session", "phase", STRICT},
    {NULL, "session", "qemu-pid", STRICT}, {NULL, "session", "qemu-start-time", STRICT},
    {NULL, "session", "since", STRICT},    {NULL, "session", "keep", STRICT},
    {NULL, "session", "message", TEXT},    {NULL, "stuck", "devices", STRICT},
    {NULL, "before", "state", STRICT},     {"bindings", NULL, "address", STRICT},
    {"bindings", NULL, "vendor", STRICT},  {"bindings", NULL, "device", STRICT},
    {"bindings", NULL, "class", STRICT},   {"bindings", NULL, "group", STRICT},
    {"bindings", NULL, "present", STRICT}, {"bindings", NULL, "driver", STRICT},
    {"bindings", NULL, "module", STRICT},  {"bindings", NULL, "override", TEXT},
    {"attributes", NULL, "kind", STRICT},  {"attributes", NULL, "device", STRICT},
    {"attributes", NULL, "path", STRICT},  {"attributes", NULL, "value", STRICT},
    {"units", NULL, "name", STRICT},       {"units", NULL, "active", STRICT},
};

static const char *const texts[] = {
    "../../../etc/shadow",
    "/etc/shadow",
    "..",
    "a/b",
    "a b",
    " ",
    "-H",
    "--",
    "$(id)",
    "`id`",
    "a;b",
    "a|b",
    "%s%n",
    "a\nb",
    "on\n",
    "\033[2J",
    "\xc2\x9b"
    "31m",
    "\xe2\x80\xae"
    "evil",
    "<a/>",
    "&lt;",
    "\"",
    "*",
    "\xc3\xa9",
    "-99999999999999999999",
};

typedef struct {
    const char *key; /* of the table above */
    const char *text;
} Made;

/* Right for a careless reader of that very field. */
static const Made made[] = {
    {"uri", "qemu+ext:///system?command=/tmp/x"},
    {"uri", "qemu+ssh://host/system?command=/tmp/x"},
    {"uri", "qemu+unix:///system?socket=/tmp/x"},
    {"uri", "qemu:///session"},
    {"uri", "qemu:///embed?root=/var/lib/../../tmp"},
    {"uri", "qemu:///embed?root=tmp"},
    {"uri", "qemu:///embed?root=/tmp/x&command=y"},
    {"uri", "qemu:///embed?root=/tmp/%2e%2e"},
    {"uri", "qemu:///system?socket=/tmp/x"},
    {"uri", "test:///default"},
    {"uri", "lxc:///system"},
    {"uri", "auto"},
    {"since", "9223372036854775808"},
    {"qemu-pid", "2147483648"},
    {"qemu-start-time", "18446744073709551616"},
    {"domain", "00000000-0000-0000-0000-00000000000G"},
    {"profile", "other.conf"},
    {"profile", "Gaming"},
    {"address", "01:00.0"},
    {"address", "0000:01:00.8"},
    {"address", "0000:01:20.0"},
    {"address", "0000:01:00.0/../0000:02:00.0"},
    {"driver", "vfio-pci/../nvidia"},
    {"driver", "-nvidia"},
    {"module", "--remove"},
    {"module", "nvidia NVreg_X=1"},
    {"module", "/tmp/evil.ko"},
    {"override", "nvidia\nx"},
    {"override", ""},
    {"kind", "count"},
    {"device", "0000:02:00.0"},
    {"path", "/sys/bus/pci/devices/0000:01:00.0/remove"},
    {"path", "/sys/bus/pci/devices/0000:01:00.0/reset"},
    {"path", "/sys/bus/pci/devices/0000:01:00.0/rom"},
    {"path", "/sys/bus/pci/devices/0000:01:00.0/config"},
    {"path", "/sys/bus/pci/devices/0000:01:00.0/driver/unbind"},
    {"path", "/sys/bus/pci/devices/0000:01:00.0//power/control"},
    {"path", "/sys/bus/pci/devices/0000:01:00.0/../0000:02:00.0/power/control"},
    {"path", "/sys/bus/pci/devices/0000:02:00.0/power/control"},
    {"path", "/sys/bus/pci/devices/01:00.0/power/control"},
    {"path", "/sys/bus/pci/rescan"},
    {"path", "/sys/kernel/uevent_helper"},
    {"path", "/proc/sys/kernel/core_pattern"},
    {"path", "/proc/sys/kernel/modprobe"},
    {"path", "/sys/kernel/mm/hugepages/hugepages-2048kB/../../nr_hugepages"},
    {"path", "/dev/mem"},
    {"value", "0"},
    {"value", "auto\non"},
    {"name", "--root=/tmp.service"},
    {"name", "a.service b.service"},
    {"name", "../a.service"},
    {"name", "a.device"},
    {"name", "a.automount"},
    {"name", ".service"},
    {"name", "a.service\n"},
};

static const char uuid[] = "c1a5f8c0-0000-4000-8000-00000000000f";

static GKeyFile *
true_journal(void)
{
    g_autoptr(VrJournal) journal = vr_journal_new("gaming");
    VrPciAddress address = {0, 1, 0, 0};
    VrBinding *binding = vr_binding_new(address);
    binding->vendor = 0x10de;
    binding->device = 0x2484;
    binding->class_code = 0x030000;
    binding->group = 3;
    binding->present = true;
    binding->driver = g_strdup("nvidia");
    binding->module = g_strdup("nvidia");
    vr_host_state_add_binding(journal->before, binding);
    vr_host_state_set_attribute(journal->before, VR_ATTRIBUTE_TEXT, &address,
                                "/sys/bus/pci/devices/0000:01:00.0/power/control", "auto");
    vr_host_state_set_unit(journal->before, "nvidia-powerd.service", true);
    journal->boot_id = g_strdup(uuid);
    journal->domain_uuid = g_strdup(uuid);
    journal->uri = g_strdup("qemu:///system");
    journal->message = g_strdup("fine");
    g_autofree char *text = vr_journal_to_text(journal);
    *strstr(text, "sha256=") = '\0';
    GKeyFile *file = g_key_file_new();
    g_assert_true(g_key_file_load_from_data(file, text, strlen(text), G_KEY_FILE_NONE, NULL));
    return file;
}

/* The state with one member of the first element of one of its arrays replaced. Owned. */
static char *
forge_state(GKeyFile *file, const Field *field, const char *text)
{
    g_autofree char *state = g_key_file_get_string(file, "before", "state", NULL);
    g_autoptr(JsonNode) node = json_from_string(state, NULL);
    JsonArray *array = json_object_get_array_member(json_node_get_object(node), field->array);
    JsonObject *element = json_array_get_object_element(array, 0);
    g_assert_true(json_object_has_member(element, field->key));
    json_object_set_string_member(element, field->key, text);
    return json_to_string(node, FALSE);
}

static VrJournal *
read_forged(const Field *field, const char *text, GError **error)
{
    g_autoptr(GKeyFile) file = true_journal();
    if (field->array != NULL) {
        g_autofree char *state = forge_state(file, field, text);
        g_key_file_set_string(file, "before", "state", state);
    } else {
        g_assert_true(g_key_file_has_key(file, field->group, field->key, NULL));
        g_key_file_set_string(file, field->group, field->key, text);
    }
    g_autofree char *body = g_key_file_to_data(file, NULL, NULL);
    g_autofree char *digest = vr_text_digest(body);
    g_autofree char *whole = g_strconcat(body, "sha256=", digest, "\n", NULL);
    return vr_journal_from_text(whole, strlen(whole), error);
}

static const char *
text_of(const VrJournal *journal, const Field *field)
{
    if (field->array == NULL) {
        return journal->message;
    }
    const VrBinding *binding = g_ptr_array_index(journal->before->bindings, 0);
    return binding->driver_override;
}

static bool
is_printable(const char *text)
{
    g_autofree char *shown = vr_text_printable(text);
    return g_str_equal(shown, text);
}

/* Refused, or nothing but text in a place that takes text. */
static bool
holds(const Field *field, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VrJournal) journal = read_forged(field, text, &error);
    if (journal == NULL) {
        return g_error_matches(error, VR_ERROR, VR_ERROR_CORRUPT);
    }
    return field->openness == TEXT && g_str_equal(text_of(journal, field), text) &&
           is_printable(text);
}

typedef struct {
    guint cases, failed;
} Count;

static void
try_text(Count *count, const Field *field, const char *text)
{
    count->cases++;
    if (!holds(field, text)) {
        g_autofree char *shown = vr_text_printable(text);
        count->failed++;
        g_test_message("%s: believed \"%s\"", field->key, shown);
    }
}

static const Field *
field_of(const char *key)
{
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
        /* "device" is the id in a binding and the address in an attribute: the latter is meant. */
        bool is_id = g_str_equal(key, "device") && g_strcmp0(fields[i].array, "bindings") == 0;
        if (g_str_equal(fields[i].key, key) && !is_id) {
            return &fields[i];
        }
    }
    g_assert_not_reached();
}

static void
test_hostile_values_are_refused(void)
{
    Count count = {0};
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
        for (guint j = 0; j < G_N_ELEMENTS(texts); j++) {
            try_text(&count, &fields[i], texts[j]);
        }
    }
    for (guint i = 0; i < G_N_ELEMENTS(made); i++) {
        try_text(&count, field_of(made[i].key), made[i].text);
    }
    g_test_message("suite: journal-hostile cases=%u pass=%u fail=%u", count.cases,
                   count.cases - count.failed, count.failed);
    g_assert_cmpuint(count.cases, ==,
                     G_N_ELEMENTS(fields) * G_N_ELEMENTS(texts) + G_N_ELEMENTS(made));
    g_assert_cmpuint(count.failed, ==, 0);
}

/* Else every refusal above could come from the forging itself. */
static void
test_true_values_are_believed(void)
{
    static const Made values[] = {
        {"uri", "qemu:///embed?root=/var/lib/vmrun/embed/0123abcd"},
        {"message", "it went well"},
        {"driver", "snd_hda_intel"},
        {"override", "vfio-pci"},
        {"path", "/sys/bus/pci/devices/0000:01:00.0/power/control"},
        {"value", "on"},
        {"name", "a@b.service"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(VrJournal) journal = read_forged(field_of(values[i].key), values[i].text, &error);
        g_assert_no_error(error);
        g_assert_nonnull(journal);
    }
}

/* A field that is added to the journal must be added to the table. */
static void
test_table_has_every_field(void)
{
    g_autoptr(GKeyFile) file = true_journal();
    g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
    g_autofree char *state = g_key_file_get_string(file, "before", "state", NULL);
    g_autoptr(JsonNode) node = json_from_string(state, NULL);
    g_autoptr(GList) arrays = json_object_get_members(json_node_get_object(node));
    guint count = 0;
    for (guint i = 0; groups[i] != NULL; i++) {
        gsize keys = 0;
        g_strfreev(g_key_file_get_keys(file, groups[i], &keys, NULL));
        count += (guint) keys;
    }
    for (GList *at = arrays; at != NULL; at = at->next) {
        JsonArray *array = json_object_get_array_member(json_node_get_object(node), at->data);
        count += json_object_get_size(json_array_get_object_element(array, 0));
    }
    g_assert_cmpuint(count, ==, G_N_ELEMENTS(fields));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/run/journal-hostile/values-are-refused", test_hostile_values_are_refused);
    g_test_add_func("/run/journal-hostile/true-values-are-believed", test_true_values_are_believed);
    g_test_add_func("/run/journal-hostile/table-has-every-field", test_table_has_every_field);
    return g_test_run();
}
