//! What is watched while the program runs (`--on-resize`, `--memory-warn`): waits for what the kernel
//! tells of it, and says what is to be done.

use super::pressure::REARM_DELAY;
use super::{Monitor, sys_root};
use crate::cgroup;
use crate::cgroup::counters::Counters;
use crate::cgroup::pressure::MemoryPressureFiles;
use crate::cgroup::sysroot::executable_of;
use crate::deadline;
use crate::error::Error;
use crate::golang;
use crate::options::{OnResize, Options};
use crate::policy;
use crate::report::oom::OomContext;
use crate::report::pressure::PressureWarning;
use crate::report::resize::{Change, ResizeReport};
use crate::stderr::{LogLevel, Stderr};
use crate::sys::{self, Errno, Poller, Ready};
use crate::units::Bytes;
use core::mem::replace;
use core::time::Duration;
use std::os::fd::BorrowedFd;
use std::time::Instant;

/// How long after the first write to a limit it is decided again. Whoever changes limits writes to
/// more than one file.
const DEBOUNCE: Duration = Duration::from_millis(250);

/// How often the counters are read again before they are believed.
const STALE_READS: u32 = 32;

/// What is watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct LiveMonitor {
    poller: Poller,
    /// The program's file, which tells how it was built.
    program: Option<BorrowedFd<'static>>,
    /// When the limits are evaluated again.
    reevaluate_at: Option<Instant>,
    memory: Option<MemoryMonitor>,
}

/// What is watched for `--memory-warn`.
#[derive(Clone, Copy, Debug)]
struct MemoryMonitor {
    files: MemoryPressureFiles,
    /// When the files were last read, and what could not be reclaimed then.
    last: (Instant, Bytes),
    /// From when on an event counts.
    armed_at: Option<Instant>,
    /// Whether usage is predicted to reach the threshold within a minute. If so, it is checked when
    /// that time comes even without an event: an allocation that consumes pages as fast as they are
    /// reclaimed causes none until the OOM kill.
    is_predicted: bool,
    is_check_due: bool,
}

impl Monitor {
    /// Begins to watch what the options ask for. What cannot be watched is logged, and the rest goes
    /// on.
    pub(super) fn start_live(&mut self, child_pid: i32, options: &Options, stderr: &mut Stderr) {
        let watches_limits = options.on_resize != OnResize::Ignore;
        if !watches_limits && !options.memory_warn {
            return;
        }
        let mut warn = |option, cause| {
            stderr.log(LogLevel::Warning, &Error::Watch { option, cause });
        };
        // First, because reading them takes a descriptor for a moment.
        let root = sys_root(options);
        let limits = cgroup::read(&root);
        let mut poller = match Poller::new() {
            Ok(poller) => poller,
            Err(cause) => return warn("--on-resize or --memory-warn", cause),
        };
        let mut reevaluate_at = None;
        if watches_limits {
            // At once: what has changed since the start was not seen.
            reevaluate_at = Some(Instant::now());
            let mut result = Ok(());
            cgroup::for_each_limit_file(
                &root,
                &limits,
                &mut |file| match poller.watch_file(file) {
                    Err(cause) if !cause.is_not_found() => result = Err(cause),
                    _ => {}
                },
            );
            if let Err(cause) = result {
                warn("--on-resize", cause);
            }
        }
        let mut memory = None;
        if options.memory_warn {
            let mut counters = Counters::new(&root, &limits);
            let file = counters.limiting_file(b"memory.events").ok_or(Errno(libc::ENOENT));
            match file.and_then(|file| poller.watch_memory_events(file)) {
                Ok(()) => {
                    let now = Instant::now();
                    memory = Some(MemoryMonitor {
                        files: MemoryPressureFiles::open(&mut counters),
                        last: (now, Bytes(0)),
                        armed_at: Some(now),
                        is_predicted: false,
                        is_check_due: false,
                    });
                }
                Err(cause) => warn("--memory-warn", cause),
            }
        }
        let program = executable_of(child_pid.unsigned_abs());
        let program = program.and_then(|path| sys::open(&path).ok()).map(sys::keep_open);
        self.live = Some(LiveMonitor { poller, program, reevaluate_at, memory });
        if options.memory_warn && memory.is_some() {
            sys::prefault_stack();
            // To have something to compare with.
            self.check_memory(stderr);
        }
    }

    /// Waits for what is watched or for a signal. Returns false at once if nothing is watched.
    pub fn wait(&mut self, timeout: Option<Duration>) -> bool {
        let Some(live) = &mut self.live else {
            return false;
        };
        let mut timeout = deadline::shorter(timeout, deadline::remaining(live.reevaluate_at));
        let armed_at = live.memory.and_then(|memory| memory.armed_at);
        let is_armed = deadline::has_passed(armed_at);
        if !is_armed {
            timeout = deadline::shorter(timeout, deadline::remaining(armed_at));
        }
        let interest = Ready { file_written: live.reevaluate_at.is_none(), memory_event: is_armed };
        let ready = live.poller.wait(interest, timeout);
        if ready.file_written {
            live.reevaluate_at = deadline::after(DEBOUNCE);
        }
        if let Some(memory) = &mut live.memory {
            let is_time = memory.is_predicted && deadline::has_passed(memory.armed_at);
            memory.is_check_due = ready.memory_event || is_time;
        }
        true
    }

    /// Handles what is due, and returns what is left to the caller; none if nothing was due.
    ///
    /// Not inlined: keeps its large frame off the idle loop's stack (20 kB resident otherwise).
    #[inline(never)]
    pub fn handle_events(&mut self, options: &Options, stderr: &mut Stderr) -> Option<OnResize> {
        let live = self.live.as_mut()?;
        if let Some(memory) = &mut live.memory
            && replace(&mut memory.is_check_due, false)
        {
            live.poller.rearm_memory_events();
            let next_check_in = self.check_memory(stderr).unwrap_or(REARM_DELAY);
            if let Some(memory) = self.live.as_mut().and_then(|live| live.memory.as_mut()) {
                memory.armed_at = deadline::after(next_check_in);
                memory.is_predicted = next_check_in < REARM_DELAY;
            }
            return Some(OnResize::Ignore);
        }
        if !deadline::has_passed(live.reevaluate_at) {
            return None;
        }
        live.reevaluate_at = None;
        // Before the limits are read: what is written later causes another event.
        live.poller.drain_inotify();
        Some(self.reevaluate(options, stderr))
    }

    /// Checks how much memory is in use, and warns if it is running out. Returns how long no check is
    /// needed, if it is not.
    ///
    /// Never inlined, so it always uses the stack pages that `prefault_stack` has touched: under
    /// memory pressure a new page may not be available.
    #[inline(never)]
    fn check_memory(&mut self, stderr: &mut Stderr) -> Option<Duration> {
        let memory = self.live.as_mut()?.memory.as_mut()?;
        let mut usage = memory.files.read()?;
        // Before Linux 6.8, memory.stat is stale while another task flushes it
        // (mem_cgroup_flush_stats). That takes no longer than this.
        for _ in 0..STALE_READS {
            if usage.is_critical() {
                break;
            }
            usage = memory.files.read()?;
        }
        let (time, unreclaimable) =
            replace(&mut memory.last, (Instant::now(), usage.unreclaimable));
        if !usage.is_critical() {
            return Some(usage.next_check_in(unreclaimable, time.elapsed()));
        }
        let context = OomContext {
            limit: Some(usage.limit),
            limit_file: None,
            limit_at_start: self.before.memory_limit,
            peak: None,
            gomemlimit: self.gomemlimit,
        };
        let warning = PressureWarning { unreclaimable: usage.unreclaimable, context };
        stderr.log(LogLevel::Warning, &warning);
        self.termination_log.write(&warning, stderr);
        None
    }

    /// Decides again from the limits that there are now.
    fn reevaluate(&mut self, options: &Options, stderr: &mut Stderr) -> OnResize {
        let limits = cgroup::read(&sys_root(options));
        let mut buffer = Vec::new();
        let program = self.live.and_then(|live| live.program);
        let program = program.and_then(|file| golang::read(file, &mut buffer));
        let plan = policy::decide(&options.tuning, &limits, self.go_env, program, Vec::new());
        let before = self.applied;
        let now = before.updated_by(&plan);
        // The program may be another one by now, such as one that a wrapper has executed, and the
        // decision another one for it. Only new limits count.
        if now.has_limits_of(&before) {
            return OnResize::Ignore;
        }
        self.applied = now;
        // If the program would get the same values, it need not know.
        let is_affected = !now.announces_same_as(&before);
        let action = if is_affected { options.on_resize } else { OnResize::Ignore };
        let memory = Change { before: before.memory.limit, now: now.memory.limit };
        let cpu = Change { before: before.cpu.limit, now: now.cpu.limit };
        stderr.log(LogLevel::Warning, &ResizeReport { memory, cpu, plan: &plan, action });
        action
    }
}
