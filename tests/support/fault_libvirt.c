/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fault_libvirt.h"

#include <glib.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define UUID "c1a5f8c0-0000-4000-8000-00000000000f"

const char *const fault_libvirt_kinds[] = {"error", "hang", "late", "drop", "lost", NULL};

void *__real_dlsym(void *handle, const char *name);
void *__wrap_dlsym(void *handle, const char *name);

static struct {
    char *directory, *tree, *program;
    bool dropped;
    bool hangs_after, drops_after;
    virError error;
} fake;

void
fault_libvirt_use(const char *directory, const char *tree, const char *program)
{
    fake.directory = g_strdup(directory);
    fake.tree = g_strdup(tree);
    fake.program = g_strdup(program);
}

int
fault_libvirt_qemu(void)
{
    alarm(60);
    for (;;) {
        pause();
    }
}

static char *
place(const char *name)
{
    return g_build_filename(fake.directory, name, NULL);
}

static void
set_error(int code, int domain, const char *message)
{
    fake.error = (virError){.code = code, .domain = domain, .message = (char *) message};
}

static void
hang(void)
{
    for (;;) {
        pause();
    }
}

static unsigned
number_call(const char *name)
{
    g_autofree char *path = place("calls");
    g_autofree char *before = NULL;
    unsigned count = 0;
    g_file_get_contents(path, &before, NULL, NULL);
    for (const char *at = before; at != NULL && (at = strchr(at, '\n')) != NULL; at++) {
        count++;
    }
    FILE *file = fopen(path, "ae");
    g_assert(file != NULL);
    fprintf(file, "%s\n", name);
    fclose(file);
    return count;
}

static bool
lose_connection(void)
{
    fake.dropped = true;
    set_error(VIR_ERR_INTERNAL_ERROR, VIR_FROM_RPC, "client socket is closed");
    return false;
}

/* Before each call: does it work? */
static bool
enter(const char *name)
{
    unsigned number = number_call(name);
    g_autofree char *path = place("fault");
    g_autofree char *text = NULL;
    g_assert(g_file_get_contents(path, &text, NULL, NULL));
    g_auto(GStrv) words = g_strsplit(text, " ", 2);
    fake.hangs_after = fake.drops_after = false;
    if (fake.dropped) {
        return lose_connection();
    }
    if (g_ascii_strtoull(words[0], NULL, 10) != number || g_str_equal(words[1], "none")) {
        return true;
    }
    if (g_str_equal(words[1], "hang")) {
        hang();
    }
    if (g_str_equal(words[1], "drop")) {
        return lose_connection();
    }
    fake.hangs_after = g_str_equal(words[1], "late");
    fake.drops_after = g_str_equal(words[1], "lost");
    if (!fake.hangs_after && !fake.drops_after) {
        set_error(VIR_ERR_OPERATION_FAILED, VIR_FROM_QEMU, "an error that a test made");
        return false;
    }
    return true;
}

/* After it: does its answer arrive? */
static bool
leave(void)
{
    if (fake.hangs_after) {
        hang();
    }
    return !fake.drops_after || lose_connection();
}

/* --- its domain --------------------------------------------------------------------------------*/

static int
qemu_pid(void)
{
    g_autofree char *path = place("domain");
    g_autofree char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? atoi(text) : 0;
}

static void
store(const char *path, const char *text)
{
    g_autofree char *above = g_path_get_dirname(path);
    g_mkdir_with_parents(above, 0755);
    FILE *file = fopen(path, "we");
    g_assert(file != NULL);
    fputs(text, file);
    fclose(file);
}

/* What the supervisor sees of it: libvirt's pid file, and the process itself. */
static void
show_qemu(int pid)
{
    g_autofree char *text = g_strdup_printf("%d", pid);
    g_autofree char *pid_file = place("run/qemu/gaming.pid");
    g_autofree char *comm = g_strdup_printf("%s/proc/%d/comm", fake.tree, pid);
    g_autofree char *arguments = g_strdup_printf("%s/proc/%d/cmdline", fake.tree, pid);
    g_autofree char *domain = place("domain");
    store(pid_file, text);
    store(comm, "qemu-system-x86\n");
    store(arguments, "qemu " UUID);
    store(domain, text);
}

/* Until it is there, or gone: as libvirt, which waits for both. */
static void
wait_for_qemu(int pid, bool there)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", pid);
    for (guint i = 0; i < 2000; i++) {
        g_autofree char *arguments = NULL;
        gsize size_bytes = 0;
        bool seen = g_file_get_contents(path, &arguments, &size_bytes, NULL) &&
                    memmem(arguments, size_bytes, UUID, strlen(UUID)) != NULL;
        if (seen == there) {
            return;
        }
        usleep(5000);
    }
}

static void
start_qemu(void)
{
    int ends[2];
    int pid = 0;
    g_assert(pipe(ends) == 0);
    pid_t between = fork();
    if (between == 0) { /* so that it is nobody's child who would have to wait for it */
        setsid();
        pid = fork();
        if (pid == 0) {
            close(ends[0]);
            close(ends[1]);
            execl(fake.program, fake.program, "qemu", UUID, NULL);
            _exit(127);
        }
        _exit(write(ends[1], &pid, sizeof pid) == (ssize_t) sizeof pid ? 0 : 1);
    }
    g_assert(read(ends[0], &pid, sizeof pid) == (ssize_t) sizeof pid);
    waitpid(between, NULL, 0);
    close(ends[0]);
    close(ends[1]);
    wait_for_qemu(pid, true); /* its arguments are those of the new program then */
    show_qemu(pid);
}

static void
end_qemu(const char *reason)
{
    g_autofree char *domain = place("domain");
    g_autofree char *log = g_strdup_printf("%s%s/log/qemu/gaming.log", fake.tree, fake.directory);
    g_autofree char *text = g_strdup_printf("shutting down, reason=%s\n", reason);
    if (qemu_pid() > 0) {
        kill(qemu_pid(), SIGKILL);
        wait_for_qemu(qemu_pid(), false);
        store(log, text);
        unlink(domain);
    }
}

/* --- the functions -----------------------------------------------------------------------------*/

static char connection, domain_object;

static void *
open_connection(const char *uri)
{
    (void) uri;
    return enter("virConnectOpen") && leave() ? &connection : NULL;
}

static int
answer_version(void *unused, unsigned long *version)
{
    (void) unused;
    *version = 9000000;
    return enter("virConnectGetLibVersion") && leave() ? 0 : -1;
}

static void *
create(void *unused, const char *xml, unsigned flags)
{
    (void) unused, (void) xml, (void) flags;
    if (!enter("virDomainCreateXML")) {
        return NULL;
    }
    start_qemu();
    return leave() ? &domain_object : NULL;
}

static void *
look_up(void *unused, const char *key)
{
    (void) unused, (void) key;
    if (!enter("virDomainLookup") || !leave()) {
        return NULL;
    }
    if (qemu_pid() == 0) {
        set_error(VIR_ERR_NO_DOMAIN, VIR_FROM_QEMU, "no such domain");
        return NULL;
    }
    return &domain_object;
}

static int
answer_state(void *unused, int *state, int *reason, unsigned flags)
{
    (void) unused, (void) flags;
    *state = VIR_DOMAIN_RUNNING;
    *reason = 0;
    return enter("virDomainGetState") && leave() ? 0 : -1;
}

static int
destroy(void *unused)
{
    (void) unused;
    if (!enter("virDomainDestroy")) {
        return -1;
    }
    end_qemu("destroyed");
    return leave() ? 0 : -1;
}

static int
shut_down(void *unused, unsigned flags)
{
    (void) unused, (void) flags;
    if (!enter("virDomainShutdownFlags")) {
        return -1;
    }
    end_qemu("shutdown");
    return leave() ? 0 : -1;
}

static int
is_active(void *unused)
{
    (void) unused;
    return enter("virDomainIsActive") && leave() ? qemu_pid() > 0 : -1;
}

static char *
metadata(void *unused, int type, const char *uri, unsigned flags)
{
    (void) unused, (void) type, (void) uri, (void) flags;
    return enter("virDomainGetMetadata") && leave() ? strdup("<vmrun/>") : NULL;
}

static char *
description(void *unused, unsigned flags)
{
    (void) unused, (void) flags;
    return enter("virDomainGetXMLDesc") && leave() ? strdup("<domain/>") : NULL;
}

static const char *
name_of(void *unused)
{
    (void) unused;
    return "gaming";
}

static int
uuid_of(void *unused, char *buffer)
{
    (void) unused;
    strcpy(buffer, UUID);
    return 0;
}

static virErrorPtr
last_error(void)
{
    return fake.error.code != 0 ? &fake.error : NULL;
}

static void
reset_error(void)
{
    fake.error = (virError){0};
}

static int
run_events(void)
{
    usleep(5000);
    return 0;
}

static int
nothing(void)
{
    return 0;
}

static const struct {
    const char *name;
    void (*function)(void);
} stand_ins[] = {
    {"virConnectOpen", (void (*)(void)) open_connection},
    {"virConnectGetLibVersion", (void (*)(void)) answer_version},
    {"virDomainCreateXML", (void (*)(void)) create},
    {"virDomainLookupByUUIDString", (void (*)(void)) look_up},
    {"virDomainLookupByName", (void (*)(void)) look_up},
    {"virDomainGetState", (void (*)(void)) answer_state},
    {"virDomainDestroy", (void (*)(void)) destroy},
    {"virDomainShutdownFlags", (void (*)(void)) shut_down},
    {"virDomainIsActive", (void (*)(void)) is_active},
    {"virDomainGetMetadata", (void (*)(void)) metadata},
    {"virDomainGetXMLDesc", (void (*)(void)) description},
    {"virDomainGetName", (void (*)(void)) name_of},
    {"virDomainGetUUIDString", (void (*)(void)) uuid_of},
    {"virGetLastError", (void (*)(void)) last_error},
    {"virResetLastError", (void (*)(void)) reset_error},
    {"virEventRunDefaultImpl", (void (*)(void)) run_events},
};

void *
__wrap_dlsym(void *handle, const char *name)
{
    void *found = NULL;
    if (fake.directory == NULL || !g_str_has_prefix(name, "vir")) {
        return __real_dlsym(handle, name);
    }
    void (*function)(void) = (void (*)(void)) nothing;
    for (guint i = 0; i < G_N_ELEMENTS(stand_ins); i++) {
        if (g_str_equal(stand_ins[i].name, name)) {
            function = stand_ins[i].function;
        }
    }
    memcpy(&found, &function, sizeof found); /* as dlsym(3) itself must */
    return found;
}
