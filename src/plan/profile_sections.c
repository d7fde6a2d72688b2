/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/profile_sections.h"

#include "plan/profile_values.h"

#include <string.h>

static void
setting_free(void *data)
{
    VrSetting *setting = data;

    g_free(setting->value);
    g_free(setting);
}

static void
section_free(void *data)
{
    VrSection *section = data;

    g_free(section->name);
    g_free(section->title);
    g_ptr_array_unref(section->settings);
    g_free(section);
}

static VrSection *
section_new(const VrProfileGroup *group, const char *name)
{
    VrSection *section = g_new0(VrSection, 1);

    section->group = group;
    section->name = g_strdup(name);
    section->title =
        name[0] != '\0' ? g_strdup_printf("%s %s", group->name, name) : g_strdup(group->name);
    section->settings = g_ptr_array_new_with_free_func(setting_free);
    return section;
}

/* The state while the texts are laid over each other. */
typedef struct {
    GPtrArray *sections;
    VrMistakes *mistakes;
    bool is_drop_in;
    VrPlace place;
    VrSection *section; /* of the lines that follow; NULL: unknown, they are passed over */
    GHashTable *seen;   /* in this text: "disk system" and "disk system\nkey" -> line */
} Merger;

static VrSection *
find_section(const GPtrArray *sections, const char *title)
{
    for (guint i = 0; i < sections->len; i++) {
        VrSection *section = g_ptr_array_index(sections, i);

        if (strcmp(section->title, title) == 0) {
            return section;
        }
    }
    return NULL;
}

/* Remember that `what` stands in this text; the line where it stood already, else 0. */
static unsigned
seen_before(Merger *merger, char *what)
{
    unsigned line = GPOINTER_TO_UINT(g_hash_table_lookup(merger->seen, what));

    if (line == 0) {
        g_hash_table_insert(merger->seen, what, GUINT_TO_POINTER(merger->place.line));
    } else {
        g_free(what);
    }
    return line;
}

/* The name in [group NAME]: as the group wants it. */
static bool
check_section_name(Merger *merger, const VrProfileGroup *group, const char *title, const char *name)
{
    const char *problem = NULL;

    if (name == NULL && group->naming == VR_NAMING_NEEDED) {
        vr_mistakes_add(merger->mistakes, merger->place, title, NULL,
                        "this group needs a name, as in [%s one]", group->name);
        return false;
    }
    if (name == NULL) {
        return true;
    }
    if (group->naming == VR_NAMING_BARE) {
        problem = "this group has no name and is there only once";
    } else if (!vr_value_is_section_name(name)) {
        problem = "a section's name is one blank away and consists of A-Z, a-z, 0-9, _ and -, at "
                  "most 32";
    }
    if (problem != NULL) {
        vr_mistakes_add(merger->mistakes, merger->place, title, NULL, "%s", problem);
    }
    return problem == NULL;
}

/* NULL, with a mistake, for a group that there is not. */
static VrSection *
section_for(Merger *merger, const char *title)
{
    g_auto(GStrv) words = g_strsplit(title, " ", 2);
    const char *name = words[0] != NULL ? words[1] : NULL;
    const VrProfileGroup *group = words[0] != NULL ? vr_profile_group_find(words[0]) : NULL;

    if (words[0] == NULL) { /* the reader has complained */
        return NULL;
    }
    if (group == NULL) {
        g_autofree char *hint = vr_profile_group_hint(words[0]);

        vr_mistakes_add(merger->mistakes, merger->place, title, NULL, "unknown group%s", hint);
        return NULL;
    }
    if (!check_section_name(merger, group, title, name)) {
        return NULL;
    }

    VrSection *section = find_section(merger->sections, title);
    if (section == NULL) {
        section = section_new(group, name != NULL ? name : "");
        g_ptr_array_add(merger->sections, section);
    }
    return section;
}

static void
merge_group(Merger *merger, const char *title)
{
    merger->section = section_for(merger, title);
    if (merger->section == NULL) {
        return;
    }
    merger->section->place = merger->place;

    unsigned before = seen_before(merger, g_strdup(title));
    if (before != 0) {
        vr_mistakes_add(merger->mistakes, merger->place, title, NULL,
                        "this group is already in line %u; put its keys together", before);
    }
}

static void
store(VrSection *section, const VrProfileKey *key, const char *value, bool valid, VrPlace place)
{
    VrSetting *setting = NULL;

    for (guint i = 0; i < section->settings->len && setting == NULL; i++) {
        VrSetting *other = g_ptr_array_index(section->settings, i);

        setting = other->key == key ? other : NULL;
    }
    if (setting == NULL) {
        setting = g_new0(VrSetting, 1);
        setting->key = key;
        g_ptr_array_add(section->settings, setting);
    }
    g_free(setting->value);
    setting->value = g_strdup(value);
    setting->valid = valid;
    setting->place = place;
}

static char *
setting_problem(const Merger *merger, const VrProfileKey *key, const char *value)
{
    if (key->kind == VR_VALUE_PROFILE && merger->is_drop_in) {
        return g_strdup("belongs in the profile itself, not in a drop-in");
    }
    return value[0] != '\0' ? vr_value_problem(key, value) : NULL;
}

static void
merge_key(Merger *merger, const char *name, const char *value)
{
    const char *title = merger->section->title;
    const char *group = merger->section->group->name;
    const VrProfileKey *key = vr_profile_key_find(group, name);
    unsigned before = seen_before(merger, g_strdup_printf("%s\n%s", title, name));

    if (key == NULL) {
        g_autofree char *hint = vr_profile_key_hint(group, name);

        vr_mistakes_add(merger->mistakes, merger->place, title, name, "unknown key%s", hint);
        return;
    }
    if (before != 0) {
        vr_mistakes_add(merger->mistakes, merger->place, title, name,
                        "is already set in line %u; remove one of the two", before);
    }

    g_autofree char *problem = setting_problem(merger, key, value);
    if (problem != NULL) {
        vr_mistakes_add(merger->mistakes, merger->place, title, name, "%s", problem);
    }
    store(merger->section, key, value, problem == NULL, merger->place);
}

static void
merge_text(Merger *merger, const VrProfileText *text, size_t layer)
{
    g_autoptr(GPtrArray) lines = vr_profile_lines_read(text, layer, merger->mistakes);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    merger->section = NULL;
    merger->seen = seen;
    merger->is_drop_in = layer > 0 && !text->starts_file;
    for (guint i = 0; i < lines->len; i++) {
        const VrProfileLine *line = g_ptr_array_index(lines, i);

        merger->place = (VrPlace){text->file, layer, line->line};
        if (line->key == NULL) {
            merge_group(merger, line->group);
        } else if (merger->section != NULL) {
            merge_key(merger, line->key, line->value);
        }
    }
}

static bool
has_needed_key(const VrSection *section)
{
    for (const VrProfileKey *key = vr_profile_keys(); key->key != NULL; key++) {
        if (key->needed && vr_section_is(section, key->group)) {
            return true;
        }
    }
    return false;
}

/* Every key that it ever had is unset: a stronger text has taken it away. */
static bool
is_taken_away(const VrSection *section)
{
    for (guint i = 0; i < section->settings->len; i++) {
        const VrSetting *setting = g_ptr_array_index(section->settings, i);

        if (setting->value[0] != '\0') {
            return false;
        }
    }
    return section->settings->len > 0 && has_needed_key(section);
}

GPtrArray *
vr_sections_read(const VrProfileText *texts, size_t text_count, VrMistakes *mistakes)
{
    Merger merger = {
        .sections = g_ptr_array_new_with_free_func(section_free),
        .mistakes = mistakes,
    };

    for (size_t i = 0; i < text_count; i++) {
        merge_text(&merger, &texts[i], i);
    }
    for (guint i = merger.sections->len; i > 0; i--) {
        if (is_taken_away(g_ptr_array_index(merger.sections, i - 1))) {
            g_ptr_array_remove_index(merger.sections, i - 1);
        }
    }
    return merger.sections;
}

bool
vr_section_is(const VrSection *section, const char *group)
{
    return strcmp(section->group->name, group) == 0;
}

const VrSection *
vr_sections_find(const GPtrArray *sections, const char *group)
{
    for (guint i = 0; i < sections->len; i++) {
        const VrSection *section = g_ptr_array_index(sections, i);

        if (vr_section_is(section, group)) {
            return section;
        }
    }
    return NULL;
}

static void
add_if_missing(GPtrArray *sections, const char *group, const char *name)
{
    if (vr_sections_find(sections, group) == NULL) {
        g_ptr_array_add(sections, section_new(vr_profile_group_find(group), name));
    }
}

void
vr_sections_complete(GPtrArray *sections)
{
    add_if_missing(sections, "profile", "");
    add_if_missing(sections, "machine", "");
    add_if_missing(sections, "boot", "");
    add_if_missing(sections, "session", "");
    if (vr_sections_find(sections, "pci") == NULL) {
        add_if_missing(sections, "gpu", "");
    }
    add_if_missing(sections, "network", "default");
}

const VrSetting *
vr_section_setting(const VrSection *section, const char *key)
{
    for (guint i = 0; i < section->settings->len; i++) {
        const VrSetting *setting = g_ptr_array_index(section->settings, i);

        if (strcmp(setting->key->key, key) == 0) {
            return setting->value[0] != '\0' ? setting : NULL;
        }
    }
    return NULL;
}

const char *
vr_section_value(const VrSection *section, const char *key, VrGuest guest)
{
    const VrSetting *setting = vr_section_setting(section, key);

    if (setting != NULL && setting->valid) {
        return setting->value;
    }
    return vr_profile_key_default(vr_profile_key_find(section->group->name, key), guest);
}

void
vr_sections_spread(GPtrArray *sections, const char *group, const char *key)
{
    const VrSetting *source = NULL;

    for (guint i = 0; i < sections->len && source == NULL; i++) {
        const VrSection *section = g_ptr_array_index(sections, i);

        source = vr_section_is(section, group) ? vr_section_setting(section, key) : NULL;
    }
    for (guint i = 0; source != NULL && i < sections->len; i++) {
        VrSection *section = g_ptr_array_index(sections, i);

        if (vr_section_is(section, group) && vr_section_setting(section, key) == NULL) {
            store(section, source->key, source->value, source->valid, source->place);
        }
    }
}
