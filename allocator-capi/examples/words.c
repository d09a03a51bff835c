/* Counts the words of standard input and prints memory statistics.
 *
 *     cc words.c -o words $(pkg-config --cflags --libs strata) */
#include <stdio.h>
#include <strata.h>
#include <string.h>

struct word {
    struct word *next;
    size_t count, bytes;
    char text[];
};

enum { BUCKETS = 4096 };
static struct word *buckets[BUCKETS];

static void add(const char *text) {
    unsigned hash = 5381;
    for (const char *c = text; *c; c++)
        hash = hash * 33 + (unsigned char)*c;
    struct word **bucket = &buckets[hash % BUCKETS];
    for (struct word *at = *bucket; at; at = at->next)
        if (strcmp(at->text, text) == 0) {
            at->count++;
            return;
        }
    size_t bytes = sizeof(struct word) + strlen(text) + 1;
    struct word *word = malloc(bytes);
    if (!word) {
        perror("malloc");
        exit(1);
    }
    *word = (struct word){.next = *bucket, .count = 1, .bytes = bytes};
    strcpy(word->text, text);
    *bucket = word;
}

int main(void) {
    char text[256];
    size_t words = 0;
    while (scanf("%255s", text) == 1) {
        add(text);
        words++;
    }
    struct mallinfo2 full = mallinfo2();
    size_t distinct = 0;
    for (int i = 0; i < BUCKETS; i++)
        for (struct word *at = buckets[i], *next; at; at = next) {
            next = at->next;
            distinct++;
            /* The size is checked: a wrong one would end the process. */
            free_sized(at, at->bytes);
        }
    printf("%zu words, %zu distinct\n", words, distinct);
    printf("a block for 100 bytes has %zu\n", malloc_good_size(100));
    printf("live: %zu bytes, then %zu\n", full.uordblks + full.hblkhd,
           mallinfo2().uordblks + mallinfo2().hblkhd);
    printf("memory went back: %s\n", malloc_trim(0) ? "yes" : "no");
    return 0;
}
