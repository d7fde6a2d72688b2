/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hostile strings, put into every key of a profile and into every name that the host tells, and
 * looked for in everything that vmrun makes of them. Each sink is a function; a new one (a unit, a
 * menu entry) is a row in the table.
 */
#include <vmrun/domain_xml.h>
#include <vmrun/journal.h>
#include <vmrun/profile.h>
#include <vmrun/report.h>
#include <vmrun/status.h>

#include "host/process_scan.h"
#include "plan/profile_keys.h"

#include "../support/plan_host.h"
#include "../support/tree.h"

#include <vmrun/text.h>

#include <json-glib/json-glib.h>
#include <libxml/parser.h>
#include <libxml/tree.h>

#include <string.h>

static const char *const hostile[] = {
    "'",
    "\"",
    "\\\"",
    "'\"><x/>",
    "<disk type='file'/>",
    "</description><evil/>",
    "<!-- -->",
    "-->",
    "]]>",
    "<![CDATA[x]]>",
    "&amp;",
    "&lt;b&gt;",
    "&#x1b;[31m",
    "&xxe;",
    "<?pi x?>",
    "<!DOCTYPE a [<!ENTITY b 'c'>]>",
    "\001",
    "\033[2J\033[31m",
    "\033]0;title\007",
    "\xc2\x9b"
    "31m",
    "\177",
    "a\nb=c\n[evil]",
    "a\r\nb",
    "a\tb",
    "%s%n%x",
    "%i@%h%%",
    "$(touch /gotcha)",
    "`touch /gotcha`",
    "; rm -rf /",
    "a | b & c",
    "${HOME}",
    "../../../etc/shadow",
    "/../etc/shadow",
    "a@b.service",
    "\xff\xfe",
    "\xc0\xaf",
    "\xed\xa0\x80",
    "\xe2\x80\xae"
    "evil\xe2\x80\xac",
    "a\xe2\x80\x8b\xef\xbb\xbf"
    "b",
    NULL, /* a very long one */
};

enum { STRINGS = G_N_ELEMENTS(hostile), LONG_LENGTH = 5000 };

static char *
string_number(guint i)
{
    return hostile[i] != NULL ? g_strdup(hostile[i]) : g_strnfill(LONG_LENGTH, 'A');
}

/* --- sinks: each takes a text and says whether it came through unharmed and did no harm --- */

static const char *
same_or_replaced(const char *text)
{
    return g_utf8_validate(text, -1, NULL) ? text : NULL;
}

/* No control byte, no escape sequence, nothing that turns the order of what is shown. */
static bool
is_quiet(const char *shown)
{
    for (const char *at = shown; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);

        if (g_unichar_iscntrl(c) || g_unichar_type(c) == G_UNICODE_FORMAT) {
            return false;
        }
    }
    return g_utf8_validate(shown, -1, NULL);
}

static bool
sink_terminal(const char *text)
{
    g_autofree char *shown = vr_text_printable(text);

    return is_quiet(shown);
}

/* A member of a document that is read again. */
static bool
sink_json(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, json_object_new());
    json_object_set_string_member(json_node_get_object(node), "a", valid);
    g_autofree char *document = json_to_string(node, TRUE);
    g_autoptr(JsonNode) again = json_from_string(document, NULL);

    return again != NULL && json_object_get_size(json_node_get_object(again)) == 1 &&
           g_str_equal(json_object_get_string_member(json_node_get_object(again), "a"), valid) &&
           strpbrk(document, "\001\033\177") == NULL;
}

/* What a journal keeps is what a terminal may show, and no key of its own comes of it. */
static bool
sink_journal(const char *text)
{
    g_autoptr(VrJournal) journal = vr_journal_new("gaming");
    g_autofree char *shown = vr_text_printable(text);
    journal->message = g_strdup(text);
    g_autofree char *written = vr_journal_to_text(journal);
    g_autoptr(VrJournal) again = vr_journal_from_text(written, strlen(written), NULL);

    return again != NULL && g_str_equal(again->message, shown) && again->uri == NULL &&
           again->before->bindings->len == 0;
}

static bool
sink_status(const char *text)
{
    char *tree = tree_new();
    g_autoptr(VrSysroot) root = tree_root(tree);
    g_autoptr(VrStatus) status = vr_status_new();
    g_autofree char *path = g_build_filename(tree, "run/vmrun/gaming.status", NULL);
    g_autoptr(GKeyFile) file = g_key_file_new();

    status->state = VR_STATE_RUNNING;
    status->message = g_strdup(text);
    bool written = vr_status_write(root, "gaming", status, NULL) &&
                   g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL);
    gsize groups = 0;
    g_strfreev(g_key_file_get_groups(file, &groups));
    g_autofree char *state = g_key_file_get_string(file, "status", "state", NULL);
    g_autofree char *again = g_key_file_get_string(file, "status", "message", NULL);
    const char *wanted = same_or_replaced(text);
    tree_remove(tree);
    return written && groups == 1 && g_strcmp0(state, "running") == 0 &&
           (wanted == NULL || g_strcmp0(again, wanted) == 0);
}

/* XML 1.0 has no words for most control characters: they come back as U+FFFD. */
static char *
as_xml_has_it(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *clean = g_string_new(NULL);

    for (const char *at = valid; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);

        g_string_append_unichar(clean,
                                c < 0x20 && c != '\t' && c != '\n' && c != '\r' ? 0xfffd : c);
    }
    return g_string_free(clean, FALSE);
}

static guint
count_elements(const xmlNode *node)
{
    guint count = 0;

    for (; node != NULL; node = node->next) {
        count += node->type == XML_ELEMENT_NODE ? 1 : 0;
        count += count_elements(node->children);
    }
    return count;
}

static const xmlNode *
find_element(const xmlNode *node, const char *name)
{
    for (; node != NULL; node = node->next) {
        if (node->type == XML_ELEMENT_NODE && g_str_equal(node->name, name)) {
            return node;
        }
        const xmlNode *below = find_element(node->children, name);
        if (below != NULL) {
            return below;
        }
    }
    return NULL;
}

static char *
xml_of(const VrProfile *profile, VrHostFacts *facts)
{
    g_autoptr(VrReport) report = vr_report_new();
    g_autoptr(GPtrArray) devices = vr_devices_choose(profile, facts, report);
    g_autoptr(VrCpuPlacement) placement = vr_cpu_placement_choose(profile, facts, -1, report);
    char *tree = tree_new();
    g_autoptr(VrSysroot) root = tree_root(tree);
    g_autoptr(VrIdentity) identity = vr_identity_load(root, profile, NULL);
    VrDomainSpec spec = {
        .profile = profile,
        .facts = facts,
        .devices = devices,
        .identity = identity,
        .placement = placement,
        .pages = VR_PAGES_NONE,
        .uri = "qemu:///system",
        .state_directory = "/var/lib/vmrun",
    };

    tree_remove(tree);
    return vr_domain_xml(&spec);
}

static VrHostFacts *
host_new(void)
{
    VrHostFacts *facts = plan_host_with_card();

    plan_host_add_cpus(facts, 1, 1, 4, 2);
    return facts;
}

/* The text as a description: element content. And as a path: an attribute. */
static bool
sink_xml(const char *text)
{
    g_autoptr(VrHostFacts) facts = host_new();
    g_autoptr(VrProfile) profile =
        plan_profile("gaming", "[disk a]\npath=/srv/a.img\n[profile]\ndescription=x");
    g_autofree char *plain = xml_of(profile, facts);
    VrProfileDisk *disk = g_ptr_array_index(profile->disks, 0);
    g_autofree char *wanted = as_xml_has_it(text);

    g_free(profile->description);
    profile->description = g_strdup(text);
    g_free(disk->path);
    disk->path = g_strdup(text);
    g_autofree char *written = xml_of(profile, facts);
    xmlDoc *document = xmlReadMemory(written, (int) strlen(written), NULL, NULL, XML_PARSE_NONET);
    xmlDoc *before = xmlReadMemory(plain, (int) strlen(plain), NULL, NULL, XML_PARSE_NONET);
    bool fine = document != NULL && before != NULL &&
                count_elements(xmlDocGetRootElement(document)) + (text[0] == '\0') ==
                    count_elements(xmlDocGetRootElement(before));
    if (fine) {
        const xmlNode *top = xmlDocGetRootElement(document);
        xmlChar *content = xmlNodeGetContent(find_element(top, "description"));
        const xmlNode *source = find_element(find_element(top, "disk")->children, "source");
        xmlChar *path = xmlGetProp(source, (const xmlChar *) "file");
        /* Without a description there is no element for it. */
        fine = (text[0] == '\0' || g_strcmp0((char *) content, wanted) == 0) &&
               g_strcmp0((char *) path, wanted) == 0;
        xmlFree(content);
        xmlFree(path);
    }
    xmlFreeDoc(document);
    xmlFreeDoc(before);
    return fine;
}

typedef struct {
    const char *name;
    bool (*holds)(const char *text);
} Sink;

static const Sink sinks[] = {
    {"xml", sink_xml},         {"json", sink_json},     {"terminal", sink_terminal},
    {"journal", sink_journal}, {"status", sink_status},
};

/* Zero-width characters are part of some scripts; what turns the order of others is none. */
static bool
keeps_order(const char *value)
{
    return strstr(value, "\xe2\x80\xae") == NULL;
}

/* --- sources: where a hostile text comes from, and what is left of it there --- */

/* A key of the profile: the value as the parser lets it through, or NULL when it is refused with
 * file and line. *out_said: the refusal named a place and is fit to be shown. */
static VrProfile *
parse_with(const VrProfileKey *key, const char *text, GPtrArray *mistakes)
{
    VrProfileGroup group = *vr_profile_group_find(key->group);
    g_autofree char *source =
        g_strdup_printf("[%s%s]\n%s=%s\n", key->group, group.naming == VR_NAMING_NEEDED ? " a" : "",
                        key->key, text);
    VrProfileText given = {
        .file = "test.conf", .text = source, .size_bytes = strlen(source), .starts_file = true};

    return vr_profile_parse("gaming", &given, 1, mistakes);
}

static const char *
value_of(const VrProfile *profile, const VrProfileKey *key)
{
    for (guint i = 0; i < profile->values->len; i++) {
        const VrProfileValue *value = g_ptr_array_index(profile->values, i);

        if (g_str_equal(value->key, key->key) && g_str_has_prefix(value->group, key->group) &&
            value->origin.file != NULL) {
            return value->value;
        }
    }
    return NULL;
}

static bool
is_refused_well(const GPtrArray *mistakes)
{
    for (guint i = 0; i < mistakes->len; i++) {
        const VrProfileMistake *mistake = g_ptr_array_index(mistakes, i);
        g_autofree char *line = vr_profile_mistake_format(mistake);
        g_autofree char *shown = vr_text_printable(line);

        if (mistake->line == 0 || !is_quiet(shown) || !g_str_has_prefix(line, "test.conf:")) {
            return false;
        }
    }
    return mistakes->len > 0;
}

typedef struct {
    guint cases, failed;
} Count;

static void
count(Count *sum, const char *source, const char *sink, const char *text, bool fine)
{
    sum->cases++;
    if (!fine) {
        g_autofree char *shown = vr_text_printable(text);

        sum->failed++;
        g_test_message("FAILED: %s -> %s: \"%.60s\"", source, sink, shown);
    }
}

/* One key with one text: refused, or whole in every sink. */
static void
try_key(Count *sum, const VrProfileKey *key, const char *text, const bool *sink_fine)
{
    g_autoptr(GPtrArray) mistakes =
        g_ptr_array_new_with_free_func((GDestroyNotify) vr_profile_mistake_free);
    g_autofree char *source = g_strdup_printf("[%s] %s", key->group, key->key);
    g_autoptr(VrProfile) profile = parse_with(key, text, mistakes);
    bool refused = profile == NULL && is_refused_well(mistakes);
    /* GKeyFile's own escapes and the comment behind a value change a text on purpose. */
    const char *value = profile != NULL ? value_of(profile, key) : NULL;

    for (guint i = 0; i < G_N_ELEMENTS(sinks); i++) {
        bool fine = refused || (value != NULL &&
                                (g_str_equal(value, text) ? sink_fine[i] : sinks[i].holds(value)));
        count(sum, source, sinks[i].name, text, fine && (value == NULL || keeps_order(value)));
    }
}

/* Names from the host: each as vmrun reads it, before any sink. Owned. */
static char *
read_command(const char *text)
{
    char *tree = tree_new();

    tree_write(tree, "/proc/812/comm", text);
    g_autoptr(VrSysroot) root = tree_root(tree);
    char *command = vr_process_command(root, 812);
    tree_remove(tree);
    return command;
}

static char *
read_unit(const char *text)
{
    g_autofree char *line = g_strdup_printf("0::/system.slice/%s.service", text);
    char *unit = vr_process_unit_from_cgroup(line);

    return unit != NULL ? unit : g_strdup("");
}

static char *
read_firmware(const char *text)
{
    char *tree = tree_new();

    tree_write(tree, "/sys/class/dmi/id/bios_version", text);
    g_autoptr(VrSysroot) root = tree_root(tree);
    g_autoptr(VrHostFacts) facts = vr_host_facts_load(root, VR_FACTS_FIRMWARE);
    char *version = g_strdup(facts->bios_version != NULL ? facts->bios_version : "");
    tree_remove(tree);
    return version;
}

static char *
read_parameter(const char *text)
{
    char *tree = tree_new();
    g_autofree char *line = g_strdup_printf("quiet vmrun_test=%s", text);

    tree_write(tree, "/proc/cmdline", line);
    g_autoptr(VrSysroot) root = tree_root(tree);
    g_autoptr(VrHostFacts) facts = vr_host_facts_load(root, VR_FACTS_KERNEL);
    const char *value = vr_host_facts_parameter(facts, "vmrun_test");
    char *copy = g_strdup(value != NULL ? value : "");
    tree_remove(tree);
    return copy;
}

/* PCI names, EDIDs, serial numbers, module names, libvirt's errors: taken as they are. */
static char *
take_as_it_is(const char *text)
{
    return g_strdup(text);
}

static const struct {
    const char *name;
    char *(*read)(const char *text);
} host_names[] = {
    {"process command", read_command},
    {"unit", read_unit},
    {"DMI", read_firmware},
    {"kernel parameter", read_parameter},
    {"names and errors", take_as_it_is},
};

static void
test_injection(void)
{
    Count sum = {0};
    guint keys = 0;

    for (const VrProfileKey *key = vr_profile_keys(); key->key != NULL; key++) {
        keys++;
    }
    for (guint i = 0; i < STRINGS; i++) {
        g_autofree char *text = string_number(i);
        bool fine[G_N_ELEMENTS(sinks)];

        for (guint j = 0; j < G_N_ELEMENTS(sinks); j++) {
            fine[j] = sinks[j].holds(text);
        }
        for (const VrProfileKey *key = vr_profile_keys(); key->key != NULL; key++) {
            try_key(&sum, key, text, fine);
        }
        for (guint j = 0; j < G_N_ELEMENTS(host_names); j++) {
            g_autofree char *read = host_names[j].read(text);

            for (guint k = 0; k < G_N_ELEMENTS(sinks); k++) {
                count(&sum, host_names[j].name, sinks[k].name, text,
                      g_str_equal(read, text) ? fine[k] : sinks[k].holds(read));
            }
        }
    }
    g_test_message("suite: injection cases=%u pass=%u fail=%u", sum.cases, sum.cases - sum.failed,
                   sum.failed);
    g_assert_cmpuint(STRINGS, ==, 40);
    g_assert_cmpuint(sum.cases, ==,
                     STRINGS * (keys + G_N_ELEMENTS(host_names)) * G_N_ELEMENTS(sinks));
    g_assert_cmpuint(sum.failed, ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/injection", test_injection);
    return g_test_run();
}
