//! Turns the rows of a CSV file into lines of an import.
//!
//! A row is an account with fields of its profile, or a friendship: its header row says which. A cell that is empty
//! gives nothing, so the field stays as it is. That of an own field is JSON, or else a text.

use std::io::Read;

use csv::{ReaderBuilder, StringRecord, Terminator};
use serde_json::{Map, Value, json};

use super::source_line::SourceLine;
use rosterd_engine::model::{OWN_PREFIX, Profile};
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
        // Which own fields there are is for the store to say.
        let is_own = |name: &str| name.strip_prefix(OWN_PREFIX).is_some_and(|own| !own.is_empty());
        let is_known = |name: &str| name == ACCOUNT || Profile::FIELDS.contains(&name) || is_own(name);
        if let Some(name) = names.iter().find(|name| !is_known(name)) {
            let hint = match nearest(name, Profile::FIELDS) {
                Some(near) => format!("did you mean {near}?"),
                None => format!(
                    "there are account, {}, {OWN_PREFIX}NAME; or account and friend alone",
                    Profile::FIELDS.join(", ")
                ),
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
                let (mut user, mut own) = (Map::new(), Map::new());
                for (name, cell) in given {
                    match name.strip_prefix(OWN_PREFIX) {
                        Some(name) => own.insert(name.to_owned(), own_value(cell)),
                        None => user.insert(name.clone(), Value::from(cell)),
                    };
                }
                if !own.is_empty() {
                    user.insert(Profile::OWN.to_owned(), own.into());
                }
                json!({"user": user}).to_string()
            }
        }
    }
}

/// Reads the value of an own field: a number, `true`, `false`, `null`, a list or a text in quotes as in JSON; anything else is a
/// text.
fn own_value(cell: &str) -> Value {
    serde_json::from_str(cell).unwrap_or_else(|_| Value::from(cell))
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
    fn own_fields_have_columns_of_their_own() {
        let head = b"account,fields.level,nick,fields.tags,fields.pronouns\n";
        let text =
            [&head[..], b"ann,7,Ann,\"[\"\"a\"\"]\",she/her\nbob,,7,,\"\"\"7\"\"\"\neve,null,,true,1e999\n"].concat();
        let columns = Columns::of(head, false).unwrap().unwrap();
        let read = |row: std::io::Result<SourceLine>| row.unwrap().text.unwrap().parse::<Value>().unwrap();
        let expected = [
            json!({"user": {"account": "ann", "nick": "Ann", "fields": {"level": 7, "tags": ["a"], "pronouns": "she/her"}}}),
            json!({"user": {"account": "bob", "nick": "7", "fields": {"pronouns": "7"}}}),
            json!({"user": {"account": "eve", "fields": {"level": null, "tags": true, "pronouns": "1e999"}}}),
        ];
        assert_eq!(rows(&columns, &text[..]).map(read).collect::<Vec<_>>(), expected);
        let wrong = |head: &[u8]| Columns::of(head, false).err().unwrap();
        assert!(wrong(b"account,fields.\n").contains("there is no column \"fields.\""));
    }

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
