//! Tables whose sections the operator names, such as `[ops.keys.crm]`.
//!
//! A name stands in a variable as well (`ROSTERD_OPS__KEYS__CRM__SHA256`), so it has no capital letter, and no underscore
//! that could be taken for one of the two that separate the parts of a variable.

use std::collections::BTreeMap;

use serde::Serialize;
use toml::{Table, Value};

use super::keys::KeyConfig;
use super::profile::FieldConfig;
use super::webhooks::WebhookConfig;

/// The most characters of a name.
const NAME_CHARS: usize = 32;

/// A table with sections that the operator names.
pub(super) struct NamedTable {
    /// Where it stands, such as `ops.keys`.
    pub(super) path: &'static str,
    /// The keys of one section, with their defaults.
    pub(super) keys: BTreeMap<String, Value>,
}

/// Returns every table with named sections.
pub(super) fn named_tables() -> Vec<NamedTable> {
    vec![
        NamedTable::of::<KeyConfig>("ops.keys"),
        NamedTable::of::<FieldConfig>("profile.fields"),
        NamedTable::of::<WebhookConfig>("webhooks"),
    ]
}

impl NamedTable {
    /// Creates the table whose sections are of this type.
    fn of<Section: Default + Serialize>(path: &'static str) -> Self {
        let section = Table::try_from(Section::default()).expect("a section has texts, numbers and booleans");
        let mut keys = BTreeMap::new();
        flatten("", section, &mut keys);
        Self { path, keys }
    }

    /// Returns the name in the path of a section or of a key in one, if it is of this table.
    pub(super) fn name_in<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.path)?.strip_prefix('.')?;
        Some(rest.split_once('.').map_or(rest, |(name, _)| name))
    }

    /// Returns the key that was probably meant by one that lacks its name, or the separator after it.
    pub(super) fn meant(&self, written: &str) -> String {
        let split =
            self.keys.keys().find_map(|key| Some((written.strip_suffix(key.as_str())?.strip_suffix('_')?, key)));
        let (name, key) = split.unwrap_or((written, self.keys.keys().next().expect("a section has keys")));
        format!("{}.{name}.{key}", self.path)
    }
}

/// Checks the name of a section.
///
/// # Errors
/// Says what a name is made of.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= NAME_CHARS
        && name.chars().all(is_known)
        && !name.contains("__")
        && !name.ends_with('_');
    if is_good {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not a name; write 1 to {NAME_CHARS} characters out of a-z, 0-9 and single underscores, a letter first"
    ))
}

/// Collects the keys of a section and of the sections in it.
pub(super) fn flatten(section: &str, values: Table, keys: &mut BTreeMap<String, Value>) {
    for (name, value) in values {
        let path = if section.is_empty() { name } else { format!("{section}.{name}") };
        match value {
            Value::Table(values) => flatten(&path, values, keys),
            value => drop(keys.insert(path, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_stand_in_a_variable() {
        for good in ["a", "crm", "crm_2", "a1_b2_c3", &"a".repeat(NAME_CHARS)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "CRM", "2crm", "_crm", "crm_", "c__m", "c-m", "c.m", "é", "c m", &"a".repeat(NAME_CHARS + 1)] {
            assert!(check_name(bad).unwrap_err().contains("is not a name"), "{bad}");
        }
    }
}
