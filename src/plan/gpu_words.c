/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <vmrun/gpu.h>

#include "plan/gpu_private.h"

#include <string.h>

typedef struct {
    const char *problem, *meaning, *advice;
} ProblemWords;

static const ProblemWords problem_words[] = {
    {"unreadable", "something about it could not be read, so nothing can be promised",
     "run the command as root; if that does not help, the kernel's log may say what is wrong"},
    {"no-iommu",
     "the IOMMU is off: without it a guest's card could write anywhere in the host's memory",
     "switch on VT-d (Intel) or AMD-Vi/IOMMU in the firmware, and boot with intel_iommu=on on "
     "Intel"},
    {"no-group", "the kernel put it into no IOMMU group, so it cannot be isolated",
     "remove intel_iommu=igfx_off or similar from the kernel command line; use another card"},
    {"shared-group",
     "its IOMMU group holds other devices, and a group can only be handed over as a whole",
     "put the card into another slot (best the one wired to the processor), or update the "
     "firmware"},
    {"boot-display",
     "it is the display that the firmware started with: the host's console is on it",
     "choose another card as primary display in the firmware, or set allow-boot-display=yes"},
    {"only-gpu", "it is the only graphics card: the host would be left without a picture",
     "add a second card or switch on the processor's graphics; or reach the host by network and "
     "set "
     "allow-boot-display=yes"},
    {"management-console", "it is the remote console of the server's management controller",
     "leave it to the host; no guest can use it"},
    {"virtual-machine", "it is the display of a computer that is a virtual machine itself",
     "run vmrun on the physical host"},
    {"dead-device", "it does not answer on the bus any more (all ones)",
     "shut down, disconnect the power for a moment and start cold; a reboot is often not enough"},
    {"sriov-active", "virtual functions of it exist; they would vanish with it",
     "write 0 to its sriov_numvfs after what uses them has ended"},
};

static const ProblemWords *
words_of(const char *problem)
{
    for (gsize i = 0; i < G_N_ELEMENTS(problem_words); i++) {
        if (strcmp(problem_words[i].problem, problem) == 0) {
            return &problem_words[i];
        }
    }
    return NULL;
}

const char *
vr_gpu_problem_meaning(const char *problem)
{
    const ProblemWords *words = words_of(problem);

    return words != NULL ? words->meaning : problem;
}

const char *
vr_gpu_problem_advice(const char *problem)
{
    const ProblemWords *words = words_of(problem);

    return words != NULL ? words->advice : "";
}

typedef struct {
    uint32_t class_code, mask; /* of the 16 bits class and subclass */
    const char *reason;
} ClassWords;

/* PCI Code and ID Assignment Specification 1.x; the first row that fits counts. */
static const ClassWords class_words[] = {
    {0x0100, 0xff00, "storage controller: the host would lose the disks on it"},
    {0x0280, 0xffff, "wireless or other network controller: the host would lose this connection"},
    {0x0200, 0xff00, "network controller: the host would lose this connection"},
    {0x0300, 0xff00, "another graphics card: it would go to the guest, too"},
    {0x0400, 0xff00, "sound or video device: the host would lose it"},
    {0x0500, 0xff00, "memory controller of the board: the host needs it"},
    {0x0601, 0xffff, "ISA bridge: the board's own small devices (clock, sensors) hang on it"},
    {0x0680, 0xffff,
     "bridge device with a function of its own (NVSwitch, chipset): not a plain bridge"},
    {0x0600, 0xff00, "special bridge: what is behind it would go to the guest, too"},
    {0x0700, 0xff00, "communication controller of the board: the host would lose it"},
    {0x0800, 0xff00, "system device of the board: the host needs it"},
    {0x0900, 0xff00, "input controller: the host would lose keyboard or mouse"},
    {0x0b00, 0xff00, "processor or accelerator: it would go to the guest, too"},
    {0x0c03, 0xffff,
     "USB controller: the host would lose what is plugged into it (keyboard, mouse, disks)"},
    {0x0c05, 0xffff, "SMBus of the board: the host needs it for sensors and memory modules"},
    {0x0c00, 0xff00, "serial bus controller of the board: the host would lose what hangs on it"},
    {0x0d00, 0xff00, "wireless controller: the host would lose this connection"},
    {0x1000, 0xff00, "encryption or security processor of the board: the host needs it"},
    {0x1100, 0xff00, "sensors of the board or processor: the host needs them"},
    {0x1200, 0xff00, "accelerator: it would go to the guest, too"},
    {0x1300, 0xff00, "internal function of the board: the guest could write through it"},
};

static const char *
class_reason(const VrPciFunction *function)
{
    uint32_t class_code = function->class_code >> 8;

    for (gsize i = 0; i < G_N_ELEMENTS(class_words); i++) {
        if ((class_code & class_words[i].mask) == class_words[i].class_code) {
            return class_words[i].reason;
        }
    }
    return "another device of the host: it would go to the guest, too";
}

char *
vr_neighbour_reason(const VrHostFacts *facts, const VrPciFunction *function)
{
    GString *reason = g_string_new(class_reason(function));
    const char *separator = "; now: ";

    for (guint i = 0; i < facts->uses->len; i++) {
        const VrDeviceUse *use = g_ptr_array_index(facts->uses, i);

        if (vr_pci_address_equal(use->address, function->address)) {
            g_string_append(reason, separator);
            g_string_append(reason, use->use);
            separator = ", ";
        }
    }
    return g_string_free(reason, FALSE);
}

bool
vr_function_is_of_the_board(const VrPciFunction *function)
{
    uint32_t class_and_subclass = function->class_code >> 8;
    bool is_bridge = class_and_subclass >> 8 == 0x06;

    /* 0680 has functions of its own (NVSwitch). */
    return (is_bridge && class_and_subclass != 0x0680) || class_and_subclass == 0x0806;
}

bool
vr_function_is_critical(const VrHostFacts *facts, const VrPciFunction *function)
{
    for (guint i = 0; i < facts->uses->len; i++) {
        const VrDeviceUse *use = g_ptr_array_index(facts->uses, i);

        if (use->critical && vr_pci_address_equal(use->address, function->address)) {
            return true;
        }
    }
    return false;
}
