//! Finds the strings of Go's build information in an ELF file (elf(5)).
//!
//! The linker writes a header into the section `.go.buildinfo`. The strings follow the header, or
//! before Go 1.18 the header points to them. Go's own reader, `debug/buildinfo`, finds the section
//! by its name. Here the first bytes of every data section are compared, which saves reading the
//! names, and the data segments are searched only if there is no section table.

use super::Source;
use core::ops::Range;
use core::slice::Chunks;

/// How much of a file is read at most, apart from its head. Half of it is reserved for the strings:
/// the module information takes tens of kilobytes in the largest programs.
pub const BUDGET: usize = 512 << 10;
/// How much of a table is read at most. The kernel accepts no larger table of segments
/// (`load_elf_phdrs`), and no linker writes a larger one of sections.
const MAX_TABLE: usize = 64 << 10;
/// How much is read at a time in the search for the header, and then with the header. Most build
/// information fits into that.
pub const CHUNK: usize = 4096;

/// What the header begins with, and its alignment in the file (`buildInfoMagic`,
/// `buildInfoAlign`).
const MAGIC: &[u8] = b"\xff Go buildinf:";
const ALIGNMENT: usize = 16;

// Offsets in the header (`buildinfo` in cmd/link/internal/ld/data.go).
const POINTER_SIZE: usize = 14;
const FLAGS: usize = 15;
const POINTERS: u8 = 16;
const STRINGS: usize = 32;
/// The flag that the strings follow the header.
const FLAG_INLINE: u8 = 2;

/// The offsets of the fields whose place depends on the class of the file, 32-bit or 64-bit. The
/// names are those of elf(5).
struct Class {
    /// The size of a pointer, and of the fields that hold an address, an offset or a size.
    pointer_size: u8,
    segments: TableFields,
    sections: TableFields,
    p_flags: u8,
    p_offset: u8,
    p_vaddr: u8,
    p_filesz: u8,
    sh_offset: u8,
}

/// The offsets of the fields in the ELF header that describe a table.
struct TableFields {
    /// `e_phoff` or `e_shoff`.
    offset: u8,
    /// `e_phentsize` or `e_shentsize`.
    entry_size: u8,
    /// `e_phnum` or `e_shnum`.
    count: u8,
}

const ELF32: Class = Class {
    pointer_size: 4,
    segments: TableFields { offset: 28, entry_size: 42, count: 44 },
    sections: TableFields { offset: 32, entry_size: 46, count: 48 },
    p_flags: 24,
    p_offset: 4,
    p_vaddr: 8,
    p_filesz: 16,
    sh_offset: 16,
};

const ELF64: Class = Class {
    pointer_size: 8,
    segments: TableFields { offset: 32, entry_size: 54, count: 56 },
    sections: TableFields { offset: 40, entry_size: 58, count: 60 },
    p_flags: 4,
    p_offset: 8,
    p_vaddr: 16,
    p_filesz: 32,
    sh_offset: 24,
};

// Offsets of fields whose place is the same in both classes.
const P_TYPE: u8 = 0;
const SH_TYPE: u8 = 4;
const SH_FLAGS: u8 = 8;

const PT_LOAD: u64 = 1;
const PF_X: u64 = 1;
const PF_W: u64 = 2;
const SHT_PROGBITS: u64 = 1;
/// SHF_WRITE and SHF_ALLOC: initialised data that can be written.
const SHF_DATA: u64 = 1 | 2;

/// How the numbers in a file are written.
#[derive(Clone, Copy)]
struct Encoding {
    class: &'static Class,
    is_big_endian: bool,
}

impl Encoding {
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

    /// The number of `size` bytes at `offset`. 0 if the bytes end before that: no type that is
    /// searched for is 0, and nothing is read of a table or a string of length 0.
    fn number(self, bytes: &[u8], offset: u8, size: u8) -> u64 {
        let start = usize::from(offset);
        let bytes = bytes.get(start..start.saturating_add(size.into())).unwrap_or_default();
        let append = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.is_big_endian {
            bytes.iter().fold(0, append)
        } else {
            bytes.iter().rev().fold(0, append)
        }
    }

    /// An `Elf32_Half` or `Elf64_Half`: the size or the number of a table's entries.
    fn half(self, bytes: &[u8], offset: u8) -> usize {
        self.number(bytes, offset, 2) as usize
    }

    /// An `Elf32_Word` or `Elf64_Word`: a type or flags.
    fn word(self, bytes: &[u8], offset: u8) -> u64 {
        self.number(bytes, offset, 4)
    }

    /// An address, an offset or a size, whose width depends on the class.
    fn address(self, bytes: &[u8], offset: u8) -> u64 {
        self.number(bytes, offset, self.class.pointer_size)
    }

    /// Whether a segment is loaded into memory.
    fn is_loaded(self, segment: &[u8]) -> bool {
        self.word(segment, P_TYPE) == PT_LOAD
    }

    /// Where in the file the byte is that is at `address` in memory.
    fn file_offset(self, segments: &Table, address: u64) -> Option<u64> {
        segments.entries().find_map(|segment| {
            let distance = address.checked_sub(self.address(segment, self.class.p_vaddr))?;
            let is_inside = distance < self.address(segment, self.class.p_filesz);
            if !is_inside || !self.is_loaded(segment) {
                return None;
            }
            self.address(segment, self.class.p_offset).checked_add(distance)
        })
    }
}

/// Finds and reads the version and the module information of a file that begins with `head`. They
/// borrow from `buffer`, whose content is replaced.
pub fn build_info<'a>(
    head: &[u8],
    source: &impl Source,
    buffer: &'a mut Vec<u8>,
) -> Option<(&'a [u8], &'a [u8])> {
    let format = Encoding::of(head)?;
    let mut reader = Reader { head, source, format, budget: BUDGET };
    let header = reader.find_header()?;
    reader.read_strings(header, buffer)
}

/// The table of segments or of sections, as far as it could be read.
struct Table {
    bytes: Vec<u8>,
    entry_size: usize,
}

impl Table {
    fn entries(&self) -> Chunks<'_, u8> {
        // If the size is 0, nothing was read.
        self.bytes.chunks(self.entry_size.max(1))
    }
}

struct Reader<'a, S> {
    /// The beginning of the file, with the ELF header.
    head: &'a [u8],
    source: &'a S,
    format: Encoding,
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

    /// Reads a table that the ELF header describes.
    fn read_table(&mut self, fields: &TableFields) -> Table {
        let Self { head, format, .. } = *self;
        let entry_size = format.half(head, fields.entry_size);
        let size = entry_size.saturating_mul(format.half(head, fields.count));
        let mut bytes = Vec::new();
        self.read(format.address(head, fields.offset), size.min(MAX_TABLE), &mut bytes);
        Table { bytes, entry_size }
    }

    /// The offset of the header of the build information.
    fn find_header(&mut self) -> Option<u64> {
        let format = self.format;
        let class = format.class;
        let mut has_data_sections = false;
        for section in self.read_table(&class.sections).entries() {
            if format.word(section, SH_TYPE) == SHT_PROGBITS
                && format.address(section, SH_FLAGS) & SHF_DATA == SHF_DATA
            {
                has_data_sections = true;
                let offset = format.address(section, class.sh_offset);
                if let Some(header) = self.search(offset, ALIGNMENT as u64) {
                    return Some(header);
                }
            }
        }
        // If the file has data sections, the header begins one of them, or there is none.
        if has_data_sections {
            return None;
        }
        self.read_table(&class.segments).entries().find_map(|segment| {
            let is_data = format.is_loaded(segment)
                && format.word(segment, class.p_flags) & (PF_W | PF_X) == PF_W;
            if !is_data {
                return None;
            }
            let offset = format.address(segment, class.p_offset);
            self.search(offset, format.address(segment, class.p_filesz))
        })
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
        let modules = self.format.address(buffer, POINTERS.saturating_add(pointer_size));
        let segments = self.read_table(&self.format.class.segments);
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
        segments: &Table,
        buffer: &mut Vec<u8>,
    ) -> Option<Range<usize>> {
        let format = self.format;
        let pointer_size = format.class.pointer_size;
        let mut string = Vec::new();
        let offset = format.file_offset(segments, address)?;
        self.read(offset, usize::from(pointer_size).saturating_mul(2), &mut string);
        let bytes = format.file_offset(segments, format.address(&string, 0))?;
        let length = format.address(&string, pointer_size).try_into().ok()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As the encoding is defined: seven bits a byte, the lowest first, and the last byte is below 0x80.
    fn decoded(bytes: &[u8]) -> Option<Range<usize>> {
        let last = bytes.iter().position(|byte| *byte < 0x80)?;
        let digits = bytes.iter().take(last + 1).rev();
        let length = digits.fold(0, |length, byte| length * 128 + usize::from(byte % 128));
        Some(last + 1..last + 1 + length)
    }

    #[test]
    fn every_length_of_up_to_four_bytes_is_decoded() {
        const EDGES: [u8; 6] = [0, 1, 0x7f, 0x80, 0x81, 0xff];
        for first in 0..=0xff {
            for second in 0..=0xff {
                for third in EDGES {
                    for fourth in EDGES {
                        let bytes = [first, second, third, fourth];
                        for length in 0..=4 {
                            let bytes = &bytes[..length];
                            assert_eq!(inline_string(bytes, 0), decoded(bytes), "{bytes:x?}");
                        }
                    }
                }
            }
        }
        assert_eq!(inline_string(&[0x80, 0x80, 0x80, 0x80, 1], 0), None);
    }
}
