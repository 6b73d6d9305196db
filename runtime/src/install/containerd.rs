//! containerd: a runtime of the CRI plugin in `/etc/containerd/config.toml`, or in a file of our own if
//! that imports a directory.

use super::files::{Document, Files};
use super::{Command, Edit, HEADER, NAME, Plan, Runtime, runc_note, split_header, tables};
use loadline::text::Escaped;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

const DIRECTORY: &str = "/etc/containerd";
const FILE: &str = "/etc/containerd/config.toml";
/// Where our own file is if no import says otherwise. The default configuration of containerd 2.2 and
/// later imports that directory.
const DROP_IN_DIRECTORY: &str = "/etc/containerd/conf.d";
const DROP_IN: &str = "loadline.toml";

/// What a new configuration begins with. containerd 1.x and 2.x both read version 2.
const NEW_VERSION: &str = "version = 2\n";
/// What a file of our own that is imported begins with. An import of a higher version than the file that
/// imports it is an error, and a lower one is migrated.
const DROP_IN_VERSION: &str = "version = 3\n";

/// The plugin in version 2, and the one in later versions.
const PLUGINS: [&str; 2] = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"];
const DEFAULT: &str = "default_runtime_name";
const SHIM: &str = "io.containerd.runc.v2";
const ANNOTATIONS: [&str; 2] = ["pod_annotations", "container_annotations"];
/// Annotations reach a container only if they match such a pattern (Go's path.Match).
const OUR_ANNOTATIONS: &str = "loadline.*";
const OPTIONS: &str = "options";
const BINARY: &str = "BinaryName";
const SYSTEMD: &str = "SystemdCgroup";

/// Above the entry of runc that `install` adds, so that `uninstall` knows it.
const RUNC_COMMENT: &str = "\n# Added by loadline-runtime: containerd 1.x knows runc by itself only if no \
                            other runtime is listed.\n";

pub fn plan(command: Command, files: &Files, runtime: &Runtime) -> Result<Plan, String> {
    let old = files.read(Path::new(FILE))?;
    match command {
        Command::Install => plan_install(old, files, runtime),
        Command::Uninstall => plan_uninstall(old, files),
    }
}

fn plan_install(old: Option<String>, files: &Files, runtime: &Runtime) -> Result<Plan, String> {
    let text = old.clone().unwrap_or_else(|| format!("{HEADER}{NEW_VERSION}"));
    let config = Document { path: FILE.into(), text };
    let layout = Layout::of(&config)?;
    let imported = read_imports(files, &layout.imports)?;
    let drop_in = layout.drop_in.clone().filter(|_| !layout.has_own_entry);
    for document in imported.iter().chain([&config]) {
        tables::check(document, &layout.runtimes(), program)?;
    }
    let model = Model::of(&config, &imported, &layout)?;
    let mut notes: Vec<_> = model.program.as_deref().and_then(runc_note).into_iter().collect();
    notes.extend(layout.shadowing_import(&imported)?);
    if old.is_none() {
        notes.push("there was no configuration; containerd 1.x and 2.x read version 2".to_owned());
    }

    let add = |file: &Document| {
        let (header, body) = split_header(&file.text);
        let body = add(body, &layout, &model, runtime).map_err(|error| file.error(&error))?;
        Ok::<_, String>(format!("{header}{body}"))
    };
    let edit = if let Some(path) = drop_in {
        let old = files.read(&path)?;
        let text = old.clone().unwrap_or_else(|| format!("{HEADER}{DROP_IN_VERSION}"));
        let new = add(&Document { path: path.clone(), text })?;
        Edit { path, old, lines: new.clone(), new: Some(new) }
    } else {
        let new = add(&config)?;
        let lines =
            if old.is_some() { self::add("", &layout, &model, runtime)? } else { new.clone() };
        Edit { path: config.path, old, new: Some(new), lines }
    };
    Ok(Plan { edits: vec![edit], notes })
}

fn plan_uninstall(old: Option<String>, files: &Files) -> Result<Plan, String> {
    let mut drop_in = Path::new(DROP_IN_DIRECTORY).join(DROP_IN);
    let mut edits = Vec::new();
    if let Some(text) = &old {
        let document = tables::parse_file(&Document { path: FILE.into(), text: text.clone() })?;
        drop_in = drop_in_of(&imports(&document)).unwrap_or(drop_in);
    }
    for path in [Path::new(FILE), &drop_in] {
        for document in files.read_all([path])? {
            let new = remove(&document)?;
            let Document { path, text } = document;
            edits.push(Edit { path, old: Some(text), new, lines: String::new() });
        }
    }
    Ok(Plan { edits, notes: Vec::new() })
}

/// What the configuration says of where things are.
struct Layout {
    version: i64,
    imports: Vec<PathBuf>,
    /// Our own file, if a directory is imported.
    drop_in: Option<PathBuf>,
    /// Whether our runtime is in the configuration itself.
    has_own_entry: bool,
    /// Whether runc has to be listed beside it.
    needs_runc: bool,
}

impl Layout {
    fn of(config: &Document) -> Result<Self, String> {
        let document = tables::parse_file(config)?;
        let version = document.get("version").and_then(Item::as_integer).unwrap_or(1);
        match version {
            2..=4 => {}
            1 => {
                return Err(config.error(
                    "it has no version or version 1, which is too old: write a new one with \
                     `containerd config migrate` (containerd 2.0 or later) or `containerd config \
                     default`",
                ));
            }
            _ => return Err(config.error(&format!("version {version} is not supported"))),
        }
        let imports = imports(&document);
        let mut layout =
            Self { version, imports, drop_in: None, has_own_entry: false, needs_runc: false };
        // containerd 1.x does not merge the tables of a plugin: those in an imported file replace all.
        if version > 2 {
            layout.drop_in = drop_in_of(&layout.imports);
        }
        let runtimes = tables::get(&*document, &layout.containerd(), "runtimes");
        let runtimes = runtimes.and_then(Item::as_table_like);
        layout.has_own_entry = runtimes.is_some_and(|it| it.contains_key(NAME));
        layout.needs_runc = version == 2 && runtimes.is_none_or(TableLike::is_empty);
        Ok(layout)
    }

    fn containerd(&self) -> [&'static str; 3] {
        let [version_2, later] = PLUGINS;
        ["plugins", if self.version == 2 { version_2 } else { later }, "containerd"]
    }

    fn runtimes(&self) -> [&'static str; 4] {
        let [plugins, plugin, containerd] = self.containerd();
        [plugins, plugin, containerd, "runtimes"]
    }

    /// A warning, if containerd 1.x takes the plugin's tables from an imported file.
    fn shadowing_import(&self, imported: &[Document]) -> Result<Option<String>, String> {
        let [plugins, plugin, _] = self.containerd();
        for document in imported.iter().filter(|_| self.version == 2) {
            if tables::get(&*tables::parse_file(document)?, &[plugins], plugin).is_some() {
                return Ok(Some(format!(
                    "containerd 1.x takes this plugin's settings from {} alone: add the lines there too",
                    Escaped(document.path.as_os_str().as_bytes())
                )));
            }
        }
        Ok(None)
    }
}

/// The files that are imported: paths, or patterns with a `*` in the name.
fn imports(document: &DocumentMut) -> Vec<PathBuf> {
    let imports = document.get("imports").and_then(Item::as_array).into_iter().flatten();
    // A path that is not absolute is relative to the file.
    imports.filter_map(Value::as_str).map(|path| Path::new(DIRECTORY).join(path)).collect()
}

fn read_imports(files: &Files, imports: &[PathBuf]) -> Result<Vec<Document>, String> {
    let mut documents = Vec::new();
    for import in imports {
        let name = import.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        documents.extend(match (name.split_once('*'), import.parent()) {
            (Some((first, last)), Some(directory)) => files.read_directory(directory, |name| {
                name.starts_with(first.as_bytes()) && name.ends_with(last.as_bytes())
            })?,
            _ => files.read_all([import.as_path()])?,
        });
    }
    Ok(documents)
}

/// Our own file in the first directory of which all files are imported.
fn drop_in_of(imports: &[PathBuf]) -> Option<PathBuf> {
    let import = imports.iter().find(|import| import.ends_with("*.toml"))?;
    Some(import.with_file_name(DROP_IN))
}

/// What our runtime has in common with the one that it executes: above all the cgroup driver
/// (`SystemdCgroup`), which has to be the same for all runtimes, but also `base_runtime_spec` and the like.
struct Model {
    values: Table,
    options: Table,
    /// Whether systemd manages the cgroups, if there is such a runtime.
    systemd: Option<bool>,
    program: Option<String>,
}

impl Model {
    /// The settings of runc, or else of the default runtime. The last file that has one counts.
    fn of(config: &Document, imported: &[Document], layout: &Layout) -> Result<Self, String> {
        let documents = imported.iter().rev().chain([config]);
        let documents = documents.map(tables::parse_file).collect::<Result<Vec<_>, _>>()?;
        let find = |name: &str| -> Vec<&dyn TableLike> {
            let entries = documents.iter().map(|it| tables::get(&**it, &layout.runtimes(), name));
            entries.flatten().filter_map(Item::as_table_like).collect()
        };
        let mut entries = find("runc");
        if entries.is_empty() {
            let mut names =
                documents.iter().map(|it| tables::get(&**it, &layout.containerd(), DEFAULT));
            let default = names.find_map(|name| name?.as_str().filter(|name| *name != NAME));
            entries = default.map(find).unwrap_or_default();
        }
        let (mut values, mut options) = (Table::new(), Table::new());
        for entry in &entries {
            tables::copy_missing(*entry, &mut values);
            if let Some(more) = entry.get(OPTIONS).and_then(Item::as_table_like) {
                tables::copy_missing(more, &mut options);
            }
        }
        // A runtime has these values if nothing else is said.
        values.retain(|_, item| !is_zero(item));
        options.retain(|_, item| !is_zero(item));
        values.remove(OPTIONS);
        values.remove("runtime_type");
        let program = options.remove(BINARY).and_then(|it| it.as_str().map(ToOwned::to_owned));
        let systemd = (!entries.is_empty()).then(|| options.contains_key(SYSTEMD));
        Ok(Self { values, options, systemd, program })
    }
}

fn is_zero(item: &Item) -> bool {
    match item.as_value() {
        Some(Value::String(text)) => text.value().is_empty(),
        Some(Value::Integer(number)) => *number.value() == 0,
        Some(Value::Boolean(is_true)) => !is_true.value(),
        Some(Value::Array(array)) => array.is_empty(),
        _ => false,
    }
}

/// The text with the runtime added.
fn add(text: &str, layout: &Layout, model: &Model, runtime: &Runtime) -> Result<String, String> {
    tables::edit(text, |document| {
        if runtime.make_default {
            tables::set(tables::make(&mut **document, &layout.containerd())?, DEFAULT, NAME);
        }
        let runtimes = tables::make(&mut **document, &layout.runtimes())?;
        if layout.needs_runc {
            runtimes.insert("runc", Item::Table(listed_runc()));
        }
        if !runtimes.contains_key(NAME) {
            let mut entry = Table::new();
            fill(&mut entry, model, runtime)?;
            if let Some(other) = runtimes.iter().find_map(|(_, item)| item.as_table()) {
                tables::indent_like(&mut entry, other);
            }
            runtimes.insert(NAME, Item::Table(entry));
        }
        fill(tables::make(runtimes, &[NAME])?, model, runtime)
    })
}

fn fill(entry: &mut dyn TableLike, model: &Model, runtime: &Runtime) -> Result<(), String> {
    if !entry.contains_key("runtime_type") {
        tables::set(entry, "runtime_type", SHIM);
    }
    tables::copy_missing(&model.values, entry);
    for key in ANNOTATIONS {
        let mut patterns = entry.get(key).and_then(Item::as_array).cloned().unwrap_or_default();
        if !patterns.iter().any(|pattern| pattern.as_str() == Some(OUR_ANNOTATIONS)) {
            patterns.push(OUR_ANNOTATIONS);
            tables::set(entry, key, patterns);
        }
    }
    let options = tables::make(entry, &[OPTIONS])?;
    tables::set(options, BINARY, &runtime.path);
    tables::copy_missing(&model.options, options);
    if model.systemd == Some(false) {
        options.remove(SYSTEMD);
    }
    Ok(())
}

/// runc as containerd knows it by itself. In containerd 1.x, a list of runtimes replaces the built-in one,
/// which is runc alone. Without it the CRI plugin fails, because runc is the default.
fn listed_runc() -> Table {
    let mut runc = Table::new();
    runc.decor_mut().set_prefix(RUNC_COMMENT);
    tables::set(&mut runc, "runtime_type", SHIM);
    runc
}

/// The text without the runtime, if anything is left in a file of our own.
fn remove(file: &Document) -> Result<Option<String>, String> {
    for plugin in PLUGINS {
        tables::check(file, &["plugins", plugin, "containerd", "runtimes"], program)?;
    }
    let text = tables::edit(&file.text, |document| {
        for plugin in PLUGINS {
            let containerd = ["plugins", plugin, "containerd"];
            let runtimes = ["plugins", plugin, "containerd", "runtimes"];
            tables::remove(&mut **document, &runtimes, NAME);
            tables::remove_name(&mut **document, &containerd, DEFAULT);
            let list = tables::get(&**document, &containerd, "runtimes");
            let list = list.and_then(Item::as_table_like).filter(|list| list.len() == 1);
            let runc = list.and_then(|list| list.get("runc")?.as_table());
            if runc.is_some_and(|runc| tables::prefix(runc) == RUNC_COMMENT) {
                tables::remove(&mut **document, &runtimes, "runc");
            }
        }
        Ok(())
    });
    let text = text.map_err(|error| file.error(&error))?;
    let is_own = [NEW_VERSION, DROP_IN_VERSION].iter().any(|it| text == format!("{HEADER}{it}"));
    Ok((!is_own).then_some(text))
}

fn program(runtime: &Item) -> Option<&str> {
    runtime.as_table_like()?.get(OPTIONS)?.as_table_like()?.get(BINARY)?.as_str()
}
