/* Stands for a program of another machine: it becomes the emulator with that program, and hands on
 * its name and arguments. All else that a process has survives execve(2). Static, so that it does
 * not look around first. */

#include <unistd.h>

int main(int count, char **arguments, char **environment)
{
    char *command[count + 4];
    command[0] = EMULATOR;
    command[1] = "-0";
    command[2] = arguments[0];
    command[3] = PROGRAM;
    for (int n = 1; n <= count; n++)
        command[n + 3] = arguments[n];
    execve(EMULATOR, command, environment);
    return 125;
}
