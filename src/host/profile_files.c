/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/profile.h>

#include "base/fd.h"
#include "host/path_facts_private.h"

#include <vmrun/error.h>
#include <vmrun/text.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ADMIN_DIRECTORY "/etc/vmrun/profiles"

#ifndef VR_PROFILE_DIR
#define VR_PROFILE_DIR "/usr/share/vmrun/profiles"
#endif

enum {
    SIZE_LIMIT_BYTES = 64 * 1024,
    DEPTH_LIMIT = 8, /* of profiles that extend one another */
};

/* Where profiles are looked for, and whose word counts. */
typedef struct {
    const VrSysroot *root;
    bool trusted_only;
    const char *directories[4]; /* the first that has the profile wins; NULL-terminated */
    const char *drop_ins[3];    /* all count, in this order; NULL-terminated */
} Places;

/* One text as it was read. */
typedef struct {
    char *file;
    GBytes *bytes;
    bool starts_file;
    char *extends_problem;
} Text;

static void
text_free(void *data)
{
    Text *text = data;

    g_free(text->file);
    g_bytes_unref(text->bytes);
    g_free(text->extends_problem);
    g_free(text);
}

static Places
places_for(const VrSysroot *root, bool trusted_only, const char *user_directory)
{
    Places places = {.root = root, .trusted_only = trusted_only};
    size_t count = 0;

    /* A start as root never looks there: it would let a user choose root's QEMU. */
    if (user_directory != NULL && !trusted_only) {
        places.directories[count++] = user_directory;
        places.drop_ins[1] = user_directory;
    }
    places.directories[count++] = ADMIN_DIRECTORY;
    places.directories[count++] = VR_PROFILE_DIR;
    places.drop_ins[0] = ADMIN_DIRECTORY;
    return places;
}

/* Root's, or that of the user who runs this: nobody gains anything by believing himself. */
static bool
check_owner(const struct stat *status, const char *path, GError **error)
{
    if (status->st_uid != 0 && status->st_uid != geteuid()) {
        return vr_error_set(error, VR_ERROR_NOT_AUTHORISED,
                            "%s belongs to user %u, not to root: a start as root does not believe "
                            "it; look at it, then: chown root: %s",
                            path, (unsigned) status->st_uid, path);
    }
    if ((status->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return vr_error_set(error, VR_ERROR_NOT_AUTHORISED,
                            "%s can be written by others (mode %04o): a start as root does not "
                            "believe it; look at it, then: chmod go-w %s",
                            path, (unsigned) status->st_mode & 07777, path);
    }
    return true;
}

/* One step of the way to a profile: no link, and nobody but root can change it. */
static bool
check_step(const VrSysroot *root, const char *path, GError **error)
{
    struct stat status = {0};
    vr_autofd int fd = vr_sysroot_open_plain(root, path, O_PATH | O_NOFOLLOW, error);

    if (fd < 0) {
        return false;
    }
    if (fstat(fd, &status) != 0) {
        return vr_error_set_errno(error, errno, "look at %s", path);
    }
    if (S_ISLNK(status.st_mode)) {
        return vr_error_set(error, VR_ERROR_NOT_AUTHORISED,
                            "%s is a symbolic link: a start as root reads plain files only; put "
                            "the file itself there",
                            path);
    }
    return check_owner(&status, path, error);
}

/* Every directory from the root to `path`, and `path` itself. */
bool
vr_trusted_way(const VrSysroot *root, const char *path, GError **error)
{
    if (!check_step(root, "/", error)) {
        return false;
    }
    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        g_autofree char *directory = g_strndup(path, (gsize) (slash - path));

        if (!check_step(root, directory, error)) {
            return false;
        }
    }
    return check_step(root, path, error);
}

/*
 * Once more, of what was really opened. A second name is one in a directory that was not looked at.
 */
static bool
check_opened(const struct stat *status, const char *path, GError **error)
{
    if (status->st_nlink > 1) {
        return vr_error_set(error, VR_ERROR_NOT_AUTHORISED,
                            "%s has %u names (hard links): a start as root does not believe it; "
                            "put a copy there",
                            path, (unsigned) status->st_nlink);
    }
    return check_owner(status, path, error);
}

/* Read one file after every check on it. VR_ERROR_NOT_FOUND if there is none. */
static GBytes *
read_file(const Places *places, const char *path, GError **error)
{
    struct stat status = {0};

    if (places->trusted_only && !vr_trusted_way(places->root, path, error)) {
        return NULL;
    }

    /* O_NONBLOCK: a FIFO must not stop us; plain files do not know the flag. */
    int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
    vr_autofd int fd = places->trusted_only
                           ? vr_sysroot_open_plain(places->root, path, flags, error)
                           : vr_sysroot_open(places->root, path, flags, error);
    if (fd < 0) {
        return NULL;
    }
    if (fstat(fd, &status) != 0) {
        vr_error_set_errno(error, errno, "look at %s", path);
        return NULL;
    }
    if (!S_ISREG(status.st_mode)) {
        vr_error_set(error, VR_ERROR_USAGE, "%s is not a plain file", path);
        return NULL;
    }
    if (places->trusted_only && !check_opened(&status, path, error)) {
        return NULL;
    }
    /* One byte more than allowed: the parser says what is too large. */
    return vr_fd_read_all(fd, path, SIZE_LIMIT_BYTES + 1, true, error);
}

static void
add_text(GPtrArray *texts, guint index, const char *file, GBytes *bytes, bool starts_file)
{
    Text *text = g_new0(Text, 1);

    text->file = g_strdup(file);
    text->bytes = bytes;
    text->starts_file = starts_file;
    g_ptr_array_insert(texts, (gint) index, text);
}

static bool
is_drop_in_name(const char *name)
{
    return name[0] != '.' && g_str_has_suffix(name, ".conf") && g_utf8_validate(name, -1, NULL);
}

/* Insert the drop-ins of a profile in one directory from *index on, by name. */
static bool
add_drop_ins_from(const Places *places, const char *directory, GPtrArray *texts, guint *index,
                  GError **error)
{
    g_autoptr(GError) missing = NULL;
    g_autoptr(GPtrArray) names = vr_sysroot_list(places->root, directory, &missing);

    if (names == NULL) {
        bool is_missing = g_error_matches(missing, VR_ERROR, VR_ERROR_NOT_FOUND);

        if (!is_missing) {
            g_propagate_error(error, g_steal_pointer(&missing));
        }
        return is_missing;
    }
    if (places->trusted_only && !vr_trusted_way(places->root, directory, error)) {
        return false;
    }
    for (guint i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *path = g_build_filename(directory, name, NULL);

        if (!is_drop_in_name(name)) {
            continue;
        }
        GBytes *bytes = read_file(places, path, error);
        if (bytes == NULL) {
            return false;
        }
        add_text(texts, (*index)++, path, bytes, false);
    }
    return true;
}

static bool
add_drop_ins(const Places *places, const char *name, GPtrArray *texts, guint index, GError **error)
{
    for (size_t i = 0; places->drop_ins[i] != NULL; i++) {
        g_autofree char *directory = g_strdup_printf("%s/%s.conf.d", places->drop_ins[i], name);

        if (!add_drop_ins_from(places, directory, texts, &index, error)) {
            return false;
        }
    }
    return true;
}

/* " (did you mean "gaming"?)", or " (there are: gaming, llm-train)", or "". Owned. */
static char *
name_hint(const Places *places, const char *name)
{
    g_autoptr(GPtrArray) names = vr_profile_names(places->root, places->drop_ins[1]);

    g_ptr_array_add(names, NULL);

    char **words = (char **) names->pdata;
    const char *nearest = vr_text_nearest(name, (const char *const *) words);
    if (nearest != NULL) {
        return g_strdup_printf(" (did you mean \"%s\"?)", nearest);
    }

    g_autofree char *all = g_strjoinv(", ", words);
    return words[0] != NULL ? g_strdup_printf(" (there are: %s)", all) : g_strdup("");
}

/* Where NAME.conf would be: "A, B or C". Owned. */
static char *
describe_places(const Places *places, const char *name)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (size_t i = 0; places->directories[i] != NULL; i++) {
        g_string_append_printf(text, "%s%s/%s.conf", i > 0 ? ", " : "", places->directories[i],
                               name);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* Read NAME.conf where it is first found. VR_ERROR_NO_PROFILE: nowhere. */
static GBytes *
read_profile(const Places *places, const char *name, char **out_file, GError **error)
{
    for (size_t i = 0; places->directories[i] != NULL; i++) {
        g_autofree char *path = g_strdup_printf("%s/%s.conf", places->directories[i], name);
        g_autoptr(GError) problem = NULL;
        GBytes *bytes = read_file(places, path, &problem);

        if (bytes != NULL) {
            *out_file = g_steal_pointer(&path);
            return bytes;
        }
        if (g_error_matches(problem, VR_ERROR, VR_ERROR_DENIED)) {
            vr_error_recode(&problem, VR_ERROR_NOT_AUTHORISED);
        }
        if (!g_error_matches(problem, VR_ERROR, VR_ERROR_NOT_FOUND)) {
            g_propagate_error(error, g_steal_pointer(&problem));
            return NULL;
        }
    }

    g_autofree char *looked_at = describe_places(places, name);
    g_autofree char *hint = name_hint(places, name);
    vr_error_set(error, VR_ERROR_NO_PROFILE, "there is no profile \"%s\"%s; looked for %s", name,
                 hint, looked_at);
    return NULL;
}

/* Why the chain of profiles may not go on with `next`; NULL: it may. Owned. */
static char *
chain_problem(const GPtrArray *chain, const char *next)
{
    if (g_ptr_array_find_with_equal_func((GPtrArray *) chain, next, g_str_equal, NULL)) {
        return g_strdup_printf("\"%s\" would extend itself in the end; remove one of the lines",
                               next);
    }
    if (chain->len >= DEPTH_LIMIT) {
        return g_strdup_printf("more than %d profiles extend one another", DEPTH_LIMIT);
    }
    return NULL;
}

/* Insert one profile with its drop-ins below all that is there. */
static bool
add_profile(const Places *places, const char *name, GPtrArray *texts, GError **error)
{
    g_autofree char *file = NULL;
    GBytes *bytes = read_profile(places, name, &file, error);

    if (bytes == NULL) {
        return false;
    }
    add_text(texts, 0, file, bytes, true);
    return add_drop_ins(places, name, texts, 1, error);
}

/* The name that the weakest text extends, if it can be one; the parser complains about others. */
static char *
next_name(const GPtrArray *texts)
{
    const Text *weakest = g_ptr_array_index(texts, 0);
    size_t size_bytes = 0;
    const char *data = g_bytes_get_data(weakest->bytes, &size_bytes);
    g_autofree char *name = vr_profile_text_extends(data, size_bytes);

    return name != NULL && vr_text_is_profile_name(name) ? g_steal_pointer(&name) : NULL;
}

/* A parent that is not there is a mistake at the line that names it; anything else is an error. */
static bool
add_parent(const Places *places, const GPtrArray *chain, const char *name, GPtrArray *texts,
           GError **error)
{
    Text *child = g_ptr_array_index(texts, 0);
    g_autoptr(GError) problem = NULL;

    child->extends_problem = chain_problem(chain, name);
    if (child->extends_problem != NULL || add_profile(places, name, texts, &problem)) {
        return true;
    }
    if (!g_error_matches(problem, VR_ERROR, VR_ERROR_NO_PROFILE)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    child->extends_problem = g_strdup(problem->message);
    return true;
}

/* All texts, weakest first. */
static GPtrArray *
collect(const Places *places, const char *name, GError **error)
{
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(text_free);
    g_autoptr(GPtrArray) chain = g_ptr_array_new_with_free_func(g_free);

    if (!add_profile(places, name, texts, error)) {
        return NULL;
    }
    g_ptr_array_add(chain, g_strdup(name));
    for (char *next = next_name(texts); next != NULL; next = next_name(texts)) {
        guint before = texts->len;
        bool added = add_parent(places, chain, next, texts, error);

        g_ptr_array_add(chain, next);
        if (!added) {
            return NULL;
        }
        if (texts->len == before) {
            break;
        }
    }
    return g_steal_pointer(&texts);
}

static VrProfile *
parse(const char *name, const GPtrArray *texts, GPtrArray *mistakes)
{
    g_autofree VrProfileText *given = g_new0(VrProfileText, texts->len);

    for (guint i = 0; i < texts->len; i++) {
        const Text *text = g_ptr_array_index(texts, i);

        given[i].file = text->file;
        given[i].text = g_bytes_get_data(text->bytes, &given[i].size_bytes);
        given[i].starts_file = text->starts_file;
        given[i].extends_problem = text->extends_problem;
    }
    return vr_profile_parse(name, given, texts->len, mistakes);
}

VrProfile *
vr_profile_load(const VrSysroot *root, const char *name, bool trusted_only,
                const char *user_directory, GPtrArray *mistakes, GError **error)
{
    Places places = places_for(root, trusted_only, user_directory);

    if (!vr_text_is_profile_name(name)) {
        g_autofree char *shown = vr_text_printable(name);

        vr_error_set(error, VR_ERROR_USAGE,
                     "\"%s\" is not the name of a profile: a-z, 0-9, _ and -, at most 32, without "
                     ".conf",
                     shown);
        return NULL;
    }

    g_autoptr(GPtrArray) texts = collect(&places, name, error);
    if (texts == NULL) {
        return NULL;
    }

    VrProfile *profile = parse(name, texts, mistakes);
    if (profile == NULL) {
        const Text *own = g_ptr_array_index(texts, texts->len - 1);

        vr_error_set(error, VR_ERROR_USAGE, "profile %s (%s) has %u mistakes", name, own->file,
                     mistakes->len);
    }
    return profile;
}

/* The profiles of one directory, as far as it can be listed. */
static void
add_names(const VrSysroot *root, const char *directory, GPtrArray *names)
{
    g_autoptr(GPtrArray) entries = vr_sysroot_list(root, directory, NULL);

    for (guint i = 0; entries != NULL && i < entries->len; i++) {
        const char *entry = g_ptr_array_index(entries, i);

        if (!g_str_has_suffix(entry, ".conf")) {
            continue;
        }

        g_autofree char *name = g_strndup(entry, strlen(entry) - strlen(".conf"));
        if (vr_text_is_profile_name(name) &&
            !g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL)) {
            g_ptr_array_add(names, g_steal_pointer(&name));
        }
    }
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

GPtrArray *
vr_profile_names(const VrSysroot *root, const char *user_directory)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    if (user_directory != NULL) {
        add_names(root, user_directory, names);
    }
    add_names(root, ADMIN_DIRECTORY, names);
    add_names(root, VR_PROFILE_DIR, names);
    g_ptr_array_sort(names, compare_names);
    return names;
}
