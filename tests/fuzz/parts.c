/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "parts.h"

#include "../support/tree.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint8_t
fuzz_take(FuzzBytes *bytes)
{
    if (bytes->size_bytes == 0) {
        return 0;
    }
    bytes->size_bytes--;
    return *bytes->data++;
}

unsigned
fuzz_choose(FuzzBytes *bytes, unsigned count)
{
    return fuzz_take(bytes) % count;
}

static void
store(const char *path, const uint8_t *data, size_t size_bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, data, size_bytes), ==, (ssize_t) size_bytes);
    close(fd);
}

static void
store_link(const char *path, const uint8_t *data, size_t size_bytes)
{
    g_autofree char *target = g_strndup((const char *) data, size_bytes);
    if (target[0] != '\0' && symlink(target, path) != 0) {
        g_debug("a target that the file system does not take");
    }
}

static const FuzzPlace *
find_place(const FuzzPlace *places, char letter)
{
    for (; places->path != NULL; places++) {
        if (places->letter == letter) {
            return places;
        }
    }
    return NULL;
}

static void
fill_one(const char *directory, const FuzzPlace *place, const uint8_t *data, size_t size_bytes)
{
    g_autofree char *path = g_strconcat(directory, place->path, NULL);
    g_autofree char *above = g_path_get_dirname(path);
    g_assert_no_errno(g_mkdir_with_parents(above, 0755));
    unlink(path);
    if (place->is_link) {
        store_link(path, data, size_bytes);
    } else {
        store(path, data, size_bytes);
    }
}

static void
empty(const char *directory, const FuzzPlace *places)
{
    for (; places->path != NULL; places++) {
        g_autofree char *path = g_strconcat(directory, places->path, NULL);
        unlink(path);
    }
}

void
fuzz_fill(const char *directory, const FuzzPlace *places, const uint8_t *data, size_t size_bytes)
{
    const FuzzPlace *place = places;
    empty(directory, places);
    while (size_bytes > 0) {
        const uint8_t *end = memchr(data, '\f', size_bytes);
        size_t part_bytes = end != NULL ? (size_t) (end - data) : size_bytes;
        if (place != NULL) {
            fill_one(directory, place, data, part_bytes);
        }
        data += part_bytes;
        size_bytes -= part_bytes;
        if (size_bytes >= 2) {
            place = find_place(places, (char) data[1]);
            data += 2;
            size_bytes -= 2;
        } else {
            size_bytes = 0;
        }
    }
}

/* The one thing that lives as long as the program: libFuzzer has no end of its own to free it at.
 */
static char **
directory_place(void)
{
    static char *directory;
    return &directory;
}

static void
remove_directory(void)
{
    tree_remove(g_steal_pointer(directory_place()));
}

const char *
fuzz_directory(void)
{
    char **directory = directory_place();
    if (*directory == NULL) {
        if (g_getenv("TMPDIR") == NULL && access("/dev/shm", W_OK) == 0) {
            g_setenv("TMPDIR", "/dev/shm", FALSE);
        }
        *directory = tree_new();
        atexit(remove_directory);
    }
    return *directory;
}
