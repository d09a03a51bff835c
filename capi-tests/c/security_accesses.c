// Faults of accesses: to blocks of no bytes, to freed ones, beyond the end, before the start.

#include "security.h"

static char copy[256 * KIB + 2 * MIB];

// The last byte that a block of the size would have, in one of no bytes.
static volatile char *in_nothing(bool freed)
{
    char *p = (char *)opaque(malloc(unknown(0)));
    CHECK(p != NULL, "%d", errno);
    if (freed)
        free(p);
    return (char *)opaque(p) + size - 1;
}

static void read_nothing(void)
{
    copy[0] = *in_nothing(false);
    shown();
}

static void write_nothing(void)
{
    *in_nothing(false) = 1;
    shown();
}

static void read_freed_nothing(void)
{
    copy[0] = *in_nothing(true);
    shown();
}

static void write_freed_nothing(void)
{
    *in_nothing(true) = 1;
    shown();
}

static void fill_block(char *p) { fill(p, size, 7); }

// Whether a block has the second half of its pattern still: the bytes of one of eight.
static bool has_pattern(const char *p)
{
    char *want = copy;
    fill(want, size, 7);
    size_t half = size > 8 ? size / 2 : 0;
    return memcmp((char *)opaque((void *)p) + half, want + half, size - half) == 0;
}

static void read_freed(void)
{
    char *p = block();
    fill_block(p);
    free(p);
    if (has_pattern(p))
        shown();
}

// Up to so many more blocks are looked at for one that is recycled. They stay.
static int tries(void) { return size > 64 * KIB ? 100 : 1000; }

static bool is_handed_out(void)
{
    for (int i = 0; i < tries(); i++)
        if (has_pattern(block()))
            return true;
    return false;
}

static void read_recycled(void)
{
    char *p = block();
    fill_block(p);
    free(p);
    if (is_handed_out())
        shown();
}

static void write_freed(void)
{
    char *p = block();
    free(p);
    *(volatile char *)opaque(p) = 1;
    shown();
}

static void write_freed_and_recycled(void)
{
    char *p = block();
    free(p);
    fill_block((char *)opaque(p));
    if (is_handed_out())
        shown();
}

// Changes bytes beyond either end, and frees the block.
static void change(long from, size_t bytes)
{
    char *p = block();
    for (size_t i = 0; i < bytes; i++)
        ((volatile char *)opaque(p))[from + (long)i] ^= 0x55;
    free(p);
    shown();
}

static void write_1_beyond(void) { change((long)size, 1); }
static void write_32_beyond(void) { change((long)size, 32); }
static void write_1_before(void) { change(-1, 1); }
static void write_32_before(void) { change(-32, 32); }
static void write_1m_beyond(void) { change((long)size, MIB); }
static void write_1m_before(void) { change(-(long)MIB, MIB); }

// Copies more than the block: so many bytes beyond it, or before it.
static void copy_out(size_t before, size_t beyond)
{
    char *p = block();
    fill_block(p);
    memcpy(opaque(copy), (char *)opaque(p) - before, unknown(before + size + beyond));
    shown();
}

static void copy_1_beyond(void) { copy_out(0, 1); }
static void copy_32_beyond(void) { copy_out(0, 32); }
static void copy_1_before(void) { copy_out(1, 0); }
static void copy_32_before(void) { copy_out(32, 0); }
static void copy_1m_beyond(void) { copy_out(0, MIB); }
static void copy_1m_before(void) { copy_out(MIB, 0); }

KINDS(KIND(read_nothing), KIND(write_nothing), KIND(read_freed_nothing), KIND(write_freed_nothing),
      KIND(read_freed), KIND(read_recycled), KIND(write_freed), KIND(write_freed_and_recycled),
      KIND(write_1_beyond), KIND(write_32_beyond), KIND(write_1_before), KIND(write_32_before),
      KIND(write_1m_beyond), KIND(write_1m_before), KIND(copy_1_beyond), KIND(copy_32_beyond),
      KIND(copy_1_before), KIND(copy_32_before), KIND(copy_1m_beyond), KIND(copy_1m_before))
