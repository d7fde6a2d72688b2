/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The judge of every suite in which something died: was anything lost? It knows nothing of how
 * vmrun works; it compares what was with what is, and replays what was done. Pure.
 *
 * A snapshot is text, one value per line: "ADDRESS NAME VALUE" (driver, driver_override,
 * power/control …; no line: no value), and "host PATH VALUE", "unit NAME on|off" for what is not
 * PCI.
 *
 * A trace is text, one event per line, in order:
 *
 *   durable PROFILE PHASE OBJECT...   the journal on disk, and what it claims: addresses, paths,
 *                                     units
 *   closed PROFILE                    the journal says that all is back
 *   kernel PATH VALUE                 a value was written, and the kernel took it
 *   module NAME, unit start|stop NAME
 *   guest on, guest off               a guest has the devices
 *   reboot                            the kernel is another one
 *   stopping                          the computer is shutting down
 *   failure TEXT, reported TEXT       what went wrong first, and what was said at the end
 *
 * Other lines (writes of files and the like, "failed …") mean nothing to it.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct {
    const char *before;  /* S0; of what others changed meanwhile, as it must be now */
    const char *after;   /* S1: after the fault and one recovery; NULL: not looked at */
    const char *again;   /* S2: after a second recovery; NULL: there was none */
    unsigned writes;     /* of the second recovery */
    const char *journal; /* at the end: "none", or its phase */
    const char *left;    /* addresses that the recovery named as not given back; NULL: none */
    const char *trace;   /* NULL: none */
    bool locks_are_held; /* at the end, with nobody alive to hold them */
    bool recovery_died;  /* the recovery of S1 had been cut off before */
} OracleCase;

/* Empty: nothing was lost. Else one line for each violation: "I7: 0000:01:00.0 driver is …".
 * Owned array of owned strings. */
GPtrArray *oracle_judge(const OracleCase *subject);

/* The same as one text, NULL for no violation. Owned. */
char *oracle_complaint(const OracleCase *subject);
