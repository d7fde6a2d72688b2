/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the administrator has changed in libvirt's qemu.conf: "key = value" with texts in single or
 * double quotes, numbers, and lists in brackets that may go over lines; '#' begins a comment
 * (libvirt, src/util/virconf.c). The last setting of a key counts.
 */
#include "host/host_facts_private.h"

#include "base/fd.h"

#include <vmrun/error.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define EMBEDDED_ROOTS "/var/lib/vmrun/embed"

typedef struct {
    const char *at;
    unsigned line;
} Reader;

static void
setting_free(gpointer data)
{
    VrQemuSetting *setting = data;

    g_free(setting->file);
    g_free(setting->key);
    g_strfreev(setting->values);
    g_free(setting);
}

/* Blanks, line breaks and comments. */
static void
skip(Reader *reader)
{
    for (;; reader->at++) {
        if (*reader->at == '#') {
            reader->at += strcspn(reader->at, "\n");
        }
        if (*reader->at == '\0' || strchr(" \t\r\n", *reader->at) == NULL) {
            return;
        }
        reader->line += *reader->at == '\n';
    }
}

/* A text in quotes or a bare number; NULL: neither. Owned. */
static char *
read_value(Reader *reader)
{
    char quote = *reader->at;
    bool quoted = quote == '"' || quote == '\'';
    const char *start = reader->at + quoted;
    const char end[] = {quote, '\n', '\0'};
    size_t length = strcspn(start, quoted ? end : " \t\r\n,]#");

    if ((quoted && start[length] != quote) || (!quoted && length == 0)) {
        return NULL;
    }
    reader->at = start + length + quoted;
    return g_strndup(start, length);
}

static char **
read_list(Reader *reader)
{
    g_autoptr(GStrvBuilder) values = g_strv_builder_new();

    for (reader->at++;; reader->at += *reader->at == ',') {
        skip(reader);
        if (*reader->at == ']') {
            reader->at++;
            return g_strv_builder_end(values);
        }
        g_autofree char *value = read_value(reader);
        if (value == NULL) {
            return NULL;
        }
        g_strv_builder_add(values, value);
        skip(reader);
    }
}

static char **
read_values(Reader *reader)
{
    if (*reader->at == '[') {
        return read_list(reader);
    }
    g_autofree char *value = read_value(reader);
    const char *const one[] = {value, NULL};
    return value != NULL ? g_strdupv((char **) one) : NULL;
}

/* One setting; what is none is skipped to the end of its line: libvirt itself refuses such a file.
 */
static void
read_setting(Reader *reader, const char *file, GPtrArray *settings)
{
    unsigned line = reader->line;
    size_t length = strspn(reader->at, "abcdefghijklmnopqrstuvwxyz"
                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    g_autofree char *key = g_strndup(reader->at, length);
    char **values = NULL;

    reader->at += length;
    reader->at += strspn(reader->at, " \t");
    if (length > 0 && *reader->at == '=') {
        reader->at += 1 + strspn(reader->at + 1, " \t");
        values = read_values(reader);
    }
    if (values == NULL) {
        reader->at += strcspn(reader->at, "\n");
        return;
    }
    VrQemuSetting *setting = g_new0(VrQemuSetting, 1);
    *setting = (VrQemuSetting){g_strdup(file), g_steal_pointer(&key), values, line};
    g_ptr_array_add(settings, setting);
}

static void
read_file(VrHostFacts *facts, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = vr_sysroot_read(facts->root, path, &error);
    Reader reader = {.at = text, .line = 1};

    if (text == NULL) {
        if (!g_error_matches(error, VR_ERROR, VR_ERROR_NOT_FOUND) &&
            facts->qemu_conf_error == NULL) {
            facts->qemu_conf_error = g_strdup(error->message);
        }
        return;
    }
    for (skip(&reader); *reader.at != '\0'; skip(&reader)) {
        read_setting(&reader, path, facts->qemu_settings);
    }
}

/* 0600 by the kernel and by libvirt (Documentation/driver-api/vfio.rst lets an administrator open
 * it to one user: who has it has the card). */
static void
find_open_nodes(VrHostFacts *facts)
{
    g_autoptr(GPtrArray) names = vr_sysroot_list(facts->root, "/dev/vfio", NULL);

    for (guint i = 0; names != NULL && i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *path = g_strconcat("/dev/vfio/", name, NULL);
        vr_autofd int fd = vr_sysroot_open(facts->root, path, O_PATH | O_NOFOLLOW, NULL);
        struct stat node = {0};

        if (g_ascii_isdigit(name[0]) && fd >= 0 && fstat(fd, &node) == 0 &&
            (node.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
            g_ptr_array_add(facts->open_vfio_nodes, g_strdup_printf("%s: mode %04o, group %u", path,
                                                                    (unsigned) node.st_mode & 07777,
                                                                    (unsigned) node.st_gid));
        }
    }
}

void
vr_qemu_conf_load(VrHostFacts *facts)
{
    g_autoptr(GPtrArray) roots = vr_sysroot_list(facts->root, EMBEDDED_ROOTS, NULL);

    facts->qemu_settings = g_ptr_array_new_with_free_func(setting_free);
    facts->open_vfio_nodes = g_ptr_array_new_with_free_func(g_free);
    read_file(facts, "/etc/libvirt/qemu.conf");
    for (guint i = 0; roots != NULL && i < roots->len; i++) {
        const char *name = g_ptr_array_index(roots, i);
        g_autofree char *path = g_strdup_printf(EMBEDDED_ROOTS "/%s/etc/qemu.conf", name);

        read_file(facts, path);
    }
    find_open_nodes(facts);
}
