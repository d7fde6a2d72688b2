/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/hypervisor_private.h"

#include <vmrun/error.h>
#include <vmrun/files.h>
#include <vmrun/sysroot.h>

#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define EMBEDDED_PREFIX "qemu:///embed?root="

/* libvirt's sockets below the root may have 107 bytes (unix(7)); those of a domain's monitor add up
 * to 52 and the domain's short name. */
#define ROOT_LENGTH_LIMIT 40

/* The administrator's choices for libvirtd that are right for this driver, too. It reads no other
 * file than its own. */
static const char *const copied_keys[] = {"user",        "group",           "swtpm_user",
                                          "swtpm_group", "security_driver", "seccomp_sandbox"};

char *
vr_embedded_root(const char *uri)
{
    if (!g_str_has_prefix(uri, EMBEDDED_PREFIX)) {
        return NULL;
    }
    return g_uri_unescape_string(uri + strlen(EMBEDDED_PREFIX), NULL);
}

/* --- clearing --- */

static bool remove_all_below(int directory);

static bool
remove_entry(int directory, const char *name)
{
    if (unlinkat(directory, name, 0) == 0 || errno == ENOENT) {
        return true;
    }
    if (errno != EISDIR && errno != EPERM) {
        return false;
    }

    int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd >= 0 && remove_all_below(fd) && unlinkat(directory, name, AT_REMOVEDIR) == 0;
}

/* Takes the descriptor. Follows no link: some of these directories belong to QEMU's user. */
static bool
remove_all_below(int directory)
{
    DIR *stream = fdopendir(directory);
    bool removed = true;

    if (stream == NULL) {
        close(directory);
        return false;
    }
    for (struct dirent *entry = readdir(stream); entry != NULL; entry = readdir(stream)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            removed = remove_entry(directory, entry->d_name) && removed;
        }
    }
    closedir(stream);
    return removed;
}

/* What is in run/ tells of processes. After a reboot their pids are other programs'. */
static bool
clear_old_run(const VrSysroot *host, const char *directory, const char *boot_id, GError **error)
{
    g_autofree char *stamp = g_strdup_printf("%s/boot-id", directory);
    g_autofree char *run = g_strdup_printf("%s/run", directory);
    g_autofree char *seen = vr_sysroot_read_optional(host, stamp);

    if (g_strcmp0(seen, boot_id) == 0) {
        return true;
    }

    int fd = open(run, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || !remove_all_below(fd)) {
        return vr_error_set_errno(error, errno, "clear %s after a reboot", run);
    }

    g_autofree char *text = g_strdup_printf("%s\n", boot_id);

    return vr_sysroot_replace(host, stamp, text, 0644, error);
}

/* --- qemu.conf --- */

/* "key = value" of a line, if it sets `key`. */
static bool
sets_key(const char *line, const char *key)
{
    size_t length = strlen(key);

    if (strncmp(line, key, length) != 0) {
        return false;
    }
    return g_str_has_prefix(line + length + strspn(line + length, " \t"), "=");
}

/* Only a value that ends on its line: a list may go on over several. */
static bool
is_whole(const char *line)
{
    return strchr(line, '[') == NULL || strchr(line, ']') != NULL;
}

static void
copy_line(GString *text, const char *line)
{
    for (gsize i = 0; i < G_N_ELEMENTS(copied_keys); i++) {
        if (sets_key(line, copied_keys[i]) && is_whole(line)) {
            g_string_append_printf(text, "%s\n", line);
        }
    }
}

static bool
write_qemu_conf(const VrSysroot *host, const char *directory, GError **error)
{
    g_autofree char *path = g_strdup_printf("%s/etc/qemu.conf", directory);
    g_autofree char *theirs = vr_sysroot_read_optional(host, "/etc/libvirt/qemu.conf");
    g_auto(GStrv) lines = g_strsplit(theirs != NULL ? theirs : "", "\n", -1);
    /* Without virtlogd, which need not run where libvirtd does not. */
    g_autoptr(GString) text = g_string_new("# Written by vmrun at each start.\n"
                                           "stdio_handler = \"file\"\n");

    for (guint i = 0; lines[i] != NULL; i++) {
        copy_line(text, g_strstrip(lines[i]));
    }
    return vr_sysroot_replace(host, path, text->str, 0600, error);
}

/* --- all of it --- */

/* QEMU's user passes through them to its own places. */
static bool
make_directories(const VrSysroot *host, const char *directory, GError **error)
{
    static const char *const names[] = {"", "/cache", "/etc", "/lib", "/log", "/log/qemu", "/run"};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_strconcat(directory, names[i], NULL);

        if (!vr_sysroot_make_directory(host, path, 0711, error)) {
            return false;
        }
    }
    return true;
}

/*
 * libvirt's warnings, also those of the processes that it forks, go to standard error, which
 * belongs to the program's own words. Its own setting for that (LIBVIRT_LOG_OUTPUTS) is read too
 * early to be of use here. This process is the worker: nobody else writes there. That the file
 * cannot be made is no reason not to start.
 */
static void
send_log_to_file(const char *directory)
{
    g_autofree char *path = g_strdup_printf("%s/log/driver.log", directory);
    vr_autofd int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    if (fd >= 0 && dup2(fd, STDERR_FILENO) < 0) {
        g_debug("%s: %s", path, g_strerror(errno));
    }
}

bool
vr_embedded_prepare(const char *directory, const char *boot_id, GError **error)
{
    if (!g_path_is_absolute(directory) || strlen(directory) > ROOT_LENGTH_LIMIT) {
        return vr_error_set(error, VR_ERROR_UNREACHABLE,
                            "the root '%s' of libvirt's embedded driver must be an absolute path "
                            "of at most %d characters",
                            directory, ROOT_LENGTH_LIMIT);
    }

    g_autoptr(VrSysroot) host = vr_sysroot_new("/", error);

    if (host == NULL || !make_directories(host, directory, error) ||
        !clear_old_run(host, directory, boot_id, error) ||
        !write_qemu_conf(host, directory, error)) {
        vr_error_recode(error, VR_ERROR_UNREACHABLE);
        return vr_error_prefix(error, "prepare libvirt's embedded driver in %s", directory);
    }
    send_log_to_file(directory);
    return true;
}

/* --- events --- */

struct _VrEventLoop {
    const VrLibvirt *libvirt;
    GThread *thread;
    int timer;     /* wakes the thread when the loop is to end */
    gint stopping; /* atomic */
};

static gpointer
run_events(gpointer data)
{
    VrEventLoop *loop = data;

    while (g_atomic_int_get(&loop->stopping) == 0 && loop->libvirt->virEventRunDefaultImpl() == 0) {
    }
    return NULL;
}

static void
wake_up(int timer, void *data)
{
    const VrEventLoop *loop = data;

    loop->libvirt->virEventUpdateTimeout(timer, -1);
}

VrEventLoop *
vr_event_loop_start(const VrLibvirt *libvirt)
{
    VrEventLoop *loop = g_new0(VrEventLoop, 1);

    loop->libvirt = libvirt;
    /* A second registration in one process is ignored by libvirt. */
    libvirt->virEventRegisterDefaultImpl();
    loop->timer = libvirt->virEventAddTimeout(-1, wake_up, loop, NULL);
    loop->thread = g_thread_new("libvirt-events", run_events, loop);
    return loop;
}

void
vr_event_loop_stop(VrEventLoop *loop)
{
    if (loop == NULL) {
        return;
    }
    g_atomic_int_set(&loop->stopping, 1);
    loop->libvirt->virEventUpdateTimeout(loop->timer, 0);
    g_thread_join(loop->thread);
    loop->libvirt->virEventRemoveTimeout(loop->timer);
    g_free(loop);
}
