/* Measures the time of commands from their start to their exit as the parent sees it.
 *
 * spawner ROUNDS COMMAND... separated by `::`: each round runs every command once, in a new random order.
 * Prints a line for each round, with nanoseconds in the order of the arguments. */

#define _GNU_SOURCE
#include "turns.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WARMUP_ROUNDS = 5, TIMEOUT_SECONDS = 300 };

static int64_t timed(char **command)
{
    int status;
    int64_t begin = now();
    pid_t child = vfork();
    if (child == 0) {
        execv(command[0], command);
        _exit(127);
    }
    if (child == -1 || waitpid(child, &status, 0) == -1 || status != 0)
        exit(1);
    return now() - begin;
}

int main(int count, char **arguments)
{
    if (count < 3)
        return 2;
    long rounds = atol(arguments[1]);
    struct commands commands = commands_in(arguments + 2);
    /* The output of the inits is discarded. */
    int null = open("/dev/null", O_WRONLY), output = dup(1);
    int64_t *times = calloc((size_t)rounds * commands.size, sizeof *times);
    if (null == -1 || output == -1 || !times)
        return 1;
    dup2(null, 1);
    dup2(null, 2);
    close(null);
    fcntl(output, F_SETFD, FD_CLOEXEC);
    alarm(TIMEOUT_SECONDS);

    for (long round = -WARMUP_ROUNDS; round < rounds; round++) {
        const size_t *order = random_order(commands.size);
        for (size_t turn = 0; turn < commands.size; turn++) {
            int64_t time = timed(commands.words[order[turn]]);
            if (round >= 0)
                times[(size_t)round * commands.size + order[turn]] = time;
        }
    }

    FILE *out = fdopen(output, "w");
    if (!out)
        return 1;
    for (size_t i = 0; i < (size_t)rounds * commands.size; i++)
        fprintf(out, "%lld%c", (long long)times[i], (i + 1) % commands.size ? ' ' : '\n');
    return fclose(out) ? 1 : 0;
}
