/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/unit.h>

#include "base/fd.h"

#include <vmrun/error.h>
#include <vmrun/spawn.h>
#include <vmrun/text.h>

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* systemd may be busy with the very death that is asked about. */
#define SHOW_TIMEOUT_MS 30000

static char *
value_of(const char *properties, const char *name)
{
    g_auto(GStrv) lines = g_strsplit(properties, "\n", -1);
    g_autofree char *start = g_strconcat(name, "=", NULL);
    for (char **line = lines; *line != NULL; line++) {
        if (g_str_has_prefix(*line, start)) {
            return g_strdup(*line + strlen(start));
        }
    }
    return NULL;
}

bool
vr_unit_text_is_restarted(const char *properties, const char *invocation)
{
    uint64_t restarts = 0;
    g_autofree char *count = value_of(properties, "NRestarts");
    g_autofree char *id = value_of(properties, "InvocationID");
    return count != NULL && id != NULL && g_str_equal(id, invocation) &&
           vr_text_to_uint(count, 0, UINT32_MAX, &restarts) && restarts > 0;
}

bool
vr_unit_is_first_process(const char *exec_pid, int pid)
{
    uint64_t number = 0;
    return exec_pid != NULL && vr_text_to_uint(exec_pid, 1, G_MAXINT, &number) &&
           number == (uint64_t) pid;
}

bool
vr_unit_is_restarted(const VrSysroot *root, const char *profile)
{
    const char *invocation = g_getenv("INVOCATION_ID"); /* systemd.exec(5) */
    g_autofree char *unit = g_strdup_printf("vmrun@%s.service", profile);
    const char *const argv[] = {
        "systemctl", "show", "--property=NRestarts", "--property=InvocationID", unit, NULL,
    };
    g_autoptr(GError) ignored = NULL;
    if (invocation == NULL || !vr_sysroot_is_live(root) ||
        !vr_unit_is_first_process(g_getenv("SYSTEMD_EXEC_PID"), (int) getpid())) {
        return false;
    }
    g_autoptr(VrSpawnResult) result = vr_spawn(argv, SHOW_TIMEOUT_MS, &ignored);
    bool answered = result != NULL && result->exit_status == 0;
    return !answered || vr_unit_text_is_restarted(result->standard_output, invocation);
}

void
vr_unit_extend_stop(unsigned seconds)
{
    const char *path = g_getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = path != NULL ? strlen(path) : 0;
    if (length < 2 || length >= sizeof address.sun_path || strchr("/@", path[0]) == NULL) {
        return;
    }
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') { /* an abstract socket */
        address.sun_path[0] = '\0';
    }
    vr_autofd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    g_autofree char *text = g_strdup_printf("EXTEND_TIMEOUT_USEC=%" G_GUINT64_FORMAT,
                                            seconds * (guint64) G_USEC_PER_SEC);
    socklen_t size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + length);
    if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
                         (const struct sockaddr *) &address, size) < 0) {
        g_debug("systemd was not told that stopping takes %u s", seconds);
    }
}
