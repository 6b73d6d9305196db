//! The documents tell what the program does: their examples are run, they name the same options,
//! variables and keys of JSON as the program, and their links lead somewhere.

use super::support::Init;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const README: &str = include_str!("../README.md");
const OPTIONS: &str = include_str!("../docs/options.md");
const DECISIONS: &str = include_str!("../docs/decisions.md");
const OOM: &str = include_str!("../docs/oom.md");
const MAN_PAGE: &str = include_str!("../docs/loadline.1");
const SUITES: &str = include_str!("run.py");

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document in Markdown, with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for directory in [top(), &top().join("docs")] {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        files.extend(entries.filter(|path| path.extension().is_some_and(|it| it == "md")));
    }
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read_to_string(&file).unwrap())).collect()
}

/// The lines of each fenced block in a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<Vec<&'a str>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("```") {
            let block = lines.by_ref().take_while(|line| *line != "```").collect();
            if name == language {
                blocks.push(block);
            }
        }
    }
    blocks
}

/// The lines outside of fenced blocks.
fn prose(text: &str) -> Vec<&str> {
    let mut is_fenced = false;
    let is_prose = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        !is_fenced && !is_fence
    };
    text.lines().filter(is_prose).collect()
}

fn help() -> String {
    let output = Command::new(Init::under_test().path).arg("--help").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The options in a text such as `-h, --help` or `--report[=text|json]`.
fn options_in(text: &str) -> impl Iterator<Item = String> {
    let words = text.split([' ', ',', '`']).filter(|word| word.starts_with('-'));
    words.map(|word| {
        word.chars().take_while(|char| *char == '-' || char.is_ascii_lowercase()).collect()
    })
}

fn options_in_help() -> BTreeSet<String> {
    let help = help();
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    // The description begins behind two spaces or on the next line.
    lines.flat_map(|line| options_in(line.split("  ").next().unwrap())).collect()
}

/// Each option of docs/options.md with its variable.
fn options_in_reference() -> BTreeMap<String, Option<&'static str>> {
    let mut options = BTreeMap::new();
    for section in OPTIONS.split("\n### ").skip(1) {
        let (heading, text) = section.split_once("\n\n").unwrap();
        let variable = text.strip_prefix("Variable: `").map(|it| it.split('`').next().unwrap());
        options.extend(options_in(heading).map(|option| (option, variable)));
    }
    options
}

/// The options and variables in the table of the README.
fn options_in_readme() -> BTreeMap<String, Option<&'static str>> {
    let mut options = BTreeMap::new();
    for row in README.lines().filter(|line| line.starts_with("| `-")) {
        // The bars of alternatives are escaped, and are no borders of cells.
        let bars = row.match_indices('|').map(|(index, _)| index);
        let mut cell_ends = bars.filter(|index| !row[..*index].ends_with('\\')).skip(1);
        let (first, second) = (cell_ends.next().unwrap(), cell_ends.next().unwrap());
        let variable = row[first + 1..second].trim().trim_matches('`');
        let variable = (!variable.is_empty()).then_some(variable);
        options.extend(options_in(&row[..first]).map(|option| (option, variable)));
    }
    options
}

fn options_in_man_page() -> BTreeSet<String> {
    let items = MAN_PAGE.lines().filter(|line| line.starts_with(".It Fl "));
    let flags = items.flat_map(|item| item.split("Fl ").skip(1));
    flags.map(|flag| format!("-{}", flag.split(' ').next().unwrap())).collect()
}

/// The words in a text that name variables for the init.
fn variables_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|char: char| char != '_' && !char.is_ascii_uppercase());
    words.filter(|word| word.starts_with("LOADLINE_") || word.starts_with("TINI_")).collect()
}

#[test]
fn console_examples_show_the_real_output() {
    let artifact = Init::under_test().path;
    let directory = artifact.parent().unwrap().display();
    let mut commands = 0;
    for (file, text) in documents() {
        for block in blocks(&text, "console") {
            let (command, expected) = block.split_first().unwrap();
            let command = command.strip_prefix("$ ").unwrap();
            let output = Command::new("sh")
                .args(["-c", &format!("exec 2>&1; {command}")])
                .current_dir(top())
                .env_clear()
                .env("PATH", format!("{directory}:/usr/bin:/bin"))
                .output()
                .unwrap();
            let output = String::from_utf8(output.stdout).unwrap();
            let lines: Vec<_> = output.lines().collect();
            let file = file.display();
            assert_eq!(lines.len(), expected.len(), "{file}: {command}: {output}");
            for (line, expected) in lines.into_iter().zip(expected) {
                // `...` stands for what differs from run to run.
                match expected.strip_suffix("...") {
                    Some(begin) => assert!(line.starts_with(begin), "{file}: {command}: {output}"),
                    None => assert_eq!(line, *expected, "{file}: {command}"),
                }
            }
            commands += 1;
        }
    }
    assert_ne!(commands, 0);
}

/// The keys that the first column of a section's tables names.
fn documented_keys(text: &str, heading: &str) -> BTreeSet<String> {
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let section = lines.take_while(|line| !line.starts_with("## ") && !line.starts_with("### "));
    let cells = section.filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_string)).collect()
}

/// The keys of an object; those of an object in it come after its own name and a dot.
fn keys(object: &Value) -> BTreeSet<String> {
    let named = |(name, value): (&String, &Value)| match value {
        Value::Object(_) => keys(value).into_iter().map(|key| format!("{name}.{key}")).collect(),
        _ => vec![name.clone()],
    };
    object.as_object().unwrap().iter().flat_map(named).collect()
}

#[test]
fn keys_of_json_are_documented() {
    Init::must_be_loadline();
    let run = |arguments: &[&str]| {
        Command::new(Init::under_test().path).args(arguments).env_clear().output().unwrap()
    };
    let explained = documented_keys(DECISIONS, "## The report of --explain");
    let object = serde_json::from_slice(&run(&["--explain=json", "/bin/true"]).stdout).unwrap();
    assert_eq!(keys(&object), explained, "--explain=json");

    let pid = std::process::id().to_string();
    let mut object: Value = serde_json::from_slice(&run(&["--inspect=json", &pid]).stdout).unwrap();
    assert_eq!(keys(&object["now"]), explained, "`now` of --inspect=json");
    object["now"] = Value::Null;
    assert_eq!(
        keys(&object),
        documented_keys(DECISIONS, "## The report of --inspect"),
        "--inspect=json"
    );

    let output = run(&["--report=json", "/bin/true"]).stderr;
    let objects = output.split_inclusive(|byte| *byte == b'\n');
    let objects: Vec<Value> = objects.map(|line| serde_json::from_slice(line).unwrap()).collect();
    let [start, end] = &objects[..] else { panic!("{objects:?}") };
    let at_exit = documented_keys(OOM, "## --report");
    assert_eq!(keys(end), at_exit, "--report=json at the end");
    let at_start: BTreeSet<_> = explained.union(&at_exit).cloned().collect();
    assert!(keys(start).is_superset(&explained) && keys(start).is_subset(&at_start), "{start}");
}

#[test]
fn docker_md_shows_parts_of_the_examples() {
    let text = fs::read_to_string(top().join("docs/docker.md")).unwrap();
    let example = |name: &str| fs::read_to_string(top().join("examples").join(name)).unwrap();
    let is_part_of = |block: &[&str], name: &str| {
        assert!(example(name).contains(&block.join("\n")), "{name} does not contain {block:#?}");
    };
    let daemon = blocks(&text, "json");
    assert_eq!(daemon.len(), 1);
    is_part_of(&daemon[0], "docker/daemon.json");
    // Manifests of Kubernetes begin with apiVersion, others are parts of the one for Compose.
    let compose: Vec<_> =
        blocks(&text, "yaml").into_iter().filter(|block| block[0].starts_with(' ')).collect();
    assert_eq!(compose.len(), 2);
    for block in compose {
        is_part_of(&block, "compose.yaml");
    }
}

#[test]
fn commands_of_the_readme_are_run_by_the_suites() {
    let commands: Vec<_> = blocks(README, "sh").into_iter().flatten().collect();
    assert_eq!(commands, ["make demo", "make test"], "the two commands");
    assert!(SUITES.contains("\"make demo GO="));
    assert!(README.contains("`make release`") && SUITES.contains("\"make release\""));
}

#[test]
fn help_reference_readme_and_man_page_have_the_same_options() {
    let reference: BTreeSet<_> = options_in_reference().into_keys().collect();
    assert!(reference.len() > 20, "{reference:?}");
    assert_eq!(options_in_help(), reference, "--help and docs/options.md");
    assert_eq!(options_in_man_page(), reference, "docs/loadline.1 and docs/options.md");
    assert_eq!(options_in_readme(), options_in_reference(), "README.md and docs/options.md");
}

#[test]
fn variables_in_the_reference_are_those_that_the_program_reads() {
    let reference = options_in_reference();
    let variables: BTreeSet<_> = reference.values().copied().flatten().collect();
    let in_man_page: BTreeSet<_> =
        MAN_PAGE.lines().filter_map(|line| line.strip_prefix(".It Ev ")).collect();
    assert!(variables.is_subset(&in_man_page), "{variables:?} {in_man_page:?}");
    let help = help();
    assert!(variables_in(&help).is_subset(&variables), "--help: {help}");
    for (file, text) in documents() {
        // Older names may be mentioned in the changelog; a prefix alone names none.
        if !file.ends_with("CHANGELOG.md") {
            let mut strange = variables_in(&text);
            strange.retain(|name| !variables.contains(name) && !name.ends_with('_'));
            assert_eq!(strange, BTreeSet::new(), "{}", file.display());
        }
    }

    // No variable takes a question mark, so the program warns about each one that it reads. tini reads
    // two only for their presence; tests/init/command_line.rs has them.
    let warns = |variable: &str| {
        let output = Command::new(Init::under_test().path)
            .arg("--explain")
            .env_clear()
            .env(variable, "?")
            .output()
            .unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        output.lines().any(|line| line.starts_with("warning: ") && line.contains(variable))
    };
    for (option, variable) in &reference {
        let by_presence = ["-s", "-g"].contains(&option.as_str());
        match variable {
            Some(variable) => assert_ne!(warns(variable), by_presence, "{variable}"),
            None => {
                let name = option.trim_start_matches('-').replace('-', "_").to_uppercase();
                assert!(!warns(&format!("LOADLINE_{name}")), "{option} has a variable");
            }
        }
    }
}

#[test]
fn help_fits_a_terminal() {
    let help = help();
    assert!(help.lines().count() <= 44, "{help}");
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
}

/// A promise is held by functions of the tests, or by suites.
#[test]
fn tests_that_hold_the_promises_exist() {
    let mut sources = String::new();
    for directory in ["src", "tests"] {
        read_all(&top().join(directory), &mut sources);
    }
    let text = fs::read_to_string(top().join("docs/development.md")).unwrap();
    let rows =
        text.split("## What holds the promises").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut count = 0;
    for row in rows.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let held_by = row.split('|').nth(2).unwrap();
        for name in held_by.split('`').skip(1).step_by(2) {
            let is_test = sources.contains(&format!("fn {name}("));
            assert!(is_test || SUITES.contains(&format!("(\"{name}\", ")), "{name}");
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}

/// Appends all Rust sources below a directory.
fn read_all(directory: &Path, sources: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, sources);
        } else if path.extension().is_some_and(|it| it == "rs") {
            sources.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn readme_is_short() {
    assert!(README.lines().count() <= 160, "details belong into docs/");
}

/// What GitHub makes of the headings of a document, for links to them.
fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|char| char.is_alphanumeric() || "-_ ".contains(*char));
        kept.map(|char| if char == ' ' { '-' } else { char }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut broken = Vec::new();
    for (file, text) in documents() {
        for part in prose(&text).join("\n").split("](").skip(1) {
            let link = part.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let directory = file.parent().unwrap();
            let target = if path.is_empty() { file.clone() } else { directory.join(path) };
            let has_anchor = || {
                let text = fs::read_to_string(&target).unwrap_or_default();
                anchors(&text).iter().any(|heading| heading == anchor)
            };
            let leads_there = target.exists() && (anchor.is_empty() || has_anchor());
            if !leads_there {
                broken.push(format!("{}: {link}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}
