//! Asks of the machine below what an emulator may not do as the kernel does: `emulator QUESTION`
//! exits with 0 where the answer is the kernel's. A program of its own, without anything of loadline.

use std::env;
use std::ffi::c_int;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, id};
use std::ptr::null_mut;

/// Signals as the C library passes them to the kernel: bit n-1 of the first word is signal n.
type Set = [u64; 16];

const SIG_SETMASK: c_int = 2;
const SIGINT: c_int = 2;
const SIGCONT: c_int = 18;
const PR_SET_CHILD_SUBREAPER: c_int = 36;

unsafe extern "C" {
    fn kill(process: c_int, signal: c_int) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn sigprocmask(how: c_int, new: *const Set, old: *mut Set) -> c_int;
    fn sigtimedwait(set: *const Set, info: *mut u8, timeout: *const [i64; 2]) -> c_int;
}

fn main() -> ExitCode {
    let question = env::args().nth(1).unwrap_or_default();
    let answer = match question.as_str() {
        // SAFETY: takes integers.
        "subreaper" => unsafe { prctl(PR_SET_CHILD_SUBREAPER, 1usize, 0usize, 0usize, 0usize) == 0 },
        // The first realtime signal of the C library that a shell has.
        "realtime" => shell("kill -34 $$").status().unwrap().signal() == Some(34),
        // To be started with SIGINT ignored: is it for a child?
        "ignored" => status("SigIgn") >> (SIGINT - 1) & 1 == 1,
        // All that can be blocked is for a child.
        "faults" => {
            block_all();
            status("SigBlk") == !(1 << (9 - 1) | 1 << (19 - 1))
        }
        // A signal of the C library's own.
        "reserved" => {
            block_all();
            shell(&format!("kill -32 {}", id())).status().unwrap();
            arrives(32, 1)
        }
        // SIGCONT is pending where it is blocked.
        "continued" => {
            block_all();
            // SAFETY: takes integers.
            unsafe { kill(id() as c_int, SIGCONT) };
            arrives(SIGCONT, 0)
        }
        // To be started with an environment that begins with FIRST and SECOND: does a child's?
        "environment" => {
            let output = Command::new("env").output().unwrap().stdout;
            output.starts_with(b"FIRST=\nSECOND=\n")
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

/// A set of signals in the status of a child, which is a program of this machine (proc(5)).
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

fn arrives(signal: c_int, seconds: i64) -> bool {
    let mut set = [0; 16];
    set[0] = 1 << (signal - 1);
    // SAFETY: reads a set and a time; nothing is to be written.
    unsafe { sigtimedwait(&set, null_mut(), &[seconds, 0]) == signal }
}
