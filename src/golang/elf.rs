//! Finds the strings of Go's build information in an ELF file (elf(5)).
//!
//! The linker writes a header into the section `.go.buildinfo`. The strings follow the header, or
//! before Go 1.18 the header points to them. Go's own reader, `debug/buildinfo`, finds the section
//! by its name. Here the first bytes of every data section are compared, which saves reading the
//! names, and the data segments are searched only if there is no section table.

use super::Source;
use core::ops::Range;

/// How much of a file is read at most, apart from its head. Half of it is reserved for the strings:
/// the module information takes tens of kilobytes in the largest programs.
pub const BUDGET: usize = 512 << 10;
/// How much of a table is read at most. The kernel accepts no larger table of segments
/// (`load_elf_phdrs`), and no linker writes a larger one of sections.
const MAX_TABLE: usize = 64 << 10;
/// How much is read at a time to find the header, and with it: most build information is smaller.
pub const CHUNK: usize = 4096;

/// What the header begins with, and its alignment in the file (`buildInfoMagic`,
/// `buildInfoAlign`).
const MAGIC: &[u8] = b"\xff Go buildinf:";
const ALIGNMENT: usize = 16;

// Offsets in the header (`buildinfo` in cmd/link/internal/ld/data.go).
const POINTER_SIZE: usize = 14;
const FLAGS: usize = 15;
const POINTERS: usize = 16;
const STRINGS: usize = 32;
/// The flag that the strings follow the header.
const FLAG_INLINE: u8 = 2;

/// The offsets of the fields whose place depends on the class of the file, 32-bit or 64-bit. The
/// names are those of elf(5).
struct Class {
    /// The size of a pointer, and of the fields that hold an address, an offset or a size.
    pointer_size: u8,
    e_phoff: usize,
    e_shoff: usize,
    e_phentsize: usize,
    e_phnum: usize,
    e_shentsize: usize,
    e_shnum: usize,
    p_flags: usize,
    p_offset: usize,
    p_vaddr: usize,
    p_filesz: usize,
    sh_offset: usize,
}

const ELF32: Class = Class {
    pointer_size: 4,
    e_phoff: 28,
    e_shoff: 32,
    e_phentsize: 42,
    e_phnum: 44,
    e_shentsize: 46,
    e_shnum: 48,
    p_flags: 24,
    p_offset: 4,
    p_vaddr: 8,
    p_filesz: 16,
    sh_offset: 16,
};

const ELF64: Class = Class {
    pointer_size: 8,
    e_phoff: 32,
    e_shoff: 40,
    e_phentsize: 54,
    e_phnum: 56,
    e_shentsize: 58,
    e_shnum: 60,
    p_flags: 4,
    p_offset: 8,
    p_vaddr: 16,
    p_filesz: 32,
    sh_offset: 24,
};

// Offsets of fields whose place is the same in both classes.
const P_TYPE: usize = 0;
const SH_TYPE: usize = 4;
const SH_FLAGS: usize = 8;

const PT_LOAD: u64 = 1;
const PF_X: u64 = 1;
const PF_W: u64 = 2;
const SHT_PROGBITS: u64 = 1;
const SHF_WRITE: u64 = 1;
const SHF_ALLOC: u64 = 2;

/// How the numbers in a file are written.
#[derive(Clone, Copy)]
struct Format {
    class: &'static Class,
    is_big_endian: bool,
}

impl Format {
    /// The format of a file that begins with `head`. None if that is not an ELF file.
    fn of(head: &[u8]) -> Option<Self> {
        let [0x7f, b'E', b'L', b'F', class, data, ..] = head else {
            return None;
        };
        let class = match class {
            1 => &ELF32,
            2 => &ELF64,
            _ => return None,
        };
        let is_big_endian = match data {
            1 => false,
            2 => true,
            _ => return None,
        };
        Some(Self { class, is_big_endian })
    }

    /// The number of `size` bytes at `offset`. 0 if the bytes end before: then it is no type that
    /// is looked for, and the length of nothing.
    fn number(self, bytes: &[u8], offset: usize, size: usize) -> u64 {
        let bytes = bytes.get(offset..offset.saturating_add(size)).unwrap_or_default();
        let append = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.is_big_endian {
            bytes.iter().fold(0, append)
        } else {
            bytes.iter().rev().fold(0, append)
        }
    }

    /// An `Elf32_Half` or `Elf64_Half`: the size or the number of a table's entries.
    fn half(self, bytes: &[u8], offset: usize) -> usize {
        self.number(bytes, offset, 2) as usize
    }

    /// An `Elf32_Word` or `Elf64_Word`: a type or flags.
    fn word(self, bytes: &[u8], offset: usize) -> u64 {
        self.number(bytes, offset, 4)
    }

    /// An address, an offset or a size, whose width depends on the class.
    fn address(self, bytes: &[u8], offset: usize) -> u64 {
        self.number(bytes, offset, self.class.pointer_size.into())
    }
}

/// A part of the file that is loaded into memory.
struct Segment {
    p_flags: u64,
    p_offset: u64,
    p_vaddr: u64,
    p_filesz: u64,
}

impl Segment {
    /// Where in the file the byte is that is at `address` in memory. None if that is not in this
    /// segment.
    fn file_offset(&self, address: u64) -> Option<u64> {
        let distance = address.checked_sub(self.p_vaddr).filter(|it| *it < self.p_filesz)?;
        self.p_offset.checked_add(distance)
    }
}

/// Finds and reads the version and the module information of a file that begins with `head`. They
/// borrow from `buffer`, whose content is replaced.
pub fn build_info<'a>(
    head: &[u8],
    source: &impl Source,
    buffer: &'a mut Vec<u8>,
) -> Option<(&'a [u8], &'a [u8])> {
    let format = Format::of(head)?;
    let mut reader = Reader { head, source, format, budget: BUDGET };
    let header = reader.find_header()?;
    reader.read_strings(header, buffer)
}

struct Reader<'a, S> {
    /// The beginning of the file, with the ELF header.
    head: &'a [u8],
    source: &'a S,
    format: Format,
    /// How many bytes may still be read.
    budget: usize,
}

impl<S: Source> Reader<'_, S> {
    /// Appends up to `length` bytes at `offset` to the buffer, fewer at the end of the file or of
    /// the budget.
    fn read(&mut self, offset: u64, length: usize, buffer: &mut Vec<u8>) {
        let length = length.min(self.budget);
        self.budget = self.budget.saturating_sub(length);
        self.source.append(offset, length, buffer);
    }

    /// Reads a table and decodes its entries. Those that `decode` returns None for are left out.
    fn read_table<T>(
        &mut self,
        offset: u64,
        entry_size: usize,
        count: usize,
        decode: impl Fn(&[u8]) -> Option<T>,
    ) -> Vec<T> {
        let mut table = Vec::new();
        self.read(offset, entry_size.saturating_mul(count).min(MAX_TABLE), &mut table);
        // If the size is 0, nothing was read.
        table.chunks(entry_size.max(1)).filter_map(decode).collect()
    }

    /// The offsets of the sections with initialised data that can be written.
    fn data_sections(&mut self) -> Vec<u64> {
        const DATA: u64 = SHF_WRITE | SHF_ALLOC;
        let Self { head, format, .. } = *self;
        let class = format.class;
        self.read_table(
            format.address(head, class.e_shoff),
            format.half(head, class.e_shentsize),
            format.half(head, class.e_shnum),
            |entry| {
                let is_data = format.word(entry, SH_TYPE) == SHT_PROGBITS
                    && format.address(entry, SH_FLAGS) & DATA == DATA;
                is_data.then(|| format.address(entry, class.sh_offset))
            },
        )
    }

    /// The segments that are loaded into memory.
    fn segments(&mut self) -> Vec<Segment> {
        let Self { head, format, .. } = *self;
        let class = format.class;
        self.read_table(
            format.address(head, class.e_phoff),
            format.half(head, class.e_phentsize),
            format.half(head, class.e_phnum),
            |entry| {
                let is_loaded = format.word(entry, P_TYPE) == PT_LOAD;
                is_loaded.then(|| Segment {
                    p_flags: format.word(entry, class.p_flags),
                    p_offset: format.address(entry, class.p_offset),
                    p_vaddr: format.address(entry, class.p_vaddr),
                    p_filesz: format.address(entry, class.p_filesz),
                })
            },
        )
    }

    /// The offset of the header of the build information.
    fn find_header(&mut self) -> Option<u64> {
        let sections = self.data_sections();
        // If the file has data sections, the header begins one of them, or there is none.
        if !sections.is_empty() {
            return sections.iter().find_map(|offset| self.search(*offset, ALIGNMENT as u64));
        }
        let segments = self.segments();
        let mut data = segments.iter().filter(|it| it.p_flags & (PF_W | PF_X) == PF_W);
        data.find_map(|segment| self.search(segment.p_offset, segment.p_filesz))
    }

    /// Searches `size` bytes of the file for the header, and returns its offset.
    fn search(&mut self, offset: u64, size: u64) -> Option<u64> {
        let end = offset.checked_add(size)?;
        let mut offset = offset.checked_next_multiple_of(ALIGNMENT as u64)?;
        let mut chunk = Vec::new();
        while offset < end && self.budget > BUDGET / 2 {
            let length = end.saturating_sub(offset).min(CHUNK as u64) as usize;
            chunk.clear();
            self.read(offset, length, &mut chunk);
            if chunk.is_empty() {
                return None;
            }
            for block in chunk.chunks(ALIGNMENT) {
                if block.starts_with(MAGIC) {
                    return Some(offset);
                }
                offset = offset.saturating_add(ALIGNMENT as u64);
            }
        }
        None
    }

    /// Reads the version and the modules, given the offset of the header.
    fn read_strings<'b>(
        &mut self,
        header: u64,
        buffer: &'b mut Vec<u8>,
    ) -> Option<(&'b [u8], &'b [u8])> {
        buffer.clear();
        self.read(header, CHUNK, buffer);
        if buffer.get(FLAGS)? & FLAG_INLINE != 0 {
            let version = inline_string(buffer, STRINGS)?;
            let modules = inline_string(buffer, version.end)?;
            let rest = header.checked_add(buffer.len() as u64)?;
            self.read(rest, modules.end.saturating_sub(buffer.len()), buffer);
            return Some((buffer.get(version)?, buffer.get(modules)?));
        }
        let pointer_size = self.format.class.pointer_size;
        if *buffer.get(POINTER_SIZE)? != pointer_size {
            return None;
        }
        let version = self.format.address(buffer, POINTERS);
        let modules = self.format.address(buffer, POINTERS.saturating_add(pointer_size.into()));
        let segments = self.segments();
        buffer.clear();
        let version = self.read_go_string(version, &segments, buffer)?;
        let modules = self.read_go_string(modules, &segments, buffer).unwrap_or_default();
        Some((buffer.get(version)?, buffer.get(modules)?))
    }

    /// Appends the bytes of the Go string at an address of the running program. A Go string is a
    /// pointer to its bytes and their number. The range in the buffer may extend beyond what was
    /// read.
    fn read_go_string(
        &mut self,
        address: u64,
        segments: &[Segment],
        buffer: &mut Vec<u8>,
    ) -> Option<Range<usize>> {
        let file_offset = |address| segments.iter().find_map(|it| it.file_offset(address));
        let pointer_size = usize::from(self.format.class.pointer_size);
        let mut string = Vec::new();
        self.read(file_offset(address)?, pointer_size.saturating_mul(2), &mut string);
        let bytes = file_offset(self.format.address(&string, 0))?;
        let length = self.format.address(&string, pointer_size).try_into().ok()?;
        let start = buffer.len();
        self.read(bytes, length, buffer);
        Some(start..start.checked_add(length)?)
    }
}

/// Where the string is whose length is at `offset`, as a varint (`binary.Uvarint`). The string
/// follows the length, and may extend beyond `bytes`.
fn inline_string(bytes: &[u8], mut offset: usize) -> Option<Range<usize>> {
    let mut length = 0usize;
    // A length of more than four bytes is beyond the budget.
    for shift in [0, 7, 14, 21] {
        let byte = *bytes.get(offset)?;
        offset = offset.checked_add(1)?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(offset..offset.checked_add(length)?);
        }
    }
    None
}
