/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host_facts_private.h"

#include <vmrun/text.h>

#include <string.h>

#define INPUTS "/sys/class/input"

typedef struct {
    bool has_address; /* false: a keyboard that hangs on no PCI function (PS/2, I2C) */
    VrPciAddress address;
    char *name;
} Keyboard;

static void
keyboard_free(gpointer data)
{
    Keyboard *keyboard = data;

    g_free(keyboard->name);
    g_free(keyboard);
}

/*
 * The keys as words of a bitmap, the lowest last. All of the codes 1 to 31 (Esc to S) are what
 * makes a keyboard, and not a button or a remote control, as udev tells them
 * (udev-builtin-input_id.c).
 */
static bool
has_letters(const char *keys)
{
    uint64_t lowest = 0;
    const char *space = strrchr(keys, ' ');

    return vr_text_to_hex(space != NULL ? space + 1 : keys, UINT64_MAX, &lowest) &&
           (lowest & 0xfffffffe) == 0xfffffffe;
}

static Keyboard *
keyboard_new(const VrSysroot *root, const char *input)
{
    g_autofree char *base = g_strconcat(INPUTS "/", input, NULL);
    g_autofree char *keys_path = g_strconcat(base, "/capabilities/key", NULL);
    g_autofree char *name_path = g_strconcat(base, "/name", NULL);
    g_autofree char *keys = vr_sysroot_read_optional(root, keys_path);

    if (keys == NULL || !has_letters(keys)) {
        return NULL;
    }

    Keyboard *keyboard = g_new0(Keyboard, 1);
    g_autofree char *path = vr_sysroot_resolve(root, base, NULL);

    keyboard->name = vr_sysroot_read_optional(root, name_path);
    keyboard->has_address = path != NULL && vr_pci_address_in_path(path, &keyboard->address);
    return keyboard;
}

static bool
is_another_place(const Keyboard *a, const Keyboard *b)
{
    return !a->has_address || !vr_pci_address_equal(a->address, b->address);
}

/* Without the function that this one hangs on, the host would have no keyboard. */
static bool
is_last(const GPtrArray *keyboards, const Keyboard *keyboard)
{
    for (guint i = 0; i < keyboards->len; i++) {
        if (is_another_place(g_ptr_array_index(keyboards, i), keyboard)) {
            return false;
        }
    }
    return true;
}

void
vr_keyboards_load(VrHostFacts *facts)
{
    g_autoptr(GPtrArray) keyboards = g_ptr_array_new_with_free_func(keyboard_free);
    g_autoptr(GPtrArray) names = vr_sysroot_list(facts->root, INPUTS, NULL);

    for (guint i = 0; names != NULL && i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        Keyboard *keyboard =
            g_str_has_prefix(name, "input") ? keyboard_new(facts->root, name) : NULL;

        if (keyboard != NULL) {
            g_ptr_array_add(keyboards, keyboard);
        }
    }
    for (guint i = 0; i < keyboards->len; i++) {
        const Keyboard *keyboard = g_ptr_array_index(keyboards, i);

        if (keyboard->has_address) {
            bool is_critical = is_last(keyboards, keyboard);
            const char *word = is_critical ? "the only keyboard" : "keyboard";

            vr_host_facts_add_use(facts, keyboard->address,
                                  keyboard->name != NULL
                                      ? g_strdup_printf("%s (%s)", word, keyboard->name)
                                      : g_strdup(word),
                                  is_critical);
        }
    }
}
