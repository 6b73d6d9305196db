//! Tables of a TOML document: found, made and removed by their path. What is not named stays as it is,
//! with its comments.

use super::files::Document;
use super::{NAME, is_own_program, not_ours};
use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

/// Parses a document. An error is one line.
pub fn parse(text: &str) -> Result<DocumentMut, String> {
    text.parse::<DocumentMut>().map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        format!("{} at line {line}", error.message().replace('\n', ", "))
    })
}

/// Edits a document. The text stays as it is if nothing changes. Else all lines end with a line feed.
pub fn edit(
    text: &str,
    action: impl FnOnce(&mut DocumentMut) -> Result<(), String>,
) -> Result<String, String> {
    let mut document = parse(text)?;
    let before = document.to_string();
    action(&mut document)?;
    let after = document.to_string();
    Ok(if after == before { text.to_owned() } else { after })
}

/// Parses a file. An error names it.
pub fn parse_file(file: &Document) -> Result<DocumentMut, String> {
    parse(&file.text).map_err(|error| file.error(&error))
}

/// What is called `key` in the table at a path.
pub fn get<'a>(table: &'a dyn TableLike, path: &[&str], key: &str) -> Option<&'a Item> {
    path.iter().try_fold(table, |table, key| table.get(key)?.as_table_like())?.get(key)
}

/// It is an error if the runtimes of a file include one of our name that is not ours.
pub fn check(
    file: &Document,
    runtimes: &[&str],
    program: impl Fn(&Item) -> Option<&str>,
) -> Result<(), String> {
    let document = parse_file(file)?;
    match get(&*document, runtimes, NAME).map(program) {
        None => Ok(()),
        Some(Some(program)) if is_own_program(program) => Ok(()),
        Some(program) => Err(file.error(&not_ours(program))),
    }
}

/// The table at a path. Those that do not exist are made.
pub fn make<'a>(
    table: &'a mut dyn TableLike,
    path: &[&str],
) -> Result<&'a mut dyn TableLike, String> {
    let Some((key, rest)) = path.split_first() else { return Ok(table) };
    if !table.contains_key(key) {
        let mut new = Table::new();
        // Without a header of its own, unless it gets values.
        new.set_implicit(true);
        table.insert(key, Item::Table(new));
    }
    let child = table.get_mut(key).and_then(Item::as_table_like_mut);
    make(child.ok_or_else(|| format!("{key} is not a table"))?, rest)
}

/// Sets a value. The comment beside it and its indentation stay.
pub fn set(table: &mut dyn TableLike, key: &str, value: impl Into<Value>) {
    let mut value = value.into();
    if let Some(item) = table.get_mut(key) {
        if let Some(old) = item.as_value() {
            *value.decor_mut() = old.decor().clone();
        }
        *item = Item::Value(value);
        return;
    }
    let first = table.iter().next().map(|(key, _)| key.to_owned());
    let indentation = first.map(|first| key_indentation(table, &first).to_owned());
    table.insert(key, Item::Value(value));
    if let Some((mut key, indentation)) = table.key_mut(key).zip(indentation) {
        key.leaf_decor_mut().set_prefix(indentation);
    }
}

/// Copies values that another table has and this one has not.
pub fn copy_missing(from: &dyn TableLike, to: &mut dyn TableLike) {
    for (key, item) in from.iter() {
        if let (false, Ok(value)) = (to.contains_key(key), item.clone().into_value()) {
            set(to, key, value.decorated(" ", ""));
        }
    }
}

/// Removes a key of the table at a path, and the headers that have nothing below them then. One with a
/// comment stays.
pub fn remove(table: &mut dyn TableLike, path: &[&str], key: &str) {
    let Some((first, rest)) = path.split_first() else {
        table.remove(key);
        return;
    };
    let Some(item) = table.get_mut(first) else { return };
    let is_commented = item.as_table().is_some_and(|it| prefix(it).contains('#'));
    let Some(child) = item.as_table_like_mut() else { return };
    let was_empty = child.is_empty();
    let is_value = rest.is_empty() && child.get(key).is_some_and(Item::is_value);
    remove(child, rest, key);
    if is_commented || was_empty {
        return;
    }
    if child.is_empty() {
        table.remove(first);
    } else if is_value && child.get_values().is_empty() {
        // Only tables are left, which have headers of their own.
        if let Some(child) = item.as_table_mut() {
            child.set_implicit(true);
        }
    }
}

/// Removes a key whose value is our name.
pub fn remove_name(table: &mut dyn TableLike, path: &[&str], key: &str) {
    if get(table, path, key).and_then(Item::as_str) == Some(NAME) {
        remove(table, path, key);
    }
}

/// What is before the header of a table: empty lines, comments, and the indentation.
pub fn prefix(table: &Table) -> &str {
    table.decor().prefix().and_then(|it| it.as_str()).unwrap_or_default()
}

/// Indents a new table like another one.
pub fn indent_like(table: &mut Table, other: &Table) {
    let header = last_line(prefix(other)).to_owned();
    let keys = other.iter().next().map_or("", |(key, _)| key_indentation(other, key));
    let step = keys.strip_prefix(&*header).unwrap_or_default();
    indent(table, &header, step);
}

fn indent(table: &mut Table, header: &str, step: &str) {
    table.decor_mut().set_prefix(format!("\n{header}"));
    let keys = format!("{header}{step}");
    for (mut key, item) in table.iter_mut() {
        match item {
            Item::Table(child) => indent(child, &keys, step),
            _ => key.leaf_decor_mut().set_prefix(&keys),
        }
    }
}

fn key_indentation<'a>(table: &'a dyn TableLike, key: &str) -> &'a str {
    let prefix = table.key(key).and_then(|key| key.leaf_decor().prefix());
    last_line(prefix.and_then(|it| it.as_str()).unwrap_or_default())
}

fn last_line(text: &str) -> &str {
    text.rsplit('\n').next().unwrap_or_default()
}
