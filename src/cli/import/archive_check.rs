//! Checks that a file that begins as an export also ends as one, and that its numbers add up.

use rosterd_protocol::{RecordCounts, RecordKind};

/// What was read so far of the lines around the records.
#[derive(Default)]
pub(super) struct ArchiveCheck {
    /// Whether any line was read.
    has_lines: bool,
    begins: bool,
    end: Option<(u64, RecordCounts)>,
    counts: RecordCounts,
}

impl ArchiveCheck {
    /// Takes the first line of an export.
    pub(super) fn begin(&mut self) -> Result<(), String> {
        if self.has_lines {
            return Err("an export begins here, and a file holds one at most".to_owned());
        }
        (self.has_lines, self.begins) = (true, true);
        Ok(())
    }

    /// Takes a record; of a line that is none of an export there is no kind.
    pub(super) fn record(&mut self, kind: Option<RecordKind>) -> Result<(), String> {
        self.has_lines = true;
        if let Some((number, _)) = self.end {
            return Err(format!("the export ended at line {number}"));
        }
        if let Some(kind) = kind {
            self.counts.add(kind);
        }
        Ok(())
    }

    /// Takes the last line of an export.
    pub(super) fn end(&mut self, number: u64, counts: RecordCounts) -> Result<(), String> {
        self.has_lines = true;
        match self.end.replace((number, counts)) {
            _ if !self.begins => Err("an export ends here that did not begin with the line \"snapshot\"".to_owned()),
            Some((first, _)) => Err(format!("the export ended at line {first}")),
            None => Ok(()),
        }
    }

    /// Whether an export began and did not end.
    pub(super) fn is_cut(&self) -> bool {
        self.begins && self.end.is_none()
    }

    /// Returns what is wrong with the file as a whole. `last` is the number of its last line.
    pub(super) fn missing(&self, last: u64) -> Option<(u64, String)> {
        match self.end {
            _ if !self.begins => None,
            None => {
                let why = "the export is not whole, because its last line, \"end\", is missing; --partial imports what \
                           there is";
                Some((last, why.to_owned()))
            }
            Some((number, said)) if said != self.counts => {
                let [said, read] = [said, self.counts].map(|counts| serde_json::json!(counts).to_string());
                Some((number, format!("the export is not whole: it says {said}, but has {read}; --partial imports it")))
            }
            Some(_) => None,
        }
    }
}
