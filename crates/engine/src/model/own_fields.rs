//! The values of own fields: those that an operator adds to the fields of every profile, and changes to them.
//!
//! Which fields there are, and what each may hold, is in [`super::OwnSchema`].

use std::collections::BTreeMap;
use std::sync::Arc;

/// What the name of an own field begins with where it stands beside those of other fields: `fields.level`.
pub const OWN_PREFIX: &str = "fields.";

/// A value. A number is finite.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the words say it")]
pub enum OwnValue {
    Text(Box<str>),
    Integer(i64),
    Number(f64),
    Boolean(bool),
    List(Box<[Box<str>]>),
}

/// A number that is finite equals itself.
impl Eq for OwnValue {}

impl OwnValue {
    /// Returns how many bytes the value takes in JSON, at most.
    fn size(&self) -> usize {
        match self {
            Self::Text(text) => size_of_text(text),
            Self::Integer(_) | Self::Number(_) => 24,
            Self::Boolean(_) => 5,
            Self::List(texts) => 2 + texts.iter().map(|text| size_of_text(text) + 1).sum::<usize>(),
        }
    }
}

/// Returns how many bytes a text takes in JSON, quotes and escapes included.
fn size_of_text(text: &str) -> usize {
    let size = |byte| match byte {
        b'"' | b'\\' => 2,
        0..b' ' => 6,
        _ => 1,
    };
    2 + text.bytes().map(size).sum::<usize>()
}

/// The own fields of a profile that have a value. Where there are none they cost a word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnFields(Option<Arc<BTreeMap<Box<str>, OwnValue>>>);

impl OwnFields {
    /// Whether no field has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the names and values, in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &OwnValue)> {
        self.0.iter().flat_map(|fields| fields.iter()).map(|(name, value)| (&**name, value))
    }

    /// Returns the value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OwnValue> {
        self.0.as_ref()?.get(name)
    }

    /// Returns the fields whose names `keeps` accepts.
    #[must_use]
    pub fn filtered(&self, keeps: impl Fn(&str) -> bool) -> Self {
        if self.iter().all(|(name, _)| keeps(name)) {
            return self.clone();
        }
        self.iter().filter(|(name, _)| keeps(name)).map(|(name, value)| (name.into(), value.clone())).collect()
    }

    /// Returns the names of the fields that differ, as they stand beside those of other fields.
    pub(super) fn changed<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = String> + 'a {
        let gone = other.iter().filter(|(name, _)| self.get(name).is_none());
        let differs = self.iter().filter(|(name, value)| other.get(name) != Some(value));
        let mut names: Vec<_> = gone.chain(differs).map(|(name, _)| name).collect();
        names.sort_unstable();
        names.into_iter().map(|name| format!("{OWN_PREFIX}{name}"))
    }

    /// Returns how many bytes names and values take in JSON, at most.
    pub(super) fn size(&self) -> usize {
        self.iter().map(|(name, value)| size_of_text(name) + value.size() + 2).sum()
    }
}

impl FromIterator<(Box<str>, OwnValue)> for OwnFields {
    fn from_iter<T: IntoIterator<Item = (Box<str>, OwnValue)>>(fields: T) -> Self {
        let fields: BTreeMap<_, _> = fields.into_iter().collect();
        Self((!fields.is_empty()).then(|| Arc::new(fields)))
    }
}

/// A change to own fields as it came in. A field that is not in it stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnChanges {
    /// The new values; `None` clears a field.
    pub set: BTreeMap<Box<str>, Option<OwnValue>>,
    /// Whether the fields that are not in `set` are cleared, too.
    pub clears_others: bool,
}

impl OwnChanges {
    /// Whether it changes no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && !self.clears_others
    }

    /// Takes the fields that it does not give from another change.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        for (name, value) in other.set {
            self.set.entry(name).or_insert(value);
        }
        Self { clears_others: self.clears_others || other.clears_others, ..self }
    }
}
