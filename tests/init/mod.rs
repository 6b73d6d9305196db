//! How an init behaves, seen from outside: each test starts the file under test and watches it.

// Exit codes, also of a program that a signal ended, and -e.
mod exit;

// All signals are forwarded to the program, with their values.
mod signals;

// --rewrite.
mod rewrite;

// --stop-delay.
mod stop_delay;

// --kill-after.
mod kill_after;

// Signals that arrive while the program is being started.
mod start;

// --wait-all.
mod wait_all;

// --drain.
mod drain;

// --on-resize.
mod on_resize;

// --memory-warn.
mod memory_warn;

// Reports of OOM kills, and --report.
mod report;

// Orphans are adopted and reaped.
mod reap;

// Which program is started, and the errors if none can be; empty images; an idle init.
mod program;

// What the program inherits.
mod inherited;

// Options, variables and messages.
mod command_line;

// A stderr that is closed, broken or full.
mod stderr;

// -p: the parent-death signal.
mod parent;

// The terminal and job control.
mod terminal;

// System calls that a seccomp filter denies.
mod seccomp;

// --inspect.
mod inspect;
// --install.
mod install;
