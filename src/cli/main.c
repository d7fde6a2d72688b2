/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli.h"
#include "commands.h"
#include "print.h"

#include <vmrun/text.h>

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Raw results of GOption: it wants int and char * variables. */
typedef struct {
    gboolean help, version, verbose, quiet, json, yes, dry_run, force, foreground;
    gboolean origin, all, if_idle, undo, accept, remove;
    char *color, *root, *timeout, *gpu, *memory;
} RawOptions;

static bool
parse_options(char ***argv, RawOptions *raw, GError **error)
{
    const GOptionEntry entries[] = {
        {"help", 'h', 0, G_OPTION_ARG_NONE, &raw->help, NULL, NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &raw->version, NULL, NULL},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &raw->verbose, NULL, NULL},
        {"quiet", 'q', 0, G_OPTION_ARG_NONE, &raw->quiet, NULL, NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &raw->json, NULL, NULL},
        {"yes", 'y', 0, G_OPTION_ARG_NONE, &raw->yes, NULL, NULL},
        {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &raw->dry_run, NULL, NULL},
        {"force", 'f', 0, G_OPTION_ARG_NONE, &raw->force, NULL, NULL},
        {"foreground", 0, 0, G_OPTION_ARG_NONE, &raw->foreground, NULL, NULL},
        {"origin", 0, 0, G_OPTION_ARG_NONE, &raw->origin, NULL, NULL},
        {"all", 0, 0, G_OPTION_ARG_NONE, &raw->all, NULL, NULL},
        {"if-idle", 0, 0, G_OPTION_ARG_NONE, &raw->if_idle, NULL, NULL},
        {"undo", 0, 0, G_OPTION_ARG_NONE, &raw->undo, NULL, NULL},
        {"accept", 0, 0, G_OPTION_ARG_NONE, &raw->accept, NULL, NULL},
        {"remove", 0, 0, G_OPTION_ARG_NONE, &raw->remove, NULL, NULL},
        {"color", 0, 0, G_OPTION_ARG_STRING, &raw->color, NULL, NULL},
        {"root", 0, 0, G_OPTION_ARG_FILENAME, &raw->root, NULL, NULL},
        {"timeout", 0, 0, G_OPTION_ARG_STRING, &raw->timeout, NULL, NULL},
        {"gpu", 0, 0, G_OPTION_ARG_STRING, &raw->gpu, NULL, NULL},
        {"memory", 0, 0, G_OPTION_ARG_STRING, &raw->memory, NULL, NULL},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_set_help_enabled(context, FALSE);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse_strv(context, argv, error)) {
        return vr_error_recode(error, VR_ERROR_USAGE);
    }
    return true;
}

static bool
color_wanted(const char *when, bool *out_color, GError **error)
{
    const char *no_color = g_getenv("NO_COLOR");
    bool plain =
        (no_color != NULL && no_color[0] != '\0') || g_strcmp0(g_getenv("TERM"), "dumb") == 0;
    if (when == NULL || g_str_equal(when, "auto")) {
        *out_color = !plain && isatty(STDOUT_FILENO);
        return true;
    }
    if (g_str_equal(when, "always") || g_str_equal(when, "never")) {
        *out_color = g_str_equal(when, "always");
        return true;
    }
    return vr_error_set(error, VR_ERROR_USAGE, "--color=%s: say auto, always or never", when);
}

/* From raw to checked; everything in `options` is then valid for any command. */
static bool
check_options(const RawOptions *raw, VrOptions *options, GError **error)
{
    options->json = raw->json;
    options->verbose = raw->verbose;
    options->quiet = raw->quiet;
    options->yes = raw->yes;
    options->dry_run = raw->dry_run;
    options->force = raw->force;
    options->foreground = raw->foreground;
    options->origin = raw->origin;
    options->all = raw->all;
    options->if_idle = raw->if_idle;
    options->undo = raw->undo;
    options->accept = raw->accept;
    options->remove = raw->remove;
    options->gpu = raw->gpu;
    options->memory = raw->memory;
    options->has_root_option = raw->root != NULL;
    uint64_t seconds = 0;
    if (raw->timeout != NULL &&
        (!vr_text_to_seconds(raw->timeout, &seconds) || seconds == 0 || seconds > 86400)) {
        return vr_error_set(
            error, VR_ERROR_USAGE,
            "--timeout=%s: not a time; write seconds, or 90s, 5min, 2h (from 1s to one day)",
            raw->timeout);
    }
    options->timeout_s = (unsigned) seconds;
    options->root = vr_sysroot_new(raw->root != NULL ? raw->root : "/", error);
    if (options->root == NULL) {
        vr_error_recode(error, VR_ERROR_USAGE);
        return vr_error_prefix(error, "--root");
    }
    if (geteuid() != 0 && raw->root == NULL) {
        options->user_profiles =
            g_build_filename(g_get_user_config_dir(), "vmrun", "profiles", NULL);
    }
    return color_wanted(raw->color, &options->color, error);
}

/* A word that is no command is a profile's name: `vmrun gaming` is `vmrun run gaming`. */
static const VrCommand *
choose_command(VrOptions *options, char **words, bool words_are_profiles)
{
    if (words[0] == NULL) {
        options->arguments = words;
        return vr_command_find("help");
    }
    const VrCommand *command = words_are_profiles ? NULL : vr_command_find(words[0]);
    if (command == NULL && (words_are_profiles || !vr_cli_is_reserved(words[0]))) {
        options->arguments = words;
        return vr_command_find("run");
    }
    options->arguments = words + 1;
    return command;
}

static bool
check_argument_count(const VrCommand *command, const VrOptions *options, GError **error)
{
    unsigned count = g_strv_length(options->arguments);
    if (count < command->minimum) {
        return vr_error_set(error, VR_ERROR_USAGE, "%s: something is missing; usage: vmrun %s %s",
                            command->name, command->name, command->arguments);
    }
    if (count > command->maximum) {
        return vr_error_set(error, VR_ERROR_USAGE, "%s: what is '%s'? usage: vmrun %s %s",
                            command->name, options->arguments[command->maximum], command->name,
                            command->arguments);
    }
    return true;
}

static int
print_version(const VrOptions *options)
{
    if (options->json) {
        JsonBuilder *builder = vr_print_json_begin("version");
        vr_print_json_text(builder, "version", VR_VERSION);
        vr_print_json_end(builder);
    } else {
        vr_print("vmrun %s", VR_VERSION);
    }
    return 0;
}

/* An option that a command does not have may have been meant to hold it back: `stop --dry-run`. */
static bool
check_own_options(const VrCommand *command, const RawOptions *raw, GError **error)
{
    const struct {
        const char *name;
        bool given;
    } rows[] = {
        {"--accept", raw->accept},           {"--all", raw->all},
        {"--dry-run", raw->dry_run},         {"--force", raw->force},
        {"--foreground", raw->foreground},   {"--gpu", raw->gpu != NULL},
        {"--if-idle", raw->if_idle},         {"--memory", raw->memory != NULL},
        {"--origin", raw->origin},           {"--remove", raw->remove},
        {"--timeout", raw->timeout != NULL}, {"--undo", raw->undo},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].given && strstr(command->arguments, rows[i].name) == NULL) {
            return vr_error_set(error, VR_ERROR_USAGE,
                                "%s: %s does not belong here; usage: vmrun %s%s%s", command->name,
                                rows[i].name, command->name,
                                command->arguments[0] != '\0' ? " " : "", command->arguments);
        }
    }
    return true;
}

/* A word that is neither a command nor a profile, but nearly a command: say which. */
static bool
check_spelling(const VrOptions *options, const char *word, GError **error)
{
    const char *nearest = vr_command_nearest(word);
    if (nearest == NULL) {
        return true;
    }
    g_autoptr(GPtrArray) profiles = vr_profile_names(options->root, options->user_profiles);
    if (g_ptr_array_find_with_equal_func(profiles, word, g_str_equal, NULL)) {
        return true;
    }
    return vr_error_set(error, VR_ERROR_NO_PROFILE,
                        "'%s' is neither a command nor a profile; did you mean: vmrun %s", word,
                        nearest);
}

static int
run_command(VrOptions *options, const RawOptions *raw, char **words, bool words_are_profiles)
{
    g_autoptr(GError) error = NULL;
    if (!check_options(raw, options, &error)) {
        return vr_print_error(options, error);
    }
    if (raw->version) {
        return print_version(options);
    }
    const VrCommand *command = choose_command(options, words, words_are_profiles);
    if (command == NULL) {
        vr_error_set(
            &error, VR_ERROR_USAGE,
            "'%s' is the word of a command that this version does not have yet; a profile of that "
            "name starts with: vmrun -- %s",
            words[0], words[0]);
        return vr_print_error(options, error);
    }
    options->command = command->name;
    bool is_implied = !words_are_profiles && words[0] != NULL && options->arguments == words;
    if (is_implied && !check_spelling(options, words[0], &error)) {
        return vr_print_error(options, error);
    }
    if (raw->help) {
        return vr_command_help(options, command);
    }
    if (!check_argument_count(command, options, &error) ||
        !check_own_options(command, raw, &error)) {
        return vr_print_error(options, error);
    }
    return command->run(options);
}

/* Split at "--": what follows is never an option and never a command. */
static char **
split_words(char **argv, char ***out_after)
{
    g_autoptr(GStrvBuilder) before = g_strv_builder_new();
    guint i = 0;
    for (; argv[i] != NULL && strcmp(argv[i], "--") != 0; i++) {
        g_strv_builder_add(before, argv[i]);
    }
    *out_after = argv[i] != NULL ? g_strdupv(argv + i + 1) : NULL;
    return g_strv_builder_end(before);
}

/*
 * As root only what is known to be harmless is kept of the caller's environment, and PATH is the
 * system's: whoever could set a variable (sudo -E, a cron job, a desktop file) chooses neither
 * root's modprobe nor libvirt's or GLib's plug-ins. Variables of the dynamic linker have had their
 * effect by now; sudo and systemd remove them before. What systemd tells a unit stays: without its
 * invocation a supervisor cannot know that it follows one that was killed (unit.h).
 */
static void
clean_environment(void)
{
    static const char *const kept[] = {
        "TERM",
        "COLUMNS",
        "LINES",
        "NO_COLOR",
        "LANG",
        "LANGUAGE",
        "TZ",
        "HOME",
        "USER",
        "EDITOR",
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        "INVOCATION_ID",
        "SYSTEMD_EXEC_PID",
        NULL,
    };
    g_auto(GStrv) names = g_listenv();
    for (char **name = names; *name != NULL && geteuid() == 0; name++) {
        if (!g_strv_contains(kept, *name) && !g_str_has_prefix(*name, "LC_")) {
            g_unsetenv(*name);
        }
    }
    if (geteuid() == 0) {
        g_setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", TRUE);
    }
}

static void
raw_options_clear(RawOptions *raw)
{
    g_free(raw->color);
    g_free(raw->root);
    g_free(raw->timeout);
    g_free(raw->gpu);
    g_free(raw->memory);
}

int
main(int argc, char **argv)
{
    (void) argc;
    clean_environment();
    setlocale(LC_ALL, "");
    signal(SIGPIPE, SIG_IGN); /* a pager that was closed must not end a session in the middle */
    RawOptions raw = {0};
    VrOptions options = {0};
    g_auto(GStrv) after = NULL;
    g_auto(GStrv) words = split_words(argv, &after);
    g_autoptr(GError) error = NULL;
    int status = 0;
    if (!parse_options(&words, &raw, &error)) {
        options.json = raw.json || g_strv_contains((const char *const *) argv, "--json");
        status = vr_print_error(&options, error);
    } else {
        bool profile_only = after != NULL && after[0] != NULL && words[1] == NULL;
        g_autoptr(GStrvBuilder) all = g_strv_builder_new();
        g_strv_builder_addv(all, (const char **) words + 1);
        if (after != NULL) {
            g_strv_builder_addv(all, (const char **) after);
        }
        g_auto(GStrv) joined = g_strv_builder_end(all);
        status = run_command(&options, &raw, joined, profile_only);
    }
    vr_sysroot_unref(options.root);
    g_free(options.user_profiles);
    raw_options_clear(&raw);
    return status;
}
