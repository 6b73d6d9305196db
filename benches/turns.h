/* What spawner and signaller share: the clock, the commands, and a new random order for each round, so that
 * other work on the machine, and what one command leaves in caches, affects all commands alike. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

enum { MOST = 32 };

struct commands {
    char **words[MOST];
    size_t size;
};

/* Commands that are separated by `::`. */
static struct commands commands_in(char **arguments)
{
    struct commands found = {.size = 0};
    while (*arguments && found.size < MOST) {
        found.words[found.size++] = arguments;
        while (*arguments && strcmp(*arguments, "::"))
            arguments++;
        if (*arguments)
            *arguments++ = NULL;
    }
    return found;
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* A random order of the numbers below `size`, seeded by the clock. */
static const size_t *random_order(size_t size)
{
    static size_t order[MOST];
    static uint64_t state;
    if (!state)
        state = (uint64_t)now() | 1;
    for (size_t i = 0; i < size; i++)
        order[i] = i;
    for (size_t i = size; i > 1; i--) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        size_t other = state % i, last = order[i - 1];
        order[i - 1] = order[other];
        order[other] = last;
    }
    return order;
}
