//! Watches the limits and the memory while the program runs (`--on-resize`, `--memory-warn`): waits
//! for events of the kernel, and tells the caller what to do.

use super::pressure::REARM_DELAY;
use super::{Monitor, sys_root};
use crate::cgroup;
use crate::cgroup::counters::Counters;
use crate::cgroup::pressure::MemoryPressureFiles;
use crate::deadline;
use crate::error::Error;
use crate::options::{OnResize, Options};
use crate::policy;
use crate::report::oom::OomContext;
use crate::report::pressure::PressureWarning;
use crate::report::resize::{Change, ResizeReport};
use crate::stderr::{LogLevel, Stderr};
use crate::sys::{self, Errno, PollEvents, Poller, Timestamp};
use crate::units::Bytes;
use core::mem::replace;
use core::time::Duration;

/// The delay from the first write to a limit file to the new decision. A resize writes several files.
const DEBOUNCE: Duration = Duration::from_millis(250);

/// How often the counters are read again before they are believed.
const STALE_READS: u32 = 32;

/// What is watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watcher {
    poller: Poller,
    /// When the limits are evaluated again.
    reevaluate_at: Option<Timestamp>,
    /// Whether that is because a file could not be read.
    is_retry: bool,
    memory: Option<MemoryWatch>,
}

/// What is watched for `--memory-warn`.
#[derive(Clone, Copy, Debug)]
struct MemoryWatch {
    files: MemoryPressureFiles,
    /// When the files were last read, and what could not be reclaimed then.
    last: (Timestamp, Bytes),
    /// From when on an event counts.
    armed_at: Option<Timestamp>,
    /// Whether usage is predicted to reach the threshold within a minute. If so, it is checked when
    /// that time comes even without an event: an allocation that consumes pages as fast as they are
    /// reclaimed causes none until the OOM kill.
    is_predicted: bool,
    is_check_due: bool,
}

impl Monitor {
    /// Begins to watch what the options ask for. What cannot be watched is logged, and the rest goes
    /// on.
    pub(super) fn start_watching(&mut self, options: &Options, stderr: &mut Stderr) {
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
            // At once, because changes since the start were not seen.
            reevaluate_at = Some(Timestamp::now());
            // Without the list of our cgroups no file is known.
            let is_nothing_known = limits.memory.files.is_empty() && limits.cpu.files.is_empty();
            let problem = limits.problem().filter(|_| is_nothing_known);
            let mut result = problem.map_or(Ok(()), Err);
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
            let no_cgroup = limits.problem().unwrap_or(Errno(libc::ENOENT));
            let file = counters.limiting_file(b"memory.events").ok_or(no_cgroup);
            let watched = file.and_then(|file| poller.watch_memory_events(file));
            match watched.and_then(|()| MemoryPressureFiles::open(&mut counters)) {
                Ok(files) => {
                    let now = Timestamp::now();
                    memory = Some(MemoryWatch {
                        files,
                        last: (now, Bytes(0)),
                        armed_at: Some(now),
                        is_predicted: false,
                        is_check_due: false,
                    });
                }
                Err(cause) => warn("--memory-warn", cause),
            }
        }
        self.watcher = Some(Watcher { poller, reevaluate_at, is_retry: false, memory });
        if options.memory_warn && memory.is_some() {
            sys::prefault_stack();
            // To have something to compare with.
            self.check_memory(stderr);
        }
    }

    /// Waits for what is watched or for a signal. Returns false at once if nothing is watched.
    pub fn wait(&mut self, timeout: Option<Duration>) -> bool {
        let Some(watcher) = &mut self.watcher else {
            return false;
        };
        let mut timeout = deadline::shorter(timeout, deadline::remaining(watcher.reevaluate_at));
        let armed_at = watcher.memory.and_then(|memory| memory.armed_at);
        let is_armed = deadline::has_passed(armed_at);
        // A predicted check must not be missed, even if its time has passed meanwhile.
        let is_predicted = watcher.memory.is_some_and(|memory| memory.is_predicted);
        if !is_armed || is_predicted {
            timeout = deadline::shorter(timeout, deadline::remaining(armed_at));
        }
        let interest =
            PollEvents { file_written: watcher.reevaluate_at.is_none(), memory_event: is_armed };
        let ready = watcher.poller.wait(interest, timeout);
        if ready.file_written {
            watcher.reevaluate_at = deadline::after(DEBOUNCE);
        }
        if let Some(memory) = &mut watcher.memory {
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
        let watcher = self.watcher.as_mut()?;
        if let Some(memory) = &mut watcher.memory
            && replace(&mut memory.is_check_due, false)
        {
            watcher.poller.rearm_memory_events();
            let next_check_in = self.check_memory(stderr).unwrap_or(REARM_DELAY);
            if let Some(memory) = self.watcher.as_mut().and_then(|watcher| watcher.memory.as_mut())
            {
                memory.armed_at = deadline::after(next_check_in);
                memory.is_predicted = next_check_in < REARM_DELAY;
            }
            return Some(OnResize::Ignore);
        }
        if !deadline::has_passed(watcher.reevaluate_at) {
            return None;
        }
        watcher.reevaluate_at = None;
        // Before the limits are read: what is written later causes another event.
        watcher.poller.drain_inotify();
        Some(self.reevaluate(options, stderr))
    }

    /// Checks how much memory is in use, and warns if it is running out. Returns the time until the
    /// next check; none after a warning, or if the usage is unknown.
    ///
    /// Never inlined, so it always uses the stack pages that `prefault_stack` has touched: under
    /// memory pressure a new page may not be available.
    #[inline(never)]
    fn check_memory(&mut self, stderr: &mut Stderr) -> Option<Duration> {
        let memory = self.watcher.as_mut()?.memory.as_mut()?;
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
            replace(&mut memory.last, (Timestamp::now(), usage.unreclaimable));
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
        let root = sys_root(options);
        let mut limits = cgroup::read(&root);
        if let Some(watcher) = &mut self.watcher {
            // What cannot be read may have changed, and nothing announces that again. Once more.
            watcher.is_retry = !watcher.is_retry && limits.problem().is_some();
            if watcher.is_retry {
                watcher.reevaluate_at = deadline::after(DEBOUNCE);
                // As far as we know, the limits are as they were.
                return OnResize::Ignore;
            }
        }
        let Self { go_env, runtime, applied: before, .. } = *self;
        if let Some(rule) = policy::runtime_rule(&options.tuning, &limits, go_env, runtime) {
            limits.runtime_quota = Some(cgroup::runtime_quota(&root, &limits, rule));
        }
        let plan = policy::decide(&options.tuning, &limits, go_env, runtime, Vec::new());
        let now = before.updated_by(&plan);
        if now.has_limits_of(&before) {
            return OnResize::Ignore;
        }
        self.applied = now;
        // If the program would get the same values, it need not know.
        let is_affected = !now.has_start_values_of(&before);
        let action = if is_affected { options.on_resize } else { OnResize::Ignore };
        let memory = Change { before: before.memory.limit, now: now.memory.limit };
        let cpu = Change { before: before.cpu.limit, now: now.cpu.limit };
        stderr.log(LogLevel::Warning, &ResizeReport { memory, cpu, plan: &plan, action });
        action
    }
}
