/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/node_modes.h>

#include "base/fd.h"

#include <vmrun/error.h>
#include <vmrun/text.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define PATH_PATTERN                                                                               \
    "^/dev/(dri/(card|renderD)[0-9]{1,4}|snd/[A-Za-z][A-Za-z0-9]{0,31}|"                           \
    "(i2c-|hidraw|drm_dp_aux|cec|fb|video)[0-9]{1,4})$"
#define VALUE_PATTERN "^c [0-9]{1,4}:[0-9]{1,7} [0-7]{4}$"
#define CLOSED " 0000"
#define MODE_CHARACTERS 5 /* " 0660" */

static bool
matches(const char *pattern, const char *text)
{
    return text != NULL && g_regex_match_simple(pattern, text, G_REGEX_DOLLAR_ENDONLY, 0);
}

bool
vr_node_path_is_allowed(const char *path)
{
    return matches(PATH_PATTERN, path);
}

bool
vr_node_value_is_valid(const char *value)
{
    return matches(VALUE_PATTERN, value);
}

bool
vr_node_value_is_closed(const char *value)
{
    return value != NULL && g_str_has_suffix(value, CLOSED);
}

char *
vr_node_value_closed(const char *value)
{
    return g_strdup_printf("%.*s" CLOSED, (int) (strlen(value) - MODE_CHARACTERS), value);
}

static bool
is_same_node(const char *a, const char *b)
{
    size_t length = strlen(a);
    return length == strlen(b) && strncmp(a, b, length - MODE_CHARACTERS) == 0;
}

bool
vr_node_value_differs(const char *now, const char *wanted)
{
    return now != NULL && wanted != NULL && is_same_node(now, wanted) &&
           vr_node_value_is_closed(now) != vr_node_value_is_closed(wanted);
}

/* The kernel's own word whose node it is: "/sys/devices/…/0000:01:00.0/drm/card1". */
static bool
belongs_to(const VrSysroot *root, const char *value, VrPciAddress device)
{
    g_auto(GStrv) parts = g_strsplit(value, " ", 3);
    g_autofree char *link = g_strconcat("/sys/dev/char/", parts[1], NULL);
    g_autofree char *place = vr_sysroot_resolve(root, link, NULL);
    g_autofree char *address = vr_pci_address_format(device);
    g_autofree char *directory = g_strconcat("/", address, "/", NULL);
    return place != NULL && strstr(place, directory) != NULL;
}

/* NULL: neither a character device nor, in a recorded tree, the text of one. */
static char *
value_of(const VrSysroot *root, int fd, const char *path)
{
    struct stat found = {0};
    if (fstat(fd, &found) != 0) {
        return NULL;
    }
    if (S_ISCHR(found.st_mode)) {
        return g_strdup_printf("c %u:%u %04o", major(found.st_rdev), minor(found.st_rdev),
                               (unsigned) found.st_mode & 07777);
    }
    g_autofree char *text = !vr_sysroot_is_live(root) && S_ISREG(found.st_mode)
                                ? vr_sysroot_read_optional(root, path)
                                : NULL;
    return vr_node_value_is_valid(text) ? g_steal_pointer(&text) : NULL;
}

/* *out_fd -1 and *out_value NULL: there is no such node of that function. */
static bool
open_node(const VrSysroot *root, const char *path, VrPciAddress device, int *out_fd,
          char **out_value, GError **error)
{
    g_autoptr(GError) failure = NULL;
    vr_autofd int fd = vr_sysroot_open(root, path, O_PATH | O_NOFOLLOW, &failure);
    *out_fd = -1;
    *out_value = NULL;
    if (fd < 0 && !g_error_matches(failure, VR_ERROR, VR_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    g_autofree char *value = fd >= 0 ? value_of(root, fd, path) : NULL;
    if (value != NULL && belongs_to(root, value, device)) {
        *out_fd = vr_fd_steal(&fd);
        *out_value = g_steal_pointer(&value);
    }
    return true;
}

bool
vr_node_mode_read(const VrSysroot *root, const char *path, VrPciAddress device, char **out_value,
                  GError **error)
{
    vr_autofd int fd = -1;
    return open_node(root, path, device, &fd, out_value, error);
}

/* fchmod(2) knows no O_PATH descriptor, but its link in /proc (openat(2), O_PATH): what was judged
 * is what is changed, whatever has taken its name meanwhile. */
static bool
set_mode(int fd, const char *path, const char *value, GError **error)
{
    g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);
    mode_t mode = (mode_t) g_ascii_strtoull(strrchr(value, ' ') + 1, NULL, 8);
    if (fchmodat(AT_FDCWD, link, mode, 0) != 0) {
        return vr_error_set_errno(error, errno, "set the mode of %s to %04o", path,
                                  (unsigned) mode);
    }
    return true;
}

bool
vr_node_mode_write(const VrSysroot *root, const char *path, VrPciAddress device, const char *value,
                   GError **error)
{
    vr_autofd int fd = -1;
    g_autofree char *now = NULL;
    if (!vr_node_path_is_allowed(path) || !vr_node_value_is_valid(value)) {
        return vr_error_set(error, VR_ERROR_CORRUPT, "not a node that vmrun may change");
    }
    if (!open_node(root, path, device, &fd, &now, error)) {
        return false;
    }
    if (now == NULL || !is_same_node(now, value)) {
        return true;
    }
    return vr_sysroot_is_live(root) ? set_mode(fd, path, value, error)
                                    : vr_sysroot_write(root, path, value, error);
}
