//! Looks at a program that is running (`--inspect`): what it was given at its start, and by which
//! loadline.
//!
//! What is read here lives until the process ends, because it prints one report and exits.

use crate::cgroup::SysRoot;
use crate::cgroup::counters::Counters;
use crate::cgroup::procfs::field;
use crate::cgroup::sysroot::{process_dir, process_file};
use crate::cli;
use crate::env::{self, GODEBUG, GOMAXPROCS, GOMEMLIMIT};
use crate::error::Error;
use crate::golang;
use crate::options::Format;
use crate::report::Explanation;
use crate::report::inspect::{Inspection, Usage, Variable};
use crate::sys::{self, Errno};
use crate::units::parse_integer;
use core::ffi::CStr;
use std::ffi::CString;
use std::os::fd::AsFd;

/// The process that is inspected if none is named.
const DEFAULT_PID: i32 = 1;

/// More than the kernel lets arguments and an environment grow to: 6 MiB (execve(2)).
const MAX_FILE: usize = 8 << 20;

/// What every loadline contains, of whatever version and wherever it is: the text of `--version`.
const SIGNATURE: &[u8] = b"loadline version ";

/// A program that is running, and how it was started.
pub struct RunningProgram {
    /// Its process ID.
    pid: i32,
    /// The file that it executes, if that is a Go program: its version.
    go_version: Option<&'static [u8]>,
    /// The process ID of its loadline. None if it has none, as with `--exec`.
    init: Option<i32>,
    /// The arguments of its loadline.
    pub arguments: &'static [&'static CStr],
    /// The environment that its loadline was started with, or the program itself if it has none.
    pub environment: &'static [&'static CStr],
    /// The environment that the program was started with; none if it cannot be read.
    given: Option<&'static [&'static CStr]>,
    /// What it sees, if it is in other cgroups than we are: in another container.
    elsewhere: Option<SysRoot<'static>>,
    /// What cannot be read.
    pub warnings: &'static [Error<'static>],
}

impl RunningProgram {
    /// Looks at a process, or at the program of a process that is loadline. It is process 1 if the
    /// operands of the command line name none.
    ///
    /// # Errors
    /// If there is no such process, if it is a loadline without a program, or if the operands are no
    /// process ID: `hint` is the end of that message.
    pub fn find(operands: &[&'static CStr], hint: &'static str) -> Result<Self, Error<'static>> {
        let invalid = |value: &'static CStr| Error::InvalidPid { value: value.to_bytes(), hint };
        let named = match operands {
            [] => DEFAULT_PID,
            [pid] => parse_pid(pid.to_bytes()).ok_or(invalid(pid))?,
            [_, other, ..] => return Err(invalid(other)),
        };
        let status = read(named, "status")?;
        let mut pid = named;
        let mut init = Some(named);
        let mut go_version = go_version(named);
        if go_version.is_none() && is_loadline(named) {
            let children = read(named, &format!("task/{named}/children"))?;
            // The oldest comes first, and that is the program: orphans are adopted later.
            let oldest = children.split(|byte| *byte == b' ').find_map(parse_pid);
            pid = oldest.ok_or(Error::NothingToInspect(named))?;
            go_version = self::go_version(pid);
        } else {
            let parent = field(status, b"PPid:").and_then(parse_pid);
            init = parent.filter(|parent| is_loadline(*parent));
        }
        let mut warnings = Vec::new();
        let mut strings =
            |pid, name| read(pid, name).map(c_strings).map_err(|error| warnings.push(error)).ok();
        let given = strings(pid, "environ");
        let [arguments, environment] = match init {
            Some(init) => [strings(init, "cmdline"), strings(init, "environ")],
            None => [None, given],
        };
        let [arguments, environment] = [arguments, environment].map(Option::unwrap_or_default);
        let is_beside_us = read(pid, "cgroup").ok() == read(sys::process_id(), "cgroup").ok();
        let elsewhere = (!is_beside_us)
            .then(|| SysRoot::of_process(process_dir(pid), process_file(pid, "root")));
        let warnings = warnings.leak();
        Ok(Self { pid, go_version, init, arguments, environment, given, elsewhere, warnings })
    }

    /// The file that it executes, if we cannot look up the name that it was started by: because it is in
    /// another container, or because no loadline started it.
    #[must_use]
    pub fn executed_file(&self) -> Option<&'static CStr> {
        let is_named = self.init.is_some() && self.elsewhere.is_none();
        (!is_named).then(|| process_file(self.pid, "exe"))
    }

    /// Its root directory, if it is in another container.
    #[must_use]
    pub fn root_elsewhere(&self) -> Option<&'static CStr> {
        self.elsewhere.map(|_| process_file(self.pid, "root"))
    }

    /// Where its limits are found. `directory` is the one of `--root`, if its loadline has that. In another
    /// container, that names a directory there, and nobody may choose one of ours.
    #[must_use]
    pub const fn sys_root(&self, directory: Option<&'static [u8]>) -> SysRoot<'static> {
        match self.elsewhere {
            Some(root) => root,
            None => SysRoot::new(directory),
        }
    }

    /// What there is to report. `now` is what would be decided now, and `assignments` the variables of that.
    #[must_use]
    pub fn inspection<'a>(
        &'a self,
        format: Format,
        mut counters: Counters<'_>,
        now: Explanation<'a>,
        assignments: &'a [CString],
    ) -> Inspection<'a> {
        let restarted = env::apply(self.environment, assignments);
        let bytes = |strings: &[&'static CStr]| strings.iter().map(|it| it.to_bytes()).collect();
        let mut settings: Vec<_> = bytes(self.environment);
        settings.retain(|entry| cli::is_setting(entry));
        Inspection {
            format,
            pid: self.pid,
            go_version: self.go_version,
            init: self.init,
            command: bytes(self.arguments),
            settings,
            variables: [GOMEMLIMIT, GOMAXPROCS, GODEBUG].map(|name| Variable {
                name,
                given: self.given.map(|given| env::lookup(given, name)),
                now: self.init.map(|_| env::lookup(&restarted, name)),
            }),
            usage: Usage {
                memory: counters.memory_use(),
                peak: counters.peak(),
                oom_kills: counters.oom_kills(),
                throttling: counters.throttling(),
            },
            now,
        }
    }
}

/// The version of Go that the program of a process was built with.
fn go_version(pid: i32) -> Option<&'static [u8]> {
    let file = sys::open(process_file(pid, "exe")).ok()?;
    let mut buffer = Vec::new();
    golang::read(file.as_fd(), &mut buffer).map(|go| &*go.version.to_vec().leak())
}

/// Whether a process executes a loadline.
fn is_loadline(pid: i32) -> bool {
    const FOUND: Errno = Errno(0);
    let mut find = |part: &[u8]| {
        if part.windows(SIGNATURE.len()).any(|window| window == SIGNATURE) {
            return Err(FOUND);
        }
        Ok(())
    };
    let file = sys::open(process_file(pid, "exe"));
    file.and_then(|file| sys::read_parts(file.as_fd(), b'\n', &mut Vec::new(), &mut find))
        == Err(FOUND)
}

/// Reads a file about a process.
fn read(pid: i32, name: &str) -> Result<&'static [u8], Error<'static>> {
    let path = process_file(pid, name);
    let mut content = Vec::new();
    match sys::open(path).and_then(|file| sys::read_file(file.as_fd(), &mut content, MAX_FILE)) {
        Ok(()) => Ok(content.leak()),
        Err(cause) => Err(Error::UnreadableFile { path: path.to_bytes(), cause }),
    }
}

fn parse_pid(text: &[u8]) -> Option<i32> {
    parse_integer(text)?.try_into().ok()
}

/// The strings in a file of proc(5) such as `environ`, each with a NUL at its end.
fn c_strings(text: &'static [u8]) -> &'static [&'static CStr] {
    let strings = text.split_inclusive(|byte| *byte == 0);
    strings.filter_map(|string| CStr::from_bytes_with_nul(string).ok()).collect::<Vec<_>>().leak()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_container_chooses_no_directory_of_ours() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid: &'static CStr =
            Box::leak(CString::new(child.id().to_string()).unwrap().into_boxed_c_str());
        let found = RunningProgram::find(&[pid], "");
        child.kill().unwrap();
        child.wait().unwrap();
        let Ok(mut running) = found else { panic!("{pid:?} is not found") };
        assert_eq!(running.sys_root(Some(b"/x")), SysRoot::at(b"/x"));
        let elsewhere = SysRoot::of_process(b"/proc/7", c"/proc/7/root");
        running.elsewhere = Some(elsewhere);
        assert_eq!(running.sys_root(Some(b"/x")), elsewhere);
    }
}
