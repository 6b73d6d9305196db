//! What the machine has, and this process itself: its IDs, its memory and its end.

use super::memory::page_size;
use core::ffi::{c_long, c_void};
use core::hint::black_box;
use core::mem::zeroed;
use core::ops::Range;
use core::time::Duration;
#[cfg(target_pointer_width = "32")]
use libc::{Elf32_Ehdr as ElfHeader, Elf32_Phdr as SegmentHeader};
#[cfg(target_pointer_width = "64")]
use libc::{Elf64_Ehdr as ElfHeader, Elf64_Phdr as SegmentHeader};

/// Our process ID.
///
/// If getpid(2) is denied, gettid(2) returns the same: this process has one thread.
#[must_use]
pub fn process_id() -> i32 {
    // SAFETY: the calls take nothing.
    unsafe {
        match libc::getpid() {
            ..=0 => libc::syscall(libc::SYS_gettid) as i32,
            pid => pid,
        }
    }
}

/// The process ID of our parent; none if getppid(2) is denied. It is 0 if the parent is outside of our
/// PID namespace.
#[must_use]
pub fn parent_id() -> Option<i32> {
    // SAFETY: the call takes nothing.
    Some(unsafe { libc::getppid() }).filter(|pid| *pid >= 0)
}

/// Ends this process at once.
pub fn exit(code: u8) -> ! {
    // SAFETY: nothing of ours is to be done at the exit.
    unsafe { libc::_exit(code.into()) }
}

/// The machine's memory in bytes (sysinfo(2)): the same number as MemTotal in proc(5).
#[must_use]
pub fn memory_total() -> Option<u64> {
    let info = sysinfo();
    u64::checked_mul(info.totalram as _, info.mem_unit.into()).filter(|bytes| *bytes > 0)
}

/// The bytes of free swap on this machine (sysinfo(2)).
#[must_use]
pub fn free_swap() -> u64 {
    let info = sysinfo();
    u64::saturating_mul(info.freeswap as _, info.mem_unit.into())
}

/// All zero if the call is denied.
pub(super) fn sysinfo() -> libc::sysinfo {
    // SAFETY: zero is a value of the plain C structure, and the kernel fills all of it.
    unsafe {
        let mut info = zeroed();
        libc::sysinfo(&raw mut info);
        info
    }
}

/// The number of CPUs that this process may run on, cpusets included (sched_getaffinity(2)).
#[must_use]
#[inline(never)] // The mask is a kilobyte: keeps it off the caller's stack frame.
pub fn allowed_cpus() -> Option<u32> {
    // Room for 8,192 CPUs, the most that Linux can be built for: with a smaller mask than its own
    // the kernel returns EINVAL. The raw call returns the number of bytes that it wrote.
    let mut mask = [0u64; 128];
    // SAFETY: the kernel writes at most the size given.
    let bytes = unsafe {
        libc::syscall(
            libc::SYS_sched_getaffinity,
            0 as c_long,
            size_of_val(&mask),
            mask.as_mut_ptr(),
        )
    };
    let words = usize::try_from(bytes).ok()?.div_ceil(size_of::<u64>());
    let count = mask.iter().take(words).map(|word| word.count_ones()).sum();
    (count > 0).then_some(count)
}

/// The CPU time, in user mode and in the kernel, of all descendants that were waited for
/// (getrusage(2), RUSAGE_CHILDREN).
#[must_use]
pub fn children_cpu_time() -> [Duration; 2] {
    // SAFETY: zero is a value of the plain C structure, and the kernel fills all of it.
    let usage = unsafe {
        let mut usage: libc::rusage = zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    [usage.ru_utime, usage.ru_stime].map(|time| {
        let seconds = Duration::from_secs(time.tv_sec.unsigned_abs() as _);
        seconds.saturating_add(Duration::from_micros(time.tv_usec.unsigned_abs() as _))
    })
}

/// Leaves the inherited working directory, so that its file system can be unmounted.
pub fn chdir_root() {
    // SAFETY: the path is NUL-terminated.
    unsafe { libc::chdir(c"/".as_ptr()) };
}

/// Touches the stack below the caller's frame, as deep as formatting a message goes. Under memory
/// pressure there may be no new page for it later.
#[inline(never)]
pub fn prefault_stack() {
    black_box([0u8; 16 * 1024]);
}

unsafe extern "C" {
    /// The header of this program's ELF file, as it lies in memory (defined by the linker).
    static __ehdr_start: ElfHeader;
}

/// Calls `visit` for each segment of this program, with its header and its addresses.
#[expect(clippy::arithmetic_side_effects, reason = "the linker wrote the numbers")]
fn for_each_segment(visit: &mut dyn FnMut(&SegmentHeader, Range<usize>)) {
    // SAFETY: the ELF header says where the program headers are. Addresses in them are relative to it, or
    // absolute if the program is not position-independent.
    unsafe {
        let base = (&raw const __ehdr_start).cast::<u8>();
        let bias = if __ehdr_start.e_type == libc::ET_DYN { base as usize } else { 0 };
        let headers = base.add(__ehdr_start.e_phoff as usize).cast::<SegmentHeader>();
        for index in 0..__ehdr_start.e_phnum {
            let header = &*headers.add(index.into());
            let start = bias + header.p_vaddr as usize;
            visit(header, start..start + header.p_memsz as usize);
        }
    }
}

/// The beginning of the page that an address is in.
fn page_of(address: usize) -> usize {
    address & page_size().wrapping_neg()
}

/// Makes the relocated data read-only (PT_GNU_RELRO). The start code of a static program does not
/// do that. If it fails, nothing is lost.
pub fn protect_relocations() {
    for_each_segment(&mut |header, addresses| {
        if header.p_type == libc::PT_GNU_RELRO {
            let start = page_of(addresses.start);
            let length = page_of(addresses.end).wrapping_sub(start);
            // SAFETY: only the pages that PT_GNU_RELRO names are protected, and nothing writes to them
            // after relocation.
            unsafe { libc::mprotect(start as *mut c_void, length, libc::PROT_READ) };
        }
    });
}

/// Returns the pages of the code to the kernel that is not needed while the program runs (startup.ld).
/// It maps them again when they are needed.
pub fn release_startup_code() {
    for_each_segment(&mut |header, addresses| {
        let is_code = header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0;
        // The code that is needed is in the segment of this function.
        if is_code && !addresses.contains(&(release_startup_code as *const () as usize)) {
            let start = page_of(addresses.start);
            // SAFETY: nothing writes to code, so the pages have the content of the file, now and later.
            unsafe {
                let length = addresses.end.wrapping_sub(start);
                libc::madvise(start as *mut c_void, length, libc::MADV_DONTNEED);
            }
        }
    });
}
