/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/restore.h>

VrRestoreAction
vr_restore_decide(const VrRestoreInput *input)
{
    if (!input->has_journal && !input->corrupt) {
        return VR_RESTORE_NOTHING;
    }
    if (input->lock_held) {
        return VR_RESTORE_OWNED;
    }
    if (input->corrupt) {
        return VR_RESTORE_REFUSE;
    }
    if (!input->same_boot) {
        return VR_RESTORE_CLOSE;
    }
    if (input->qemu_alive || input->domain == VR_DOMAIN_SEEN_RUNNING) {
        return VR_RESTORE_ALIVE;
    }
    /* A QEMU that still clears its memory has not opened the group yet. */
    if (input->may_come && input->domain == VR_DOMAIN_SEEN_UNKNOWN) {
        return VR_RESTORE_UNSURE;
    }
    /* libvirt may be silent or say "gone": as long as the group has an owner, a host driver is
     * refused. The devices of other groups do not wait for it. */
    return input->group_busy && !input->some_free ? VR_RESTORE_HELD : VR_RESTORE_NOW;
}
