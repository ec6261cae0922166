//! Shows how far an export is.

use indicatif::{ProgressBar, ProgressStyle};

/// Makes a counter of records, which is drawn on standard error and only on a terminal. How many there will be is not
/// known.
pub(super) fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {human_pos} records {elapsed}").expect("the template is right");
    ProgressBar::new_spinner().with_style(style).with_message("exporting")
}
