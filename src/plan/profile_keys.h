/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one table of groups and keys. Parser, `show`, manual and tests read it; a key that is not in
 * it does not exist.
 */
#pragma once

#include <vmrun/profile.h>

#include <glib.h>
#include <stdbool.h>

typedef enum {
    VR_VALUE_TEXT,
    VR_VALUE_CHOICE, /* one of `choices` */
    VR_VALUE_YES_NO,
    VR_VALUE_PROFILE,
    VR_VALUE_CPUS,
    VR_VALUE_MEMORY,
    VR_VALUE_PIN,
    VR_VALUE_HYPERVISOR,
    VR_VALUE_GPU,
    VR_VALUE_PCI,
    VR_VALUE_FUNCTIONS,
    VR_VALUE_VENDOR_ID,
    VR_VALUE_PATH,
    VR_VALUE_ORDER,
    VR_VALUE_SOURCE,
    VR_VALUE_MAC,
    VR_VALUE_TAG,
    VR_VALUE_USB,
    VR_VALUE_EVDEV,
    VR_VALUE_SHARED_MEMORY,
    VR_VALUE_SECONDS,
    VR_VALUE_SECONDS_OR_AUTO,
    VR_VALUE_UNITS,
} VrValueKind;

typedef enum {
    VR_NAMING_BARE,     /* [machine] */
    VR_NAMING_OPTIONAL, /* [gpu] or [gpu NAME] */
    VR_NAMING_NEEDED,   /* [disk NAME] */
} VrGroupNaming;

typedef struct {
    const char *name;
    VrGroupNaming naming;
    bool built; /* false: the group by itself asks for something that this version cannot do */
    const char *documentation;
} VrProfileGroup;

typedef struct {
    const char *group;
    const char *key;
    VrValueKind kind;
    const char *choices;       /* of VR_VALUE_CHOICE: "windows|linux" */
    const char *default_value; /* NULL: none */
    const char *windows_value; /* the default of guest=windows where it differs, else NULL */
    bool needed;               /* a section without it is a mistake */
    bool built;                /* it has an effect in this version */
    const char *neutral;       /* not built: the value that asks for nothing, or NULL */
    const char *documentation; /* a sentence or two */
} VrProfileKey;

/* Both end with a row whose name, or key, is NULL. The keys of a group stand together. */
const VrProfileGroup *vr_profile_groups(void);
const VrProfileKey *vr_profile_keys(void);

/* NULL: no such group, no such key. */
const VrProfileGroup *vr_profile_group_find(const char *name);
const VrProfileKey *vr_profile_key_find(const char *group, const char *key);

/* The default for this guest, or NULL. */
const char *vr_profile_key_default(const VrProfileKey *key, VrGuest guest);

/* " (did you mean [machine]?)", " (did you mean "device"?)", " (it belongs in [session])" or "".
 * Owned. */
char *vr_profile_group_hint(const char *name);
char *vr_profile_key_hint(const char *group, const char *key);
