/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a shell cannot ask: the CPU's hypervisor leaves, and the power button.
 * Freestanding, so that the initial RAM disk stays small.
 *
 *   guest-probe cpuid    prints "GUEST kvm hidden|visible signature=... hyperv=..."
 *   guest-probe button   returns 0 once the power button has been pressed
 */
#include <stddef.h>
#include <stdint.h>

enum { SYS_READ = 0, SYS_WRITE = 1, SYS_OPEN = 2, SYS_POLL = 7, SYS_EXIT = 60 };
enum { EV_KEY = 1, KEY_POWER = 116, POLLIN = 1 };
enum { MAX_INPUTS = 8 };

struct input_event {
    int64_t seconds;
    int64_t microseconds;
    uint16_t type;
    uint16_t code;
    int32_t value;
};

struct pollfd {
    int fd;
    short events;
    short revents;
};

static long
syscall3(long number, long a, long b, long c)
{
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}

static void
cpuid(uint32_t leaf, uint32_t r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}

/* One write for the whole line: a serial port is shared with the kernel. */
static char line[160];
static size_t used;

static void
put(const char *text)
{
    while (*text != '\0' && used < sizeof line)
        line[used++] = *text++;
}

/* The 12 bytes of a signature, what is not printable shown as a dot. */
static void
put_signature(const uint32_t r[4])
{
    for (int word = 1; word <= 3; word++) {
        for (int byte = 0; byte < 4; byte++) {
            char c[2] = {(char) (r[word] >> (8 * byte)), '\0'};

            if (c[0] == '\0')
                continue;
            if (c[0] <= ' ' || c[0] > '~')
                c[0] = '.';
            put(c);
        }
    }
}

/* KVM's own signature may stand at 0x40000000 or, behind Hyper-V's, at
 * 0x40000100; a guest driver looks at both. */
static int
report_cpuid(void)
{
    static const uint32_t kvm_signature[3] = {0x4b4d564b, 0x564b4d56, 0x0000004d};
    uint32_t features[4], first[4] = {0}, interface[4] = {0};
    int hypervisor, kvm = 0, hyperv = 0;

    cpuid(1, features);
    hypervisor = (features[2] >> 31) & 1;
    for (uint32_t leaf = 0x40000000; leaf <= 0x40000100; leaf += 0x100) {
        uint32_t r[4];

        cpuid(leaf, r);
        if (leaf == 0x40000000)
            for (int i = 0; i < 4; i++)
                first[i] = r[i];
        if (r[1] == kvm_signature[0] && r[2] == kvm_signature[1] && r[3] == kvm_signature[2])
            kvm = 1;
    }
    if (hypervisor && first[0] >= 0x40000001) {
        cpuid(0x40000001, interface);
        hyperv = interface[0] == 0x31237648; /* "Hv#1" */
    }

    put("GUEST kvm ");
    put(kvm ? "visible" : "hidden");
    put(" hypervisor-bit=");
    put(hypervisor ? "1" : "0");
    put(" signature=");
    if (hypervisor)
        put_signature(first);
    put(hyperv ? " hyperv=yes\n" : " hyperv=no\n");
    syscall3(SYS_WRITE, 1, (long) line, (long) used);
    return 0;
}

static int
wait_for_button(void)
{
    struct pollfd inputs[MAX_INPUTS];
    char path[] = "/dev/input/event0";
    long count = 0;

    for (char digit = '0'; digit < '0' + MAX_INPUTS; digit++) {
        long fd;

        path[sizeof path - 2] = digit;
        fd = syscall3(SYS_OPEN, (long) path, 0, 0);
        if (fd >= 0) {
            inputs[count].fd = (int) fd;
            inputs[count].events = POLLIN;
            count++;
        }
    }
    if (count == 0)
        return 1;
    for (;;) {
        syscall3(SYS_POLL, (long) inputs, count, -1);
        for (long i = 0; i < count; i++) {
            struct input_event event;

            if ((inputs[i].revents & POLLIN) == 0)
                continue;
            if (syscall3(SYS_READ, inputs[i].fd, (long) &event, sizeof event) == sizeof event &&
                event.type == EV_KEY && event.code == KEY_POWER && event.value == 1)
                return 0;
        }
    }
}

/* The kernel puts argc and argv on the stack; there is no C library to fetch them. */
__attribute__((used)) static void
start(long *stack)
{
    long argc = stack[0];
    char **argv = (char **) (stack + 1);
    int status = 2;

    if (argc == 2 && argv[1][0] == 'c')
        status = report_cpuid();
    else if (argc == 2 && argv[1][0] == 'b')
        status = wait_for_button();
    syscall3(SYS_EXIT, status, 0, 0);
}

__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");
