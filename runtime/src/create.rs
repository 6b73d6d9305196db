//! Decides what a container that is to be created is given, and edits its configuration.

use crate::bundle::{self, Command, Config, Init, Mount};
use crate::command_line::Create;
use crate::log::Log;
use crate::settings::{self, Settings};
use crate::{limits, program};
use core::ffi::CStr;
use core::time::Duration;
use loadline::cgroup::SysRoot;
use loadline::cgroup::go_runtime::MountRule;
use loadline::cgroup::limits::{CgroupVersion, Limits, RuntimeError, RuntimeQuota};
use loadline::options::{OnResize, Options};
use loadline::policy::{self, Plan};
use loadline::report::{ExplainedProgram, Explanation};
use loadline::text::{Escaped, Quoted};
use loadline::{cli, env, golang, wrapped};
use serde_json::json;
use std::ffi::{CString, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

/// How long a decision may take. It takes a millisecond, unless a file system does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where loadline is in a container that gets it as its init. /dev is a tmpfs in every container, so this
/// works with a read-only root filesystem, and leaves no empty file in the image.
const INIT_PATH: &str = "/dev/loadline";

/// The programs that have to be PID 1.
const SYSTEM_INITS: [&str; 3] = ["systemd", "init", "openrc-init"];

/// The annotations by which containerd, CRI-O and dockershim tell a pod's sandbox from its containers.
const SANDBOX: [(&str, &str); 3] = [
    ("io.kubernetes.cri.container-type", "sandbox"),
    ("io.kubernetes.cri-o.ContainerType", "sandbox"),
    ("io.kubernetes.docker.type", "podsandbox"),
];

/// What was decided for a container.
pub struct Decision {
    /// The configuration with what was decided; none if it stays as it is.
    pub edited: Option<String>,
    /// Why the variables stay as they are, whatever was decided.
    pub left_alone: Option<String>,
    /// What to tell the user.
    pub warnings: Vec<String>,
    /// The decision itself.
    pub explanation: Explanation<'static>,
}

/// Edits the bundle of a container before it is created. If that fails, it says so, and the bundle is as
/// it was.
pub fn prepare(create: &Create, settings: &Settings, log: &Log) {
    let path = |bytes| Path::new(OsStr::from_bytes(bytes));
    let bundle = path(create.bundle);
    let file = create.config.map_or_else(|| bundle.join(bundle::CONFIG), |file| path(file).into());
    let decision = in_time(PATIENCE, {
        let (create, file, settings) = (create.clone(), file.clone(), settings.clone());
        move || {
            let decision = decide_for(bundle, &file, &settings, create.systemd_cgroup, create.id)?;
            Ok((decision.edited, decision.warnings))
        }
    });
    let (edited, warnings) = match decision {
        Ok(decision) => decision,
        Err(error) => return log.warn(&error),
    };
    for warning in warnings {
        log.warn(&warning);
    }
    if let Some(text) = edited
        && let Err(error) = bundle::write(&file, &text)
    {
        log.warn(&error);
    }
}

/// Makes a decision in a thread. Neither a file system that does not answer nor a panic must keep the
/// container from starting.
fn in_time<T: Send + 'static>(
    patience: Duration,
    decide: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = mpsc::channel();
    let decide = move || {
        let result = catch_unwind(AssertUnwindSafe(decide)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied());
            Err(format!("internal error: {}", text.unwrap_or_default()))
        });
        // Nobody waits for it any more if it took too long.
        let _ = sender.send(result);
    };
    thread::Builder::new()
        .spawn(decide)
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    receiver
        .recv_timeout(patience)
        .map_err(|_| format!("no decision within {} ms", patience.as_millis()))?
}

/// Decides for a bundle, whose cgroup is one that runc makes itself, or one of systemd if its path says so.
pub fn decide(bundle: &Path, settings: &Settings) -> Result<Decision, String> {
    let file = bundle.join(bundle::CONFIG);
    let text = bundle::read(&file)?;
    let config = Config::parse(&text)?;
    let path = config.linux.as_ref().and_then(|linux| linux.cgroups_path.as_deref());
    let systemd = path.is_some_and(|path| !path.contains('/') && path.split(':').count() == 3);
    decide_for(bundle, &file, settings, systemd, b"container")
}

/// What is decided lives until this process becomes the runtime.
fn decide_for(
    bundle: &Path,
    file: &Path,
    settings: &Settings,
    systemd: bool,
    id: &[u8],
) -> Result<Decision, String> {
    let text: &'static str = bundle::read(file)?.leak();
    let config = Config::parse(text)?;
    let Some(command) = config.command()? else {
        return Err("the container has no program".to_owned());
    };
    let mounts = config.mounts()?;
    let mut warnings = Vec::new();

    // The first entry for a variable counts: the container's, then its annotations', then the host's. Of
    // several of the container, that is the last: runtimes set one after the other, and containerd puts those
    // of a pod behind those of the image.
    let own_variables = c_strings(command.env.iter().rev().map(|(entry, _)| entry.clone()));
    let mut variables = own_variables.clone();
    let go_env = env::go_env(&variables);
    let search_path = env::lookup(&variables, "PATH");
    variables.extend(annotated(&config, settings, &mut warnings));
    variables.extend(c_strings(settings.variables.iter().map(CString::clone)));

    let args = c_strings(command.args.iter().cloned());
    // It may be behind another init, such as that of `docker run --init`.
    let is_command_of_loadline =
        |command: &&[&CStr]| command.first().is_some_and(|name| file_name(name) == "loadline");
    let loadline = wrapped::chain(&args).find(is_command_of_loadline);
    let is_loadline = loadline.is_some();
    let arguments = loadline.and_then(|command| command.get(1..)).unwrap_or_default();
    let arguments = &*arguments.to_vec().leak();
    let cli::Request { options, warnings: invalid, .. } = cli::parse(arguments, &variables);
    let Options { tuning, .. } = options;

    let root = SysRoot::system();
    let limits = Box::leak(Box::new(limits::read(&root, &config, systemd, id)));
    let rootfs = config.root.as_ref().map(|root| bundle.join(&*root.path));
    let find = |name| program::find(rootfs.as_deref()?, &mounts, name, search_path, &command.cwd);
    let started = wrapped::program(&args).first().copied();
    let found = started.and_then(find);
    let buffer = Box::leak(Box::<Vec<u8>>::default());
    let go = found.as_ref().and_then(|program| golang::read_elf(program.file.as_fd(), buffer));
    let runtime = go.map(|go| go.runtime());
    if let Some(rule) = policy::runtime_rule(&tuning, limits, go_env, runtime) {
        limits.runtime_quota = Some(seen_by_go(limits, &config, &mounts, rule));
    }
    let plan = policy::decide(&tuning, limits, go_env, runtime, invalid);
    let plan: &'static Plan<'static> = Box::leak(Box::new(plan));
    warnings.extend(plan.warnings.iter().map(ToString::to_string));

    let path = found.map(|program| &*program.path.leak());
    let explanation = Explanation {
        plan,
        program: ExplainedProgram {
            name: args.first().map(|name| name.to_bytes()),
            path,
            starts: started.filter(|name| Some(name) != args.first()).map(CStr::to_bytes),
            hint: "",
            go,
        },
        oom_group: None,
    };
    let mut left_alone = sandbox(&config);
    let mut init = None;
    let mut assignments = Vec::new();
    if left_alone.is_none() {
        init = wanted_init(&config, settings, &command, &mounts, &mut warnings);
        // Of the host's settings and the annotations it knows nothing.
        let in_container = cli::parse(arguments, &own_variables).options;
        let acts = matches!(in_container.on_resize, OnResize::Signal(_) | OnResize::Exit);
        if acts && (is_loadline || init.is_some()) {
            // What is set already is not its own, and it does not act if that does not fit any more.
            left_alone = Some("its loadline sets the variables, because of --on-resize".to_owned());
        } else {
            assignments = env::assignments(plan);
        }
    }
    let edited = edit(text, &config, &command, &assignments, init.as_ref());
    Ok(Decision { edited, left_alone, warnings, explanation })
}

/// The configuration with these variables, and with an init. None if neither changes it.
fn edit(
    text: &str,
    config: &Config<'_>,
    command: &Command<'_>,
    assignments: &[CString],
    init: Option<&Init>,
) -> Option<String> {
    if assignments.is_empty() && init.is_none() {
        return None;
    }
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let assignments: Vec<_> = assignments.iter().map(|it| it.to_string_lossy()).collect();
    let replaced: Vec<_> = assignments.iter().map(|it| name(it)).collect();
    let kept = command.env.iter().filter(|(entry, _)| !replaced.contains(&name(entry)));
    let mut env: Vec<_> = kept.map(|(_, json)| (*json).to_owned()).collect();
    env.extend(assignments.iter().map(|it| json!(it).to_string()));
    config.edited(text, &env, init)
}

/// Why the container is a pod's sandbox, if it is.
fn sandbox(config: &Config<'_>) -> Option<String> {
    SANDBOX
        .iter()
        .any(|(name, value)| config.annotation(name) == Some(value))
        .then(|| "it is the sandbox of a pod".to_owned())
}

/// The variables that annotations stand for.
fn annotated(
    config: &Config<'_>,
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Vec<&'static CStr> {
    let mut variables = Vec::new();
    for (key, value) in config.annotations.iter().flatten() {
        let Some(option) = key.strip_prefix(&settings.annotation_prefix) else { continue };
        if option == "init" {
            continue;
        }
        match settings::variable(option, value) {
            Ok(variable) => variables.push(variable),
            Err(problem) => {
                // Kubernetes and engines restrict what it is, but a bundle need not come from them.
                warnings.push(format!("annotation {}: {problem}", Escaped(key.as_bytes())));
            }
        }
    }
    c_strings(variables.into_iter())
}

/// The init that the container gets, if it is to get one and can.
fn wanted_init(
    config: &Config<'_>,
    settings: &Settings,
    command: &Command<'_>,
    mounts: &[Mount],
    warnings: &mut Vec<String>,
) -> Option<Init> {
    let annotation = format!("{}init", settings.annotation_prefix);
    let is_wanted = match config.annotation(&annotation) {
        None => settings.init,
        Some("true") => true,
        Some("false") => false,
        Some(value) => {
            let value = Quoted(value.as_bytes());
            warnings.push(format!("annotation {annotation}: expected true or false, not {value}"));
            settings.init
        }
    };
    if !is_wanted {
        return None;
    }
    let program = command.args.first().map(|name| name.rsplit('/').next().unwrap_or_default());
    // The last one of several is what the container sees.
    let dev = mounts.iter().rfind(|mount| mount.destination.trim_end_matches('/') == "/dev");
    let has_dev = dev.is_some_and(|mount| mount.file_system.as_deref() == Some("tmpfs"));
    let is_program = |path: &Path| {
        // The container's user may be any.
        path.metadata().is_ok_and(|file| file.is_file() && file.mode() & 0o111 == 0o111)
    };
    let obstacle = if program.is_some_and(|name| SYSTEM_INITS.contains(&name)) {
        Some("its program has to be PID 1".to_owned())
    } else if !has_dev {
        Some("its /dev is not a tmpfs of its own".to_owned())
    } else if !is_program(&settings.init_path) {
        let path = settings.init_path.display();
        Some(format!("there is no file {path} that everybody may execute"))
    } else {
        None
    };
    if let Some(obstacle) = obstacle {
        warnings.push(format!("the container gets no init: {obstacle}"));
        return None;
    }
    // PID 1 of another container or of the host gets its orphans otherwise.
    let namespaces = config.linux.as_ref().and_then(|linux| linux.namespaces.as_ref());
    let is_pid_1 = namespaces.is_some_and(|namespaces| {
        namespaces
            .iter()
            .any(|it| it.kind == "pid" && it.path.as_deref().unwrap_or_default().is_empty())
    });
    let mut args = vec![INIT_PATH];
    args.extend((!is_pid_1).then_some("-s"));
    args.push("--");
    let program = command.args.iter().map(String::as_str);
    let args = args.into_iter().chain(program).map(|argument| json!(argument).to_string());
    let mount = json!({
        "destination": INIT_PATH, "type": "bind", "source": settings.init_path,
        "options": ["bind", "ro", "nosuid", "nodev"],
    });
    Some(Init { args: args.collect(), mount: mount.to_string() })
}

/// What the Go runtime will find as its CPU quota in the container: that of its own cgroup, if it finds
/// the mount of that.
fn seen_by_go(
    limits: &Limits,
    config: &Config<'_>,
    mounts: &[Mount],
    rule: MountRule,
) -> RuntimeQuota {
    let is_mounted = mounts.iter().any(|mount| mount.destination == "/sys/fs/cgroup");
    let own = limits.cpu.files.first().filter(|file| !file.in_ancestor);
    let quota = own.and_then(|file| file.value.limit());
    // With a cgroup namespace of its own, the container sees its cgroup as the root. Otherwise Go 1.25 does
    // not find a cgroup of v1 (golang/go#76390).
    let namespaces = config.linux.as_ref().and_then(|linux| linux.namespaces.as_ref());
    let has_own_root = namespaces.is_some_and(|it| it.iter().any(|it| it.kind == "cgroup"));
    let is_v1 = limits.cpu.version == Some(CgroupVersion::V1);
    if !is_mounted || (is_v1 && !has_own_root && rule == MountRule::AnyRoot) {
        return Err(RuntimeError::NotFound);
    }
    Ok(quota)
}

fn file_name(path: &CStr) -> &str {
    path.to_str().unwrap_or_default().rsplit('/').next().unwrap_or_default()
}

/// Strings that live until this process becomes the runtime. What contains a NUL is left out: no process
/// can get it.
fn c_strings<T: Into<Vec<u8>>>(strings: impl Iterator<Item = T>) -> Vec<&'static CStr> {
    let strings = strings.filter_map(|string| CString::new(string).ok());
    strings.map(|string| &*Box::leak(string.into_boxed_c_str())).collect()
}

#[cfg(test)]
mod tests;
