//! The ELF files are made here: a toolchain makes only the forms of its own release and machine, and
//! no broken ones.

use super::elf::{BUDGET, CHUNK};
use super::values::{MAX_GOMEMLIMIT, parse_gomemlimit};
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::cell::Cell;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Module information with these lines, with a sentinel before and after them.
fn module_info(lines: &str) -> Vec<u8> {
    [b"0123456789abcdef", lines.as_bytes(), b"fedcba9876543210"].concat()
}

const LINES: &str = "path\tcommand-line-arguments\n\
    dep\tgo.uber.org/automaxprocs\tv1.5.3\th1:x=\n\
    build\tCGO_ENABLED=0\n\
    build\tDefaultGODEBUG=containermaxprocs=0,updatemaxprocs=0\n";

/// What an ELF file looks like. The data segment contains the header of the build information, then
/// the strings or the pointers to them.
#[derive(Clone, Debug)]
struct Program {
    /// 64-bit.
    wide: bool,
    /// Big-endian.
    big: bool,
    inline: bool,
    /// The address of the file in memory: 0 if it is position-independent.
    base: u64,
    has_sections: bool,
    /// How many bytes the data segment has before the header.
    before: usize,
    version: Vec<u8>,
    modules: Vec<u8>,
}

/// An ELF file, and the offsets of what a test may want to corrupt.
struct Made {
    bytes: Vec<u8>,
    segments: usize,
    sections: usize,
    header: usize,
}

const EXAMPLE: Program = Program {
    wide: true,
    big: false,
    inline: true,
    base: 0x40_0000,
    has_sections: true,
    before: 0,
    version: Vec::new(),
    modules: Vec::new(),
};

fn example() -> Program {
    Program { version: b"go1.25.3".to_vec(), modules: module_info(LINES), ..EXAMPLE }
}

impl Program {
    /// Appends a number of `size` bytes.
    fn put(&self, bytes: &mut Vec<u8>, size: usize, number: u64) {
        let number = if self.big { number << (64 - 8 * size) } else { number };
        let octets = if self.big { number.to_be_bytes() } else { number.to_le_bytes() };
        bytes.extend_from_slice(&octets[..size]);
    }

    fn put_words(&self, bytes: &mut Vec<u8>, words: &[u64]) {
        for word in words {
            self.put(bytes, if self.wide { 8 } else { 4 }, *word);
        }
    }

    /// The content of the data segment, given its address.
    fn data(&self, address: u64) -> Vec<u8> {
        let mut data = vec![0xaa; self.before];
        let (word, flags) = (if self.wide { 8 } else { 4 }, u8::from(self.big));
        data.extend_from_slice(b"\xff Go buildinf:");
        data.extend_from_slice(&[word as u8, if self.inline { 2 } else { flags }]);
        if self.inline {
            data.extend_from_slice(&[0; 16]);
            for string in [&self.version, &self.modules] {
                let mut length = string.len();
                while length >= 0x80 {
                    data.push(length as u8 | 0x80);
                    length >>= 7;
                }
                data.push(length as u8);
                data.extend_from_slice(string);
            }
        } else {
            let version = address + self.before as u64 + 32;
            let bytes = version + 4 * word;
            let more = bytes + self.version.len() as u64;
            self.put_words(&mut data, &[version, version + 2 * word]);
            data.resize(self.before + 32, 0);
            let lengths = [self.version.len() as u64, self.modules.len() as u64];
            self.put_words(&mut data, &[bytes, lengths[0], more, lengths[1]]);
            data.extend_from_slice(&self.version);
            data.extend_from_slice(&self.modules);
        }
        data
    }

    fn make(&self) -> Made {
        const CODE: u64 = 0x300;
        const DATA: u64 = 0x400;
        // In memory the data segment begins one page further on than in the file.
        let address = self.base + 0x1000 + DATA;
        let data = self.data(address);
        let end = DATA + data.len() as u64;
        let (class, word) = if self.wide { (2, 8) } else { (1, 4) };
        let (header, segment, section) = if self.wide { (64, 56, 64) } else { (52, 32, 40) };
        let sections = if self.has_sections { end } else { 0 };
        let count = if self.has_sections { 5 } else { 0 };

        let mut bytes = b"\x7fELF".to_vec();
        bytes.extend_from_slice(&[class, if self.big { 2 } else { 1 }, 1]);
        bytes.resize(16, 0);
        self.put(&mut bytes, 2, if self.base == 0 { 3 } else { 2 });
        self.put(&mut bytes, 2, 62);
        self.put(&mut bytes, 4, 1);
        self.put_words(&mut bytes, &[self.base + CODE, header, sections]);
        self.put(&mut bytes, 4, 0);
        for number in [header, segment, 3, section, count, 0] {
            self.put(&mut bytes, 2, number);
        }
        assert_eq!(bytes.len() as u64, header);
        let size = data.len() as u64;
        for (kind, flags, offset, size) in [(4, 4, 0x200, 16), (1, 5, 0, DATA), (1, 6, DATA, size)]
        {
            let address = if flags == 6 { address } else { self.base + offset };
            self.put(&mut bytes, 4, kind);
            if self.wide {
                self.put(&mut bytes, 4, flags);
            }
            self.put_words(&mut bytes, &[offset, address, address, size, size]);
            if !self.wide {
                self.put(&mut bytes, 4, flags);
            }
            self.put_words(&mut bytes, &[0x1000]);
        }
        bytes.resize(DATA as usize, 0x90);
        bytes.extend_from_slice(&data);
        if self.has_sections {
            let before = self.before as u64;
            for (kind, flags, offset, size) in [
                (0, 0, 0, 0),
                (1, 6, CODE, 0x100),
                (1, 3, DATA - 0x40, 0x40),
                (1, 3, DATA + before, size - before),
                (8, 3, end, 0x1000),
            ] {
                self.put(&mut bytes, 4, 1);
                self.put(&mut bytes, 4, kind);
                self.put_words(&mut bytes, &[flags, self.base + offset, offset, size]);
                self.put(&mut bytes, 8, 0);
                self.put_words(&mut bytes, &[word, 0]);
            }
        }
        let (segments, header) = (header as usize, DATA as usize + self.before);
        Made { bytes, segments, sections: end as usize, header }
    }
}

/// A source that counts what is read from it.
struct Counted<S> {
    source: S,
    read: Cell<usize>,
    calls: Cell<usize>,
}

impl<S> Counted<S> {
    const fn new(source: S) -> Self {
        Self { source, read: Cell::new(0), calls: Cell::new(0) }
    }
}

impl<S: Source> Source for Counted<S> {
    fn append(&self, offset: u64, length: usize, buffer: &mut Vec<u8>) {
        let before = buffer.len();
        self.source.append(offset, length, buffer);
        assert!(buffer.len() - before <= length);
        self.read.set(self.read.get() + buffer.len() - before);
        self.calls.set(self.calls.get() + 1);
    }
}

impl Source for &[u8] {
    fn append(&self, offset: u64, length: usize, buffer: &mut Vec<u8>) {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..));
        let rest = rest.unwrap_or_default();
        buffer.extend_from_slice(&rest[..length.min(rest.len())]);
    }
}

/// Reads a file that is in memory, and checks that no more than the budget is read.
fn read_bytes<'a>(bytes: &[u8], buffer: &'a mut Vec<u8>) -> Option<GoBinary<'a>> {
    let source = Counted::new(bytes);
    let head = &bytes[..HEAD.min(bytes.len())];
    let found = parse_program(head, &source, buffer);
    assert!(source.read.get() <= BUDGET, "{} bytes", source.read.get());
    assert!(source.calls.get() <= BUDGET / 16, "{} calls", source.calls.get());
    found
}

fn is_go(bytes: &[u8]) -> bool {
    read_bytes(bytes, &mut Vec::new()).is_some()
}

#[track_caller]
fn assert_is_example(bytes: &[u8]) {
    let mut buffer = Vec::new();
    let expected = GoBinary {
        version: b"go1.25.3",
        release: Some(Release { major: 1, minor: 25, patch: 3 }),
        default_godebug: Some(b"containermaxprocs=0,updatemaxprocs=0"),
        cgo: Some(false),
    };
    assert_eq!(read_bytes(bytes, &mut buffer), Some(expected));
}

fn read_file<'a>(path: &Path, buffer: &'a mut Vec<u8>) -> Option<GoBinary<'a>> {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let file = sys::open(&path).ok()?;
    read(file.as_fd(), buffer)
}

#[test]
fn every_form_of_file_is_read() {
    for bits in 0..16 {
        let [wide, big, inline, has_sections] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
        for base in [0, 0x1_0000, 0x40_0000, 0xc000_0000] {
            for before in [0, 16, 0x2340] {
                let program =
                    Program { wide, big, inline, base, has_sections, before, ..example() };
                assert_is_example(&program.make().bytes);
            }
        }
    }
}

#[test]
fn strings_longer_than_the_first_chunk_are_read() {
    for inline in [true, false] {
        for length in [0, 1, 94, 95, CHUNK - 200, CHUNK, 10 * CHUNK, 200 << 10] {
            let lines = format!("path\t{}\n{LINES}", "x".repeat(length));
            assert_is_example(
                &Program { inline, modules: module_info(&lines), ..example() }.make().bytes,
            );
        }
        let modules = module_info(&"x".repeat(BUDGET));
        assert!(!is_go(&Program { modules, ..example() }.make().bytes));
    }
}

#[test]
fn the_data_segment_is_searched_if_there_is_no_section_table() {
    let made = Program { before: 100 << 4, ..example() }.make();
    let zeroed = [&made.bytes[..made.sections], &[0; 5 * 64]].concat();
    assert_is_example(&zeroed);
    let cut = &made.bytes[..made.sections];
    assert_is_example(cut);
    let mut of_no_size = made.bytes.clone();
    of_no_size[58] = 0;
    assert_is_example(&of_no_size);
    for (before, found) in [(200 << 10, true), (BUDGET, false), (8, false)] {
        let program = Program { before, has_sections: false, ..example() };
        assert_eq!(is_go(&program.make().bytes), found, "{before}");
    }
}

#[test]
fn the_data_segment_is_not_searched_if_there_is_a_section_table() {
    let made = example().make();
    let mut removed = made.bytes.clone();
    removed[made.sections + 3 * 64 + 4] = 8;
    assert!(!is_go(&removed));
}

#[test]
fn broken_and_hostile_files_are_not_recognised() {
    let inline = example().make();
    let pointers = Program { inline: false, ..example() }.make();
    let stripped = Program { has_sections: false, ..example() }.make();
    let word = |at: usize, number: u64| (at, number.to_le_bytes().to_vec());
    let (header, sections, segments) = (inline.header, inline.sections, inline.segments);
    let section = |index: usize, field: usize| sections + 64 * index + field;
    let data = segments + 2 * 56;
    let far = [u64::MAX, 1 << 63, (1 << 63) - 1, u64::MAX - 15, 1 << 40];
    let mut cases = vec![
        ("no ELF", &inline, vec![(0, b"\x7fELG".to_vec())]),
        ("class 0", &inline, vec![(4, vec![0])]),
        ("class 3", &inline, vec![(4, vec![3])]),
        ("byte order 0", &inline, vec![(5, vec![0])]),
        ("the other class", &inline, vec![(4, vec![1])]),
        ("the other byte order", &inline, vec![(5, vec![2])]),
        ("no magic", &inline, vec![(header, vec![0xfe])]),
        ("a length of ten bytes", &inline, vec![(header + 32, vec![0xff; 10])]),
        ("a length of five bytes", &inline, vec![(header + 32, vec![0x88, 0x80, 0x80, 0x80, 0])]),
        ("no version", &inline, vec![(header + 32, vec![0])]),
        ("a version beyond the end", &inline, vec![(header + 32, vec![0xff, 0xff, 0xff, 0x7f])]),
        ("modules beyond the end", &inline, vec![(header + 41, vec![0xff, 0xff, 0xff, 0x7f])]),
        ("pointers of two bytes", &pointers, vec![(header + 14, vec![2])]),
        ("no pointer", &pointers, vec![word(header + 16, 0)]),
        ("a pointer to itself", &pointers, vec![word(header + 16, 0x40_1410)]),
        ("no length", &pointers, vec![word(header + 40, 0)]),
        ("a string that is no address", &pointers, vec![word(header + 32, 1)]),
        ("no segments", &pointers, vec![(56, vec![0, 0])]),
        ("no writable segment", &stripped, vec![(data + 4, vec![4])]),
        ("an executable segment", &stripped, vec![(data + 4, vec![7])]),
        ("a segment that is not loaded", &stripped, vec![(data, vec![4])]),
        ("an empty segment", &stripped, vec![word(data + 32, 0)]),
    ];
    for far in far {
        cases.extend([
            ("a far section", &inline, vec![word(section(3, 24), far)]),
            ("a far segment", &stripped, vec![word(data + 8, far)]),
            ("far segments", &pointers, vec![word(32, far)]),
            ("a far pointer", &pointers, vec![word(header + 16, far)]),
            ("a far string", &pointers, vec![word(header + 32, far)]),
            ("a far length", &pointers, vec![word(header + 40, far)]),
            ("a far place of all", &pointers, vec![word(data + 8, far), word(data + 16, far)]),
        ]);
    }
    for (name, made, patches) in cases {
        let mut bytes = made.bytes.clone();
        for (at, patch) in patches {
            bytes[at..at + patch.len()].copy_from_slice(&patch);
        }
        assert!(!is_go(&bytes), "{name}");
    }
}

#[test]
fn tables_with_entries_too_small_are_harmless() {
    let (inline, has_sections) = (false, false);
    for program in
        [example(), Program { inline, ..example() }, Program { has_sections, ..example() }]
    {
        for field in [54, 58] {
            let Made { mut bytes, header, .. } = program.make();
            for size in [0, 1, 2, 15] {
                bytes[field..field + 4].copy_from_slice(&[size, 0, 0xff, 0xff]);
                is_go(&bytes);
            }
            bytes[header] = 0;
            assert!(!is_go(&bytes));
        }
    }
}

#[test]
fn a_truncated_file_is_not_recognised_unless_only_the_modules_are_missing() {
    for inline in [true, false] {
        let made = Program { inline, ..example() }.make();
        for length in 0..made.sections {
            let mut buffer = Vec::new();
            let found = read_bytes(&made.bytes[..length], &mut buffer);
            // If pointers lead to the strings, the modules may be missing.
            assert!(found.is_none_or(|it| !inline && it.default_godebug.is_none()), "{length}");
        }
    }
}

#[test]
fn modules_are_optional_and_the_version_is_not() {
    let mut buffer = Vec::new();
    for (inline, modules) in
        [(true, &b""[..]), (false, b""), (true, b"0123456789abcdef\nfedcba9876543210x")]
    {
        let program = Program { inline, modules: modules.to_vec(), ..example() };
        let binary = read_bytes(&program.make().bytes, &mut buffer).map(|it| it.default_godebug);
        assert_eq!(binary, Some(None));
        assert!(!is_go(&Program { version: Vec::new(), ..program }.make().bytes));
    }
}

#[test]
fn module_information_is_parsed_line_by_line() {
    for (lines, default_godebug, cgo) in [
        ("path\tx\n", "", None),
        ("\n", "", None),
        (LINES, "containermaxprocs=0,updatemaxprocs=0", Some(false)),
        // with cgo, and a main module
        ("mod\tx\t(devel)\t\nbuild\tCGO_ENABLED=1\n", "", Some(true)),
        ("build\tCGO_ENABLED=\n", "", Some(false)),
        // modules, one of them replaced
        ("dep\ta/b\tv1\n=>\tc\tv2\th1:z=\nbuild\tDefaultGODEBUG=a=1\n", "a=1", None),
        // other settings that look alike
        (
            "build\tDefaultGODEBUGX=1\nbuild\tXDefaultGODEBUG=2\nbuild\t-ldflags=\"-X a=\\t\"\n\
             path\tbuild\tDefaultGODEBUG=3\nbuild\tCGO_CFLAGS=\n",
            "",
            None,
        ),
        // quoted
        ("build\tDefaultGODEBUG=\"a=1,b=2 3\"\n", "a=1,b=2 3", None),
        ("build\tDefaultGODEBUG=\"\n", "\"", None),
        // lines without fields
        ("dep\ndep\t\n=>\n=>\t\n=>\tx\nbuild\nbuild\t\n\n", "", None),
    ] {
        let modules = module_info(lines);
        let binary = buildinfo::parse(b"go1.25", &modules).unwrap();
        let expected = (Some(default_godebug.as_bytes()), cgo);
        assert_eq!((binary.default_godebug, binary.cgo), expected, "{lines}");
    }
}

#[test]
fn the_release_is_found_in_versions_with_suffixes() {
    for (version, release) in [
        ("go1.25.3", Some((1, 25, 3))),
        ("go1.25", Some((1, 25, 0))),
        ("go1.25rc1", Some((1, 25, 0))),
        ("go1.18beta2", Some((1, 18, 0))),
        ("go1.25.1 X:nocoverageredesign", Some((1, 25, 1))),
        ("go1.19.8 (Red Hat 1.19.8-1.el9)", Some((1, 19, 8))),
        ("go1.24.2-1 X:strictfipsruntime", Some((1, 24, 2))),
        ("go1.21-20230317-RC01 cl/517.3", Some((1, 21, 0))),
        ("go1.27-devel_a1b2c3.4", Some((1, 27, 0))),
        ("go1.22.custom", Some((1, 22, 0))),
        ("devel go1.27-abc Mon Jan 5 10:11:12 2026 +0000", Some((1, 27, 0))),
        ("devel go1.26-a1b2c3 X:boringcrypto", Some((1, 26, 0))),
        ("go1.65535.0", Some((1, u16::MAX, 0))),
        ("go1.65536", None),
        ("go1.4294967296", None),
        ("go1.99999999999999999999", None),
        ("devel +abc Mon Jan 5 10:11:12 2019 +0000", None),
        ("go1", None),
        ("go1.", None),
        ("go1.x", None),
        ("go", None),
        ("1.25.3", None),
        ("gccgo1.25", None),
        ("unknown", None),
    ] {
        let found = buildinfo::parse(version.as_bytes(), b"").unwrap().release;
        let release = release.map(|(major, minor, patch)| Release { major, minor, patch });
        assert_eq!(found, release, "{version}");
    }
    let release = |minor, patch| Release { major: 1, minor, patch };
    assert!(release(9, 9) < release(25, 0) && release(25, 4) < release(25, 10));
    assert!(release(25, 0) >= release(9, 9) && release(25, 0) >= release(25, 0));
}

#[test]
fn which_numbers_go_accepts_depends_on_the_release() {
    let before = Some(Release { major: 1, minor: 25, patch: 9 });
    let after = Some(Release { major: 1, minor: 26, patch: 0 });
    for (value, releases) in [
        ("1MiB", [true, true, true]),
        ("-0MiB", [true, true, true]),
        ("+1MiB", [false, true, true]),
        ("-KiB", [true, false, true]),
        ("-1", [false; 3]),
        ("-", [false; 3]),
        ("-B", [false; 3]),
        ("+-1", [false; 3]),
        ("1-", [false; 3]),
    ] {
        let parsed = [before, after, None].map(|it| parse_gomemlimit(value.as_bytes(), it));
        assert_eq!(parsed.map(|it| it.is_some()), releases, "{value}");
    }
}

#[test]
fn a_gomemlimit_is_a_number_of_bytes() {
    for (value, bytes) in [
        ("0", Some(0)),
        ("-0MiB", Some(0)),
        ("1000", Some(1000)),
        ("1B", Some(1)),
        ("3KiB", Some(3 << 10)),
        ("360MiB", Some(360 << 20)),
        ("1000GiB", Some(1000 << 30)),
        ("8388607TiB", Some(8_388_607 << 40)),
        ("8388608TiB", None),
        ("9223372036854775807", Some(MAX_GOMEMLIMIT.0)),
        ("9223372036854775808", None),
        ("off", Some(MAX_GOMEMLIMIT.0)),
        ("512MB", None),
    ] {
        assert_eq!(parse_gomemlimit(value.as_bytes(), None).map(|it| it.0), bytes, "{value}");
    }
}

#[test]
fn the_interpreter_of_a_script_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    let go = place("go");
    std::fs::write(&go, example().make().bytes).unwrap();
    let name = go.to_str().unwrap();
    let script = place("script");
    std::fs::write(&script, format!("#!{name}\n")).unwrap();
    let mut buffer = b"left from before".to_vec();
    for (content, found) in [
        (format!("#!{name}"), true),
        (format!("#!{name}\nwhatever\n"), true),
        (format!("#! \t{name} -x {name}\n"), true),
        (format!("#!{name}\t-x"), true),
        (format!("#!{name}\0\n"), true),
        (format!("#!{name}x\n"), false),
        (format!("# !{name}\n"), false),
        (format!(" #!{name}\n"), false),
        (format!("#!{}{name}\n", " ".repeat(300)), false),
        (format!("#!{}\n", script.display()), false),
        ("#!\n".into(), false),
        ("#!".into(), false),
        ("#!  ".into(), false),
        ("#".into(), false),
        (String::new(), false),
    ] {
        let file = place("file");
        std::fs::write(&file, &content).unwrap();
        assert_eq!(read_file(&file, &mut buffer).is_some(), found, "{content:?}");
    }
}

#[test]
fn special_files_neither_block_nor_count_as_go() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let to_itself = directory.path().join("link");
    std::os::unix::fs::symlink(&to_itself, &to_itself).unwrap();
    let to_fifo = directory.path().join("script");
    std::fs::write(&to_fifo, format!("#!{}\n", fifo.display())).unwrap();
    for path in [
        &fifo,
        &to_fifo,
        &to_itself,
        directory.path(),
        Path::new("/dev/null"),
        Path::new("/dev/zero"),
        Path::new("/dev/tty"),
        Path::new("/proc/self/mem"),
        Path::new("/proc/self/status"),
        Path::new("/no/such/file"),
        Path::new(""),
    ] {
        assert_eq!(read_file(path, &mut Vec::new()), None, "{path:?}");
    }
}

#[test]
fn the_cost_does_not_depend_on_the_size_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let made = example().make();
    let cost = |size: u64| {
        let path = directory.path().join("program");
        let file = File::create(&path).unwrap();
        // The table of sections is at the end, with a hole before it.
        let table = &made.bytes[made.sections..];
        let start = size - table.len() as u64;
        file.write_all_at(&made.bytes[..made.sections], 0).unwrap();
        file.write_all_at(&start.to_le_bytes(), 40).unwrap();
        file.write_all_at(table, start).unwrap();
        assert_eq!(file.metadata().unwrap().len(), size);
        let file = File::open(&path).unwrap();
        let source = Counted::new(file.as_fd());
        let mut buffer = Vec::new();
        let binary = parse_program(&made.bytes[..HEAD], &source, &mut buffer).unwrap();
        assert_eq!(binary.cgo, Some(false));
        (source.read.get(), source.calls.get())
    };
    let (read, calls) = cost(2 << 20);
    assert_eq!(cost(300 << 20), (read, calls));
    assert_eq!(cost(5 << 30), (read, calls));
    assert!(read < 8 << 10 && calls < 8, "{read} bytes in {calls} calls");
}

/// Programs of every form.
fn programs() -> impl Strategy<Value = Program> {
    let base = select(vec![0, 0x40_0000, 0xc000_0000]);
    let lines = "([a-z=>]{0,5}\t?[a-zA-Z=./\"]{0,12}\t?[a-z0-9.]{0,6}\n){0,6}";
    (any::<[bool; 4]>(), base, 0..64usize, vec(any::<u8>(), 1..20), lines).prop_map(
        |([wide, big, inline, has_sections], base, before, version, lines)| Program {
            wide,
            big,
            inline,
            base,
            has_sections,
            before: before * 16,
            version,
            modules: module_info(&format!("{LINES}{lines}")),
        },
    )
}

/// Numbers that are troublesome as offsets, sizes or counts.
fn numbers() -> impl Strategy<Value = u64> {
    let nearly =
        |number: u64| (0..33u64).prop_map(move |by| number.wrapping_add(by).wrapping_sub(16));
    prop_oneof![
        nearly(0),
        nearly(1 << 31),
        nearly(1 << 32),
        nearly(1 << 63),
        0..0x600u64,
        0x40_0000..0x40_2000u64,
        any::<u64>(),
    ]
}

proptest! {
    #[test]
    fn random_bytes_do_not_panic(mut bytes in vec(any::<u8>(), 0..600), class in 0..3u8, order in 0..3u8) {
        is_go(&bytes);
        let head = [0x7f, b'E', b'L', b'F', class, order];
        let length = head.len().min(bytes.len());
        bytes[..length].copy_from_slice(&head[..length]);
        is_go(&bytes);
        let _ = interpreter(&bytes);
        let script = [b"#!", &bytes[..]].concat();
        prop_assert!(interpreter(&script).is_some());
        let _ = buildinfo::parse(&bytes, &bytes);
    }

    #[test]
    fn corrupted_programs_do_not_panic(
        program in programs(),
        patches in vec((any::<Index>(), 0..6usize, select(vec![1usize, 2, 4, 8]), numbers()), 1..8),
        cut in proptest::option::weighted(0.2, any::<Index>()),
    ) {
        let Made { mut bytes, segments, sections, header } = program.make();
        for (place, part, size, number) in patches {
            // Corrupting other parts has no effect.
            let part = match part {
                0 => 4..64,
                1 | 2 => segments..segments + 168,
                3 | 4 if program.has_sections => sections..bytes.len(),
                _ => header..bytes.len().min(header + 128),
            };
            let mut patch = Vec::new();
            program.put(&mut patch, size, number & (u64::MAX >> (64 - 8 * size)));
            let at = part.start + place.index(part.len());
            let size = size.min(bytes.len() - at);
            bytes[at..at + size].copy_from_slice(&patch[..size]);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        is_go(&bytes);
    }

    #[test]
    fn corrupted_module_information_does_not_panic(
        lines in vec(select(vec![
            "dep\t", "path\t", "\t", "\n",
            "=>\t", "build\t", "DefaultGODEBUG=", "CGO_ENABLED=", "\"", "v1.2.3", "\0", "\u{e9}", "=",
        ]), 0..40),
        frame in any::<(bool, Index, u8)>(),
    ) {
        let mut modules = module_info(&lines.concat());
        if frame.0 {
            let at = frame.1.index(modules.len());
            modules[at] = frame.2;
        }
        let binary = buildinfo::parse(b"go1.25", &modules).unwrap();
        let ends_field = |byte: &u8| matches!(byte, b'\t' | b'\n');
        prop_assert!(!binary.default_godebug.unwrap_or_default().iter().any(ends_field));
    }

    #[test]
    fn whatever_is_recorded_is_found(program in programs()) {
        let mut buffer = Vec::new();
        let made = program.make();
        let found = read_bytes(&made.bytes, &mut buffer);
        prop_assert_eq!(found, buildinfo::parse(&program.version, &program.modules));
    }
}
