//! Turns the rows of a CSV file into lines of an import.
//!
//! A row is an account with fields of its profile, or a friendship: its header row says which. A cell that is empty
//! gives nothing, so the field stays as it is.

use std::io::Read;

use csv::{ReaderBuilder, StringRecord, Terminator};
use serde_json::{Map, Value, json};

use super::source_line::SourceLine;
use rosterd_engine::model::Profile;
use rosterd_protocol::nearest;

const ACCOUNT: &str = "account";
const FRIEND: &str = "friend";

/// The columns of a file, by its header row.
pub(super) enum Columns {
    /// `account` and fields of profiles.
    Accounts(Vec<String>),
    /// `account` and `friend`, at these places.
    Friendships(usize, usize),
}

impl Columns {
    /// Reads the first line of a file; `None` if it is no header row, unless `csv` says that it must be one.
    ///
    /// # Errors
    /// What is wrong with the row.
    pub(super) fn of(head: &[u8], csv: bool) -> Result<Option<Self>, String> {
        let mut row = StringRecord::new();
        let read = ReaderBuilder::new().has_headers(false).from_reader(head).read_record(&mut row);
        let names: Vec<_> = row.iter().map(|name| name.trim().to_owned()).collect();
        let at = |wanted: &str| names.iter().position(|name| name == wanted);
        if !csv && at(ACCOUNT).is_none() {
            return Ok(None);
        }
        read.map_err(|_| "line 1: not UTF-8".to_owned())?;
        if let Some(twice) = names.iter().enumerate().find(|(number, name)| at(name) != Some(*number)) {
            return Err(format!("line 1: the column \"{}\" is there twice", twice.1));
        }
        let Some(account) = at(ACCOUNT) else {
            return Err("line 1: a CSV file begins with the names of its columns, with commas between them, such as \
                        account,nick for accounts or account,friend for friendships"
                .to_owned());
        };
        if let (Some(friend), 2) = (at(FRIEND), names.len()) {
            return Ok(Some(Self::Friendships(account, friend)));
        }
        for name in names.iter().filter(|name| *name != ACCOUNT && !Profile::FIELDS.contains(&name.as_str())) {
            let hint = match nearest(name, Profile::FIELDS) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("there are account, {}; or account and friend alone", Profile::FIELDS.join(", ")),
            };
            return Err(format!("line 1: there is no column \"{name}\"; {hint}"));
        }
        Ok(Some(Self::Accounts(names)))
    }

    fn count(&self) -> usize {
        match self {
            Self::Accounts(names) => names.len(),
            Self::Friendships(..) => 2,
        }
    }

    fn line(&self, row: &StringRecord) -> String {
        let last = row.len().saturating_sub(1);
        let cell = |at: usize| {
            let cell = row.get(at).unwrap_or_default();
            if at == last { cell.strip_suffix('\r').unwrap_or(cell) } else { cell }
        };
        match self {
            Self::Friendships(account, friend) => json!({"friendship": [cell(*account), cell(*friend)]}).to_string(),
            Self::Accounts(names) => {
                let cells = names.iter().enumerate().map(|(at, name)| (name, cell(at)));
                let given = cells.filter(|(name, cell)| !cell.is_empty() || *name == ACCOUNT);
                let user: Map<_, _> = given.map(|(name, cell)| (name.clone(), Value::from(cell))).collect();
                json!({"user": user}).to_string()
            }
        }
    }
}

/// Reads the rows after the header row.
pub(super) fn rows(columns: &Columns, file: impl Read) -> impl Iterator<Item = std::io::Result<SourceLine>> {
    // With lines that end with CR LF the reader would count a line too few: it ends a row at the CR.
    let lines = Terminator::Any(b'\n');
    let mut reader = ReaderBuilder::new().flexible(true).terminator(lines).from_reader(file);
    let mut row = StringRecord::new();
    let _ = reader.headers();
    std::iter::from_fn(move || {
        loop {
            let number = reader.position().line();
            let text = match reader.read_record(&mut row) {
                Ok(false) => return None,
                Ok(true) if row.len() == 1 && row[0].trim().is_empty() => continue,
                Ok(true) if row.len() == columns.count() => Ok(columns.line(&row)),
                Ok(true) => Err(format!("it has {} cells, and the header row has {}", row.len(), columns.count())),
                Err(error) if error.is_io_error() => return Some(Err(error.into())),
                Err(_) => Err("not UTF-8".to_owned()),
            };
            return Some(Ok(SourceLine { number, text }));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_bad_is_named_with_its_line_and_the_others_are_read() {
        let text = b"account,nick\r\nann,\"A\r\nnn\"\r\nbob\r\n\xff,x\r\neve,Eve,E\r\ndan,\r\n";
        let columns = Columns::of(b"account,nick\r\n", false).unwrap().unwrap();
        let rows = rows(&columns, &text[..]).map(|row| row.map(|row| (row.number, row.text)).unwrap());
        let expected = [
            (2, Ok(r#"{"user":{"account":"ann","nick":"A\r\nnn"}}"#)),
            (4, Err("it has 1 cells, and the header row has 2")),
            (5, Err("not UTF-8")),
            (6, Err("it has 3 cells, and the header row has 2")),
            (7, Ok(r#"{"user":{"account":"dan"}}"#)),
        ];
        let expected = expected.map(|(at, text)| (at, text.map(str::to_owned).map_err(str::to_owned)));
        assert_eq!(rows.collect::<Vec<_>>(), expected);
    }
}
