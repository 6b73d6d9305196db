/* Measures the time from the start of a command to its exit, as its parent sees it.
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

enum { WARMING = 5, PATIENCE_SECONDS = 300 };

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
    /* Discards the messages of the inits. */
    int nobody = open("/dev/null", O_WRONLY), said = dup(1);
    int64_t *times = calloc((size_t)rounds * commands.size, sizeof *times);
    if (nobody == -1 || said == -1 || !times)
        return 1;
    dup2(nobody, 1);
    dup2(nobody, 2);
    close(nobody);
    fcntl(said, F_SETFD, FD_CLOEXEC);
    alarm(PATIENCE_SECONDS);

    for (long round = -WARMING; round < rounds; round++) {
        const size_t *order = drawn_order(commands.size);
        for (size_t turn = 0; turn < commands.size; turn++) {
            int64_t time = timed(commands.words[order[turn]]);
            if (round >= 0)
                times[(size_t)round * commands.size + order[turn]] = time;
        }
    }

    FILE *out = fdopen(said, "w");
    if (!out)
        return 1;
    for (size_t i = 0; i < (size_t)rounds * commands.size; i++)
        fprintf(out, "%lld%c", (long long)times[i], (i + 1) % commands.size ? ' ' : '\n');
    return fclose(out) ? 1 : 0;
}
