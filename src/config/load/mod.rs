//! Loads settings from the file, the environment and flags. Each wins over the ones before, and all over the defaults.
//!
//! A layer does not interpret its values: it looks up the key, compares the type, and remembers the place, so that a
//! later error can name it. An error never shows the line itself, because it may hold a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Spanned, Table, Value};

use super::check;
use super::error::Error;
use super::form::without_credentials;
use super::named::{NamedTable, check_name, flatten, named_tables};
use super::ranges::Problem;
use super::settings::Config;
use rosterd_protocol::nearest;

/// The file that is read if none is named.
const FILE: &str = "config.toml";
/// The prefix of every variable.
const PREFIX: &str = "ROSTERD_";

/// The settings of the command line. Not `Debug`, because an override may be a secret.
#[derive(Clone, Default)]
pub struct SettingsOptions {
    /// The file to read; it must exist. `None`: `./config.toml`, if it exists.
    pub file: Option<PathBuf>,
    /// The settings from flags, as (`section.key`, text); the last one wins.
    pub overrides: Vec<(String, String)>,
}

/// Settings that have been checked, and their sources.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedConfig {
    /// The settings.
    pub config: Config,
    /// The file that was read; `None` if only defaults, environment and flags count.
    pub file: Option<PathBuf>,
    /// The keys that the file does not decide, as (`section.key`, source).
    pub overridden: Vec<(String, String)>,
    /// The values that were given, by key.
    values: Values,
}

type Overridden = Vec<(String, String)>;

/// Values as they were given. `Debug` output shows the keys only, because some values are secrets.
#[derive(Clone, PartialEq)]
struct Values(BTreeMap<String, Value>);

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// A setting in force.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectiveSetting {
    /// `section.key`.
    pub key: String,
    /// Its value; of a secret `set`, or nothing.
    pub value: Value,
    /// Where it comes from.
    pub source: String,
}

impl LoadedConfig {
    /// Returns every setting in force, by its key.
    ///
    /// # Panics
    /// Never: every setting has a form in TOML.
    #[must_use]
    pub fn effective(&self) -> Vec<EffectiveSetting> {
        let sections = Table::try_from(&self.config).expect("settings are sections of texts, numbers and booleans");
        let mut values = BTreeMap::new();
        flatten("", sections, &mut values);
        let source = |key: &str| match self.overridden.iter().find(|(overridden, _)| overridden == key) {
            Some((_, source)) => source.clone(),
            None if self.values.0.contains_key(key) => self.file.clone().unwrap_or_default().display().to_string(),
            None => "default".to_owned(),
        };
        let setting = |(key, value): (String, Value)| {
            let (value, source) = (without_credentials(value), source(&key));
            // A hash is no secret if its key is random, which nothing makes an operator choose.
            let value = if key.ends_with(".sha256") && value.as_str() != Some("") { "set".into() } else { value };
            EffectiveSetting { key, value, source }
        };
        values.into_iter().map(setting).collect()
    }

    /// Returns the keys whose values differ, in order.
    #[must_use]
    pub fn changed(&self, other: &Self) -> Vec<String> {
        let defaults = keys();
        let keys: BTreeSet<_> =
            [defaults.keys(), self.values.0.keys(), other.values.0.keys()].into_iter().flatten().collect();
        let value = |loaded: &Self, key: &String| loaded.values.0.get(key).or_else(|| defaults.get(key)).cloned();
        keys.into_iter().filter(|key| value(self, key) != value(other, key)).cloned().collect()
    }
}

/// Reads and checks the settings.
///
/// # Errors
/// A named file is missing, the file is not TOML, a key does not exist, or a value is not valid. Reports all problems
/// at once where it can separate them.
pub fn load(options: &SettingsOptions) -> Result<LoadedConfig, Error> {
    load_from(options, Path::new(FILE), std::env::vars_os())
}

fn load_from(
    options: &SettingsOptions,
    default_file: &Path,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<LoadedConfig, Error> {
    let mut layers = Layers {
        keys: keys(),
        named: named_tables(),
        sections: BTreeMap::new(),
        given: BTreeMap::new(),
        problems: Vec::new(),
    };
    let file = read(options.file.as_deref(), default_file)?;
    if let Some((path, text)) = &file {
        layers.file(path, text);
    }
    for (name, text) in environment {
        layers.variable(&name, text);
    }
    for (key, text) in &options.overrides {
        layers.set(key, text, Origin::Flag);
    }
    let (config, overridden, values) = layers.finish()?;
    Ok(LoadedConfig { config, file: file.map(|(path, _)| path), overridden, values })
}

/// Reads the named file, or else the default one if it exists.
fn read(named: Option<&Path>, default_file: &Path) -> Result<Option<(PathBuf, String)>, Error> {
    let path = named.unwrap_or(default_file);
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.to_owned(), text))),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error(vec![format!("{}: cannot be read: {error}", path.display())])),
    }
}

/// Returns every key as `section.key` or `section.section.key`, with its default, whose type the key takes. Those of named
/// sections are not among them.
pub(super) fn keys() -> BTreeMap<String, Value> {
    let sections = Table::try_from(Config::default()).expect("settings are sections of strings, numbers and booleans");
    let mut keys = BTreeMap::new();
    flatten("", sections, &mut keys);
    keys
}

/// Returns the name of the variable that sets a key.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// The place where a value was written.
#[derive(Debug, Clone)]
enum Origin {
    File { path: PathBuf, line: usize, column: usize },
    Variable(String),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag => f.write_str("the command line"),
        }
    }
}

/// A value of the right type for its key.
struct Given {
    value: Value,
    origin: Origin,
}

/// The values that have been given so far, by `section.key`.
struct Layers {
    /// Every key with its default, those of named sections from when the section is given.
    keys: BTreeMap<String, Value>,
    named: Vec<NamedTable>,
    /// The named sections that were given, and where first.
    sections: BTreeMap<String, Origin>,
    given: BTreeMap<String, Given>,
    problems: Vec<String>,
}

impl Layers {
    fn problem(&mut self, origin: &Origin, message: impl fmt::Display) {
        self.problems.push(format!("{origin}: {message}"));
    }

    fn file(&mut self, path: &Path, text: &str) {
        let at = |offset| {
            let (line, column) = position(text, offset);
            Origin::File { path: path.to_owned(), line, column }
        };
        let sections = match DeTable::parse(text) {
            Ok(sections) => sections.into_inner(),
            Err(error) => {
                return self.problem(
                    &at(error.span().map_or(0, |s| s.start)),
                    format_args!("this is not TOML: {}", error.message()),
                );
            }
        };
        for (section, values) in sections {
            self.section(section.get_ref().as_ref(), &at(section.span().start), values, &at);
        }
    }

    fn section(&mut self, section: &str, place: &Origin, values: Spanned<DeValue<'_>>, at: &impl Fn(usize) -> Origin) {
        let holds_named = self.holds_named(section);
        let is_named = split(section).0 != section && self.holds_named(split(section).0);
        if !is_named && !self.has_section(section) {
            let message = self.unknown_section(section);
            return self.problem(place, message);
        }
        let DeValue::Table(values) = values.into_inner() else {
            let name = if holds_named { ".NAME" } else { "" };
            let message = format!("{section} is a section; write [{section}{name}] and its keys below");
            return self.problem(place, message);
        };
        if is_named {
            self.declare(section, place);
        }
        for (key, value) in values {
            let (path, place) = (format!("{section}.{}", key.get_ref()), at(key.span().start));
            if holds_named {
                match check_name(key.get_ref()) {
                    Ok(()) => self.section(&path, &place, value, at),
                    Err(message) => self.problem(&place, format_args!("{section}: {message}")),
                }
            } else if self.has_section(&path)
                || !self.keys.contains_key(&path) && matches!(value.get_ref(), DeValue::Table(_))
            {
                self.section(&path, &place, value, at);
            } else {
                self.entry(&path, &place, at(value.span().start), value);
            }
        }
    }

    fn entry(&mut self, key: &str, key_at: &Origin, value_at: Origin, value: Spanned<DeValue<'_>>) {
        if !self.keys.contains_key(key) {
            let message = self.unknown_key(key, str::to_owned);
            return self.problem(key_at, message);
        }
        match Value::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => self.put(key, value, value_at),
            // For example a number beyond 64 bits. The library's text would show it.
            Err(_) => self.problem(&value_at, format_args!("{key} takes {}", takes(&self.keys[key]))),
        }
    }

    /// Takes `ROSTERD_SECTION__KEY` and ignores any other variable.
    fn variable(&mut self, name: &OsString, text: OsString) {
        let Some((name, rest)) = name.to_str().and_then(|name| Some((name, name.strip_prefix(PREFIX)?))) else {
            return;
        };
        let origin = Origin::Variable(name.to_owned());
        if let Some(message) = self.declare_for(&rest.to_lowercase().replace("__", "."), &origin) {
            return self.problem(&origin, message);
        }
        let key = self.keys.keys().find(|key| variable_of(key) == name).cloned();
        // One underscore too few is the likeliest mistake, and the setting would be lost silently without this.
        let meant = self.keys.keys().map(|key| variable_of(key)).find(|known| known.replace("__", "_") == name);
        match (key, rest.find("__"), meant) {
            (Some(key), ..) => match text.into_string() {
                Ok(text) => self.set(&key, &text, origin),
                Err(_) => self.problem(&origin, format_args!("{key}: the value is not UTF-8")),
            },
            (None, Some(_), _) => {
                let key = rest.to_lowercase().replace("__", ".");
                let message = self.unknown_key(&key, variable_of);
                self.problem(&origin, message);
            }
            (None, None, Some(meant)) => self.problem(&origin, format_args!("is not a setting; did you mean {meant}?")),
            (None, None, None) => {}
        }
    }

    /// Takes a text for a key: as it is if the key takes text, else as a TOML value. So a secret of digits stays a text.
    /// A list may also be written with commas.
    fn set(&mut self, key: &str, text: &str, origin: Origin) {
        if let Some(message) = self.declare_for(key, &origin) {
            return self.problem(&origin, message);
        }
        let Some(default) = self.keys.get(key) else {
            let message = self.unknown_key(key, str::to_owned);
            return self.problem(&origin, message);
        };
        if default.is_str() {
            return self.put(key, Value::String(text.to_owned()), origin);
        }
        let takes = takes(default);
        if default.is_array() && !text.trim_start().starts_with('[') {
            let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
            return self.put(key, Value::Array(entries.map(Value::from).collect()), origin);
        }
        match ValueDeserializer::parse(text.trim()).and_then(Value::deserialize) {
            Ok(value) => self.put(key, value, origin),
            Err(_) => self.problem(&origin, format_args!("{key} takes {takes}")),
        }
    }

    fn put(&mut self, key: &str, value: Value, origin: Origin) {
        let default = &self.keys[key];
        let value = match value {
            #[expect(clippy::cast_precision_loss, reason = "no setting takes a number that great")]
            Value::Integer(number) if default.is_float() => Value::Float(number as f64),
            value => value,
        };
        if default.same_type(&value) {
            self.given.insert(key.to_owned(), Given { value, origin });
        } else {
            let message = format!("{key} takes {}, not a value of type {}", takes(default), value.type_str());
            self.problem(&origin, message);
        }
    }

    /// Returns the settings, those that are not from the file, and the values that were given.
    fn finish(mut self) -> Result<(Config, Overridden, Values), Error> {
        let config = self.interpret();
        // A value that could not be read has its default here, so an error from `check` about it would mislead.
        if self.problems.is_empty() {
            for Problem { key, message } in check::problems(&config) {
                let given = self
                    .given
                    .get(&*key)
                    .map(|given| &given.origin)
                    .or_else(|| self.sections.get(&*key))
                    .or_else(|| self.sections.get(split(&key).0));
                let place = given.map_or(String::new(), |origin| format!("{origin}: "));
                self.problems.push(format!("{place}{key}: {message}"));
            }
        }
        if !self.problems.is_empty() {
            return Err(Error(self.problems));
        }
        let elsewhere = |given: &Given| !matches!(given.origin, Origin::File { .. });
        let overridden = self.given.iter().filter(|(_, given)| elsewhere(given));
        let overridden = overridden.map(|(key, given)| (key.clone(), given.origin.to_string())).collect();
        let values = self.given.into_iter().map(|(key, given)| (key, given.value)).collect();
        Ok((config, overridden, Values(values)))
    }

    /// Reads the values. Each invalid one becomes a problem and is left out, so that all are found.
    fn interpret(&mut self) -> Config {
        loop {
            let error = match serde_path_to_error::deserialize(self.table()) {
                Ok(config) => return config,
                Err(error) => error,
            };
            // A list with an invalid entry is invalid as a whole.
            let path = error.path().to_string();
            let key = path.split('[').next().unwrap_or_default().to_owned();
            let Some(given) = self.given.remove(&key) else {
                unreachable!("{key} has the type of its default, so only its value can be wrong");
            };
            self.problem(&given.origin, format_args!("{key}: {}", error.inner().message()));
        }
    }

    fn table(&self) -> Value {
        let mut sections = Table::new();
        for section in self.sections.keys() {
            section_of(&mut sections, section);
        }
        for (key, given) in &self.given {
            let (section, key) = split(key);
            section_of(&mut sections, section).insert(key.to_owned(), given.value.clone());
        }
        Value::Table(sections)
    }

    fn has_section(&self, section: &str) -> bool {
        let is_in = |key: &str| key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'));
        self.keys.keys().any(|key| is_in(key))
            || self.named.iter().any(|table| table.path == section || is_in(table.path))
    }

    /// Returns whether the sections in this one are named by the operator.
    fn holds_named(&self, section: &str) -> bool {
        self.named.iter().any(|table| table.path == section)
    }

    /// Makes the keys of a named section known.
    fn declare(&mut self, section: &str, origin: &Origin) {
        let (path, _) = split(section);
        for (key, default) in self.named.iter().filter(|table| table.path == path).flat_map(|table| &table.keys) {
            self.keys.insert(format!("{section}.{key}"), default.clone());
        }
        self.sections.entry(section.to_owned()).or_insert_with(|| origin.clone());
    }

    /// Makes the keys of the named section known that a key is in, if it is in one. Returns what is wrong with the name.
    fn declare_for(&mut self, key: &str, origin: &Origin) -> Option<String> {
        let (path, name) = self.named.iter().find_map(|table| Some((table.path, table.name_in(key)?)))?;
        if key.len() == path.len() + 1 + name.len() {
            return None;
        }
        match check_name(name) {
            Ok(()) => self.declare(&format!("{path}.{name}"), origin),
            Err(message) => return Some(format!("{path}: {message}")),
        }
        None
    }

    fn sections(&self) -> Vec<&str> {
        let named = self.named.iter().map(|table| table.path);
        let mut sections: Vec<_> = self.keys.keys().map(|key| split(key).0).chain(named).collect();
        sections.sort_unstable();
        sections.dedup();
        sections
    }

    fn unknown_section(&self, section: &str) -> String {
        // A key that stands above the first section header.
        let same: Vec<_> = self.keys.keys().filter(|key| split(key).1 == section).map(String::as_str).collect();
        let hint = match (same.as_slice(), nearest(section, self.sections())) {
            ([_, ..], _) => format!("did you mean {}?", same.join(" or ")),
            ([], Some(near)) => format!("did you mean [{near}]?"),
            ([], None) => format!("the sections are {}", self.sections().join(", ")),
        };
        format!("there is no section \"{section}\"; {hint}")
    }

    /// Describes an unknown key; `write` formats a key as its source would.
    fn unknown_key(&self, path: &str, write: impl Fn(&str) -> String) -> String {
        let (section, key) = split(path);
        if let Some(table) = self.named.iter().find(|table| table.path == section) {
            return format!("there is no key {path}; did you mean {}?", write(&table.meant(key)));
        }
        let here: Vec<_> = self.keys.keys().map(String::as_str).filter(|known| split(known).0 == section).collect();
        let elsewhere = || self.keys.keys().map(String::as_str).find(|known| split(known).1 == key);
        let names = || here.iter().map(|known| split(known).1);
        let suggestion = nearest(key, names()).map(|near| format!("{section}.{near}"));
        let hint = match suggestion.or_else(|| elsewhere().map(str::to_owned)) {
            Some(known) => format!("did you mean {}?", write(&known)),
            None if !here.is_empty() => format!("[{section}] has {}", names().collect::<Vec<_>>().join(", ")),
            None => match nearest(path, self.keys.keys().map(String::as_str)) {
                Some(known) => format!("did you mean {}?", write(known)),
                None => format!("the sections are {}", self.sections().join(", ")),
            },
        };
        format!("there is no key {path}; {hint}")
    }
}

/// Returns a section of the settings, which it makes if need be.
fn section_of<'a>(sections: &'a mut Table, section: &str) -> &'a mut Table {
    section.split('.').fold(sections, |values, name| {
        let inner = values.entry(name).or_insert_with(|| Value::Table(Table::new()));
        inner.as_table_mut().expect("a section holds keys and sections, and no key is named like one")
    })
}

/// Splits `section.key` into its two parts; a section may stand in another.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or((path, ""))
}

/// Names the type that a key takes, by its default.
fn takes(default: &Value) -> &'static str {
    match default {
        Value::Boolean(_) => "true or false",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Array(_) => "a list of texts in quotes",
        _ => "a text in quotes",
    }
}

/// Returns line and column, both from 1; columns count characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests;
