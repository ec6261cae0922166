//! Shows how far an import is.

use indicatif::{ProgressBar, ProgressStyle};

/// Makes a progress bar, which is drawn on standard error and only on a terminal.
pub(super) fn progress(what: &'static str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}").expect("the template is right");
    ProgressBar::new(length).with_style(style).with_message(what)
}
