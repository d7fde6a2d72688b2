/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/profile_keys.h"

#include <vmrun/text.h>

#include <string.h>

static const VrProfileGroup groups[] = {
    {"profile", VR_NAMING_BARE, true, "What this profile is."},
    {"machine", VR_NAMING_BARE, true, "Processors, memory and firmware of the guest."},
    {"gpu", VR_NAMING_OPTIONAL, true,
     "A graphics card to hand over. [gpu NAME] for more than one. A profile with neither [gpu] nor "
     "[pci NAME] has one [gpu] with all defaults."},
    {"pci", VR_NAMING_NEEDED, true,
     "Any other PCI device to hand over, with everything in its IOMMU group: a USB controller, an "
     "NVMe disk, a network card."},
    {"boot", VR_NAMING_BARE, true, "Start a kernel directly, without a boot loader."},
    {"disk", VR_NAMING_NEEDED, true, "A disk of the guest: an image file or a block device."},
    {"cdrom", VR_NAMING_NEEDED, true, "A CD or DVD image."},
    {"network", VR_NAMING_NEEDED, true,
     "A network card of the guest. A profile without one has one with mode=auto."},
    {"share", VR_NAMING_NEEDED, false, "A directory of the host inside the guest (virtiofs)."},
    {"usb", VR_NAMING_NEEDED, false, "A single USB device to hand over."},
    {"input", VR_NAMING_NEEDED, false, "A keyboard or mouse shared with the guest."},
    {"looking-glass", VR_NAMING_BARE, false, "Shared memory for the guest's picture."},
    {"audio", VR_NAMING_BARE, true, "Sound beside the card's own HDMI sound."},
    {"session", VR_NAMING_BARE, true, "How a session starts, runs and ends on the host."},
    {"xml", VR_NAMING_BARE, false, "Changes to the libvirt domain by hand."},
    {NULL, VR_NAMING_BARE, false, NULL},
};

#define BUILT .built = true
#define NEEDED .needed = true

static const VrProfileKey keys[] = {
    {"profile", "description", VR_VALUE_TEXT, BUILT,
     .documentation = "One line for lists and menus."},
    {"profile", "extends", VR_VALUE_PROFILE, BUILT,
     .documentation = "Take everything that is not set here from another profile. The other one's "
                      "drop-ins count, too."},
    {"profile", "guest", VR_VALUE_CHOICE, BUILT, .choices = "linux|windows",
     .default_value = "linux",
     .documentation = "The guest's system. It decides firmware, TPM, disk bus, clock and Hyper-V "
                      "features where they are not set."},

    {"machine", "cpus", VR_VALUE_CPUS, BUILT, .default_value = "auto",
     .documentation = "Virtual processors; auto leaves some to the host."},
    {"machine", "memory", VR_VALUE_MEMORY, BUILT, .default_value = "16G",
     .documentation =
         "Memory; units are powers of 1024. All of it is pinned while the guest runs."},
    {"machine", "pin", VR_VALUE_PIN, BUILT, .default_value = "auto",
     .documentation = "Host processor of each virtual one, in order; auto: whole cores near the "
                      "card; none: the host's scheduler decides."},
    {"machine", "hugepages", VR_VALUE_CHOICE, BUILT, .choices = "auto|none|2M|1G",
     .default_value = "auto",
     .documentation = "Page size of the guest's memory. With 2M and 1G, memory must be a multiple "
                      "of it."},
    {"machine", "numa", VR_VALUE_CHOICE, BUILT, .choices = "auto|none", .default_value = "auto",
     .documentation = "auto: memory from the card's node where it fits; none: from anywhere."},
    {"machine", "firmware", VR_VALUE_CHOICE, BUILT, .choices = "uefi|uefi-secure",
     .default_value = "uefi", .windows_value = "uefi-secure",
     .documentation = "OVMF without or with Secure Boot."},
    {"machine", "tpm", VR_VALUE_YES_NO, BUILT, .default_value = "no", .windows_value = "yes",
     .documentation = "A TPM 2.0 (swtpm); Windows 11 asks for one."},
    {"machine", "hypervisor", VR_VALUE_HYPERVISOR, BUILT, .default_value = "auto",
     .documentation = "Which libvirt runs the guest: system (libvirtd) or embedded (no daemon); "
                      "auto: system where its socket is, else embedded."},

    {"gpu", "device", VR_VALUE_GPU, BUILT, .default_value = "auto",
     .documentation =
         "The card; auto: the one usable card that is neither integrated nor the boot display."},
    {"gpu", "functions", VR_VALUE_FUNCTIONS, BUILT, .default_value = "all",
     .documentation = "all: every function that goes with the card; or only these."},
    {"gpu", "hide-hypervisor", VR_VALUE_YES_NO, BUILT, .default_value = "yes",
     .documentation = "Hide KVM from the guest, for drivers that refuse a virtual machine. Holds "
                      "for the whole guest: [gpu] sections may not disagree. A Linux guest "
                      "loses kvmclock and paravirtual interrupts with it."},
    {"gpu", "vendor-id", VR_VALUE_VENDOR_ID, BUILT,
     .documentation = "Hyper-V vendor id that the guest sees. Holds for the whole guest; unset: "
                      "one of vmrun's own."},
    {"gpu", "rom", VR_VALUE_PATH, BUILT,
     .documentation = "Option ROM file for the card; unset: the card's own."},
    {"gpu", "allow-boot-display", VR_VALUE_YES_NO, BUILT, .default_value = "no",
     .documentation = "Hand the card over although the firmware's console is on it: the host's "
                      "screen stays dark until the guest ends."},

    {"pci", "device", VR_VALUE_PCI, BUILT, NEEDED,
     .documentation = "The device; everything in its IOMMU group goes with it."},

    {"boot", "kernel", VR_VALUE_PATH, BUILT, .documentation = "Kernel image to start."},
    {"boot", "initrd", VR_VALUE_PATH, BUILT, .documentation = "Its initial RAM disk."},
    {"boot", "cmdline", VR_VALUE_TEXT, BUILT, .documentation = "Its command line."},

    {"disk", "path", VR_VALUE_PATH, BUILT, NEEDED,
     .documentation = "Image file or block device (better by /dev/disk/by-id/…)."},
    {"disk", "bus", VR_VALUE_CHOICE, BUILT, .choices = "virtio|nvme|sata",
     .default_value = "virtio", .windows_value = "nvme",
     .documentation = "How the guest sees the disk; Windows starts from nvme without extra "
                      "drivers."},
    {"disk", "format", VR_VALUE_CHOICE, BUILT, .choices = "raw|qcow2",
     .documentation = "Unset: qcow2 if the name ends in .qcow2, else raw."},
    {"disk", "boot-order", VR_VALUE_ORDER, BUILT,
     .documentation = "1 is tried first; each number once in a profile."},
    {"disk", "read-only", VR_VALUE_YES_NO, BUILT, .default_value = "no",
     .documentation = "The guest cannot write to it."},

    {"cdrom", "path", VR_VALUE_PATH, BUILT, NEEDED, .documentation = "ISO image."},
    {"cdrom", "boot-order", VR_VALUE_ORDER, BUILT,
     .documentation = "As for a disk; numbers are shared with the disks."},

    {"network", "mode", VR_VALUE_CHOICE, BUILT, .choices = "auto|user|nat|bridge|macvtap|none",
     .default_value = "auto",
     .documentation = "auto: an existing bridge, else libvirt's active default network, else user; "
                      "user: the guest reaches out, nothing reaches in; nat: a libvirt network; "
                      "bridge and macvtap: source; none: no card."},
    {"network", "source", VR_VALUE_SOURCE, BUILT,
     .documentation = "nat: the libvirt network (default); bridge: the bridge; macvtap: the host's "
                      "interface."},
    {"network", "mac", VR_VALUE_MAC, BUILT,
     .documentation = "Unset: one that vmrun makes once and keeps."},

    {"share", "path", VR_VALUE_PATH, NEEDED, .documentation = "Directory of the host."},
    {"share", "tag", VR_VALUE_TAG,
     .documentation = "Name to mount it by in the guest; unset: the section's name."},
    {"share", "read-only", VR_VALUE_YES_NO, .default_value = "yes",
     .documentation = "The guest cannot write to it."},

    {"usb", "device", VR_VALUE_USB, NEEDED,
     .documentation = "The device, or whatever is plugged into the port."},

    {"input", "evdev", VR_VALUE_EVDEV, NEEDED,
     .documentation = "Device node of a keyboard or mouse."},

    {"looking-glass", "size", VR_VALUE_SHARED_MEMORY, .default_value = "64M",
     .documentation = "Size of the shared memory."},

    {"audio", "backend", VR_VALUE_CHOICE, .choices = "none|pipewire|pulseaudio|alsa",
     .default_value = "none", .neutral = "none",
     .documentation = "Where an emulated sound card plays; none: there is none, the card's own "
                      "HDMI sound goes along."},

    {"session", "start-timeout", VR_VALUE_SECONDS_OR_AUTO, BUILT, .default_value = "auto",
     .documentation =
         "How long the start of the domain may take; auto grows with memory and the card's BARs."},
    {"session", "stop-timeout", VR_VALUE_SECONDS, BUILT, .default_value = "2min",
     .documentation = "How long the guest may take to shut down when it is asked to."},
    {"session", "stop-units", VR_VALUE_UNITS, BUILT,
     .documentation =
         "Units of the host that use the card: stopped before, started after. nvidia-persistenced, "
         "nvidia-powerd, dcgm and fabricmanager are known without being named."},
    {"session", "after-stop", VR_VALUE_CHOICE, BUILT, .choices = "restore|keep",
     .default_value = "restore",
     .documentation = "restore: the card goes back to its drivers; keep: it stays on vfio-pci for "
                      "the next start (`vmrun restore NAME` gives it back)."},
    {"session", "on-host-sleep", VR_VALUE_CHOICE, .choices = "block|stop", .default_value = "block",
     .neutral = "block",
     .documentation = "What happens when the host wants to sleep, closing the lid included: block "
                      "keeps it awake (where systemd-logind runs), stop shuts the guest down "
                      "first."},
    {"session", "isolate-cpus", VR_VALUE_YES_NO, BUILT, .default_value = "no",
     .documentation = "Keep the host's own programs (user.slice, system.slice, init.scope) off the "
                      "guest's pinned processors while it runs."},
    {"session", "governor", VR_VALUE_CHOICE, BUILT, .choices = "performance|keep",
     .default_value = "keep",
     .documentation = "CPU frequency governor while the guest runs: performance, on all processors "
                      "that have it; or keep, as it is."},
    {"session", "alive", VR_VALUE_CHOICE, BUILT, .choices = "none|agent", .default_value = "none",
     .documentation = "agent: a guest whose agent has answered since it booted and then falls "
                      "silent is powered off; none: nothing is guessed."},
    {"session", "alive-timeout", VR_VALUE_SECONDS, BUILT, .default_value = "5min",
     .documentation = "How long the agent may be silent; at least 30 seconds."},
    {"session", "untrusted-guest", VR_VALUE_YES_NO, .default_value = "no", .neutral = "no",
     .documentation = "Take extra care with the card after a guest that may have changed its "
                      "firmware."},

    {"xml", "overlay", VR_VALUE_PATH, NEEDED,
     .documentation = "XML fragment merged last; refused if it touches what vmrun owns."},

    {NULL, NULL, VR_VALUE_TEXT, .documentation = NULL},
};

const VrProfileGroup *
vr_profile_groups(void)
{
    return groups;
}

const VrProfileKey *
vr_profile_keys(void)
{
    return keys;
}

const VrProfileGroup *
vr_profile_group_find(const char *name)
{
    for (const VrProfileGroup *row = groups; row->name != NULL; row++) {
        if (strcmp(row->name, name) == 0) {
            return row;
        }
    }
    return NULL;
}

const VrProfileKey *
vr_profile_key_find(const char *group, const char *key)
{
    for (const VrProfileKey *row = keys; row->key != NULL; row++) {
        if (strcmp(row->group, group) == 0 && strcmp(row->key, key) == 0) {
            return row;
        }
    }
    return NULL;
}

const char *
vr_profile_key_default(const VrProfileKey *key, VrGuest guest)
{
    bool differs = guest == VR_GUEST_WINDOWS && key->windows_value != NULL;

    return differs ? key->windows_value : key->default_value;
}

char *
vr_profile_group_hint(const char *name)
{
    const char *names[G_N_ELEMENTS(groups)] = {NULL};

    for (size_t i = 0; groups[i].name != NULL; i++) {
        names[i] = groups[i].name;
    }

    const char *nearest = vr_text_nearest(name, names);
    return nearest != NULL ? g_strdup_printf(" (did you mean [%s]?)", nearest) : g_strdup("");
}

/* The group that has such a key, for one that was put into the wrong place. */
static const char *
group_with(const char *key)
{
    for (const VrProfileKey *row = keys; row->key != NULL; row++) {
        if (strcmp(row->key, key) == 0) {
            return row->group;
        }
    }
    return NULL;
}

char *
vr_profile_key_hint(const char *group, const char *key)
{
    const char *names[G_N_ELEMENTS(keys)] = {NULL};
    size_t count = 0;

    for (const VrProfileKey *row = keys; row->key != NULL; row++) {
        if (strcmp(row->group, group) == 0) {
            names[count++] = row->key;
        }
    }

    const char *elsewhere = group_with(key);
    if (elsewhere != NULL) {
        return g_strdup_printf(" (it belongs in [%s])", elsewhere);
    }

    const char *nearest = vr_text_nearest(key, names);
    return nearest != NULL ? g_strdup_printf(" (did you mean \"%s\"?)", nearest) : g_strdup("");
}
