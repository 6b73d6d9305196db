//! Checks one thing that an emulator may do differently from the kernel: `emulator QUESTION` exits with 0
//! if the machine behaves as the kernel does. This program contains no code of loadline.

use std::env;
use std::ffi::{c_int, c_long};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Stdio, id};
use std::ptr::null_mut;

/// A set of signals in the format of the C library: bit n-1 of the first word is signal n. (No machine with
/// words of 32 bits has them in another order.)
type Set = [u64; 16];

const SIG_SETMASK: c_int = 2;
const SIGINT: c_int = 2;
const SIGSEGV: c_int = 11;
const PR_SET_CHILD_SUBREAPER: c_int = 36;

unsafe extern "C" {
    fn clone(child: extern "C" fn(*mut u8) -> c_int, stack: *mut u8, flags: c_int, ...) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn sigprocmask(how: c_int, new: *const Set, old: *mut Set) -> c_int;
    fn sigtimedwait(set: *const Set, info: *mut u8, timeout: *const [c_long; 2]) -> c_int;
}

fn main() -> ExitCode {
    let question = env::args().nth(1).unwrap_or_default();
    let answer = match question.as_str() {
        // SAFETY: takes integers.
        "subreaper" => unsafe {
            prctl(PR_SET_CHILD_SUBREAPER, 1usize, 0usize, 0usize, 0usize) == 0
        },
        // SIGRTMIN of the C library that the shell uses.
        "realtime" => shell("kill -34 $$").status().unwrap().signal() == Some(34),
        // Started with SIGINT ignored: is it ignored in a child?
        "ignored" => status("SigIgn") >> (SIGINT - 1) & 1 == 1,
        // Started with SIGSEGV blocked: is it blocked in a child?
        "faults" => status("SigBlk") >> (SIGSEGV - 1) & 1 == 1,
        // Can a signal be waited for that arrived before?
        "pending" => {
            block_all();
            shell(&format!("kill -{SIGSEGV} {}", id())).status().unwrap();
            arrives(SIGSEGV)
        }
        // A signal that the C library reserves, sent by a program that is not emulated.
        "reserved" => {
            let script = format!("read line; kill -33 {}", id());
            let mut child = shell(&script).stdin(Stdio::piped()).spawn().unwrap();
            block_all();
            drop(child.stdin.take());
            arrives(33)
        }
        // Started with FIRST and SECOND first in the environment: are they first in a child's?
        "environment" => {
            let output = Command::new("env").output().unwrap().stdout;
            output.starts_with(b"FIRST=\nSECOND=\n")
        }
        // Is there a child whose end sends no signal?
        "silent" => {
            extern "C" fn ends(_: *mut u8) -> c_int {
                0
            }
            let mut stack = vec![0u128; 4096];
            let top = stack.as_mut_ptr_range().end.cast();
            // SAFETY: the stack grows down, and the child has a copy of it.
            unsafe { clone(ends, top, 0, null_mut::<u8>()) != -1 }
        }
        _ => panic!("no such question: {question}"),
    };
    ExitCode::from(u8::from(!answer))
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// A set of signals in /proc/self/status of a child, which is not emulated (proc(5)).
fn status(name: &str) -> u64 {
    let output = Command::new("cat").arg("/proc/self/status").output().unwrap().stdout;
    let output = String::from_utf8(output).unwrap();
    let line = output.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    u64::from_str_radix(line.unwrap(), 16).unwrap()
}

fn block_all() {
    // SAFETY: reads a set.
    unsafe { sigprocmask(SIG_SETMASK, &[!0; 16], null_mut()) };
}

/// Whether a blocked signal arrives within a second.
fn arrives(signal: c_int) -> bool {
    let mut set = [0; 16];
    set[0] = 1 << (signal - 1);
    // SAFETY: reads a set and a time, and writes nothing.
    unsafe { sigtimedwait(&set, null_mut(), &[1, 0]) == signal }
}
