/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/status.h>

#include <vmrun/error.h>
#include <vmrun/files.h>
#include <vmrun/journal.h>
#include <vmrun/lock.h>
#include <vmrun/process.h>

#include <string.h>

#define GROUP "status"

static const char *const state_names[] = {
    [VR_STATE_STOPPED] = "stopped", [VR_STATE_STARTING] = "starting",
    [VR_STATE_RUNNING] = "running", [VR_STATE_STOPPING] = "stopping",
    [VR_STATE_STUCK] = "stuck",     [VR_STATE_NEEDS_RESTORE] = "needs-restore",
    [VR_STATE_INVALID] = "invalid",
};

const char *
vr_state_name(VrState state)
{
    return state_names[state];
}

VrStatus *
vr_status_new(void)
{
    VrStatus *status = g_new0(VrStatus, 1);
    status->devices = g_ptr_array_new_with_free_func(g_free);
    return status;
}

void
vr_status_free(VrStatus *status)
{
    if (status == NULL) {
        return;
    }
    g_free(status->domain);
    g_free(status->message);
    g_ptr_array_unref(status->devices);
    g_free(status);
}

static char *
status_path(const char *profile)
{
    return g_strdup_printf("/run/vmrun/%s.status", profile);
}

bool
vr_status_write(const VrSysroot *root, const char *profile, const VrStatus *status, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_key_file_set_string(file, GROUP, "state", vr_state_name(status->state));
    g_key_file_set_int64(file, GROUP, "since", status->since);
    g_key_file_set_string(file, GROUP, "domain", status->domain != NULL ? status->domain : "");
    g_key_file_set_string(file, GROUP, "message", status->message != NULL ? status->message : "");
    g_key_file_set_string_list(file, GROUP, "devices", (const char *const *) status->devices->pdata,
                               status->devices->len);
    g_key_file_set_integer(file, GROUP, "qemu-pid", status->qemu_pid);
    g_key_file_set_uint64(file, GROUP, "qemu-start-time", status->qemu_start_time);
    g_autofree char *text = g_key_file_to_data(file, NULL, NULL);
    g_autofree char *path = status_path(profile);
    return vr_sysroot_make_directory(root, "/run/vmrun", 0755, error) &&
           vr_sysroot_replace(root, path, text, 0644, error);
}

void
vr_status_remove(const VrSysroot *root, const char *profile)
{
    g_autofree char *path = status_path(profile);
    g_autoptr(GError) ignored = NULL;
    vr_sysroot_remove_temporaries(root, path);
    if (!vr_sysroot_remove(root, path, &ignored)) {
        g_debug("%s", ignored->message); /* a stale hint: the lock and the journal decide */
    }
}

static VrState
state_from_name(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(state_names); i++) {
        if (g_strcmp0(name, state_names[i]) == 0) {
            return (VrState) i;
        }
    }
    return VR_STATE_NEEDS_RESTORE;
}

/* NULL: there is no file, or it is not ours to believe. */
static VrStatus *
read_file(const VrSysroot *root, const char *profile)
{
    g_autofree char *path = status_path(profile);
    g_autofree char *text = vr_sysroot_read_optional(root, path);
    g_autoptr(GKeyFile) file = g_key_file_new();
    if (text == NULL ||
        !g_key_file_load_from_data(file, text, strlen(text), G_KEY_FILE_NONE, NULL)) {
        return NULL;
    }
    VrStatus *status = vr_status_new();
    g_autofree char *state = g_key_file_get_string(file, GROUP, "state", NULL);
    g_autofree char *domain = g_key_file_get_string(file, GROUP, "domain", NULL);
    g_autofree char *message = g_key_file_get_string(file, GROUP, "message", NULL);
    g_auto(GStrv) devices = g_key_file_get_string_list(file, GROUP, "devices", NULL, NULL);
    status->state = state_from_name(state);
    status->since = g_key_file_get_int64(file, GROUP, "since", NULL);
    status->domain = domain != NULL && domain[0] != '\0' ? g_steal_pointer(&domain) : NULL;
    status->message = message != NULL && message[0] != '\0' ? g_steal_pointer(&message) : NULL;
    for (guint i = 0; devices != NULL && devices[i] != NULL; i++) {
        g_ptr_array_add(status->devices, g_strdup(devices[i]));
    }
    status->qemu_pid = g_key_file_get_integer(file, GROUP, "qemu-pid", NULL);
    status->qemu_start_time = g_key_file_get_uint64(file, GROUP, "qemu-start-time", NULL);
    return status;
}

static void
fill_devices(VrStatus *status, const VrJournal *journal)
{
    g_ptr_array_set_size(status->devices, 0);
    for (guint i = 0; i < journal->before->bindings->len; i++) {
        const VrBinding *binding = g_ptr_array_index(journal->before->bindings, i);
        g_ptr_array_add(status->devices, vr_pci_address_format(binding->address));
    }
}

/* After a reboot of /run there is only the journal to tell the story. */
static void
fill_from_journal(VrStatus *status, const VrJournal *journal)
{
    status->since = journal->since;
    status->qemu_pid = journal->qemu_pid;
    status->qemu_start_time = journal->qemu_start_time;
    g_free(status->domain);
    status->domain = g_strdup(journal->domain_uuid);
    fill_devices(status, journal);
    if (journal->message != NULL) {
        g_free(status->message);
        status->message = g_strdup(journal->message);
    }
}

/* What a session without a supervisor is in: its guest lives, or something is left to give back. */
static VrState
orphan_state(const VrSysroot *root, const VrStatus *status, const VrJournal *journal)
{
    if (journal != NULL && journal->phase == VR_PHASE_KEPT) {
        return VR_STATE_STOPPED;
    }
    bool stuck = journal != NULL
                     ? journal->phase == VR_PHASE_STUCK && vr_journal_hangs(root, journal)
                     : status->state == VR_STATE_STUCK;
    if (stuck) {
        return VR_STATE_STUCK;
    }
    return vr_process_is_alive(root, status->qemu_pid, status->qemu_start_time)
               ? VR_STATE_RUNNING
               : VR_STATE_NEEDS_RESTORE;
}

static void
tell_kept(VrStatus *status, const VrJournal *journal)
{
    if (journal->phase == VR_PHASE_KEPT) {
        g_free(status->message);
        status->message =
            g_strdup_printf("its devices stay on vfio-pci (after-stop=keep); to give them back: "
                            "vmrun restore %s",
                            journal->profile);
    }
}

VrStatus *
vr_status_find(const VrSysroot *root, const char *profile)
{
    g_autoptr(VrStatus) status = read_file(root, profile);
    bool has_file = status != NULL;
    if (status == NULL) {
        status = vr_status_new();
    }
    status->supervised = vr_lock_is_held(root, profile, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(VrJournal) journal = vr_journal_read(root, profile, &error);
    if (status->supervised) {
        status->state = has_file ? status->state : VR_STATE_STARTING;
        if (journal != NULL) { /* the claim: the file follows it, and may not be written at all */
            fill_devices(status, journal);
        }
        return g_steal_pointer(&status);
    }
    if (journal != NULL) {
        fill_from_journal(status, journal);
        tell_kept(status, journal);
    } else if (g_error_matches(error, VR_ERROR, VR_ERROR_CORRUPT)) {
        g_free(status->message);
        status->message = g_strdup(error->message);
        status->state = VR_STATE_NEEDS_RESTORE;
        return g_steal_pointer(&status);
    }
    bool denied = g_error_matches(error, VR_ERROR, VR_ERROR_DENIED);
    bool on_record = journal != NULL || (denied && has_file);
    status->state = on_record ? orphan_state(root, status, journal) : VR_STATE_STOPPED;
    return g_steal_pointer(&status);
}
