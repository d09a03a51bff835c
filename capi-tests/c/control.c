// The functions of <strata.h>, each by its effect.
#include "case.h"
#include <strata.h>

// The number behind a key of the JSON object.
static size_t number(const char *key)
{
    static char text[64 << 10];
    size_t len = strata_stats_json(text, sizeof text);
    CHECK(len < sizeof text && len == strlen(text), "%zu, %zu", len, strlen(text));
    char name[64];
    snprintf(name, sizeof name, "\"%s\":", key);
    const char *at = strstr(text, name);
    CHECK(at != NULL, "%s in %s", key, text);
    return strtoul(at + strlen(name), NULL, 10);
}

static void version(void)
{
    unsigned major, minor, patch;
    int parts = sscanf(strata_version(), "%u.%u.%u", &major, &minor, &patch);
    CHECK(parts == 3, "%s", strata_version());
}

static void numbers(void)
{
    size_t before = number("live_bytes");
    void *p = malloc(30 * MIB);
    size_t with = number("live_bytes");
    CHECK(with >= before + 30 * MIB && with < before + 31 * MIB, "%zu, %zu", before, with);
    free(p);
    CHECK(number("live_bytes") < before + MIB, "%zu", number("live_bytes"));
    char page[64 << 10], table[8 << 10];
    CHECK(strata_metrics(page, sizeof page) < sizeof page, "the page is long");
    CHECK(strstr(page, "\nstrata_live_bytes ") != NULL, "%s", page);
    CHECK(strata_explain(table, sizeof table) < sizeof table, "the table is long");
    CHECK(strncmp(table, "Memory of the process", 21) == 0, "%s", table);
}

// Texts are cut off where the room ends, and always end with a null.
static void little_room(void)
{
    CHECK(strata_profile_write(NULL) == EINVAL, "a file without a name");
    char whole[64 << 10], part[100];
    size_t len = strata_explain(whole, sizeof whole);
    CHECK(len > sizeof part, "%zu", len);
    for (size_t room = 1; room <= sizeof part; room++) {
        memset(part, 'x', sizeof part);
        size_t said = strata_explain(part, room);
        CHECK(said > sizeof part, "%zu", said);
        CHECK(strlen(part) == room - 1, "%zu: %zu", room, strlen(part));
        CHECK(memcmp(part, whole, room <= 40 ? room - 1 : 40) == 0, "%s", part);
        CHECK(room == sizeof part || part[room] == 'x', "%zu", room);
    }
    CHECK(strata_explain(NULL, 0) > sizeof part, "without room");
}

static void purging(void)
{
    static void *held[1000];
    strata_purge();
    for (int i = 0; i < 1000; i++)
        memset(held[i] = malloc(100 << 10), 1, 100 << 10);
    for (int i = 0; i < 1000; i++)
        free(held[i]);
    size_t purged = number("purged_bytes_total");
    // Some may be gone already, by the helper or the thread itself.
    strata_thread_idle();
    strata_purge();
    CHECK(number("free_bytes") < MIB, "%zu", number("free_bytes"));
    CHECK(number("purged_bytes_total") >= purged, "%zu", purged);
}

static size_t told;

static void tell(size_t committed)
{
    told = committed;
}

static void limits(void)
{
    strata_on_limit(tell);
    strata_set_limit(20 * MIB);
    CHECK(number("limit_bytes") == 20 * MIB, "%zu", number("limit_bytes"));
    void *p = malloc(30 * MIB);
    CHECK(p != NULL && told >= 30 * MIB, "%zu", told);
    CHECK(number("limit_exceeded_total") == 1, "%zu", number("limit_exceeded_total"));
    free(p);
    strata_set_limit(0);
    told = 0;
    strata_on_limit(NULL);
    strata_set_limit(20 * MIB);
    free(opaque(malloc(30 * MIB)));
    CHECK(told == 0, "%zu", told);
    strata_set_limit(0);
    strata_set_hard_limit(40 * MIB);
    errno = 0;
    void *volatile refused = malloc(50 * MIB);
    CHECK(refused == NULL && errno == ENOMEM, "%p, %d", refused, errno);
    CHECK(number("refusals_total") >= 1, "%zu", number("refusals_total"));
    strata_set_hard_limit(0);
    free(opaque(malloc(50 * MIB)));
}

static void *kept[20000];

static __attribute__((noinline)) void keeps_much(void)
{
    for (int i = 0; i < 15000; i++)
        kept[i] = malloc(4000);
}

static __attribute__((noinline)) void keeps_little(void)
{
    for (int i = 15000; i < 20000; i++)
        kept[i] = malloc(4000);
}

// Writes the profile to the file that the environment names.
static void profiled(void)
{
    const char *path = getenv("STRATA_TEST_PROFILE");
    CHECK(path != NULL, "no file");
    strata_profile_start(16 << 10);
    keeps_much();
    keeps_little();
    strata_profile_stop();
    CHECK(strata_profile_write(path) == 0, "%s", path);
    CHECK(strata_profile_write("/no/such/folder/file") == ENOENT, "an error");
    CHECK(strata_profile_write("/dev/full") == ENOSPC, "an error of a write");
}

MAIN(CASE(version), CASE(numbers), CASE(little_room), CASE(purging), CASE(limits), CASE(profiled))
