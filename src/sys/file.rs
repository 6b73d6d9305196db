//! Files: opening, reading, checking and overwriting them.

use super::reserve::try_reserve;
use super::signal::discard_signal_of_write;
use super::{Errno, check};
use core::ffi::{CStr, c_int, c_long};
use core::mem::{forget, zeroed};
use core::ptr::null_mut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Opens a file for reading. Neither a FIFO nor a terminal in its place can block us.
///
/// # Errors
/// What open(2) returns.
pub fn open(path: &CStr) -> Result<OwnedFd, Errno> {
    open_with(path, libc::O_RDONLY)
}

/// The raw call, because musl's open() adds an fcntl(2) for O_CLOEXEC.
pub(super) fn open_with(path: &CStr, flags: c_int) -> Result<OwnedFd, Errno> {
    // Without O_LARGEFILE, 32-bit machines refuse a file of 2 GiB.
    let flags = flags | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC | libc::O_LARGEFILE;
    let no_mode: c_long = 0;
    // SAFETY: the path is NUL-terminated.
    let file = unsafe {
        libc::syscall(
            libc::SYS_openat,
            c_long::from(libc::AT_FDCWD),
            path.as_ptr(),
            c_long::from(flags),
            no_mode,
        )
    };
    let file = check(file as c_int)?;
    // SAFETY: the descriptor is new, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

/// Writes once, and returns how much was written. Leaves no signal behind if that fails.
///
/// # Errors
/// What write(2) returns.
pub(super) fn write(file: BorrowedFd<'_>, text: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the text is readable for its length.
    let written = unsafe { libc::write(file.as_raw_fd(), text.as_ptr().cast(), text.len()) };
    check(written).inspect_err(|error| discard_signal_of_write(*error)).map(isize::cast_unsigned)
}

/// Keeps a file open until the process ends.
#[must_use]
pub fn keep_open(file: OwnedFd) -> BorrowedFd<'static> {
    let number = file.as_raw_fd();
    forget(file);
    // SAFETY: the owner is gone without closing the descriptor, so it stays open for good.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Finds a file below a root directory that others control, without opening it: no link leads out of it.
///
/// # Errors
/// As [`find_below`], and what open(2) returns for the root directory.
pub fn find_in_root(root: &CStr, path: &CStr) -> Result<OwnedFd, Errno> {
    let root = open_with(root, libc::O_PATH | libc::O_DIRECTORY)?;
    find_below(root.as_fd(), path, libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS)
}

/// Finds a file below a directory, without opening it. `resolve` has the `RESOLVE_` flags of openat2(2).
///
/// # Errors
/// What openat2(2) returns. Linux before 5.6 does not have it (ENOSYS).
pub fn find_below(root: BorrowedFd<'_>, path: &CStr, resolve: u64) -> Result<OwnedFd, Errno> {
    const ATTEMPTS: u32 = 32;
    (0..ATTEMPTS)
        .map(|_| openat2(root, path, resolve))
        .find(|file| !file.as_ref().is_err_and(|error| *error == INTERRUPTED))
        .unwrap_or(Err(INTERRUPTED))
}

/// A rename or a mount anywhere interrupts the way through a `..` (openat2(2)).
const INTERRUPTED: Errno = Errno(libc::EAGAIN);

fn openat2(root: BorrowedFd<'_>, path: &CStr, resolve: u64) -> Result<OwnedFd, Errno> {
    // SAFETY: zero is a value of this plain C structure.
    let mut how: libc::open_how = unsafe { zeroed() };
    how.flags = (libc::O_PATH | libc::O_CLOEXEC).unsigned_abs().into();
    how.resolve = resolve;
    let (root, size) = (c_long::from(root.as_raw_fd()), size_of_val(&how));
    // SAFETY: the path is NUL-terminated, and the structure has the size that is given.
    let file =
        unsafe { libc::syscall(libc::SYS_openat2, root, path.as_ptr(), &raw const how, size) };
    let file = check(file as c_int)?;
    // SAFETY: the descriptor is new, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

/// Opens a file for reading below a root directory that others control. Only a regular file is opened: to
/// open a device may do something.
///
/// # Errors
/// As [`find_in_root`], and what open(2) returns; EINVAL for what is not a regular file.
pub fn open_in_root(root: &CStr, path: &CStr) -> Result<OwnedFd, Errno> {
    let file = find_in_root(root, path)?;
    if file_type(&status(file.as_raw_fd(), c"", libc::AT_EMPTY_PATH)) != libc::S_IFREG {
        return Err(Errno(libc::EINVAL));
    }
    let found = format!("/proc/self/fd/{}\0", file.as_raw_fd());
    open(CStr::from_bytes_until_nul(found.as_bytes()).unwrap_or_default())
}

/// Reads a whole file and replaces what is in `buffer`.
///
/// # Errors
/// What read(2) returns; EFBIG for a file of more than `limit` bytes; ENOMEM.
pub fn read_file(file: BorrowedFd<'_>, buffer: &mut Vec<u8>, limit: usize) -> Result<(), Errno> {
    buffer.clear();
    while append(file, buffer)? > 0 {
        if buffer.len() > limit {
            return Err(Errno(libc::EFBIG));
        }
    }
    Ok(())
}

/// Reads a file of any length, and calls `visit` with each part between separators, in their order. Of a
/// part of more than 64 KiB, it gets the beginning. An empty part at the end is none.
///
/// # Errors
/// What read(2) and `visit` return; EFBIG for a file that does not seem to end.
pub fn read_parts(
    file: BorrowedFd<'_>,
    separator: u8,
    buffer: &mut Vec<u8>,
    visit: &mut dyn FnMut(&[u8]) -> Result<(), Errno>,
) -> Result<(), Errno> {
    const MAX_PART: usize = 64 << 10;
    /// More than the largest file has, which is mountinfo: a namespace has at most 100,000 mounts
    /// (fs.mount-max).
    const ENDLESS: usize = 1 << 30;
    let mut part = Vec::new();
    let mut total = 0usize;
    while total < ENDLESS {
        buffer.clear();
        let read = append(file, buffer)?;
        if read == 0 {
            return if part.is_empty() { Ok(()) } else { visit(&part) };
        }
        total = total.saturating_add(read);
        for piece in buffer.split_inclusive(|byte| *byte == separator) {
            let rest = piece.strip_suffix(&[separator]);
            let room = MAX_PART.saturating_sub(part.len());
            let text = rest.unwrap_or(piece);
            let text = text.get(..room).unwrap_or(text);
            try_reserve(&mut part, text.len())?;
            part.extend_from_slice(text);
            if rest.is_some() {
                visit(&part)?;
                part.clear();
            }
        }
    }
    Err(Errno(libc::EFBIG))
}

/// Appends what one read(2) returns, and returns how much that is: 0 at the end of the file.
fn append(file: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> Result<usize, Errno> {
    /// More than a limit file and most mountinfo files have.
    const CHUNK: usize = 4096;
    if buffer.len() == buffer.capacity() {
        try_reserve(buffer, CHUNK)?;
    }
    let room = buffer.spare_capacity_mut();
    // SAFETY: the kernel writes at most `room.len()` bytes into the spare capacity.
    let read = unsafe { libc::read(file.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) };
    let Ok(read) = usize::try_from(read) else {
        return Err(Errno::last());
    };
    // SAFETY: the kernel has just written this many bytes after the length.
    unsafe { buffer.set_len(buffer.len().saturating_add(read)) };
    Ok(read)
}

/// Copies a program to a new file, and renames that to `target` when it is complete. Returns its
/// length. If that fails, the new file is removed, and `target` is as it was.
///
/// # Errors
/// What open(2), sendfile(2), fchmod(2), fsync(2) and rename(2) return.
pub fn copy_program(source: &CStr, new: &CStr, target: &CStr) -> Result<usize, Errno> {
    let source = open(source)?;
    let copy = open_with(new, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL)?;
    let result = copy_all(source.as_fd(), copy.as_fd()).and_then(|length| {
        // SAFETY: both paths are NUL-terminated.
        check(unsafe { libc::rename(new.as_ptr(), target.as_ptr()) }).map(|_| length)
    });
    if result.is_err() {
        // SAFETY: the path is NUL-terminated.
        unsafe { libc::unlink(new.as_ptr()) };
    }
    result
}

fn copy_all(source: BorrowedFd<'_>, copy: BorrowedFd<'_>) -> Result<usize, Errno> {
    /// The most that one call copies (sendfile(2)).
    const MOST: usize = 0x7fff_f000;
    let mut length = 0usize;
    loop {
        // SAFETY: the call takes descriptors and integers; null stands for the file's own position.
        let copied = check(unsafe {
            libc::sendfile(copy.as_raw_fd(), source.as_raw_fd(), null_mut(), MOST)
        })?;
        if copied == 0 {
            break;
        }
        length = length.saturating_add(copied.unsigned_abs());
    }
    // The file was created without any permission, whatever the umask is. The raw calls, because musl's
    // fchmod() has a second way to do it.
    let copy = c_long::from(copy.as_raw_fd());
    let mode: c_long = 0o755;
    // SAFETY: the calls take integers.
    check(unsafe { libc::syscall(libc::SYS_fchmod, copy, mode) })?;
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_fsync, copy) })?;
    Ok(length)
}

/// Reads the beginning of a file again, as much as `buffer` holds; nothing if that fails.
pub fn read_prefix<'a>(file: BorrowedFd<'_>, buffer: &'a mut [u8]) -> &'a [u8] {
    // SAFETY: the kernel writes at most `buffer.len()` bytes.
    let read =
        unsafe { libc::pread(file.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    buffer.get(..usize::try_from(read).unwrap_or(0)).unwrap_or_default()
}

/// Appends up to `length` bytes from `offset` in a file; fewer where it ends or cannot be read, and none
/// if there is no room for them.
///
/// pread(2) fails on directories, FIFOs and terminals, so there is no need to ask what the file is.
pub fn append_at(file: BorrowedFd<'_>, mut offset: u64, mut length: usize, buffer: &mut Vec<u8>) {
    if try_reserve(buffer, length).is_err() {
        return;
    }
    while length > 0
        && let Ok(position) = offset.try_into()
    {
        let room = buffer.spare_capacity_mut();
        let (start, most) = (room.as_mut_ptr().cast(), length.min(room.len()));
        // SAFETY: the kernel writes at most `most` bytes into the spare capacity.
        let read = unsafe { libc::pread(file.as_raw_fd(), start, most, position) };
        let read = usize::try_from(read).unwrap_or(0);
        if read == 0 {
            return;
        }
        // SAFETY: the kernel has just written this many bytes after the length.
        unsafe { buffer.set_len(buffer.len().saturating_add(read)) };
        offset = offset.saturating_add(read as u64);
        length = length.saturating_sub(read);
    }
}

/// Whether there is a file by this name that can be reached.
#[must_use]
pub fn exists(path: &CStr) -> bool {
    // SAFETY: the path is NUL-terminated.
    unsafe { libc::access(path.as_ptr(), libc::F_OK) == 0 }
}

/// Whether exec would find a program here: a file that we may execute and that is no directory.
#[must_use]
#[inline(never)] // `stat` is large: keeps it off the caller's stack frame.
pub fn is_executable(path: &CStr) -> bool {
    // SAFETY: the path is NUL-terminated.
    let is_denied = match check(unsafe { libc::access(path.as_ptr(), libc::X_OK) }) {
        Ok(_) => false,
        // That says nothing about the file.
        Err(Errno(libc::EPERM | libc::ENOSYS)) => true,
        Err(_) => return false,
    };
    match file_type(&status(libc::AT_FDCWD, path, 0)) {
        libc::S_IFREG => true,
        libc::S_IFDIR => false,
        // If the type cannot be read, exec will report it.
        _ => !is_denied,
    }
}

/// Whether a file is a pipe.
#[inline(never)] // As above.
pub(super) fn is_fifo(file: BorrowedFd<'_>) -> bool {
    file_type(&status(file.as_raw_fd(), c"", libc::AT_EMPTY_PATH)) == libc::S_IFIFO
}

/// fstatat(2), as the kernel has it.
#[cfg(target_pointer_width = "64")]
const SYS_FSTATAT: c_long = libc::SYS_newfstatat;
#[cfg(target_pointer_width = "32")]
const SYS_FSTATAT: c_long = libc::SYS_fstatat64;

/// The status of a file, relative to a directory; all zero if it cannot be read.
///
/// Not statx(2): Linux before 4.11 does not have it, and older seccomp profiles refuse it. The raw
/// call, because musl's fstatat() would convert the kernel's structure to its own, which is the same.
fn status(directory: c_int, path: &CStr, flags: c_int) -> libc::stat {
    // SAFETY: zero is a value of the plain C structure `stat`; the path is NUL-terminated. musl lays
    // out `stat` as the kernel does, which writes at most that; glibc does so on 64-bit machines.
    unsafe {
        let mut status: libc::stat = zeroed();
        libc::syscall(
            SYS_FSTATAT,
            c_long::from(directory),
            path.as_ptr(),
            &raw mut status,
            c_long::from(flags),
        );
        status
    }
}

fn file_type(status: &libc::stat) -> libc::mode_t {
    status.st_mode & libc::S_IFMT
}

/// Overwrites a regular file, if it is there and has exactly `expected` bytes. Nothing else is
/// touched, and neither another type of file nor a symbolic link can block us. Returns how many
/// bytes of the file are ours then.
///
/// # Errors
/// What open(2) and write(2) return.
pub fn overwrite_if_len(path: &CStr, expected: usize, text: &[u8]) -> Result<usize, Errno> {
    let file = open_with(path, libc::O_WRONLY | libc::O_NOFOLLOW)?;
    let status = status(file.as_raw_fd(), c"", libc::AT_EMPTY_PATH);
    if file_type(&status) == 0 {
        return Err(Errno::last());
    }
    if file_type(&status) != libc::S_IFREG || usize::try_from(status.st_size) != Ok(expected) {
        return Ok(0);
    }
    let length = write(file.as_fd(), text)?;
    // Last, so a write that fails does not lose what was there.
    // SAFETY: the call takes two integers.
    unsafe { libc::ftruncate(file.as_raw_fd(), length as libc::off_t) };
    Ok(length)
}

/// Closes all descriptors above standard error, so that no pipe stays open because of us. Without
/// close_range(2) and proc(5) they stay open.
///
/// Nothing in this program has such a descriptor when it calls this.
pub fn close_inherited_fds() {
    const LAST: c_long = u32::MAX as c_long;
    let (first, flags): (c_long, c_long) = (FIRST_INHERITED_FD.into(), 0);
    // SAFETY: the call takes three integers, and no descriptor above 2 is ours.
    if unsafe { libc::syscall(libc::SYS_close_range, first, LAST, flags) } == -1 {
        close_listed_fds();
    }
}

const FIRST_INHERITED_FD: c_int = libc::STDERR_FILENO + 1;

/// Does the same where close_range(2) fails: before Linux 5.9, or because of a seccomp filter.
#[inline(never)] // Keeps the buffer off the caller's stack frame.
fn close_listed_fds() {
    let Ok(directory) = open(c"/proc/self/fd") else { return };
    let own = directory.as_raw_fd();
    let mut buffer = [0u8; 1024];
    loop {
        // SAFETY: the kernel writes at most `buffer.len()` bytes.
        let length = unsafe {
            let (start, size) = (buffer.as_mut_ptr(), buffer.len());
            libc::syscall(libc::SYS_getdents64, c_long::from(own), start, size)
        };
        let Some(mut entries) = usize::try_from(length).ok().and_then(|end| buffer.get(..end))
        else {
            return;
        };
        if entries.is_empty() {
            return;
        }
        while let Some((name, rest)) = split_entry(entries) {
            entries = rest;
            if let Some(number) = parse_fd(name)
                && number >= FIRST_INHERITED_FD
                && number != own
            {
                // SAFETY: the descriptor is not ours.
                unsafe { libc::close(number) };
            }
        }
    }
}

/// The name in the first entry of a directory, with NULs at its end, and the other entries
/// (getdents(2), `linux_dirent64`).
fn split_entry(entries: &[u8]) -> Option<(&[u8], &[u8])> {
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let length = u16::from_ne_bytes(entries.get(LENGTH..)?.first_chunk().copied()?);
    let (entry, rest) = entries.split_at_checked(length.into())?;
    Some((entry.get(NAME..)?, rest))
}

/// The number of a descriptor; none for `.` and `..`.
fn parse_fd(name: &[u8]) -> Option<c_int> {
    let digits = name.iter().take_while(|byte| **byte != 0);
    digits
        .map(|byte| char::from(*byte).to_digit(10))
        .try_fold(0, |number: c_int, digit| number.checked_mul(10)?.checked_add_unsigned(digit?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicBool, Ordering};
    use proptest::prelude::*;
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    /// The parts of a file with this content.
    fn parts(content: &[u8]) -> Vec<Vec<u8>> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, content).unwrap();
        let path = CString::new(file.as_os_str().as_bytes()).unwrap();
        let mut found = Vec::new();
        let file = open(&path).unwrap();
        let result = read_parts(file.as_fd(), b'\n', &mut b"old".to_vec(), &mut |part| {
            found.push(part.to_vec());
            Ok(())
        });
        assert_eq!(result, Ok(()));
        found
    }

    #[test]
    fn only_the_beginning_of_a_very_long_part_is_read_and_the_next_one_is_whole() {
        for long in [70_000, 200_000, 1 << 20] {
            let content = [&b"first\n"[..], &vec![b'x'; long], b"\nlast"].concat();
            let found = parts(&content);
            let [first, beginning, last] = &found[..] else { panic!("{} parts", found.len()) };
            assert_eq!((&first[..], &last[..]), (&b"first"[..], &b"last"[..]));
            assert_eq!(*beginning, vec![b'x'; 64 << 10]);
        }
        assert_eq!(parts(&vec![b'x'; 200_000]).len(), 1);
    }

    #[test]
    fn nothing_leads_out_of_a_root_directory_and_only_regular_files_are_opened() {
        let host = tempfile::tempdir().unwrap();
        let root = host.path().join("root");
        fs::create_dir_all(root.join("in")).unwrap();
        fs::write(host.path().join("secret"), "of the host").unwrap();
        fs::write(root.join("in/file"), "of the container").unwrap();
        let c_string = |path: &Path| CString::new(path.as_os_str().as_bytes()).unwrap();
        for (name, target) in [
            ("absolute", host.path().join("secret")),
            ("up", "../secret".into()),
            ("inside", "/in/file".into()),
            ("magic", "/proc/self/exe".into()),
        ] {
            symlink(target, root.join(name)).unwrap();
        }
        nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let root = c_string(&root);
        for (path, content) in [
            (c"/in/file", Ok("of the container")),
            (c"/inside", Ok("of the container")),
            (c"/in/../../secret", Err(libc::ENOENT)),
            (c"/absolute", Err(libc::ENOENT)),
            (c"/up", Err(libc::ENOENT)),
            (c"/magic", Err(libc::ENOENT)),
            (c"/fifo", Err(libc::EINVAL)),
            (c"/in", Err(libc::EINVAL)),
        ] {
            let mut buffer = [0; 32];
            let file = open_in_root(&root, path);
            let found = file.as_ref().map(|file| read_prefix(file.as_fd(), &mut buffer));
            assert_eq!(found.map_err(|error| error.0), content.map(str::as_bytes), "{path:?}");
        }
        assert!(find_in_root(&root, c"/in/").is_ok() && find_in_root(&root, c"/none/").is_err());
        // A link of proc(5) leads to a file, not to a name.
        assert_eq!(find_in_root(c"/", c"/proc/self/exe").unwrap_err(), Errno(libc::ELOOP));
    }

    #[test]
    fn renames_elsewhere_do_not_hide_a_file() {
        const ENOUGH: u32 = 100;
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("in")).unwrap();
        let root = CString::new(directory.path().as_os_str().as_bytes()).unwrap();
        let other = tempfile::tempdir().unwrap();
        let names = ["a", "b"].map(|name| other.path().join(name));
        fs::create_dir(&names[0]).unwrap();
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    fs::rename(&names[0], &names[1]).unwrap();
                    fs::rename(&names[1], &names[0]).unwrap();
                }
            });
            let path = c"/in/../in/../in";
            let opened = open_with(&root, libc::O_PATH | libc::O_DIRECTORY).unwrap();
            let (mut failure, mut interrupted) = (None, 0);
            // Each look-up is interrupted once in some hundred times, if the other thread runs at all.
            for _ in 0..10_000_000 {
                let once = openat2(opened.as_fd(), path, libc::RESOLVE_IN_ROOT);
                interrupted += u32::from(once.is_err_and(|error| error == INTERRUPTED));
                failure = find_in_root(&root, path).err();
                if failure.is_some() || interrupted == ENOUGH {
                    break;
                }
            }
            is_done.store(true, Ordering::Relaxed);
            assert_eq!((failure, interrupted), (None, ENOUGH));
        });
    }

    #[test]
    fn what_the_visitor_returns_ends_the_reading() {
        let mut visits = 0;
        let file = open(c"/proc/self/status").unwrap();
        let result = read_parts(file.as_fd(), b'\n', &mut Vec::new(), &mut |_| {
            visits += 1;
            Err(Errno(libc::EFBIG))
        });
        assert_eq!((result, visits), (Err(Errno(libc::EFBIG)), 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn the_parts_are_those_between_the_separators(
            lengths in proptest::collection::vec(0usize..9000, 0..6),
        ) {
            let lines: Vec<_> = lengths.into_iter().map(|length| vec![b'x'; length]).collect();
            let content = lines.join(&b'\n');
            let mut expected: Vec<_> = content.split(|byte| *byte == b'\n').collect();
            if expected.last().is_some_and(|last| last.is_empty()) {
                expected.pop();
            }
            prop_assert_eq!(parts(&content), expected);
        }
    }
}
