//! Runs a command in a new memory and CPU cgroup, as a container runtime does, and removes the cgroup
//! when the command exits. Use it to try a program with limits, in a test or in a shell.
//!
//! ```text
//! confine [--memory EXPECTED_SIZE] [--cpus EXPECTED_CPUS] [--report FILE] [--] COMMAND [ARGS...]
//! ```
//!
//! The report is JSON: how the command ended, the peak memory, the number of OOM kills, and how long the
//! command was throttled. Other processes in the cgroup are killed when the command exits. SIGINT,
//! SIGTERM, SIGHUP and SIGQUIT are forwarded to the command. The exit code is that of the command, 128+n
//! for a signal, or 125 if the cgroup cannot be created.
//!
//! The cgroup is `loadline-PID` at the root of the hierarchy: v1, or v2 if the root enables the memory and
//! cpu controllers.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::{Cgroup, Controller, hierarchies};
use loadline::units::{self, Bytes, CpuQuota};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: confine [--memory EXPECTED_SIZE] [--cpus EXPECTED_CPUS] [--report FILE] [--] COMMAND [ARGS...]";
/// The exit code if no command was run, as of docker and env.
const NOT_STARTED: u8 = 125;

fn main() -> ExitCode {
    let ended = Options::parse().and_then(|options| run(&options)).unwrap_or_else(|error| {
        eprintln!("confine: {error}");
        i32::from(NOT_STARTED)
    });
    ExitCode::from(u8::try_from(ended).unwrap_or(NOT_STARTED))
}

struct Options {
    memory: Option<Bytes>,
    cpus: Option<CpuQuota>,
    report: Option<PathBuf>,
    command: OsString,
    arguments: Vec<OsString>,
}

impl Options {
    fn parse() -> Result<Self> {
        let (mut memory, mut cpus, mut report) = (None, None, None);
        let mut arguments = std::env::args_os().skip(1).peekable();
        while let Some(option) = arguments.next_if(|argument| is_option(argument)) {
            let mut value = || arguments.next().ok_or(USAGE);
            match option.as_encoded_bytes() {
                b"--memory" => {
                    memory = Some(
                        units::parse_size(value()?.as_encoded_bytes())
                            .ok_or_else(|| format!("--memory takes {}", units::EXPECTED_SIZE))?,
                    );
                }
                b"--cpus" => {
                    cpus = Some(
                        units::parse_cpus(value()?.as_encoded_bytes())
                            .ok_or_else(|| format!("--cpus takes {}", units::EXPECTED_CPUS))?,
                    );
                }
                b"--report" => report = Some(value()?.into()),
                b"--" => break,
                _ => return Err(USAGE.into()),
            }
        }
        let command = arguments.next().ok_or(USAGE)?;
        Ok(Self { memory, cpus, report, command, arguments: arguments.collect() })
    }
}

fn is_option(argument: &OsStr) -> bool {
    argument.as_encoded_bytes().starts_with(b"-")
}

/// Runs the command and returns the exit code.
fn run(options: &Options) -> Result<i32> {
    // Blocked and then waited for, so that no signal ends this process before the cgroup is removed.
    let forwarded = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
    let awaited: SigSet = forwarded.into_iter().chain([Signal::SIGCHLD]).collect();
    let inherited = SigSet::thread_get_mask()?;
    awaited.thread_block()?;

    let confinement = Confinement::new(options.memory, options.cpus)?;
    let entrances = confinement.entrances()?;
    let mut command = Command::new(&options.command);
    command.args(&options.arguments);
    // SAFETY: between fork and exec the closure only writes to open files and sets the signal
    // mask: it takes no lock and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            // The child moves itself, so that all its memory is charged to the cgroup.
            for entrance in &entrances {
                nix::unistd::write(entrance, b"0")?;
            }
            inherited.thread_set_mask()?;
            Ok(())
        });
    }
    let started = Instant::now();
    let mut child =
        command.spawn().map_err(|error| format!("{}: {error}", options.command.display()))?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);

    let status = loop {
        match awaited.wait()? {
            Signal::SIGCHLD => {
                if let Some(status) = child.try_wait()? {
                    break status;
                }
            }
            signal => match kill(pid, signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => eprintln!("confine: cannot forward {signal}: {error}"),
            },
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    confinement.kill_all();

    if let Some(report) = &options.report {
        let ending = json!({
            "exit_code": status.code(),
            "signal": status.signal().and_then(|n| Signal::try_from(n).ok()).map(Signal::as_str),
            "seconds": seconds,
            "memory": {
                "limit_bytes": options.memory.map(|Bytes(bytes)| bytes),
                "peak_bytes": confinement.peak(),
                "oom_kills": confinement.oom_kills(),
            },
            "cpu": {
                "limit_cpus": options.cpus.map(|cpus| cpus.quota as f64 / cpus.period.get() as f64),
                "periods": confinement.cpu_count("nr_periods"),
                "throttled_periods": confinement.cpu_count("nr_throttled"),
                "throttled_seconds": confinement.throttled_seconds(),
            },
        });
        fs::write(report, format!("{ending:#}\n"))
            .map_err(|error| format!("{}: {error}", report.display()))?;
    }
    Ok(status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1))
}

/// The number after a name at the beginning of a line.
fn count(lines: &str, name: &str) -> Option<u64> {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    lines.lines().find_map(value)
}

/// A cgroup that is removed when the value is dropped.
struct Confinement {
    cgroup: Cgroup,
    v2: bool,
}

impl Confinement {
    fn new(memory: Option<Bytes>, cpus: Option<CpuQuota>) -> Result<Self> {
        let mut controllers = vec!["memory".to_owned()];
        if cpus.is_some() {
            controllers.push("cpu".to_owned());
        }
        let hierarchy = hierarchies::auto();
        let v2 = hierarchy.v2();
        let mounted: Vec<_> = hierarchy.subsystems().iter().map(|s| s.controller_name()).collect();
        for controller in &controllers {
            if !mounted.contains(controller) {
                return Err(format!(
                    "there is no cgroup hierarchy with the {controller} controller here"
                )
                .into());
            }
        }
        let name = format!("loadline-{}", std::process::id());
        let cgroup = Cgroup::load_with_specified_controllers(hierarchy, &name, controllers);
        let confinement = Self { cgroup, v2 };
        confinement.cgroup.create().map_err(|error| {
            let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            format!("cannot create the cgroup {name}: {cause}")
        })?;

        let memory_controller = confinement.controller::<MemController>()?;
        confinement.check_enabled(memory_controller.path(), "memory", "memory.max")?;
        if let Some(limit) = memory.map(|Bytes(bytes)| i64::try_from(bytes)).transpose()? {
            memory_controller.set_limit(limit)?;
            // With swap, a process would be slowed down instead of killed. The file is missing if the
            // kernel does not count swap.
            let (file, limit) =
                if v2 { ("memory.swap.max", 0) } else { ("memory.memsw.limit_in_bytes", limit) };
            if memory_controller.path().join(file).exists() {
                memory_controller.set_memswap_limit(limit)?;
            }
        }
        if let Some(CpuQuota { quota, period }) = cpus {
            const PERIOD: u64 = 100_000;
            let time = quota.saturating_mul(PERIOD) / period;
            let cpu_controller = confinement.controller::<CpuController>()?;
            confinement.check_enabled(cpu_controller.path(), "cpu", "cpu.max")?;
            cpu_controller.set_cfs_quota_and_period(Some(i64::try_from(time)?), Some(PERIOD))?;
        }
        Ok(confinement)
    }

    fn controller<'a, T>(&'a self) -> Result<&'a T>
    where
        &'a T: From<&'a cgroups_rs::fs::Subsystem>,
        T: Controller + cgroups_rs::fs::ControllIdentifier,
    {
        self.cgroup.controller_of().ok_or_else(|| "the controller is gone".into())
    }

    /// On v2 a controller exists only if the parent enables it for its children, which a cgroup with
    /// processes cannot do (cgroups(7), "no internal processes").
    fn check_enabled(&self, cgroup: &Path, controller: &str, file: &str) -> Result<()> {
        if !self.v2 || cgroup.join(file).exists() {
            return Ok(());
        }
        let parent = cgroup.parent().unwrap_or(cgroup);
        Err(format!(
            "{0} does not enable the {controller} controller for its children: it may contain \
             processes, or {0}/cgroup.subtree_control may not be writable",
            parent.display()
        )
        .into())
    }

    fn directories(&self) -> impl Iterator<Item = &Path> {
        self.cgroup.subsystems().iter().map(|subsystem| subsystem.to_controller().path())
    }

    /// The files that a process writes to in order to enter.
    fn entrances(&self) -> Result<Vec<File>> {
        let open = |directory: &Path| {
            let entrance = directory.join("cgroup.procs");
            let file = OpenOptions::new().write(true).open(&entrance);
            file.map_err(|error| format!("{}: {error}", entrance.display()).into())
        };
        self.directories().map(open).collect()
    }

    /// A file of the memory controller.
    fn memory_file(&self, v1: &str, v2: &str) -> Option<String> {
        let controller = self.controller::<MemController>().ok()?;
        fs::read_to_string(controller.path().join(if self.v2 { v2 } else { v1 })).ok()
    }

    /// The peak memory, if the kernel records it.
    fn peak(&self) -> Option<u64> {
        self.memory_file("memory.max_usage_in_bytes", "memory.peak")?.trim().parse().ok()
    }

    /// The number of OOM kills.
    fn oom_kills(&self) -> Option<u64> {
        count(&self.memory_file("memory.oom_control", "memory.events")?, "oom_kill")
    }

    /// A value of cpu.stat, which a cgroup without a quota may not have.
    fn cpu_count(&self, name: &str) -> Option<u64> {
        let controller = self.controller::<CpuController>().ok()?;
        count(&fs::read_to_string(controller.path().join("cpu.stat")).ok()?, name)
    }

    /// How long threads were throttled, summed over the processors.
    fn throttled_seconds(&self) -> Option<f64> {
        let time = if self.v2 {
            Duration::from_micros(self.cpu_count("throttled_usec")?)
        } else {
            Duration::from_nanos(self.cpu_count("throttled_time")?)
        };
        Some(time.as_secs_f64())
    }

    /// Kills all processes in the cgroup, and waits until they are gone.
    fn kill_all(&self) {
        // v1 has no event for an empty cgroup, so this polls.
        const PATIENCE: Duration = Duration::from_secs(5);
        let begin = Instant::now();
        loop {
            let processes = self.cgroup.procs();
            if processes.is_empty() || begin.elapsed() > PATIENCE {
                return;
            }
            for process in processes {
                if let Ok(pid) = i32::try_from(process.pid) {
                    // It may have exited by itself.
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Confinement {
    fn drop(&mut self) {
        self.kill_all();
        if let Err(error) = self.cgroup.delete() {
            eprintln!("confine: cannot remove the cgroup {}: {error}", self.cgroup.path());
        }
    }
}
