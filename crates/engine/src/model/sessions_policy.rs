//! Which sessions of one account may be open at the same time.

/// Which sessions of one account may be open at the same time. The newest stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionsPolicy {
    /// Any.
    #[default]
    All,
    /// One of each type of device.
    OnePerDeviceType,
    /// One of each device that has a name for itself, and any without.
    OnePerDeviceId,
    /// One.
    One,
}
