/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LD_PRELOAD shim: lets QEMU's software emulation run OVMF inside emulated SVM.
 *
 * The defect: a nested guest that writes CR8 while a virtual interrupt is
 * pending makes QEMU's helper for that instruction call cpu_interrupt() from
 * the vCPU thread without the big lock.  tcg_handle_interrupt() asserts that
 * the lock is held, and the whole emulator aborts.  OVMF raises and lowers its
 * task priority through CR8 all the time, so it never gets past its first
 * timer ticks.
 *
 * The cure: the accelerator is a loadable module and reaches its own exported
 * tcg_handle_interrupt() through the global offset table, so a preloaded
 * object of that name is found first.  Ours takes the lock when the caller
 * does not hold it, calls the real function, and gives the lock back.
 *
 * QEMU renamed the lock in version 9; both sets of names are tried.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct CPUState CPUState;

typedef void interrupt_fn(CPUState *cpu, int mask);
typedef bool locked_fn(void);
typedef void lock_fn(const char *file, int line);
typedef void unlock_fn(void);

void tcg_handle_interrupt(CPUState *cpu, int mask);

static interrupt_fn *real_interrupt;
static locked_fn *is_locked;
static lock_fn *take_lock;
static unlock_fn *drop_lock;

static void
give_up(const char *what)
{
    fprintf(stderr, "tcg_shim: %s not found in this QEMU\n", what);
    abort();
}

static void *
either(const char *new_name, const char *old_name)
{
    void *symbol = dlsym(RTLD_DEFAULT, new_name);

    if (symbol == NULL)
        symbol = dlsym(RTLD_DEFAULT, old_name);
    if (symbol == NULL)
        give_up(new_name);
    return symbol;
}

/* dlsym(RTLD_NEXT) does not see a module opened with RTLD_LOCAL, so the
 * accelerator is looked up among the loaded objects by its file name. */
static int
find_in_module(struct dl_phdr_info *object, size_t size, void *unused)
{
    void *handle;

    (void) size;
    (void) unused;
    if (strstr(object->dlpi_name, "accel-tcg") == NULL)
        return 0;
    handle = dlopen(object->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
    if (handle == NULL)
        return 0;
    real_interrupt = (interrupt_fn *) dlsym(handle, "tcg_handle_interrupt");
    return real_interrupt != NULL;
}

/* Resolved by whichever vCPU thread comes first.  Two threads may do it at
 * once; both store the same values, and real_interrupt is stored last. */
static void
resolve(void)
{
    is_locked = (locked_fn *) either("bql_locked", "qemu_mutex_iothread_locked");
    take_lock = (lock_fn *) either("bql_lock_impl", "qemu_mutex_lock_iothread_impl");
    drop_lock = (unlock_fn *) either("bql_unlock", "qemu_mutex_unlock_iothread");
    dl_iterate_phdr(find_in_module, NULL);
    if (real_interrupt == NULL)
        real_interrupt = (interrupt_fn *) dlsym(RTLD_NEXT, "tcg_handle_interrupt");
    if (real_interrupt == NULL)
        give_up("tcg_handle_interrupt");
}

void
tcg_handle_interrupt(CPUState *cpu, int mask)
{
    bool was_locked;

    if (__atomic_load_n(&real_interrupt, __ATOMIC_ACQUIRE) == NULL)
        resolve();

    was_locked = is_locked();
    if (!was_locked)
        take_lock(__FILE__, __LINE__);
    real_interrupt(cpu, mask);
    if (!was_locked)
        drop_lock();
}
