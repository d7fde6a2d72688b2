/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/path_facts.h>

#include "base/fd.h"
#include "host/path_facts_private.h"

#include <vmrun/error.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum {
    LINK_LIMIT = 40,  /* MAXSYMLINKS of the kernel, include/linux/namei.h */
    CHAIN_LIMIT = 16, /* images that are built on one another */
    ANSWER_TIMEOUT_S = 15,
};

static void
step_free(gpointer data)
{
    VrPathStep *step = data;

    g_free(step->path);
    g_free(step);
}

static void
fact_free(gpointer data)
{
    VrPathFact *fact = data;

    g_free(fact->title);
    g_free(fact->path);
    g_ptr_array_unref(fact->steps);
    g_free(fact->resolved);
    g_free(fact->error);
    g_free(fact->bad_image);
    g_free(fact);
}

void
vr_path_facts_free(VrPathFacts *paths)
{
    if (paths == NULL) {
        return;
    }
    vr_path_rules_clear(&paths->rules);
    g_ptr_array_unref(paths->facts);
    g_free(paths);
}

/* --- the walk --- */

typedef struct {
    const VrSysroot *root;
    VrPathFact *fact;
    char *done; /* no link in it; "/" at first */
    char *rest; /* not looked at yet */
    unsigned links;
} Walk;

static void
replace(char **text, char *by)
{
    g_free(*text);
    *text = by;
}

static char *
join(const char *directory, const char *name)
{
    return g_strconcat(directory, directory[1] == '\0' ? "" : "/", name, NULL);
}

/* A recorded computer cannot hold device nodes: what it has below /dev stands for one. */
static VrPathKind
kind_of(const VrSysroot *root, const char *path, mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return !vr_sysroot_is_live(root) && g_str_has_prefix(path, "/dev/")
                   ? VR_PATH_IS_BLOCK_DEVICE
                   : VR_PATH_IS_FILE;
    case S_IFDIR:
        return VR_PATH_IS_DIRECTORY;
    case S_IFLNK:
        return VR_PATH_IS_LINK;
    case S_IFBLK:
        return VR_PATH_IS_BLOCK_DEVICE;
    default:
        return VR_PATH_IS_OTHER;
    }
}

static void
add_step(const Walk *walk, const char *path, const struct stat *found)
{
    VrPathStep *step = g_new0(VrPathStep, 1);

    step->path = g_strdup(path);
    step->user = found->st_uid;
    step->group = found->st_gid;
    step->kind = kind_of(walk->root, path, found->st_mode);
    step->mode = found->st_mode & 07777;
    g_ptr_array_add(walk->fact->steps, step);
}

/* Not there is no error here: another check says so. */
static bool
give_up(const Walk *walk, GError *error)
{
    if (!g_error_matches(error, VR_ERROR, VR_ERROR_NOT_FOUND)) {
        walk->fact->error = g_strdup(error->message);
    }
    g_error_free(error);
    return false;
}

/* The target goes in front of what is left to walk. */
static bool
follow(Walk *walk, int fd, const char *path)
{
    char target[PATH_MAX] = "";
    ssize_t size_bytes = readlinkat(fd, "", target, sizeof target - 1);

    walk->links++;
    if (size_bytes <= 0 || walk->links > LINK_LIMIT) {
        walk->fact->error = g_strdup_printf("follow the link %s: %s", path,
                                            size_bytes < 0 ? g_strerror(errno) : "no way through");
        return false;
    }
    if (target[0] == '/') {
        replace(&walk->done, g_strdup("/"));
    }
    replace(&walk->rest, g_strconcat(target, "/", walk->rest, NULL));
    return true;
}

static bool
enter(Walk *walk, const char *name)
{
    g_autofree char *path = join(walk->done, name);
    GError *error = NULL;
    struct stat found = {0};
    vr_autofd int fd = vr_sysroot_open_plain(walk->root, path, O_PATH | O_NOFOLLOW, &error);

    if (fd < 0) {
        return give_up(walk, error);
    }
    if (fstat(fd, &found) != 0) {
        walk->fact->error = g_strdup_printf("look at %s: %s", path, g_strerror(errno));
        return false;
    }
    add_step(walk, path, &found);
    if (S_ISLNK(found.st_mode)) {
        return follow(walk, fd, path);
    }
    replace(&walk->done, g_steal_pointer(&path));
    walk->fact->links = found.st_nlink;
    walk->fact->size_bytes = (uint64_t) found.st_size;
    walk->fact->device = found.st_dev;
    walk->fact->inode = found.st_ino;
    return true;
}

/* Take the first component of what is left and go there. */
static bool
advance(Walk *walk)
{
    const char *start = walk->rest + strspn(walk->rest, "/");
    gsize length = strcspn(start, "/");
    g_autofree char *name = g_strndup(start, length);

    replace(&walk->rest, g_strdup(start + length));
    if (length == 0 || g_str_equal(name, ".")) {
        return true;
    }
    if (g_str_equal(name, "..")) { /* nothing in `done` is a link */
        replace(&walk->done, g_path_get_dirname(walk->done));
        return true;
    }
    return enter(walk, name);
}

static void
walk_to(const VrSysroot *root, VrPathFact *fact)
{
    Walk walk = {.root = root, .fact = fact, .done = g_strdup("/"), .rest = g_strdup(fact->path)};
    bool goes_on = true;
    struct stat found = {0};
    vr_autofd int fd = vr_sysroot_open_plain(root, "/", O_PATH, NULL);

    if (fd >= 0 && fstat(fd, &found) == 0) {
        add_step(&walk, "/", &found);
    }
    while (goes_on && walk.rest[0] != '\0') {
        goes_on = advance(&walk);
    }
    if (goes_on) {
        fact->resolved = g_strdup(walk.done);
    }
    g_free(walk.done);
    g_free(walk.rest);
}

/* --- the files of a profile --- */

/* What is to be looked at: texts of its own, so that it can outlive who asked. */
typedef struct {
    VrPathUse use;
    char *title;
    char *path;
    bool is_qcow2;
} Request;

static void
request_free(gpointer data)
{
    Request *request = data;

    g_free(request->title);
    g_free(request->path);
    g_free(request);
}

static void
add_request(GPtrArray *requests, VrPathUse use, char *title, const char *path, bool is_qcow2)
{
    Request *request = g_new0(Request, 1);

    request->use = use;
    request->title = title;
    request->path = g_strdup(path);
    request->is_qcow2 = is_qcow2;
    g_ptr_array_add(requests, request);
}

static void
request_disk(GPtrArray *requests, const VrProfileDisk *disk)
{
    const char *kind = disk->is_cdrom ? "cdrom" : "disk";
    bool is_qcow2 = disk->format != NULL ? g_str_equal(disk->format, "qcow2")
                                         : g_str_has_suffix(disk->path, ".qcow2");

    add_request(requests, VR_PATH_DISK, g_strdup_printf("path= under [%s %s]", kind, disk->name),
                disk->path, is_qcow2);
}

static GPtrArray *
requests_of(const VrProfile *profile)
{
    GPtrArray *requests = g_ptr_array_new_with_free_func(request_free);

    for (guint i = 0; i < profile->disks->len; i++) {
        request_disk(requests, g_ptr_array_index(profile->disks, i));
    }
    if (profile->kernel != NULL) {
        add_request(requests, VR_PATH_BOOT, g_strdup("kernel= under [boot]"), profile->kernel,
                    false);
    }
    if (profile->initrd != NULL) {
        add_request(requests, VR_PATH_BOOT, g_strdup("initrd= under [boot]"), profile->initrd,
                    false);
    }
    for (guint i = 0; i < profile->devices->len; i++) {
        const VrProfileDevice *device = g_ptr_array_index(profile->devices, i);

        if (device->rom != NULL) {
            add_request(requests, VR_PATH_ROM, g_strdup("rom= under [gpu]"), device->rom, false);
        }
    }
    return requests;
}

static VrPathFact *
add_fact(GPtrArray *facts, VrPathUse use, char *title, const char *path)
{
    VrPathFact *fact = g_new0(VrPathFact, 1);

    fact->use = use;
    fact->title = title;
    fact->path = g_strdup(path);
    fact->steps = g_ptr_array_new_with_free_func(step_free);
    g_ptr_array_add(facts, fact);
    return fact;
}

static bool
is_file(const VrPathFact *fact)
{
    const VrPathStep *last =
        fact->steps->len > 0 ? g_ptr_array_index(fact->steps, fact->steps->len - 1) : NULL;

    return fact->resolved != NULL && last != NULL && last->kind == VR_PATH_IS_FILE;
}

/* The file and, of an image, every file that its header names: libvirt gives all of them to QEMU.
 */
static void
look(GPtrArray *facts, const VrSysroot *root, const Request *request)
{
    VrPathFact *fact = add_fact(facts, request->use, g_strdup(request->title), request->path);

    walk_to(root, fact);
    for (guint i = 0; request->is_qcow2 && is_file(fact); i++) {
        g_autofree char *below = vr_image_backing_file(root, fact->resolved, &fact->bad_image);

        if (below == NULL) {
            return;
        }
        if (i >= CHAIN_LIMIT) {
            fact->bad_image =
                g_strdup_printf("more than %d images are built on one another", CHAIN_LIMIT);
            return;
        }
        fact = add_fact(facts, request->use,
                        g_strdup_printf("the backing file of %s (%s)", fact->path, request->title),
                        below);
        walk_to(root, fact);
    }
}

/* --- in time --- */

/* A file of a server that is gone blocks whoever looks at it: a thread does, and is left behind. */
typedef struct {
    gint references;
    GMutex mutex;
    GCond changed;
    VrSysroot *root;
    GPtrArray *requests;
    GPtrArray *facts; /* not to be touched before `done` */
    bool done;
} Job;

static void
job_unref(Job *job)
{
    if (!g_atomic_int_dec_and_test(&job->references)) {
        return;
    }
    g_mutex_clear(&job->mutex);
    g_cond_clear(&job->changed);
    vr_sysroot_unref(job->root);
    g_ptr_array_unref(job->requests);
    g_ptr_array_unref(job->facts);
    g_free(job);
}

static gpointer
do_job(gpointer data)
{
    Job *job = data;

    for (guint i = 0; i < job->requests->len; i++) {
        look(job->facts, job->root, g_ptr_array_index(job->requests, i));
    }
    g_mutex_lock(&job->mutex);
    job->done = true;
    g_cond_signal(&job->changed);
    g_mutex_unlock(&job->mutex);
    job_unref(job);
    return NULL;
}

/* What is said of every file when there was no answer: an error. */
static GPtrArray *
facts_without_answer(const GPtrArray *requests)
{
    GPtrArray *facts = g_ptr_array_new_with_free_func(fact_free);

    for (guint i = 0; i < requests->len; i++) {
        const Request *request = g_ptr_array_index(requests, i);
        VrPathFact *fact = add_fact(facts, request->use, g_strdup(request->title), request->path);

        fact->error = g_strdup_printf("no answer within %d s: is a network file system gone?",
                                      ANSWER_TIMEOUT_S);
    }
    return facts;
}

static GPtrArray *
wait_for(Job *job)
{
    gint64 deadline = g_get_monotonic_time() + (gint64) ANSWER_TIMEOUT_S * G_USEC_PER_SEC;
    bool in_time = true;

    g_mutex_lock(&job->mutex);
    while (!job->done && in_time) {
        in_time = g_cond_wait_until(&job->changed, &job->mutex, deadline);
    }
    GPtrArray *facts =
        job->done ? g_ptr_array_ref(job->facts) : facts_without_answer(job->requests);
    g_mutex_unlock(&job->mutex);
    return facts;
}

static GPtrArray *
look_in_time(VrSysroot *root, const VrProfile *profile)
{
    Job *job = g_new0(Job, 1);

    job->references = 2;
    g_mutex_init(&job->mutex);
    g_cond_init(&job->changed);
    job->root = vr_sysroot_ref(root);
    job->requests = requests_of(profile);
    job->facts = g_ptr_array_new_with_free_func(fact_free);
    g_thread_unref(g_thread_new("paths", do_job, job));
    GPtrArray *facts = wait_for(job);
    job_unref(job);
    return facts;
}

VrPathFacts *
vr_path_facts_load(const VrHostFacts *facts, const VrProfile *profile)
{
    VrPathFacts *paths = g_new0(VrPathFacts, 1);

    vr_path_rules_load(&paths->rules, facts);
    paths->facts = look_in_time(facts->root, profile);
    return paths;
}
