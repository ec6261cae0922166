//! The kind of a device, as friends may see it.

use std::fmt;

use super::limits::{DEVICE_KIND_CHARS as CHARS, DEVICE_KINDS};

/// The kind of device that a session says it is, such as `ios`: 1 to 16 of `a` to `z`, `0` to `9` and `-`, so that it is
/// no place for a text. In the order of these.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceKind {
    /// The characters, and zeros after them.
    bytes: [u8; CHARS],
}

impl DeviceKind {
    /// Returns the kind that the type of a device names, in capitals or not; `None` if it is no kind.
    #[must_use]
    pub fn of(device_type: &str) -> Option<Self> {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        if device_type.is_empty() || device_type.len() > CHARS || !device_type.as_bytes().iter().all(is_plain) {
            return None;
        }
        let mut bytes = [0; CHARS];
        bytes[..device_type.len()].copy_from_slice(device_type.to_ascii_lowercase().as_bytes());
        Some(Self { bytes })
    }

    /// Returns those of them that friends see: each once, in order, and no more than [`DEVICE_KINDS`].
    #[must_use]
    pub fn seen_of(mut kinds: Vec<Self>) -> Vec<Self> {
        kinds.sort_unstable();
        kinds.dedup();
        kinds.truncate(DEVICE_KINDS);
        kinds
    }

    /// Writes kinds as one text, which [`DeviceKind::read`] reads.
    #[must_use]
    pub fn written(kinds: &[Self]) -> String {
        kinds.iter().map(Self::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Reads kinds from one text; what is none is left out.
    #[must_use]
    pub fn read(text: &str) -> Vec<Self> {
        text.split(' ').filter_map(Self::of).collect()
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.bytes.iter().position(|byte| *byte == 0).unwrap_or(CHARS);
        std::str::from_utf8(&self.bytes[..end]).unwrap_or_default()
    }
}

impl fmt::Debug for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_a_short_plain_word() {
        let name = |text: &str| DeviceKind::of(text).map(|kind| kind.as_str().to_owned());
        for kind in ["web", "a", "0", "smart-tv-2", "abcdefghijklmnop"] {
            assert_eq!(name(kind).as_deref(), Some(kind));
        }
        assert_eq!(name("iOS").as_deref(), Some("ios"), "capitals make no other kind");
        for text in ["", "abcdefghijklmnopq", "my phone", "büro", "a_b", "a\0", "ｗｅｂ", "<b>"] {
            assert_eq!(name(text), None, "{text}");
        }
    }

    #[test]
    fn kinds_are_written_as_one_text() {
        for text in ["", "ios", "ios smart-tv-2 web"] {
            assert_eq!(DeviceKind::written(&DeviceKind::read(text)), text);
        }
        assert_eq!(DeviceKind::read(" ios  a_b web").len(), 2);
    }

    #[test]
    fn kinds_are_in_the_order_of_their_names() {
        let mut names = vec!["web", "ios", "android", "web2", "we", "tv", "0"];
        let mut kinds: Vec<_> = names.iter().filter_map(|name| DeviceKind::of(name)).collect();
        names.sort_unstable();
        kinds.sort_unstable();
        assert_eq!(kinds.iter().map(DeviceKind::as_str).collect::<Vec<_>>(), names);
        let many = (0..40).rev().filter_map(|n| DeviceKind::of(&format!("k{}", n % 20))).collect();
        let seen = DeviceKind::seen_of(many);
        let seen: Vec<_> = seen.iter().map(DeviceKind::as_str).collect();
        assert_eq!(seen, ["k0", "k1", "k10", "k11", "k12", "k13", "k14", "k15"]);
    }
}
