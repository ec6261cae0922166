//! Which sessions of an account may be there together.

/// Which sessions of an account may be there together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionsPolicy {
    /// Any.
    #[default]
    All,
    /// One of each type of device; the newest stays.
    OnePerDeviceType,
    /// The newest.
    One,
}
