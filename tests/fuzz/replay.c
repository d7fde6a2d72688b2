/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The main() of a fuzzer without libFuzzer: every seed, and every input that has once broken
 * something (it was made a seed), goes through the same entry function as an ordinary test, so also
 * under the sanitisers and valgrind. Called replay_NAME, it replays tests/fuzz/seeds/NAME.
 */
#include "parts.h"

#include <string.h>

static char *
seeds_directory(const char *program)
{
    const char *source = g_getenv("VMRUN_TEST_SOURCE");
    g_autofree char *name = g_path_get_basename(program);
    g_assert_true(g_str_has_prefix(name, "replay_"));
    return g_build_filename(source != NULL ? source : ".", "tests", "fuzz", "seeds",
                            name + strlen("replay_"), NULL);
}

static void
replay(gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    gsize size_bytes = 0;
    g_file_get_contents(data, &text, &size_bytes, &error);
    g_assert_no_error(error);
    g_assert_cmpint(LLVMFuzzerTestOneInput((const uint8_t *) text, size_bytes), ==, 0);
}

static guint
add_seeds(const char *directory, GPtrArray *paths)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) entries = g_dir_open(directory, 0, &error);
    const char *name = NULL;
    g_assert_no_error(error);
    while ((name = g_dir_read_name(entries)) != NULL) {
        char *path = g_build_filename(directory, name, NULL);
        g_autofree char *test = g_strconcat("/replay/", name, NULL);
        g_ptr_array_add(paths, path);
        g_test_add_data_func(test, path, replay);
    }
    return paths->len;
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autofree char *directory = seeds_directory(argv[0]);
    g_autofree char *name = g_path_get_basename(directory);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    guint cases = add_seeds(directory, paths);
    g_assert_cmpuint(cases, >, 0);
    int status = g_test_run(); /* a seed that breaks something ends the program */
    if (status == 0) {
        g_print("# suite: replay-%s cases=%u pass=%u fail=0\n", name, cases, cases);
    }
    return status;
}
