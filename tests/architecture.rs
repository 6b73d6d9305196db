//! The structure of the sources: which module may use which, and where `unsafe` and paths of the kernel
//! may stand.
//!
//! src/lib.rs lists the modules in groups, separated by blank lines. A module may use the modules of
//! earlier groups only, so imports never form a circle. The checks read the sources as text, without
//! the compiler: they see every path that begins with `crate` or `super`, also inside the braces of a
//! `use`. Test code is exempt.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The file that holds the paths of the kernel's files, so that `--root` applies to all of them.
const SYSROOT: &str = "src/cgroup/sysroot.rs";
/// Paths of the process itself, which `--root` must not change. The system calls may name them.
const OWN_PROCESS: [&str; 2] = ["/proc/self/", "/proc/thread-self/"];

#[test]
fn modules_use_only_modules_of_earlier_groups() {
    let layers = layers(&read("src/lib.rs"));
    assert!(layers.len() > 1, "src/lib.rs lists no groups of modules");
    report(upward_imports(&sources(), &layers));
}

#[test]
fn files_of_a_module_do_not_use_each_other_in_a_circle() {
    report(circles(&sources()));
}

#[test]
fn paths_of_the_kernel_are_in_one_file() {
    report(sources().iter().flat_map(kernel_paths));
}

#[test]
fn unsafe_code_is_in_sys_and_main_only() {
    report(sources().iter().flat_map(unsafe_code));
}

#[test]
fn checker_finds_imports_that_run_upwards() {
    let layers = layers("//! Text.\n\n// First.\npub mod a;\n\n// Then.\npub mod b;\npub mod c;\n");
    assert_eq!(layers, [vec!["a"], vec!["b", "c"]]);
    let found = |name: &str, text: &str| {
        upward_imports(&[Source::new(name, text)], &layers).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(found("src/b.rs", "use crate::a::X;\nuse std::fmt;\npub(crate) struct Y;"), "");
    assert_eq!(found("src/b/mod.rs", "use self::part::X; use crate::{a, b::part::Y};"), "");
    assert_eq!(found("src/main.rs", "use crate::c;"), "");
    assert_eq!(
        found("src/a.rs", "\nuse crate::{\n    a::X,\n    b::{c, d},\n};"),
        "src/a.rs:4: a uses b, which is not in an earlier group of src/lib.rs"
    );
    assert!(found("src/b.rs", "fn f() { crate::c::g() }").contains("src/b.rs:1: b uses c"));
    assert!(found("src/a/part.rs", "use super::super::b::X;").contains("part.rs:1: a uses b"));
    assert!(found("src/a.rs", "mod inner { use super::super::c; }").contains("a.rs:1: a uses c"));
    assert!(found("src/a.rs", "use ::std::{fmt, io}; use {crate::{self as x, b}};").contains("b"));
    assert!(found("src/d.rs", "").contains("src/d.rs:1: src/lib.rs does not list d"));
    // Neither comments nor strings import anything, and tests may import everything.
    for text in [
        "// use crate::b;\n/* crate::b /* nested */ crate::b */",
        r##"const X: &str = "crate::b"; const Y: &str = r#"" crate::b"#; const Z: char = '"';"##,
        "fn f<'a>(x: &'a str) -> char { 'b' }",
        "#[cfg(test)]\nmod tests { use crate::b; mod more { use crate::c; } }",
        "#[cfg(test)]\nuse crate::b;",
    ] {
        assert_eq!(found("src/a.rs", text), "", "{text}");
    }
    assert_eq!(found("src/a/tests.rs", "use crate::b;"), "");
}

#[test]
fn checker_finds_circles() {
    let files = |last: &str| {
        let texts = [
            ("src/a/mod.rs", "mod x; mod y; mod z; use x::X;"),
            ("src/a/x.rs", "use super::y::Y;"),
            ("src/a/y.rs", "\nuse super::{Shared, z::{Z, W}};"),
            ("src/a/z.rs", last),
        ];
        circles(&texts.map(|(name, text)| Source::new(name, text))).collect::<Vec<_>>()
    };
    assert_eq!(files("use super::Shared; use crate::b::X;"), [""; 0]);
    assert_eq!(
        files("use crate::a::x::X;"),
        [
            "files use each other in a circle: src/a/x.rs:1 uses y, src/a/y.rs:2 uses z, src/a/z.rs:1 uses x"
        ]
    );
}

#[test]
fn checker_finds_paths_and_unsafe_code() {
    let paths = |name, text| kernel_paths(&Source::new(name, text)).count();
    assert_eq!(paths("src/a.rs", "const X: &CStr = c\"/proc/self/cgroup\";"), 1);
    assert_eq!(paths("src/a.rs", "f(b\"/sys/fs/cgroup\", r\"/proc\")"), 2);
    assert_eq!(paths("src/a.rs", "f(\"in /proc\", \"/processes\") // \"/proc\""), 0);
    assert_eq!(paths("src/sys/a.rs", "f(\"/proc/self/fd/2\"); f(\"/proc/meminfo\")"), 1);
    assert_eq!(paths(SYSROOT, "f(\"/proc/meminfo\")"), 0);
    let blocks = |name, text| unsafe_code(&Source::new(name, text)).count();
    assert_eq!(blocks("src/a.rs", "#![deny(unsafe_code)] // unsafe\nfn f() { unsafe { g() } }"), 1);
    assert_eq!(blocks("src/sys/a.rs", "unsafe fn f() {}"), 0);
}

/// Fails if there is anything to say.
#[track_caller]
fn report(problems: impl IntoIterator<Item = String>) {
    let problems: Vec<_> = problems.into_iter().collect();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// All files of src, in the order of their names.
fn sources() -> Vec<Source> {
    let mut names = BTreeSet::new();
    list("src", &mut names);
    names.iter().map(|name| Source::new(name, &read(name))).collect()
}

fn list(directory: &str, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{directory}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            list(&name, names);
        } else if name.ends_with(".rs") {
            names.insert(name);
        }
    }
}

/// The modules of the crate as src/lib.rs lists them, group by group.
fn layers(library: &str) -> Vec<Vec<String>> {
    let mut groups = vec![Vec::new()];
    for line in library.lines() {
        let declaration = line.strip_prefix("pub ").unwrap_or(line);
        if let Some(name) = declaration.strip_prefix("mod ").and_then(|it| it.strip_suffix(';')) {
            groups.last_mut().unwrap().push(name.to_owned());
        } else if line.is_empty() {
            groups.push(Vec::new());
        }
    }
    groups.retain(|group| !group.is_empty());
    groups
}

/// The imports of modules that are not in an earlier group than the module that uses them. lib.rs and
/// main.rs come after all groups.
fn upward_imports<'a>(
    sources: &'a [Source],
    layers: &'a [Vec<String>],
) -> impl Iterator<Item = String> + 'a {
    let layer = |module: &str| layers.iter().position(|group| group.iter().any(|it| it == module));
    sources.iter().filter(|source| !source.module.is_empty()).flat_map(move |source| {
        let (name, module) = (&source.name, &source.module[0]);
        let own = layer(module);
        let mut problems = Vec::new();
        if own.is_none() {
            problems.push(format!("{name}:1: src/lib.rs does not list {module}"));
        }
        // One line for a `use` of several items of a module.
        let imports: BTreeSet<_> =
            source.imports.iter().map(|import| (import.line, &import.path[0])).collect();
        for (line, used) in imports {
            // A path that names no module names an item of lib.rs.
            let Some(layer) = layer(used) else { continue };
            if used != module && own.is_some_and(|own| layer >= own) {
                problems.push(format!(
                    "{name}:{line}: {module} uses {used}, which is not in an earlier group of src/lib.rs"
                ));
            }
        }
        problems
    })
}

/// Files of one directory that use each other in a circle, each circle once. What they share is in the
/// module above them, which may use all of them.
fn circles(sources: &[Source]) -> impl Iterator<Item = String> {
    // What a file uses of its siblings, and in which line.
    let mut uses: BTreeMap<&[String], BTreeMap<&[String], usize>> = BTreeMap::new();
    let files: BTreeMap<&[String], &Source> =
        sources.iter().map(|source| (&source.module[..], source)).collect();
    for source in sources.iter().filter(|source| source.module.len() > 1) {
        let own = &source.module[..];
        for import in &source.imports {
            let Some(sibling) = import.path.get(..own.len()) else { continue };
            let is_sibling = sibling != own && sibling[..own.len() - 1] == own[..own.len() - 1];
            if let (true, Some((&sibling, _))) = (is_sibling, files.get_key_value(sibling)) {
                uses.entry(own).or_default().entry(sibling).or_insert(import.line);
            }
        }
    }
    let mut found = BTreeMap::new();
    let mut done = BTreeSet::new();
    for &start in uses.keys() {
        walk(start, &uses, &mut Vec::new(), &mut done, &mut |circle| {
            let members: BTreeSet<_> = circle.iter().copied().collect();
            let steps = circle.iter().zip(circle.iter().cycle().skip(1)).map(|(from, to)| {
                let (name, line) = (&files[from].name, uses[from][to]);
                format!("{name}:{line} uses {}", to.last().unwrap())
            });
            let steps = steps.collect::<Vec<_>>().join(", ");
            found
                .entry(members.into_iter().map(<[_]>::to_vec).collect::<Vec<_>>())
                .or_insert(steps);
        });
    }
    found.into_values().map(|steps| format!("files use each other in a circle: {steps}"))
}

/// Follows the uses from a file, along the path from the start, and tells each circle that closes.
fn walk<'a>(
    file: &'a [String],
    uses: &BTreeMap<&'a [String], BTreeMap<&'a [String], usize>>,
    path: &mut Vec<&'a [String]>,
    done: &mut BTreeSet<&'a [String]>,
    circle: &mut impl FnMut(&[&'a [String]]),
) {
    if let Some(start) = path.iter().position(|&it| it == file) {
        circle(&path[start..]);
        return;
    }
    if done.contains(file) {
        return;
    }
    path.push(file);
    for &next in uses.get(file).into_iter().flat_map(BTreeMap::keys) {
        walk(next, uses, path, done, circle);
    }
    path.pop();
    done.insert(file);
}

/// String literals that name a file of the kernel.
fn kernel_paths(source: &Source) -> impl Iterator<Item = String> {
    let name = &source.name;
    let is_named = |text: &&(usize, String)| {
        let text = text.1.as_str();
        let is_path = ["/proc", "/sys"].iter().any(|top| {
            text.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        let is_own =
            name.starts_with("src/sys/") && OWN_PROCESS.iter().any(|it| text.starts_with(it));
        is_path && name != SYSROOT && !is_own
    };
    let problem = |(line, text): &(usize, String)| {
        format!("{name}:{line}: the path {text:?} belongs in {SYSROOT}")
    };
    source.strings.iter().filter(is_named).map(problem).collect::<Vec<_>>().into_iter()
}

/// Uses of `unsafe` outside of the modules that may have it.
fn unsafe_code(source: &Source) -> impl Iterator<Item = String> {
    let name = &source.name;
    let is_allowed = name.starts_with("src/sys/") || name == "src/main.rs";
    let lines = if is_allowed { &[][..] } else { &source.unsafe_lines };
    lines.iter().map(move |line| format!("{name}:{line}: unsafe code belongs in src/sys"))
}

/// What the checks need of one file.
struct Source {
    name: String,
    /// The path of the module; empty for lib.rs and main.rs.
    module: Vec<String>,
    imports: Vec<Import>,
    /// The string literals, with their lines.
    strings: Vec<(usize, String)>,
    unsafe_lines: Vec<usize>,
}

/// A path from the root of the crate, such as `units::Bytes`.
struct Import {
    path: Vec<String>,
    line: usize,
}

impl Source {
    fn new(name: &str, text: &str) -> Self {
        let mut module: Vec<_> = name
            .strip_prefix("src/")
            .and_then(|name| name.strip_suffix(".rs"))
            .expect("a file of src")
            .split('/')
            .map(str::to_owned)
            .collect();
        let is_test = module.iter().any(|part| part == "tests");
        if matches!(module.last().unwrap().as_str(), "mod" | "lib" | "main") {
            module.pop();
        }
        let mut source = Self {
            name: name.to_owned(),
            module,
            imports: Vec::new(),
            strings: Vec::new(),
            unsafe_lines: Vec::new(),
        };
        if !is_test {
            source.scan(&without_tests(tokens(text)));
        }
        source
    }

    fn scan(&mut self, tokens: &[Token]) {
        // The modules that are written out in the file, and the depth of braces that each ends at.
        let mut inner: Vec<(String, usize)> = Vec::new();
        let mut depth = 0;
        for (at, token) in tokens.iter().enumerate() {
            let next = |offset: usize| tokens.get(at + offset).map(|token| &token.kind);
            match &token.kind {
                Kind::Text(text) => self.strings.push((token.line, text.clone())),
                Kind::Word(word) if word == "unsafe" => self.unsafe_lines.push(token.line),
                Kind::Word(word) if word == "mod" => {
                    if let (Some(Kind::Word(name)), Some(Kind::Mark('{'))) = (next(1), next(2)) {
                        inner.push((name.clone(), depth));
                    }
                }
                Kind::Mark('{') => depth += 1,
                Kind::Mark('}') => {
                    depth -= 1;
                    inner.retain(|(_, ends_at)| *ends_at < depth);
                }
                // Later `super`s of a path belong to the first.
                Kind::Word(word) if word == "crate" || word == "super" => {
                    if at > 1 && tokens[at - 1].kind == Kind::Mark(':') {
                        continue;
                    }
                    let modules = inner.iter().map(|(name, _)| name);
                    let here: Vec<_> = self.module.iter().chain(modules).cloned().collect();
                    let start = if word == "crate" { Vec::new() } else { above(here) };
                    let mut rest = at + 1;
                    follow(tokens, &mut rest, start, &mut self.imports);
                }
                _ => {}
            }
        }
    }
}

/// The path without its last part.
fn above(mut path: Vec<String>) -> Vec<String> {
    path.pop();
    path
}

/// Reads what comes after the beginning of a path, with all that is in braces, and adds the paths.
fn follow(tokens: &[Token], at: &mut usize, start: Vec<String>, imports: &mut Vec<Import>) {
    let kind = |at: usize| tokens.get(at).map(|token| &token.kind);
    let mut path = start;
    let line = tokens[*at - 1].line;
    let mut last_line = line;
    while kind(*at) == Some(&Kind::Mark(':')) && kind(*at + 1) == Some(&Kind::Mark(':')) {
        match kind(*at + 2) {
            Some(Kind::Word(word)) => {
                last_line = tokens[*at + 2].line;
                match word.as_str() {
                    "super" => path = above(path),
                    "self" => {}
                    _ => path.push(word.clone()),
                }
                *at += 3;
            }
            Some(Kind::Mark('{')) => {
                *at += 3;
                branches(tokens, at, &path, imports);
                return;
            }
            // A glob, or arguments of a generic function.
            _ => break,
        }
    }
    if !path.is_empty() {
        imports.push(Import { path, line: last_line });
    }
}

/// Reads the branches of a `use` up to the closing brace.
fn branches(tokens: &[Token], at: &mut usize, start: &[String], imports: &mut Vec<Import>) {
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        match &token.kind {
            Kind::Mark('}') => return,
            Kind::Word(word) if word == "as" => *at += 1,
            Kind::Word(word) => {
                let mut path = start.to_vec();
                if word != "self" {
                    path.push(word.clone());
                }
                follow(tokens, at, path, imports);
            }
            _ => {}
        }
    }
}

#[derive(Debug, PartialEq)]
enum Kind {
    /// A name, a keyword or a number.
    Word(String),
    /// The content of a string literal of any kind, escapes as they are written.
    Text(String),
    Mark(char),
}

#[derive(Debug)]
struct Token {
    kind: Kind,
    line: usize,
}

/// The tokens of a file, as far as the checks need to tell them apart, without comments.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let (length, kind) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), None)
        } else if rest.starts_with("/*") {
            (comment(rest), None)
        } else if let Some((length, text)) = string(rest) {
            (length, Some(Kind::Text(text)))
        } else if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            (length, Some(Kind::Word(rest[..length].to_owned())))
        } else if first == '\'' {
            (character(rest), None)
        } else {
            let kind = (!first.is_whitespace()).then_some(Kind::Mark(first));
            (first.len_utf8(), kind)
        };
        tokens.extend(kind.map(|kind| Token { kind, line }));
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// The length of a comment that may have others in it.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 || at >= text.len() {
            return at.min(text.len());
        }
    }
}

/// The length and the content of a string literal at the beginning of the text, with its prefix.
fn string(text: &str) -> Option<(usize, String)> {
    let prefix = ["", "b", "c", "r", "br", "cr"].into_iter().find(|prefix| {
        let rest = text.strip_prefix(prefix);
        rest.is_some_and(|rest| {
            let rest = if prefix.ends_with('r') { rest.trim_start_matches('#') } else { rest };
            rest.starts_with('"')
        })
    })?;
    let rest = &text[prefix.len()..];
    let hashes = rest.find('"')?;
    let begin = prefix.len() + hashes + 1;
    let mut end = begin;
    let closing = format!("\"{}", "#".repeat(hashes));
    while !text[end..].starts_with(&closing) {
        let escape = !prefix.ends_with('r') && text[end..].starts_with('\\');
        let characters = text[end..].chars().take(if escape { 2 } else { 1 });
        let length: usize = characters.map(char::len_utf8).sum();
        if length == 0 {
            break;
        }
        end += length;
    }
    Some(((end + closing.len()).min(text.len()), text[begin..end].to_owned()))
}

/// The length of a character literal, or that of the mark of a lifetime.
fn character(text: &str) -> usize {
    let mut inside = text.char_indices().skip(1);
    match (inside.next(), inside.next()) {
        (Some((_, '\\')), Some((escaped, _))) => {
            let after = escaped + 1;
            text[after..].find('\'').map_or(text.len(), |end| after + end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

/// Leaves out every item that is marked `#[cfg(test)]`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let is = |token: &Token, expected: &str| match &token.kind {
        Kind::Word(word) => word == expected,
        Kind::Mark(mark) => expected.chars().eq([*mark]),
        Kind::Text(_) => false,
    };
    let mut kept = Vec::new();
    let mut rest = tokens.into_iter();
    let mut seen = 0;
    while let Some(token) = rest.next() {
        seen = if is(&token, MARK[seen]) { seen + 1 } else { usize::from(is(&token, MARK[0])) };
        kept.push(token);
        if seen == MARK.len() {
            kept.truncate(kept.len() - MARK.len());
            seen = 0;
            // The item ends with its block or, if it has none, with a semicolon or a comma.
            let mut depth = 0usize;
            for token in rest.by_ref() {
                let is_one_of = |marks: [&str; 3]| marks.iter().any(|mark| is(&token, mark));
                if is_one_of(["{", "(", "["]) {
                    depth += 1;
                } else if is_one_of(["}", ")", "]"]) {
                    depth = depth.saturating_sub(1);
                }
                if depth == 0 && is_one_of(["}", ";", ","]) {
                    break;
                }
            }
        }
    }
    kept
}
