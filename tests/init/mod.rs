//! What an init does, from outside: each test starts the file under test and looks at it.

// Exit codes and deaths, and what becomes of them.
mod exit;

// Signals from outside reach the program, none lost, with their values.
mod signals;

// The same while the program is being started.
mod start;

// Orphans are adopted and reaped.
mod reap;
