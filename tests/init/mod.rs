//! What an init does, from outside: each test starts the file under test and looks at it.

// Exit codes and deaths, and what becomes of them.
mod exit;

// Signals from outside reach the program, none lost, with their values.
mod signals;

// Signals that are to reach it as others.
mod rewrite;

// The program is killed where it does not stop in time.
mod kill_after;

// The same while the program is being started.
mod start;

// What the program leaves behind is told to end, waited for, and killed.
mod drain;

// Limits that change while the program runs.
mod on_resize;

// A want of memory before the kernel kills.
mod memory_warn;

// Why it ended, and what it took.
mod report;

// Orphans are adopted and reaped.
mod reap;

// Which program is started, or what is said where there is none; empty images; idleness.
mod program;

// What the program inherits.
mod inherited;

// Options, variables and messages.
mod command_line;

// A stderr that is closed, broken or full.
mod stderr;

// The death of the init's parent.
mod parent;

// The terminal and job control.
mod terminal;

// System calls that a seccomp filter refuses.
mod seccomp;
