/* Runs a program for another architecture: executes the emulator with that program, its name and its
 * arguments. execve(2) keeps all other properties of the process. Linked statically, so that no dynamic
 * loader runs first. */

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
