/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a guest counts as dead: stories of questions and answers, and a rule held by all stories. */
#include <vmrun/alive.h>

#include <glib.h>
#include <string.h>

#define TIMEOUT_S 60

/* One letter a question, asked when vr_alive_pause_ms() says: ? unknown, c closed, a answers, s
 * silent. The verdict to each: . fine, s silent, D dead. */
typedef struct {
    const char *name, *seen, *verdicts;
} Story;

static const Story stories[] = {
    {"answers for ever", "aaaaaa", "......"},
    {"never answered", "ssssssssssss", "............"},
    {"never had an agent", "cccccccc", "........"},
    {"agent starts late and hangs", "ccsasssssss", "....ssssssD"},
    {"answers, then hangs", "aasssssss", "..ssssssD"},
    {"hangs, and comes back in time", "asssssasssssss", ".sssss.ssssssD"},
    {"reboots while it is silent", "assccsssssss", ".ss........."},
    {"reboots, answers and hangs", "accasssssss", "....ssssssD"},
    {"reboots, and its agent never answers again", "aaccssssssss", "............"},
    {"silence is counted anew after a pause", "ass?sssssss", ".ss.ssssssD"},
    {"what is not known does not kill", "as??????????", ".s.........."},
    {"not known at first, then hangs", "??ssssssssss", "............"},
    {"answers, not known, hangs", "a??sssssss", "...ssssssD"},
    {"power-off failed: still dead", "asssssssss", ".ssssssDDD"},
    {"closed by an agent that is restarted", "acacacsss", "........."},
};

static VrAgentSeen
seen_of(char letter)
{
    switch (letter) {
    case 'c':
        return VR_AGENT_CLOSED;
    case 'a':
        return VR_AGENT_ANSWERS;
    case 's':
        return VR_AGENT_SILENT;
    default:
        return VR_AGENT_UNKNOWN;
    }
}

static char *
tell(const char *seen, unsigned timeout_s)
{
    VrAlive alive = {0};
    int64_t now_ms = 1000;
    GString *verdicts = g_string_new(NULL);
    for (const char *letter = seen; *letter != '\0'; letter++) {
        VrAliveVerdict verdict = vr_alive_judge(&alive, seen_of(*letter), now_ms, timeout_s);
        g_string_append_c(verdicts, ".sD"[verdict]);
        now_ms += vr_alive_pause_ms(&alive, now_ms, timeout_s);
    }
    return g_string_free(verdicts, FALSE);
}

static void
test_stories(void)
{
    unsigned pass = 0;
    for (guint i = 0; i < G_N_ELEMENTS(stories); i++) {
        g_autofree char *verdicts = tell(stories[i].seen, TIMEOUT_S);
        bool right = g_str_equal(verdicts, stories[i].verdicts);
        pass += right;
        if (!right) {
            g_test_message("%s: %s gives %s, wanted %s", stories[i].name, stories[i].seen, verdicts,
                           stories[i].verdicts);
        }
    }
    unsigned cases = G_N_ELEMENTS(stories);
    g_autofree char *line =
        g_strdup_printf("suite: alive-stories cases=%u pass=%u fail=%u", cases, pass, cases - pass);
    g_test_message("%s", line);
    g_assert_cmpuint(pass, ==, cases);
}

/* What "dead" must mean, said in another way: the last questions, back over the whole timeout, were
 * all silent, and the last other one was an answer (or not known, behind an answer). */
static bool
may_be_dead(const char *seen, int last, unsigned silent_needed)
{
    int at = last;
    while (at >= 0 && seen[at] == 's') {
        at--;
    }
    bool long_enough = (unsigned) (last - at) >= silent_needed;
    while (at >= 0 && seen[at] == '?') { /* and silence before it, of one that has answered */
        at--;
        while (at >= 0 && (seen[at] == 's')) {
            at--;
        }
    }
    return long_enough && at >= 0 && seen[at] == 'a';
}

/* Every story of 8 questions with a timeout of 20 s: dead exactly where the rule says. */
static void
test_every_story_keeps_the_rule(void)
{
    char seen[9] = "";
    unsigned pass = 0;
    const unsigned cases = 1 << 16;
    for (unsigned story = 0; story < cases; story++) {
        bool right = true;
        for (unsigned i = 0; i < 8; i++) {
            seen[i] = "?cas"[story >> (2 * i) & 3];
        }
        g_autofree char *verdicts = tell(seen, 20);
        for (int i = 0; i < 8 && right; i++) {
            /* silent at 0, 10 and 20 s */
            right = (verdicts[i] == 'D') == may_be_dead(seen, i, 3);
        }
        pass += right;
        if (!right) {
            g_test_message("%s gives %s", seen, verdicts);
        }
    }
    g_autofree char *line =
        g_strdup_printf("suite: alive-rule cases=%u pass=%u fail=%u", cases, pass, cases - pass);
    g_test_message("%s", line);
    g_assert_cmpuint(pass, ==, cases);
}

static void
test_pauses(void)
{
    VrAlive fine = {.answered = true};
    VrAlive silent = {.answered = true, .silent = true, .silent_since_ms = 5000};
    g_assert_cmpuint(vr_alive_pause_ms(&fine, 99000, 300), ==, 60000);
    g_assert_cmpuint(vr_alive_pause_ms(&silent, 5000, 300), ==, 10000);
    g_assert_cmpuint(vr_alive_pause_ms(&silent, 31000, 30), ==, 4000);
    g_assert_cmpuint(vr_alive_pause_ms(&silent, 35000, 30), ==, 10000);
    g_assert_cmpuint(vr_alive_pause_ms(&silent, 99000, 30), ==, 10000);
}

static void
test_words(void)
{
    for (int i = VR_AGENT_UNKNOWN; i <= VR_AGENT_SILENT; i++) {
        g_assert_cmpint(vr_agent_seen_from_name(vr_agent_seen_name((VrAgentSeen) i)), ==, i);
    }
    g_assert_cmpint(vr_agent_seen_from_name("dead"), ==, VR_AGENT_UNKNOWN);
    g_assert_cmpint(vr_agent_seen_from_name(NULL), ==, VR_AGENT_UNKNOWN);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/alive/stories", test_stories);
    g_test_add_func("/alive/every-story-keeps-the-rule", test_every_story_keeps_the_rule);
    g_test_add_func("/alive/pauses", test_pauses);
    g_test_add_func("/alive/words", test_words);
    return g_test_run();
}
