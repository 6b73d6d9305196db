//! Every engine with the files that its hosts have: added, added again, and removed.

use super::*;
use std::os::unix::fs::MetadataExt;
use tempfile::TempDir;

macro_rules! fixture {
    ($path:literal) => {
        include_str!(concat!("../../tests/fixtures/install/", $path))
    };
}

const DOCKER: &str = "/etc/docker/daemon.json";
const CONTAINERD: &str = "/etc/containerd/config.toml";
const CONTAINERD_DROP_IN: &str = "/etc/containerd/conf.d/loadline.toml";
const PODMAN: &str = "/etc/containers/containers.conf.d/loadline.conf";
const CRIO: &str = "/etc/crio/crio.conf.d/10-loadline.conf";
const OWN_FILE: &str = "/usr/local/bin/loadline-runtime";
const LINK: &str = "/usr/local/bin/loadline-runc";

/// A host's file system below a directory.
struct Host(TempDir);

impl Host {
    fn with(files: &[(&str, &str)]) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        for (path, text) in files.iter().chain(&[(OWN_FILE, "")]) {
            host.write(path, text);
        }
        host
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.at(path)).ok()
    }

    fn run(&self, command: Command, arguments: &str) -> Result<String, String> {
        let arguments = format!("{arguments} --root {}", self.0.path().display());
        let arguments: Vec<_> = arguments.split_whitespace().map(OsString::from).collect();
        run(command, &arguments, &self.at(OWN_FILE))
    }

    fn install(&self, arguments: &str) -> String {
        self.run(Command::Install, &format!("{arguments} --write")).unwrap()
    }

    fn uninstall(&self, arguments: &str) -> String {
        self.run(Command::Uninstall, &format!("{arguments} --write")).unwrap()
    }

    /// All files, without the program.
    fn files(&self) -> Vec<(String, String)> {
        fn list(directory: &Path, files: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { list(&path, files) } else { files.push(path) }
            }
        }
        let mut files = Vec::new();
        list(self.0.path(), &mut files);
        files.retain(|file| !file.starts_with(self.at("/usr")));
        files.sort();
        let name = |file: &Path| file.strip_prefix(self.0.path()).unwrap().display().to_string();
        files.iter().map(|it| (name(it), fs::read_to_string(it).unwrap())).collect()
    }
}

/// The lines that one text has and the other has not, in their order.
fn added_lines<'a>(old: &str, new: &'a str) -> Vec<&'a str> {
    let mut old: Vec<_> = old.lines().collect();
    let mut is_new = |line: &&str| match old.iter().position(|it| it == line) {
        Some(index) => {
            old.remove(index);
            false
        }
        None => !line.is_empty(),
    };
    new.lines().filter(|line| is_new(line)).collect()
}

/// What is there, the engine, the file that changes, and the lines that it gets.
type Case =
    (&'static [(&'static str, &'static str)], &'static str, &'static str, &'static [&'static str]);

const CASES: &[Case] = &[
    (
        &[(DOCKER, fixture!("docker/daemon.json"))],
        "--docker",
        DOCKER,
        &["        },", r#"        "loadline": { "path": "/usr/local/bin/loadline-runc" }"#],
    ),
    (
        &[(DOCKER, "{\n  \"debug\": true\n}\n")],
        "--docker",
        DOCKER,
        &[
            "  \"debug\": true,",
            "  \"runtimes\": {",
            r#"    "loadline": { "path": "/usr/local/bin/loadline-runc" }"#,
            "  }",
        ],
    ),
    (
        &[(DOCKER, r#"{"debug":true}"#)],
        "--docker",
        DOCKER,
        &[r#"{"debug":true,"runtimes": {"loadline": { "path": "/usr/local/bin/loadline-runc" }}}"#],
    ),
    (
        &[(CONTAINERD, fixture!("containerd/version-2.toml"))],
        "--containerd",
        CONTAINERD,
        &[
            r#"        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.loadline]"#,
            r#"          runtime_type = "io.containerd.runc.v2""#,
            r#"          pod_annotations = ["loadline.*"]"#,
            r#"          container_annotations = ["loadline.*"]"#,
            r#"          [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.loadline.options]"#,
            r#"            BinaryName = "/usr/local/bin/loadline-runc""#,
            r"            SystemdCgroup = true",
        ],
    ),
    (
        &[(CONTAINERD, fixture!("containerd/node-version-2.toml"))],
        "--containerd",
        CONTAINERD,
        &[
            r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.loadline]"#,
            r#"runtime_type = "io.containerd.runc.v2""#,
            r#"base_runtime_spec = "/etc/containerd/cri-base.json""#,
            r#"pod_annotations = ["loadline.*"]"#,
            r#"container_annotations = ["loadline.*"]"#,
            r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.loadline.options]"#,
            r#"BinaryName = "/usr/local/bin/loadline-runc""#,
            "SystemdCgroup = true",
        ],
    ),
    // Without any runtime in the list, containerd 1.x has only those that we write.
    (
        &[(CONTAINERD, fixture!("containerd/no-runtimes-version-2.toml"))],
        "--containerd",
        CONTAINERD,
        &[
            "# Added by loadline-runtime: containerd 1.x knows runc by itself only if no other runtime \
             is listed.",
            r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]"#,
            r#"runtime_type = "io.containerd.runc.v2""#,
            r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.loadline]"#,
            r#"runtime_type = "io.containerd.runc.v2""#,
            r#"pod_annotations = ["loadline.*"]"#,
            r#"container_annotations = ["loadline.*"]"#,
            r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.loadline.options]"#,
            r#"BinaryName = "/usr/local/bin/loadline-runc""#,
        ],
    ),
    (
        &[(CONTAINERD, fixture!("containerd/version-3.toml"))],
        "--containerd",
        CONTAINERD,
        &[
            r#"        [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.loadline]"#,
            r#"          runtime_type = "io.containerd.runc.v2""#,
            r#"          pod_annotations = ['example.com/*', "loadline.*"]"#,
            r#"          sandboxer = 'podsandbox'"#,
            r#"          container_annotations = ["loadline.*"]"#,
            r#"          [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.loadline.options]"#,
            r#"            BinaryName = "/usr/local/bin/loadline-runc""#,
            "            SystemdCgroup = true",
        ],
    ),
    (
        &[(CONTAINERD, fixture!("containerd/version-3-imports.toml"))],
        "--containerd",
        CONTAINERD_DROP_IN,
        &[
            "# Written by `loadline-runtime install`; `loadline-runtime uninstall` removes it.",
            "version = 3",
            r#"[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.loadline]"#,
            r#"runtime_type = "io.containerd.runc.v2""#,
            r#"pod_annotations = ['example.com/*', "loadline.*"]"#,
            r#"sandboxer = 'podsandbox'"#,
            r#"container_annotations = ["loadline.*"]"#,
            r#"[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.loadline.options]"#,
            r#"BinaryName = "/usr/local/bin/loadline-runc""#,
            "SystemdCgroup = true",
        ],
    ),
    // The last file that says it counts.
    (
        &[
            (CONTAINERD, "version = 4\nimports = [\"conf.d/*.toml\"]\n"),
            (
                "/etc/containerd/conf.d/20-cgroup.toml",
                "version = 3\n[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.runc.options]\n\
                 SystemdCgroup = true\nRoot = \"/run/runc-k8s\"\n",
            ),
            (
                "/etc/containerd/conf.d/30-root.toml",
                "version = 3\n[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.runc.options]\n\
                 Root = \"/run/runc\"\n",
            ),
        ],
        "--containerd",
        CONTAINERD_DROP_IN,
        &[
            "# Written by `loadline-runtime install`; `loadline-runtime uninstall` removes it.",
            "version = 3",
            r#"[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.loadline]"#,
            r#"runtime_type = "io.containerd.runc.v2""#,
            r#"pod_annotations = ["loadline.*"]"#,
            r#"container_annotations = ["loadline.*"]"#,
            r#"[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.loadline.options]"#,
            r#"BinaryName = "/usr/local/bin/loadline-runc""#,
            r#"Root = "/run/runc""#,
            "SystemdCgroup = true",
        ],
    ),
    // A table without a header of its own, which gets one if there is a default.
    (
        &[(
            CONTAINERD,
            "version = 2\n\n# What runs containers.\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"x\"\n",
        )],
        "--containerd",
        CONTAINERD,
        &[
            r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.loadline]"#,
            r#"runtime_type = "io.containerd.runc.v2""#,
            r#"pod_annotations = ["loadline.*"]"#,
            r#"container_annotations = ["loadline.*"]"#,
            r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.loadline.options]"#,
            r#"BinaryName = "/usr/local/bin/loadline-runc""#,
        ],
    ),
    (
        &[],
        "--containerd",
        CONTAINERD,
        &[
            "# Written by `loadline-runtime install`; `loadline-runtime uninstall` removes it.",
            "version = 2",
            "# Added by loadline-runtime: containerd 1.x knows runc by itself only if no other runtime \
             is listed.",
            r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]"#,
            r#"runtime_type = "io.containerd.runc.v2""#,
            r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.loadline]"#,
            r#"runtime_type = "io.containerd.runc.v2""#,
            r#"pod_annotations = ["loadline.*"]"#,
            r#"container_annotations = ["loadline.*"]"#,
            r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.loadline.options]"#,
            r#"BinaryName = "/usr/local/bin/loadline-runc""#,
        ],
    ),
    // containerd 1.x would not merge an imported file with it.
    (
        &[(
            CONTAINERD,
            "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes]\nrunc = { options = {} }\n",
        )],
        "--containerd",
        CONTAINERD,
        &[
            r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.loadline]"#,
            r#"runtime_type = "io.containerd.runc.v2""#,
            r#"pod_annotations = ["loadline.*"]"#,
            r#"container_annotations = ["loadline.*"]"#,
            r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.loadline.options]"#,
            r#"BinaryName = "/usr/local/bin/loadline-runc""#,
        ],
    ),
    // Only the default runtime says what the cgroup driver is.
    (
        &[(
            CONTAINERD,
            "version = 3\nimports = [\"config.d/*.toml\"]\n\
             [plugins.\"io.containerd.cri.v1.runtime\".containerd]\ndefault_runtime_name = \"crun\"\n\
             [plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.crun.options]\n\
             SystemdCgroup = true\n",
        )],
        "--containerd",
        "/etc/containerd/config.d/loadline.toml",
        &[
            "# Written by `loadline-runtime install`; `loadline-runtime uninstall` removes it.",
            "version = 3",
            r#"[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.loadline]"#,
            r#"runtime_type = "io.containerd.runc.v2""#,
            r#"pod_annotations = ["loadline.*"]"#,
            r#"container_annotations = ["loadline.*"]"#,
            r#"[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.loadline.options]"#,
            r#"BinaryName = "/usr/local/bin/loadline-runc""#,
            "SystemdCgroup = true",
        ],
    ),
    (
        &[("/etc/containers/containers.conf", fixture!("podman/containers.conf"))],
        "--podman",
        PODMAN,
        &[
            "# Written by `loadline-runtime install`; `loadline-runtime uninstall` removes it.",
            "[engine.runtimes]",
            r#"loadline = ["/usr/local/bin/loadline-runc"]"#,
        ],
    ),
    (
        &[("/etc/crio/crio.conf", fixture!("crio/crio.conf"))],
        "--crio",
        CRIO,
        &[
            "# Written by `loadline-runtime install`; `loadline-runtime uninstall` removes it.",
            "[crio.runtime.runtimes.loadline]",
            r#"runtime_path = "/usr/local/bin/loadline-runc""#,
            r#"runtime_type = "oci""#,
            r#"runtime_root = "/run/runc""#,
        ],
    ),
    (
        &[
            ("/etc/crio/crio.conf", fixture!("crio/crio.conf")),
            ("/etc/crio/crio.conf.d/10-crio.conf", fixture!("crio/10-crio.conf")),
        ],
        "--crio",
        CRIO,
        &[
            "# Written by `loadline-runtime install`; `loadline-runtime uninstall` removes it.",
            "[crio.runtime.runtimes.loadline]",
            r#"runtime_path = "/usr/local/bin/loadline-runc""#,
            r#"runtime_root = "/run/runc""#,
            r#"monitor_path = "/usr/libexec/crio/conmon""#,
            r#"runtime_type = "oci""#,
        ],
    ),
    // The last file that has runc counts.
    (
        &[
            ("/etc/crio/crio.conf.d/10-crio.conf", fixture!("crio/10-crio.conf")),
            (
                "/etc/crio/crio.conf.d/20-site.conf",
                "[crio.runtime.runtimes.runc]\nmonitor_path = \"/opt/conmon\"\n",
            ),
        ],
        "--crio",
        CRIO,
        &[
            "# Written by `loadline-runtime install`; `loadline-runtime uninstall` removes it.",
            "[crio.runtime.runtimes.loadline]",
            r#"runtime_path = "/usr/local/bin/loadline-runc""#,
            r#"monitor_path = "/opt/conmon""#,
            r#"runtime_type = "oci""#,
            r#"runtime_root = "/run/runc""#,
        ],
    ),
    // Only the default runtime says where the monitor is, and its root is not the one of runc.
    (
        &[(
            "/etc/crio/crio.conf",
            "[crio.runtime]\ndefault_runtime = \"crun\"\n[crio.runtime.runtimes.crun]\n\
             runtime_root = \"/run/crun\"\nruntime_type = \"pod\"\nmonitor_path = \"/x/conmonrs\"\n\
             platform_runtime_paths = { \"linux/arm64\" = \"/x/crun\" }\n",
        )],
        "--crio",
        CRIO,
        &[
            "# Written by `loadline-runtime install`; `loadline-runtime uninstall` removes it.",
            "[crio.runtime.runtimes.loadline]",
            r#"runtime_path = "/usr/local/bin/loadline-runc""#,
            r#"runtime_type = "pod""#,
            r#"monitor_path = "/x/conmonrs""#,
            r#"runtime_root = "/run/runc""#,
        ],
    ),
];

#[test]
fn only_the_lines_of_the_runtime_are_added() {
    for (files, engine, changed, lines) in CASES {
        let host = Host::with(files);
        let before = host.files();
        host.install(engine);
        let old = files.iter().find(|(path, _)| path == changed).map_or("", |(_, text)| text);
        assert_eq!(added_lines(old, &host.read(changed).unwrap()), *lines, "{files:?}");
        let is_other = |file: &&(String, String)| !changed.ends_with(&file.0);
        let [others, before] = [host.files(), before]
            .map(|it| it.iter().filter(is_other).cloned().collect::<Vec<_>>());
        assert_eq!(others, before);
    }
}

/// Exceptions are tested below: an empty file or object, and a default runtime that is replaced.
#[test]
fn installing_twice_is_installing_once_and_uninstalling_gives_the_bytes_back() {
    for (files, engine, ..) in CASES {
        for arguments in [engine, &&*format!("{engine} --default")] {
            let has_other_default = arguments.ends_with("--default")
                && files.iter().any(|(_, text)| text.contains("\n      default_runtime_name ="));
            if has_other_default {
                continue;
            }
            let host = Host::with(files);
            let before = host.files();
            host.install(arguments);
            let installed = host.files();
            assert_ne!(installed, before);
            for again in [arguments, engine] {
                let output = host.install(again);
                assert!(
                    output.contains(": no change to /") && !output.contains("wrote"),
                    "{output}"
                );
                assert_eq!(host.files(), installed, "{arguments}");
            }
            host.uninstall(engine);
            assert_eq!(host.files(), before, "{arguments}");
            let output = host.uninstall(engine);
            assert!(!output.contains("wrote") && !output.contains("deleted"), "{output}");
            assert_eq!(host.files(), before, "{arguments}");
        }
    }
}

#[test]
fn a_default_runtime_is_set_and_removed() {
    let grpc = "[plugins.\"io.containerd.grpc.v1.cri\".containerd]";
    let cri = "[plugins.\"io.containerd.cri.v1.runtime\".containerd]";
    for (file, text, engine, changed, expected) in [
        (
            DOCKER,
            "{\"default-runtime\": \"nvidia\"}",
            "--docker",
            DOCKER,
            "{\"default-runtime\": \"loadline\",",
        ),
        (DOCKER, "", "--docker", DOCKER, "  },\n  \"default-runtime\": \"loadline\"\n}\n"),
        (
            CONTAINERD,
            fixture!("containerd/version-2.toml"),
            "--containerd",
            CONTAINERD,
            "    [plugins.\"io.containerd.grpc.v1.cri\".containerd]\n      default_runtime_name = \"loadline\"\n",
        ),
        (
            CONTAINERD,
            fixture!("containerd/node-version-2.toml"),
            "--containerd",
            CONTAINERD,
            &format!(
                "{grpc}\ndiscard_unpacked_layers = true\ndefault_runtime_name = \"loadline\"\n"
            ),
        ),
        (
            CONTAINERD,
            fixture!("containerd/version-3.toml"),
            "--containerd",
            CONTAINERD,
            "      default_runtime_name = \"loadline\" # not nvidia\n",
        ),
        (
            CONTAINERD,
            fixture!("containerd/version-3-imports.toml"),
            "--containerd",
            CONTAINERD_DROP_IN,
            &format!("version = 3\n\n{cri}\ndefault_runtime_name = \"loadline\"\n"),
        ),
        (
            "/etc/containers/containers.conf",
            fixture!("podman/containers.conf"),
            "--podman",
            PODMAN,
            "[engine]\nruntime = \"loadline\"\n[engine.runtimes]\n",
        ),
        (
            "/etc/crio/crio.conf.d/10-crio.conf",
            fixture!("crio/10-crio.conf"),
            "--crio",
            CRIO,
            "[crio.runtime]\ndefault_runtime = \"loadline\"\n[crio.runtime.runtimes.loadline]\n",
        ),
    ] {
        let host = Host::with(&[(file, text)]);
        host.install(engine);
        assert!(!host.read(changed).unwrap().contains(expected), "{engine}");
        host.install(&format!("--default {engine}"));
        let new = host.read(changed).unwrap();
        assert!(new.contains(expected), "{engine}: {new}");
        host.uninstall(engine);
        for (name, text) in host.files() {
            assert!(!text.contains("loadline"), "{name}: {text}");
        }
        // Another one stays.
        let renames = [
            ("\"loadline\"", "\"other\""),
            ("runtimes.loadline", "runtimes.x"),
            ("loadline = [", "x = ["),
        ];
        let other = renames.iter().fold(new, |text, (old, new)| text.replace(old, new));
        host.write(changed, &other);
        host.uninstall(engine);
        assert_eq!(host.read(changed).unwrap(), other);
    }
}

#[test]
fn a_default_that_was_replaced_is_not_known_any_more() {
    let host = Host::with(&[(CONTAINERD, fixture!("containerd/version-3.toml"))]);
    host.install("--containerd --default");
    host.uninstall("--containerd");
    let line = "      default_runtime_name = 'runc' # not nvidia\n";
    let expected = fixture!("containerd/version-3.toml").replace(line, "");
    assert_eq!(host.read(CONTAINERD).unwrap(), expected);
}

#[test]
fn a_runtime_of_our_name_that_is_not_ours_is_an_error() {
    let containerd = "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.loadline";
    for (file, text, engine, program) in [
        (DOCKER, "{\"runtimes\": {\"loadline\": {\"path\": \"/x\"}}}", "--docker", "\"/x\""),
        (DOCKER, "{\"runtimes\": {\"loadline\": {}}}", "--docker", "another program"),
        (
            CONTAINERD,
            &format!("version = 2\n{containerd}.options]\nBinaryName = \"/y\"\n"),
            "--containerd",
            "\"/y\"",
        ),
        (CONTAINERD, &format!("version = 2\n{containerd}]\n"), "--containerd", "another program"),
        (PODMAN, "[engine.runtimes]\nloadline = [\"/z\"]\n", "--podman", "\"/z\""),
        (CRIO, "[crio.runtime.runtimes.loadline]\nruntime_path = \"/z\"\n", "--crio", "\"/z\""),
    ] {
        let host = Host::with(&[(file, text)]);
        let before = host.files();
        for command in [Command::Install, Command::Uninstall] {
            let error = host.run(command, &format!("{engine} --default --write"));
            let error = match command {
                Command::Install => error.unwrap_err(),
                Command::Uninstall => host.run(command, &format!("{engine} --write")).unwrap_err(),
            };
            let name = Path::new(file).file_name().unwrap().to_str().unwrap();
            assert!(error.contains(name), "{error}");
            assert!(
                error.contains(&format!("which executes {program} and not loadline-runc")),
                "{error}"
            );
            assert_eq!(error.lines().count(), 1);
            assert_eq!(host.files(), before);
        }
    }
}

#[test]
fn other_files_of_an_engine_are_looked_at_too() {
    for (file, text, engine) in [
        ("/etc/containers/containers.conf", "[engine.runtimes]\nloadline = [\"/z\"]\n", "--podman"),
        (
            "/etc/containers/containers.conf.d/99-x.conf",
            "[engine.runtimes]\nloadline = [\"/z\"]\n",
            "--podman",
        ),
        (
            "/etc/crio/crio.conf",
            "[crio.runtime.runtimes.loadline]\nruntime_path = \"/z\"\n",
            "--crio",
        ),
        (
            "/etc/crio/crio.conf.d/99-x",
            "[crio.runtime.runtimes.loadline]\nruntime_path = \"/z\"\n",
            "--crio",
        ),
        (
            "/etc/containerd/conf.d/99-x.toml",
            "version = 3\n[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.loadline]\n",
            "--containerd",
        ),
    ] {
        let containerd = (CONTAINERD, fixture!("containerd/version-3-imports.toml"));
        let host = Host::with(&[containerd, (file, text)]);
        let error = host.run(Command::Install, &format!("{engine} --write")).unwrap_err();
        assert!(error.starts_with(&format!("\"{file}\": there is a runtime loadline")), "{error}");
        // Ours can be removed in spite of it.
        host.uninstall(engine);
    }
}

#[test]
fn a_runtime_of_ours_in_another_directory_is_updated() {
    let files = [
        (DOCKER, fixture!("docker/daemon.json")),
        (CONTAINERD, fixture!("containerd/version-2.toml")),
    ];
    let engines = "--docker --containerd --podman --crio";
    let host = Host::with(&files);
    host.install(engines);
    let expected = host.files();
    for (path, text) in &expected {
        host.write(path, &text.replace("/usr/local/bin/loadline-runc", "/opt/old/loadline-runc"));
    }
    assert_ne!(host.files(), expected);
    host.install(engines);
    assert_eq!(host.files(), expected);
}

#[test]
fn what_the_user_added_to_the_runtime_stays() {
    for (engine, file, own, extended) in [
        (
            "--docker",
            DOCKER,
            "loadline-runc\" }",
            "loadline-runc\", \"runtimeArgs\": [\"--debug\"] }",
        ),
        ("--containerd", CONTAINERD, "[\"loadline.*\"]", "[\"a/*\", \"loadline.*\"] # mine"),
        ("--crio", CRIO, "runtime_root = \"/run/runc\"", "runtime_root = \"/run/x\" # mine"),
        ("--podman", PODMAN, "loadline-runc\"]", "loadline-runc\"]\nyouki = [\"/x/youki\"]"),
    ] {
        let host = Host::with(&[]);
        host.install(engine);
        let text = host.read(file).unwrap();
        let mine = text.replace(own, extended);
        assert_ne!(mine, text);
        host.write(file, &mine);
        host.install(engine);
        assert_eq!(host.read(file).unwrap(), mine);
    }
    // In a file of our own too.
    let host = Host::with(&[]);
    host.install("--podman --default");
    let text = host.read(PODMAN).unwrap();
    host.write(PODMAN, &format!("{text}youki = [\"/x/youki\"]\n"));
    host.uninstall("--podman");
    let expected = format!("{HEADER}\n[engine.runtimes]\nyouki = [\"/x/youki\"]\n");
    assert_eq!(host.read(PODMAN).unwrap(), expected);
}

#[test]
fn the_cgroup_driver_follows_the_one_of_runc() {
    let fixture = fixture!("containerd/node-version-2.toml");
    let host = Host::with(&[(CONTAINERD, fixture)]);
    host.install("--containerd");
    let both = host.read(CONTAINERD).unwrap();
    assert_eq!(both.matches("SystemdCgroup = true").count(), 2);
    host.write(CONTAINERD, &both.replacen("SystemdCgroup = true", "SystemdCgroup = false", 1));
    host.install("--containerd");
    assert!(!host.read(CONTAINERD).unwrap().contains("SystemdCgroup = true"));
    host.write(CONTAINERD, &host.read(CONTAINERD).unwrap().replace("= false", "= true"));
    host.install("--containerd");
    assert_eq!(host.read(CONTAINERD).unwrap().matches("SystemdCgroup = true").count(), 2);
}

#[test]
fn the_default_runtime_is_the_model_where_runc_is_not_listed() {
    let text = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n\
                default_runtime_name = \"nvidia\"\nruntimes = { nvidia = { runtime_type = \"x\", options = \
                { BinaryName = \"/x\", SystemdCgroup = true } } }\n";
    let host = Host::with(&[(CONTAINERD, text)]);
    host.install("--containerd");
    let new = host.read(CONTAINERD).unwrap();
    assert!(
        new.contains(
            "loadline = { runtime_type = \"io.containerd.runc.v2\", pod_annotations = [\"loadline.*\"], \
             container_annotations = [\"loadline.*\"], options = { BinaryName = \
             \"/usr/local/bin/loadline-runc\", SystemdCgroup = true } }"
        ),
        "{new}"
    );
    assert!(!new.contains("runc ="));
    // Also when it is not the default any more.
    host.install("--containerd --default");
    host.install("--containerd");
    assert_eq!(host.read(CONTAINERD).unwrap(), new.replace("= \"nvidia\"", "= \"loadline\""));
}

#[test]
fn files_without_the_runtime_are_not_touched() {
    for (file, text, engine) in [
        (DOCKER, " { \"runtimes\" : {} }", "--docker"),
        (CONTAINERD, "# Windows\r\nversion = 2\r\n[plugins]", "--containerd"),
        (CONTAINERD, "version = 1", "--containerd"),
        (
            CONTAINERD,
            "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes]\n",
            "--containerd",
        ),
        (PODMAN, "[engine.runtimes]\n", "--podman"),
        (CRIO, "# Empty.\n", "--crio"),
    ] {
        let host = Host::with(&[(file, text)]);
        let output = host.uninstall(engine);
        assert!(output.contains(": no change to /etc/"), "{output}");
        assert_eq!(host.read(file).unwrap(), text);
    }
    assert_eq!(Host::with(&[]).uninstall("--containerd"), "containerd: nothing to do\n");
}

#[test]
fn runc_stays_listed_where_another_runtime_was_added() {
    let host = Host::with(&[]);
    host.install("--containerd");
    let other =
        "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.crun]\nruntime_type = \"x\"\n";
    host.write(CONTAINERD, &format!("{}\n{other}", host.read(CONTAINERD).unwrap()));
    host.uninstall("--containerd");
    let rest = host.read(CONTAINERD).unwrap();
    assert!(
        rest.contains("runtimes.runc]") && rest.ends_with(other) && !rest.contains("loadline]")
    );
}

#[test]
fn a_directory_is_read_in_the_order_of_the_names() {
    let host = Host::with(&[]);
    let mut names: Vec<_> = (10..50).map(|number| format!("/etc/x/{number}.conf")).collect();
    names.iter().rev().for_each(|name| host.write(name, ""));
    host.write("/etc/x/README", "");
    fs::create_dir(host.at("/etc/x/60.conf")).unwrap();
    symlink("/etc/none", host.at("/etc/x/70.conf")).unwrap();
    symlink("/etc/x/README", host.at("/etc/x/80.conf")).unwrap();
    names.push("/etc/x/80.conf".to_owned());
    let files = Files::new(host.0.path().to_owned());
    let read = files.read_directory(Path::new("/etc/x"), |name| name.ends_with(b".conf")).unwrap();
    assert_eq!(read.iter().map(|it| it.path.to_str().unwrap()).collect::<Vec<_>>(), names);
    assert!(files.read_directory(Path::new("/etc/none"), |_| true).unwrap().is_empty());
}

#[test]
fn an_entry_in_the_main_file_stays_there() {
    let main = fixture!("containerd/version-3.toml");
    let host = Host::with(&[(CONTAINERD, main)]);
    host.install("--containerd");
    let text = host.read(CONTAINERD).unwrap();
    host.write(CONTAINERD, &text.replace("imports = []", "imports = ['conf.d/*.toml']"));
    let before = host.files();
    host.install("--containerd");
    assert_eq!(host.files(), before);
    // And if both are there, both are removed.
    host.write(CONTAINERD_DROP_IN, fixture!("containerd/version-3-imports.toml"));
    host.uninstall("--containerd");
    assert!(!host.read(CONTAINERD).unwrap().contains("loadline"));
}

#[test]
fn a_file_that_cannot_be_understood_stays() {
    for (file, text, engine, expected) in [
        (DOCKER, "{\n  \"debug\": true,\n}\n", "--docker", "trailing comma at line 3 column 1"),
        (DOCKER, "\n[]", "--docker", "expected an object at line 2"),
        (DOCKER, "{\"runtimes\": []}", "--docker", "runtimes is not an object"),
        (CONTAINERD, "version = 2\n[plugins\n", "--containerd", "at line 2"),
        (CONTAINERD, "version = 2\nplugins = 1\n", "--containerd", "plugins is not a table"),
        (
            CONTAINERD,
            "disabled_plugins = [\"cri\"]\n",
            "--containerd",
            "it has no version or version 1",
        ),
        (CONTAINERD, "version = 1\n", "--containerd", "containerd config migrate"),
        (CONTAINERD, "version = 5\n", "--containerd", "version 5 is not supported"),
        (PODMAN, "[engine]\n[engine]\n", "--podman", "duplicate key at line 2"),
        ("/etc/containers/containers.conf", "x", "--podman", "at line 1"),
        (CRIO, "a = [1,\n2\n3]\n", "--crio", "at line 3"),
        ("/etc/crio/crio.conf", "= 3", "--crio", "at line 1"),
    ] {
        let host = Host::with(&[(file, text)]);
        let before = host.files();
        // An engine that is named before it is not changed either.
        let others = if engine == "--docker" { "--podman" } else { "--docker" };
        let arguments = format!("{others} {engine} --default --write");
        let error = host.run(Command::Install, &arguments).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains(Path::new(file).file_name().unwrap().to_str().unwrap()), "{error}");
        assert_eq!(error.lines().count(), 1);
        assert_eq!(host.files(), before);
        assert!(!host.at(LINK).exists());
    }
}

#[test]
fn an_empty_docker_configuration_becomes_an_empty_object() {
    let full = "{\n  \"runtimes\": {\n    \"loadline\": { \"path\": \"/usr/local/bin/loadline-runc\" }\n  }\n}";
    for (old, new, removed) in [
        ("", format!("{full}\n"), "{}\n"),
        ("\n", format!("{full}\n"), "{}\n"),
        ("{\n}\n", format!("{full}\n"), "{}\n"),
        (
            "{\"runtimes\": {}}",
            full.replace("{\n  \"r", "{\"r")
                .replace(": {\n    \"l", ": {\"l")
                .replace(" }\n  }\n}", " }}}"),
            "{}",
        ),
    ] {
        let host = Host::with(&[(DOCKER, old)]);
        host.uninstall("--docker");
        assert_eq!(host.read(DOCKER).unwrap(), old);
        host.install("--docker");
        assert_eq!(host.read(DOCKER).unwrap(), new);
        host.uninstall("--docker");
        assert_eq!(host.read(DOCKER).unwrap(), removed);
    }
}

#[test]
fn members_are_removed_wherever_they_are() {
    let own = "\"loadline\": {\"path\": \"/loadline-runc\"}";
    for (old, new) in [
        (format!("{{\"runtimes\": {{{own}, \"a\": {{}}}}}}"), "{\"runtimes\": { \"a\": {}}}"),
        (format!("{{\"runtimes\": {{\"a\": {{}} , {own} }}}}"), "{\"runtimes\": {\"a\": {} }}"),
        (format!("{{\"runtimes\": {{{own}}}, \"a\": \"{{,\"}}"), "{ \"a\": \"{,\"}"),
        (format!("{{ \"default-runtime\": \"loadline\" , \"runtimes\": {{ {own} }} }}"), "{}"),
        (
            "{\"default-runtime\": \"a\", \"default-runtime\": \"loadline\"}".to_owned(),
            "{\"default-runtime\": \"a\"}",
        ),
        (format!("{{\"a\": 1,\"runtimes\":{{{own}}},\n\"b\": 2}}"), "{\"a\": 1,\n\"b\": 2}"),
    ] {
        assert_eq!(docker::uninstall(&old).unwrap(), new);
    }
}

#[test]
fn a_link_is_followed_and_mode_and_owner_stay() {
    for target in ["real.json", "/etc/docker/real.json", "/srv/real.json", "../../../srv/real.json"]
    {
        let host = Host::with(&[]);
        let real = if target.contains("srv") { "/srv/real.json" } else { "/etc/docker/real.json" };
        host.write(real, fixture!("docker/daemon.json"));
        fs::create_dir_all(host.at("/etc/docker")).unwrap();
        symlink(target, host.at(DOCKER)).unwrap();
        fs::set_permissions(host.at(real), PermissionsExt::from_mode(0o640)).unwrap();
        // Only root can give a file away.
        let own = fs::metadata(host.at(real)).unwrap().uid();
        let owner = if own == 0 { 1 } else { own };
        std::os::unix::fs::chown(host.at(real), Some(owner), None).unwrap();
        host.install("--docker");
        assert_eq!(fs::read_link(host.at(DOCKER)).unwrap(), Path::new(target));
        assert!(host.read(real).unwrap().contains("loadline"));
        let metadata = fs::metadata(host.at(real)).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o640, owner));
        assert_eq!(
            fs::read_dir(host.at(real).parent().unwrap()).unwrap().count(),
            1 + usize::from(!target.contains("srv"))
        );
    }
    let host = Host::with(&[]);
    host.install("--docker");
    assert_eq!(fs::metadata(host.at(DOCKER)).unwrap().mode() & 0o7777, 0o644);
}

#[test]
fn links_of_directories_are_those_of_the_host() {
    for target in ["/srv/etc", "../../../../../srv/etc", "/link/../etc"] {
        let host = Host::with(&[("/srv/etc/conf.d/x", ""), ("/srv/deep/x", "")]);
        symlink("/srv/deep", host.at("/link")).unwrap();
        for directory in ["/etc/docker", "/etc/crio", "/etc/containers"] {
            fs::create_dir_all(host.at(directory).parent().unwrap()).unwrap();
            symlink(target, host.at(directory)).unwrap();
        }
        host.write("/srv/etc/daemon.json", "{}");
        host.write(
            "/srv/etc/crio.conf",
            "[crio.runtime.runtimes.runc]\nmonitor_path = \"/monitor\"\n",
        );
        host.install("--docker --crio --podman");
        assert!(host.read("/srv/etc/daemon.json").unwrap().contains("loadline"), "{target}");
        let crio = host.read("/srv/etc/crio.conf.d/10-loadline.conf").unwrap();
        assert!(crio.contains("/monitor"), "{crio}");
        host.uninstall("--crio --podman");
        assert!(host.read("/srv/etc/crio.conf.d/10-loadline.conf").is_none());
        assert!(host.read("/srv/etc/containers.conf.d/loadline.conf").is_none());
    }
    // The program is copied to where the host finds it.
    let host = Host(tempfile::tempdir().unwrap());
    host.write("/var/usrlocal/bin/x", "");
    fs::create_dir(host.at("/usr")).unwrap();
    symlink("/var/usrlocal", host.at("/usr/local")).unwrap();
    let own = tempfile::NamedTempFile::new().unwrap();
    let root = host.0.path().as_os_str().to_owned();
    let arguments = ["--docker".into(), "--write".into(), "--root".into(), root];
    run(Command::Install, &arguments, own.path()).unwrap();
    let copied = host.at("/var/usrlocal/bin/loadline-runtime");
    assert!(copied.is_file() && copied.with_file_name(PROGRAM).is_symlink());
    assert!(host.read(DOCKER).unwrap().contains(LINK));
}

#[test]
fn links_that_lead_nowhere_are_an_error() {
    let host = Host::with(&[]);
    fs::create_dir_all(host.at("/etc/docker")).unwrap();
    symlink("daemon.json", host.at(DOCKER)).unwrap();
    let error = host.run(Command::Install, "--docker --write").unwrap_err();
    assert!(error.starts_with(&format!("cannot read \"{DOCKER}\": ")), "{error}");
}

#[test]
fn the_program_is_linked_once() {
    let host = Host::with(&[]);
    let output = host.install("--podman");
    assert!(
        output.starts_with(&format!("linked {} to loadline-runtime\n", host.at(LINK).display()))
    );
    assert_eq!(fs::read_link(host.at(LINK)).unwrap(), Path::new("loadline-runtime"));
    assert!(host.install("--podman").starts_with("Podman: no change"));

    fs::remove_file(host.at(LINK)).unwrap();
    host.write(LINK, "#!/bin/sh\n");
    let before = host.files();
    let error = host.run(Command::Install, "--docker --write").unwrap_err();
    assert!(error.ends_with("loadline-runc\" is in the way: it is not executable"), "{error}");
    assert_eq!(host.files(), before);
    fs::set_permissions(host.at(LINK), PermissionsExt::from_mode(0o755)).unwrap();
    let output = host.install("--docker");
    assert!(output.starts_with("left "), "{output}");
    assert_eq!(host.read(LINK).unwrap(), "#!/bin/sh\n");

    // Our own file may have that name.
    let own = host.at(LINK);
    let root = host.0.path().as_os_str().to_owned();
    let arguments = ["--docker".into(), "--write".into(), "--root".into(), root];
    assert_eq!(
        run(Command::Install, &arguments, &own).unwrap(),
        "Docker: no change to /etc/docker/daemon.json\n"
    );
}

/// As in a container that sees the host's files in a directory.
#[test]
fn a_program_from_elsewhere_is_copied_to_the_host() {
    let host = Host::with(&[]);
    let own = tempfile::NamedTempFile::new().unwrap();
    fs::write(own.path(), "the program").unwrap();
    let root = host.0.path().as_os_str().to_owned();
    let run = |more: &[&str]| {
        let mut arguments = vec!["--podman".into(), "--root".into(), root.clone()];
        arguments.extend(more.iter().map(OsString::from));
        run(Command::Install, &arguments, own.path()).unwrap()
    };
    assert!(run(&[]).contains(LINK));
    assert_eq!(host.read(PLACE_ON_HOST).unwrap(), "", "nothing is copied without --write");
    fs::set_permissions(host.at(PLACE_ON_HOST), PermissionsExt::from_mode(0o755)).unwrap();
    for _ in 0..2 {
        assert!(run(&["--write"]).starts_with("copied to "));
        assert_eq!(host.read(PLACE_ON_HOST).unwrap(), "the program");
        let mode = fs::metadata(host.at(PLACE_ON_HOST)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        assert_eq!(fs::read_link(host.at(LINK)).unwrap(), Path::new("loadline-runtime"));
    }
}

#[test]
fn without_write_nothing_changes_and_the_lines_are_shown() {
    let host = Host::with(&[
        (DOCKER, fixture!("docker/daemon.json")),
        (CONTAINERD, fixture!("containerd/version-2.toml")),
    ]);
    let before = host.files();
    let output =
        host.run(Command::Install, "--docker --containerd --podman --crio --default").unwrap();
    assert_eq!(host.files(), before);
    assert!(!host.at(LINK).exists());
    assert_eq!(output, fixture!("dry-run.txt"));

    host.install("--docker --containerd --podman");
    let before = host.files();
    let output = host.run(Command::Install, "--docker --containerd --podman").unwrap();
    assert_eq!(output.matches(" needs no change\n").count(), 3, "{output}");
    let output = host.run(Command::Uninstall, "--docker --containerd --podman --crio").unwrap();
    assert_eq!(
        output,
        "Docker: remove the runtime loadline from /etc/docker/daemon.json\n\
         Docker: apply it with `systemctl restart docker`, which stops containers unless live-restore \
         is on\n\
         containerd: remove the runtime loadline from /etc/containerd/config.toml\n\
         containerd: apply it with `systemctl restart containerd`; containers keep running\n\
         Podman: delete /etc/containers/containers.conf.d/loadline.conf\n\
         Podman: it applies from the next command on\n\
         CRI-O: /etc/crio/crio.conf.d/10-loadline.conf needs no change\n\
         Nothing was changed: --write does it.\n"
    );
    assert_eq!(host.files(), before);
}

#[test]
fn what_else_has_to_be_known_is_a_note() {
    let host = Host::with(&[("/etc/crio/crio.conf.d/10-crio.conf", fixture!("crio/10-crio.conf"))]);
    let output = host.install("--crio");
    assert!(
        output.contains(
            "CRI-O: note: its runc is \"/usr/libexec/crio/runc\", and loadline-runc looks for runc in \
             PATH: to use that one, write `runtime = \"/usr/libexec/crio/runc\"` to \
             /etc/loadline/runtime.toml\n"
        ),
        "{output}"
    );
    let output = Host::with(&[]).install("--containerd");
    let note =
        "containerd: note: there was no configuration; containerd 1.x and 2.x read version 2\n";
    assert!(output.contains(note), "{output}");
    let host = Host::with(&[
        (CONTAINERD, "version = 2\nimports = [\"/etc/x.toml\"]\n"),
        ("/etc/x.toml", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\n"),
    ]);
    let output = host.install("--containerd");
    let note =
        "containerd: note: containerd 1.x takes this plugin's settings from /etc/x.toml alone";
    assert!(output.contains(note), "{output}");
    for (path, is_noted) in [("runc", false), ("/usr/sbin/runc", false), ("/usr/bin/crun", true)] {
        assert_eq!(runc_note(path).is_some(), is_noted);
    }
}

#[test]
fn the_root_is_not_a_part_of_what_is_written() {
    let host = Host::with(&[]);
    let root = host.0.path();
    fs::create_dir_all(host.at("/etc")).unwrap();
    symlink(root, host.at("/etc/again")).unwrap();
    for given in [root.to_owned(), root.join("etc/.."), root.join("etc/again"), root.join("")] {
        assert_eq!(path_on_host(&host.at(LINK), &given).unwrap(), LINK);
    }
    assert_eq!(path_on_host(Path::new("/x/loadline-runc"), root).unwrap(), "/x/loadline-runc");
    assert_eq!(
        path_on_host(Path::new("/x/loadline-runc"), Path::new("/")).unwrap(),
        "/x/loadline-runc"
    );
    for (file, root, error) in [
        (Path::new("loadline-runc"), root, "not an absolute path in UTF-8: \"loadline-runc\""),
        (Path::new(OsStr::from_bytes(b"/\xff")), root, "not an absolute path in UTF-8: \"/\\xff\""),
        (Path::new("/x"), Path::new("/none"), "--root \"/none\": No such file"),
    ] {
        let actual = path_on_host(file, root).unwrap_err();
        assert!(actual.starts_with(error), "{actual}");
    }
}

#[test]
fn the_arguments_are_checked() {
    let usage = "usage: loadline-runtime install (--docker | --containerd | --podman | --crio)... \
                 [--default] [--write] [--root DIR]";
    for (command, arguments, expected) in [
        (Command::Install, &[][..], format!("no engine given; {usage}")),
        (Command::Install, &["--write"], format!("no engine given; {usage}")),
        (Command::Install, &["--lxc"], format!("install: unknown option \"--lxc\"; {usage}")),
        (Command::Install, &["--docker", "x"], format!("install: unknown option \"x\"; {usage}")),
        (Command::Install, &["--docker", "--root"], "--root requires a directory".to_owned()),
        (
            Command::Uninstall,
            &["--docker", "--default"],
            "uninstall: unknown option \"--default\"; usage: loadline-runtime uninstall (--docker | \
             --containerd | --podman | --crio)... [--write] [--root DIR]"
                .to_owned(),
        ),
    ] {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        assert_eq!(run(command, &arguments, Path::new("/x/y")).unwrap_err(), expected);
    }
    let host = Host::with(&[]);
    let root = format!("--root={}", host.0.path().display());
    let arguments = ["--podman".into(), "--podman".into(), root.into()];
    let output = run(Command::Install, &arguments, &host.at(OWN_FILE)).unwrap();
    assert_eq!(output.matches("write to /etc").count(), 1, "{output}");
}
