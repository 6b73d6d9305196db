//! The files of a host: reads them, and replaces them as a whole.

use crate::replace::{Durability, replace};
use loadline::text::Quoted;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// As many links in a row as Linux follows.
const MAX_LINKS: usize = 40;
/// The mode of a new file, and of a new program.
const NEW_FILE: u32 = 0o644;
const NEW_PROGRAM: u32 = 0o755;

/// A file and its content.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its path on the host.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
}

impl Document {
    /// An error in it.
    pub fn error(&self, error: &str) -> String {
        error_in(&self.path, error)
    }
}

/// An error in a file.
pub fn error_in(path: &Path, error: &str) -> String {
    format!("{}: {error}", Quoted(path.as_os_str().as_bytes()))
}

/// The files below a directory, named by the paths that they have if it is the root directory.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The content of a file, if it exists.
    pub fn read(&self, path: &Path) -> Result<Option<String>, String> {
        match self.resolve(path).and_then(fs::read_to_string) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", path, &error)),
        }
    }

    /// Several files. One that does not exist is left out.
    pub fn read_all<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a Path>,
    ) -> Result<Vec<Document>, String> {
        let mut documents = Vec::new();
        for path in paths {
            if let Some(text) = self.read(path)? {
                documents.push(Document { path: path.to_owned(), text });
            }
        }
        Ok(documents)
    }

    /// The files of a directory whose names `is_wanted`, sorted by name.
    pub fn read_directory(
        &self,
        directory: &Path,
        is_wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<Document>, String> {
        let entries = match self.resolve(directory).and_then(fs::read_dir) {
            Ok(entries) => entries.collect::<io::Result<Vec<_>>>(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let entries = entries.map_err(|error| failed("read", directory, &error))?;
        let names = entries.iter().map(fs::DirEntry::file_name);
        let mut names: Vec<_> = names.filter(|name| is_wanted(name.as_bytes())).collect();
        names.sort();
        let mut paths: Vec<_> = names.iter().map(|name| directory.join(name)).collect();
        paths.retain(|path| self.resolve(path).is_ok_and(|file| file.is_file()));
        self.read_all(paths.iter().map(PathBuf::as_path))
    }

    /// Replaces a file as a whole, or creates it and its directory. Mode and owner stay.
    pub fn write(&self, path: &Path, text: &str) -> Result<(), String> {
        self.replace(path, text.as_bytes(), NEW_FILE)
    }

    /// Copies a program that is none of these files to be one of them. Returns where it is.
    pub fn copy_program(&self, program: &Path, to: &Path) -> Result<PathBuf, String> {
        let content = fs::read(program).map_err(|error| failed("read", program, &error))?;
        self.replace(to, &content, NEW_PROGRAM)?;
        self.locate(to).map_err(|error| failed("find", to, &error))
    }

    fn replace(&self, path: &Path, content: &[u8], new_mode: u32) -> Result<(), String> {
        let write = || {
            let file = self.resolve(path)?;
            fs::create_dir_all(file.parent().ok_or(ErrorKind::InvalidInput)?)?;
            replace(&file, content, new_mode, Durability::Synced)
        };
        write().map_err(|error| failed("write", path, &error))
    }

    /// Deletes a file, or the link to it.
    pub fn delete(&self, path: &Path) -> Result<(), String> {
        let remove = || fs::remove_file(self.locate(path)?);
        remove().map_err(|error| failed("delete", path, &error))
    }

    /// Where a path of the host is, with all links followed but the last one.
    pub fn locate(&self, path: &Path) -> io::Result<PathBuf> {
        let parent = self.resolve(path.parent().unwrap_or(path))?;
        Ok(path.file_name().map_or(parent.clone(), |name| parent.join(name)))
    }

    /// Follows symbolic links to the file that they stand for, as the host does: an absolute one begins at
    /// our root, and there is nothing above that.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let mut links = 0;
        let mut resolved = PathBuf::new();
        let mut rest = path.to_owned();
        while let Some(component) = rest.components().next() {
            let after: PathBuf = rest.components().skip(1).collect();
            match component {
                Component::Normal(name) => {
                    let file = self.root.join(&resolved).join(name);
                    if file.is_symlink() {
                        links += 1;
                        if links > MAX_LINKS {
                            return Err(io::Error::from_raw_os_error(libc::ELOOP));
                        }
                        rest = fs::read_link(file)?.join(after);
                        continue;
                    }
                    resolved.push(name);
                }
                Component::ParentDir => _ = resolved.pop(),
                Component::RootDir => resolved.clear(),
                _ => {}
            }
            rest = after;
        }
        Ok(self.root.join(resolved))
    }
}

fn failed(action: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {action} {}: {error}", Quoted(path.as_os_str().as_bytes()))
}
