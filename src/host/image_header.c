/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The header of a qcow2 image (QEMU, docs/interop/qcow2.txt): a program that may write to an image,
 * QEMU above all, can make it name any other file, which libvirt would hand over at the next start.
 */
#include "host/path_facts_private.h"

#include "base/fd.h"

#include <vmrun/error.h>
#include <vmrun/text.h>

#include <fcntl.h>
#include <string.h>

enum {
    HEADER_BYTES = 80,
    BACKING_OFFSET = 8, /* 8 bytes: where the name is; 0: none */
    BACKING_SIZE = 16,  /* 4 bytes */
    FEATURES_LAST = 79, /* least significant byte of the incompatible features, version 3 */
    EXTERNAL_DATA_FILE = 1 << 2,
    NAME_LIMIT = 1023,
};

static uint64_t
big_endian(const unsigned char *bytes, unsigned count)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < count; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

/* "nbd://…", "json:{…}": a colon before the first slash is a protocol for QEMU. */
static bool
is_plain_name(const char *name)
{
    return name[0] != '\0' && name[strcspn(name, ":/")] != ':' && g_utf8_validate(name, -1, NULL);
}

static char *
read_name(int fd, uint64_t offset, uint64_t size_bytes)
{
    char name[NAME_LIMIT + 1] = "";

    if (size_bytes > NAME_LIMIT || offset > G_MAXINT64 ||
        pread(fd, name, size_bytes, (off_t) offset) != (ssize_t) size_bytes ||
        strlen(name) != size_bytes || !is_plain_name(name)) {
        return NULL;
    }
    return g_strdup(name);
}

char *
vr_image_backing_file(const VrSysroot *root, const char *resolved, char **out_problem)
{
    unsigned char header[HEADER_BYTES] = {0};
    vr_autofd int fd =
        vr_sysroot_open_plain(root, resolved, O_RDONLY | O_NONBLOCK | O_NOCTTY, NULL);

    if (fd < 0 || pread(fd, header, sizeof header, 0) < BACKING_SIZE + 4 ||
        memcmp(header, "QFI\xfb", 4) != 0) {
        return NULL;
    }
    if (big_endian(header + 4, 4) >= 3 && (header[FEATURES_LAST] & EXTERNAL_DATA_FILE) != 0) {
        *out_problem = g_strdup("its header names an external data file");
        return NULL;
    }

    uint64_t offset = big_endian(header + BACKING_OFFSET, 8);
    if (offset == 0) {
        return NULL;
    }
    g_autofree char *name = read_name(fd, offset, big_endian(header + BACKING_SIZE, 4));
    if (name == NULL) {
        *out_problem = g_strdup("its header names a backing file that is no plain file name");
        return NULL;
    }
    g_autofree char *directory = g_path_get_dirname(resolved);
    return name[0] == '/' ? g_steal_pointer(&name) : g_build_filename(directory, name, NULL);
}
