//! Finds the two strings of Go's build information in an ELF file (elf(5)).
//!
//! The linker puts a header before them or before pointers to them, in a section of its own,
//! `.go.buildinfo`. Go's own reader, `debug/buildinfo`, goes by the section's name; older ones
//! looked through the first data segment where there was none. Here the first bytes of every data
//! section are looked at, which saves reading the names, and data segments only where there is no
//! table of sections.

use super::Source;
use core::ops::Range;

/// No file makes us read more. What is found gets at least half of it, for the module information,
/// which takes some tens of kilobytes in the largest programs.
pub const BUDGET: usize = 512 << 10;
/// The kernel takes no larger table of segments, and no linker makes one of sections.
const TABLE: usize = 64 << 10;
/// How much is read at a time to find the header, and with it: most build information is smaller.
pub const CHUNK: usize = 4096;

/// What the header begins with, at a multiple of the alignment (`buildInfoMagic`,
/// `buildInfoAlign`).
const MAGIC: &[u8] = b"\xff Go buildinf:";
const ALIGNMENT: usize = 16;
/// Of the header: the size of a pointer, the flags, two pointers or nothing, and the end.
const POINTER_SIZE: usize = 14;
const FLAGS: usize = 15;
const POINTERS: usize = 16;
const STRINGS: usize = 32;
/// The flag for strings behind the header (Go 1.18 and later), not pointers to them.
const INLINE: u8 = 2;

/// Where the fields that matter here are in their structures, which depends on the class.
struct Layout {
    /// The size of addresses and offsets.
    word: u8,
    segments: Table,
    sections: Table,
    p_flags: u8,
    p_offset: u8,
    p_vaddr: u8,
    p_filesz: u8,
    sh_offset: u8,
}

/// Where the ELF header tells about a table.
struct Table {
    offset: u8,
    entry_size: u8,
    count: u8,
}

const CLASS32: Layout = Layout {
    word: 4,
    segments: Table { offset: 28, entry_size: 42, count: 44 },
    sections: Table { offset: 32, entry_size: 46, count: 48 },
    p_flags: 24,
    p_offset: 4,
    p_vaddr: 8,
    p_filesz: 16,
    sh_offset: 16,
};

const CLASS64: Layout = Layout {
    word: 8,
    segments: Table { offset: 32, entry_size: 54, count: 56 },
    sections: Table { offset: 40, entry_size: 58, count: 60 },
    p_flags: 4,
    p_offset: 8,
    p_vaddr: 16,
    p_filesz: 32,
    sh_offset: 24,
};

// These fields are at the same place in both classes.
const P_TYPE: u8 = 0;
const SH_TYPE: u8 = 4;
const SH_FLAGS: u8 = 8;

const PT_LOAD: u64 = 1;
const PF_X: u64 = 1;
const PF_W: u64 = 2;
const SHT_PROGBITS: u64 = 1;
/// SHF_WRITE and SHF_ALLOC.
const SHF_DATA: u64 = 3;

/// Finds the version and the module information, reads them, and returns where they are in the
/// buffer. That holds the beginning of the file already.
pub fn build_info<S: Source>(source: &S, buffer: &mut Vec<u8>) -> Option<[Range<usize>; 2]> {
    let (layout, big) = match *buffer.get(..6)? {
        [0x7f, b'E', b'L', b'F', class @ 1..=2, order @ 1..=2] => {
            (if class == 1 { &CLASS32 } else { &CLASS64 }, order == 2)
        }
        _ => return None,
    };
    let mut reader = Reader { source, buffer, left: BUDGET, layout, big };
    let header = reader.find()?;
    reader.strings(header)
}

/// A file and what has been read of it: first its head, then what was asked for in turn.
struct Reader<'a, S> {
    source: &'a S,
    buffer: &'a mut Vec<u8>,
    /// How many bytes may still be read.
    left: usize,
    layout: &'static Layout,
    /// Whether numbers have their highest byte first.
    big: bool,
}

impl<S: Source> Reader<'_, S> {
    /// Reads a part of the file and returns where it begins in the buffer. Nobody tells how much of
    /// it there was: who looks for what is missing finds nothing.
    fn append(&mut self, offset: u64, length: usize) -> usize {
        let start = self.buffer.len();
        let length = length.min(self.left);
        self.left = self.left.saturating_sub(length);
        self.source.append(offset, length, self.buffer);
        start
    }

    /// The number in a field of the structure at `start`. What is not there reads as zero, which is
    /// no type of anything and the length of nothing.
    fn number(&self, start: usize, field: u8, size: u8) -> u64 {
        let start = start.saturating_add(field.into());
        let bytes = self.buffer.get(start..start.saturating_add(size.into())).unwrap_or_default();
        let push = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.big { bytes.iter().fold(0, push) } else { bytes.iter().rev().fold(0, push) }
    }

    /// The address, offset or size in a field.
    fn word(&self, start: usize, field: u8) -> u64 {
        self.number(start, field, self.layout.word)
    }

    fn table(&mut self, table: &Table) -> Entries {
        let offset = self.word(0, table.offset);
        let size = self.number(0, table.entry_size, 2) as usize;
        let count = self.number(0, table.count, 2) as usize;
        let start = self.append(offset, size.saturating_mul(count).min(TABLE));
        Entries { next: start, size, count }
    }

    /// The offset of the header of the build information.
    fn find(&mut self) -> Option<u64> {
        let mut has_sections = false;
        for section in self.table(&self.layout.sections) {
            if self.number(section, SH_TYPE, 4) == SHT_PROGBITS
                && self.word(section, SH_FLAGS) & SHF_DATA == SHF_DATA
            {
                has_sections = true;
                let offset = self.word(section, self.layout.sh_offset);
                if let Some(header) = self.scan(offset, ALIGNMENT as u64) {
                    return Some(header);
                }
            }
        }
        if has_sections {
            return None;
        }
        for segment in self.table(&self.layout.segments) {
            if self.is_loaded(segment)
                && self.number(segment, self.layout.p_flags, 4) & (PF_W | PF_X) == PF_W
            {
                let offset = self.word(segment, self.layout.p_offset);
                let size = self.word(segment, self.layout.p_filesz);
                if let Some(header) = self.scan(offset, size) {
                    return Some(header);
                }
            }
        }
        None
    }

    fn is_loaded(&self, segment: usize) -> bool {
        self.number(segment, P_TYPE, 4) == PT_LOAD
    }

    /// Looks through a part of the file for the header.
    fn scan(&mut self, offset: u64, size: u64) -> Option<u64> {
        let end = offset.checked_add(size)?;
        let mut offset = offset.checked_next_multiple_of(ALIGNMENT as u64)?;
        while offset < end && self.left > BUDGET / 2 {
            let length = end.saturating_sub(offset).min(CHUNK as u64);
            let start = self.append(offset, length as usize);
            for line in self.buffer.get(start..)?.chunks(ALIGNMENT) {
                if line.starts_with(MAGIC) {
                    self.buffer.truncate(start);
                    return Some(offset);
                }
                offset = offset.saturating_add(ALIGNMENT as u64);
            }
            if self.buffer.len() == start {
                return None;
            }
            self.buffer.truncate(start);
        }
        None
    }

    /// Reads what the header at this offset leads to.
    fn strings(&mut self, offset: u64) -> Option<[Range<usize>; 2]> {
        let header = self.append(offset, CHUNK);
        let field = |field: usize| header.saturating_add(field);
        if self.buffer.get(field(FLAGS))? & INLINE != 0 {
            let version = self.inline(field(STRINGS))?;
            let modules = self.inline(version.end)?;
            let read = self.buffer.len();
            let offset = offset.checked_add(read.saturating_sub(header) as u64)?;
            self.append(offset, modules.end.saturating_sub(read));
            return Some([version, modules]);
        }
        let word = self.layout.word;
        if *self.buffer.get(field(POINTER_SIZE))? != word {
            return None;
        }
        let segments = self.table(&self.layout.segments);
        let version = self.pointed_to(segments, field(POINTERS))?;
        let modules = self.pointed_to(segments, field(POINTERS).saturating_add(word.into()));
        Some([version, modules.unwrap_or_default()])
    }

    /// The string whose length is here and that follows its length.
    fn inline(&self, mut start: usize) -> Option<Range<usize>> {
        let mut length = 0usize;
        // More would be longer than anything that is read (`binary.Uvarint`).
        for shift in [0, 7, 14, 21] {
            let byte = *self.buffer.get(start)?;
            start = start.checked_add(1)?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(start..start.checked_add(length)?);
            }
        }
        None
    }

    /// The string that a pointer leads to: to a pointer to its bytes, and their number.
    fn pointed_to(&mut self, segments: Entries, pointer: usize) -> Option<Range<usize>> {
        let word = self.layout.word;
        let string = self.offset_of(segments, self.word(pointer, 0))?;
        let string = self.append(string, usize::from(word).saturating_mul(2));
        let bytes = self.offset_of(segments, self.word(string, 0))?;
        let length = self.word(string, word).try_into().ok()?;
        let start = self.append(bytes, length);
        Some(start..start.checked_add(length)?)
    }

    /// Where in the file an address of the running program is from.
    fn offset_of(&self, segments: Entries, address: u64) -> Option<u64> {
        for segment in segments {
            if let Some(distance) = address.checked_sub(self.word(segment, self.layout.p_vaddr))
                && distance < self.word(segment, self.layout.p_filesz)
                && self.is_loaded(segment)
            {
                return self.word(segment, self.layout.p_offset).checked_add(distance);
            }
        }
        None
    }
}

/// Where the entries of a table begin in the buffer, if they are all there.
#[derive(Clone, Copy)]
struct Entries {
    next: usize,
    size: usize,
    count: usize,
}

impl Iterator for Entries {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.count = self.count.checked_sub(1)?;
        let next = self.next;
        self.next = next.saturating_add(self.size);
        Some(next)
    }
}
