/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/shared.h>

#include <vmrun/journal.h>
#include <vmrun/text.h>

#include <string.h>

/* The journals of other sessions of this boot. One that cannot be read claims nothing: nothing that
 * it says is believed. Owned array of VrJournal. */
static GPtrArray *
read_others(const VrSysroot *root, const char *profile)
{
    GPtrArray *others = g_ptr_array_new_with_free_func((GDestroyNotify) vr_journal_free);
    g_autofree char *boot_id = vr_sysroot_read_optional(root, "/proc/sys/kernel/random/boot_id");
    g_autoptr(GPtrArray) names = vr_journal_profiles(root, NULL);
    for (guint i = 0; names != NULL && i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        VrJournal *journal = g_str_equal(name, profile) ? NULL : vr_journal_read(root, name, NULL);
        /* A reboot has put all of these values back. */
        if (journal != NULL && (boot_id == NULL || g_strcmp0(journal->boot_id, boot_id) == 0)) {
            g_ptr_array_add(others, journal);
        } else {
            vr_journal_free(journal);
        }
    }
    return others;
}

static const VrAttribute *
claim_of(const VrJournal *journal, const char *path)
{
    const VrAttribute *claim = vr_host_state_attribute(journal->before, path);
    return claim != NULL && !claim->has_device && claim->value != NULL ? claim : NULL;
}

static void
set_claim(VrAttribute *attribute, uint64_t original, uint64_t added)
{
    g_free(attribute->value);
    attribute->value = g_strdup_printf("%" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT, original, added);
}

/* "4224-4096": its session died while it gave it back. */
static bool
is_begun(const char *value)
{
    return strchr(value, '-') != NULL;
}

static void
inherit(VrAttribute *attribute, const VrAttribute *claim)
{
    uint64_t original, ignored, found, added;
    if (attribute->kind == VR_ATTRIBUTE_COUNT && is_begun(claim->value)) {
        return; /* tells nothing of what was there before */
    }
    if (attribute->kind != VR_ATTRIBUTE_COUNT) {
        char *value = attribute->kind == VR_ATTRIBUTE_CPUS
                          ? vr_cpus_claim(claim->value, attribute->value)
                          : g_strdup(claim->value);
        g_free(attribute->value);
        attribute->value = value;
    } else if (vr_count_parse(claim->value, &original, &ignored) &&
               vr_count_parse(attribute->value, &found, &added)) {
        set_claim(attribute, original, added);
    }
}

void
vr_shared_inherit(const VrSysroot *root, const char *profile, VrHostState *before)
{
    g_autoptr(GPtrArray) others = read_others(root, profile);
    for (guint i = 0; i < before->attributes->len; i++) {
        VrAttribute *attribute = g_ptr_array_index(before->attributes, i);
        for (guint j = 0; j < others->len && !attribute->has_device && attribute->value != NULL;
             j++) {
            const VrAttribute *claim = claim_of(g_ptr_array_index(others, j), attribute->path);
            if (claim != NULL) { /* they all say the same */
                inherit(attribute, claim);
                break;
            }
        }
    }
}

static uint64_t
pages_now(const VrSysroot *root, const char *path)
{
    g_autofree char *text = vr_sysroot_read_optional(root, path);
    uint64_t pages = 0;
    return text != NULL && vr_text_to_uint(text, 0, UINT32_MAX, &pages) ? pages : 0;
}

/* Of one kind: claims that stand, or those that are being given back and were not yet, which is
 * seen beside `rest`, what all others have added. */
static uint64_t
sum_of_kind(const GPtrArray *others, const char *path, bool begun, uint64_t now, uint64_t rest)
{
    uint64_t sum = 0;
    for (guint i = 0; i < others->len; i++) {
        const VrAttribute *claim = claim_of(g_ptr_array_index(others, i), path);
        uint64_t first, added;
        if (claim != NULL && is_begun(claim->value) == begun &&
            vr_count_parse(claim->value, &first, &added) && (!begun || now >= first + rest)) {
            sum += added;
            rest += begun ? added : 0;
        }
    }
    return sum;
}

/* What other sessions have added to a pool and not taken away, beside `own`. */
static uint64_t
sum_claims(const VrSysroot *root, const GPtrArray *others, const char *path, uint64_t own)
{
    uint64_t now = pages_now(root, path);
    uint64_t standing = sum_of_kind(others, path, false, now, 0);
    return standing + sum_of_kind(others, path, true, now, standing + own);
}

static bool
is_claimed(const GPtrArray *others, const char *path)
{
    for (guint i = 0; i < others->len; i++) {
        if (claim_of(g_ptr_array_index(others, i), path) != NULL) {
            return true;
        }
    }
    return false;
}

/* Without those that anybody else has taken, too. False: there is none left. */
static bool
leave_cpus(VrAttribute *attribute, const GPtrArray *others)
{
    for (guint i = 0; i < others->len && attribute->value != NULL; i++) {
        const VrAttribute *claim = claim_of(g_ptr_array_index(others, i), attribute->path);
        if (claim != NULL) {
            char *rest = vr_cpus_leave(attribute->value, claim->value);
            g_free(attribute->value);
            attribute->value = rest;
        }
    }
    return attribute->value != NULL;
}

/* False: not ours to put back. */
static bool
leave(const VrSysroot *root, VrAttribute *attribute, const GPtrArray *others)
{
    uint64_t first, second;
    if (attribute->kind == VR_ATTRIBUTE_CPUS) {
        return leave_cpus(attribute, others);
    }
    if (attribute->has_device || !is_claimed(others, attribute->path)) {
        return true;
    }
    if (attribute->kind != VR_ATTRIBUTE_COUNT || attribute->value == NULL ||
        !vr_count_parse(attribute->value, &first, &second)) {
        return false;
    }
    bool begun = is_begun(attribute->value);
    uint64_t theirs = sum_claims(root, others, attribute->path, begun ? 0 : second);
    g_free(attribute->value);
    attribute->value = g_strdup_printf("%" G_GUINT64_FORMAT "%c%" G_GUINT64_FORMAT, first + theirs,
                                       begun ? '-' : '+', second);
    return true;
}

char *
vr_shared_begun(const VrSysroot *root, const char *profile, const char *path, const char *value)
{
    g_autoptr(GPtrArray) others = read_others(root, profile);
    uint64_t first, second;
    if (!vr_count_parse(value, &first, &second)) {
        return g_strdup(value);
    }
    uint64_t theirs = sum_claims(root, others, path, second);
    return g_strdup_printf("%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT,
                           MAX(first - MIN(first, theirs), second), second);
}

void
vr_shared_leave_to_others(const VrSysroot *root, const char *profile, VrHostState *wanted)
{
    g_autoptr(GPtrArray) others = read_others(root, profile);
    for (guint i = wanted->attributes->len; i-- > 0;) {
        if (!leave(root, g_ptr_array_index(wanted->attributes, i), others)) {
            g_ptr_array_remove_index(wanted->attributes, i);
        }
    }
}

bool
vr_shared_is_awaited(const VrSysroot *root, const char *profile, const char *path)
{
    g_autoptr(GPtrArray) others = read_others(root, profile);
    for (guint i = 0; i < others->len; i++) {
        const VrJournal *journal = g_ptr_array_index(others, i);
        if (journal->phase != VR_PHASE_RUNNING && claim_of(journal, path) != NULL) {
            return true;
        }
    }
    return false;
}

VrHostState *
vr_shared_take_out(VrHostState *state)
{
    VrHostState *shared = vr_host_state_new();
    for (guint i = state->attributes->len; i-- > 0;) {
        const VrAttribute *attribute = g_ptr_array_index(state->attributes, i);
        if (!attribute->has_device) {
            vr_host_state_set_attribute(shared, attribute->kind, NULL, attribute->path,
                                        attribute->value);
            g_ptr_array_remove_index(state->attributes, i);
        }
    }
    return shared;
}
