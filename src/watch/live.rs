//! Follows the limits and the memory of a program while it runs, where that was asked for: waits
//! for what the kernel tells of them, and says what is to be done.

use super::resize::Resized;
use super::shortage::{DEAF, Shortage};
use super::{Circumstances, Watch};
use crate::cgroup;
use crate::cgroup::counters::Counters;
use crate::cgroup::gauge::Gauge;
use crate::cli::{OnResize, Options};
use crate::error::Error;
use crate::gobinary;
use crate::limits::Limits;
use crate::policy;
use crate::stderr::{Stderr, WARNING};
use crate::sys::{Errno, Events, File, NEVER, SECOND, Told, c_str, now, touch_stack, until};
use crate::text::{Out, Put, put};
use crate::units::Micros;
use core::mem::{ManuallyDrop, replace};

/// How long after the first write to a limit it is decided again: who changes limits writes to more
/// than one file, and may be at it for a while.
const DEBOUNCE: Micros = SECOND / 4;

/// How often the counters are read again before they are taken for true.
const AGAIN: u32 = 32;

/// What is waited for.
#[derive(Debug)]
pub(super) struct Live {
    events: Events,
    /// The program's file, by which it is known how it was built. It stays open.
    program: Option<ManuallyDrop<File>>,
    /// From when on notice of a want of memory counts.
    listens_from: Micros,
    is_short: bool,
    /// Whether a want of memory is foreseen: then it is looked for when that time comes, without
    /// notice too. Who grows takes what was reclaimed at once in silence, and gets notice when it is
    /// too late.
    is_foreseen: bool,
    gauge: Option<Gauge>,
    /// When that was read last, and how many bytes were there to stay.
    looked: (Micros, u64),
    /// When it is to be decided again.
    decide_at: Micros,
}

impl Watch {
    /// Begins to follow what is asked for. What cannot be had is said, and the rest goes on.
    pub(super) fn follow(&mut self, program: i32, options: &Options, stderr: &mut Stderr) {
        let resizes = options.on_resize != OnResize::Ignore;
        if !resizes && !options.memory_warn {
            return;
        }
        let mut failed = |option, cause| stderr.at(WARNING, &Error::Watch { option, cause });
        // First, as it takes a descriptor for a moment.
        let limits = limits(options);
        let mut events = match Events::new() {
            Ok(events) => events,
            Err(cause) => return failed("--on-resize or --memory-warn", cause),
        };
        let mut decide_at = NEVER;
        if resizes {
            // What has changed since the start was not seen.
            decide_at = 0;
            let mut result = Ok(());
            cgroup::files(&options.root(), &limits, &mut |file| match events.add_changes(file) {
                Err(cause) if !cause.is_absence() => result = Err(cause),
                _ => {}
            });
            if let Err(cause) = result {
                failed("--on-resize", cause);
            }
        }
        let (mut gauge, mut listens_from) = (None, NEVER);
        if options.memory_warn {
            let mut counters = Counters::new(&options.root(), &limits);
            let file = counters.limiting_file(b"memory.events").ok_or(Errno(libc::ENOENT));
            match file.and_then(|file| events.add_notice(file)) {
                Ok(()) => (gauge, listens_from) = (Some(Gauge::open(&mut counters)), 0),
                Err(cause) => failed("--memory-warn", cause),
            }
        }
        let mut path = Out::default();
        put!(&mut path, "/proc/", program.unsigned_abs(), "/exe");
        path.bytes(b"\0");
        let program = c_str(&path.into_bytes()).and_then(File::open).map(ManuallyDrop::new);
        self.live = Some(Live {
            events,
            program,
            listens_from,
            is_short: false,
            is_foreseen: false,
            gauge,
            looked: (0, 0),
            decide_at,
        });
        if listens_from == 0 {
            touch_stack();
            // To have something to compare with.
            self.look(options, stderr);
        }
    }

    /// Waits for what is followed or for a signal, at most for `time`; returns at once with `false`
    /// if nothing is followed.
    pub fn wait(&mut self, time: Micros) -> bool {
        let Some(live) = &mut self.live else {
            return false;
        };
        let deaf = until(live.listens_from);
        let wanted = Told { change: live.decide_at == NEVER, notice: deaf == 0 };
        let mut time = time.min(until(live.decide_at));
        if deaf > 0 {
            time = time.min(deaf);
        }
        let told = live.events.wait(wanted, time);
        if told.change {
            live.decide_at = now().saturating_add(DEBOUNCE);
        }
        let is_time = live.is_foreseen && until(live.listens_from) == 0;
        live.is_short = told.notice || is_time;
        true
    }

    /// Does what is due, if anything is, but for what it returns. In a frame of its own, as it is asked
    /// each time and mostly does nothing.
    #[inline(never)]
    pub fn act(&mut self, options: &Options, stderr: &mut Stderr) -> Option<OnResize> {
        let live = self.live.as_mut()?;
        if live.is_short {
            live.is_short = false;
            live.events.take_notice();
            let pause = self.look(options, stderr).unwrap_or(DEAF);
            if let Some(live) = &mut self.live {
                live.listens_from = now().saturating_add(pause);
                live.is_foreseen = pause < DEAF;
            }
            return Some(OnResize::Ignore);
        }
        if until(live.decide_at) > 0 {
            return None;
        }
        live.decide_at = NEVER;
        // Before they are read: what is written later is told again.
        live.events.take_changes();
        Some(self.decide(options, stderr))
    }

    /// Looks how full memory is, says it if it runs out, and returns how long not to look again. In a
    /// frame of its own, as deep each time: a page for it may be what is not there any more.
    #[inline(never)]
    fn look(&mut self, options: &Options, stderr: &mut Stderr) -> Option<Micros> {
        let live = self.live.as_mut()?;
        let gauge = live.gauge.as_ref()?;
        let mut level = gauge.read()?;
        // While the one who reclaims brings the counters up to date, others are shown what they were
        // (mem_cgroup_flush_stats before Linux 6.8). That takes no longer than this.
        for _ in 0..AGAIN {
            if level.is_short() {
                break;
            }
            level = gauge.read()?;
        }
        let (time, before) = replace(&mut live.looked, (now(), level.lasting));
        if !level.is_short() {
            return Some(level.pause(before, live.looked.0.saturating_sub(time)));
        }
        let circumstances = Circumstances {
            limit: Some((level.limit, b"")),
            limit_before: self.before.memory_limit,
            peak: None,
            go: self.go,
        };
        let message = Shortage { level, circumstances };
        stderr.at(WARNING, &message);
        self.log(options, Some(&message), stderr);
        None
    }

    /// Decides again from the limits there are now.
    fn decide(&mut self, options: &Options, stderr: &mut Stderr) -> OnResize {
        let mut buffer = Vec::new();
        let limits = limits(options);
        let program = self.live.as_ref().and_then(|live| live.program.as_ref());
        let go = program.and_then(|file| gobinary::read(file, &mut buffer));
        let plan = ManuallyDrop::new(policy::decide(
            &options.tuning,
            &limits,
            self.present,
            go,
            Vec::new(),
        ));
        let before = self.seen;
        let now = before.again(&plan);
        // By another program, such as one that a wrapper has become, it may be decided otherwise.
        if now.limits == before.limits {
            return OnResize::Ignore;
        }
        self.seen = now;
        // Where the program would be told the same, it need not know.
        let is_told = now.told != before.told;
        let act = if is_told { options.on_resize } else { OnResize::Ignore };
        stderr.at(WARNING, &Resized { before, now, plan: &plan, act });
        act
    }
}

/// The limits there are now. What is allocated here is taken back with all else ([`Started::supervise`]).
///
/// [`Started::supervise`]: crate::supervise::Started::supervise
fn limits(options: &Options) -> ManuallyDrop<Limits> {
    ManuallyDrop::new(cgroup::read(&options.root(), &mut Vec::new()))
}
