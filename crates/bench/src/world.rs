//! The accounts of a run, made through the server API as any others, and removed afterwards.
//!
//! Their names contain the run's prefix and its graph, so they collide with no other accounts, and a run with the same
//! parameters finds those that `--keep` left.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::error::BenchError;
use super::graph::Graph;
use super::ops::OpsConnection;
use rosterd_engine::model::Account;
use rosterd_protocol::v1::{FieldSchema, FieldTexts, FieldValue, GetSchemaReply};

/// The lines of one import request: few enough for other writes to get their turn.
const PIECE: usize = 500;

/// The accounts and their friendships.
#[derive(Debug)]
pub struct World {
    /// The friendships.
    pub graph: Graph,
    /// A value for each own field of the deployment.
    pub own: BTreeMap<String, FieldValue>,
    stem: String,
}

impl World {
    /// Names the accounts `PREFIX-KIND-000000` and on.
    ///
    /// # Errors
    /// The names are not valid for accounts.
    pub fn new(graph: Graph, prefix: &str, kind: &str) -> Result<Self, BenchError> {
        let world = Self { graph, own: BTreeMap::new(), stem: format!("{prefix}-{kind}") };
        Account::parse(&world.account(999_999), "--prefix").map_err(|error| BenchError(error.message))?;
        Ok(world)
    }

    /// Returns the name of a user.
    #[must_use]
    pub fn account(&self, user: u32) -> String {
        format!("{}-{user:06}", self.stem)
    }

    /// Gives each account a value in each of these fields. One of a type that is not known here has none.
    pub fn fill(&mut self, schema: &GetSchemaReply) {
        let values = schema.fields.iter().map(|(name, field)| (name.clone(), value(field)));
        self.own = values.filter(|(_, value)| *value != FieldValue::default()).collect();
    }

    /// Returns all accounts and friendships as lines of an import, in pieces.
    ///
    /// # Panics
    /// Never: the own fields are plain data.
    pub fn pieces(&self) -> impl Iterator<Item = String> + '_ {
        let own = if self.own.is_empty() {
            String::new()
        } else {
            format!(r#","fields":{}"#, serde_json::to_string(&self.own).expect("it is plain data"))
        };
        let users = (0..self.graph.users()).map(move |user| {
            let account = self.account(user);
            format!(
                r#"{{"user":{{"account":"{account}","nick":"Bench {user}","avatar":"http://avatar/{account}","sign":"hello, world"{own}}}}}"#
            )
        });
        let pairs = self
            .graph
            .friendships()
            .map(|(one, other)| format!(r#"{{"friendship":["{}","{}"]}}"#, self.account(one), self.account(other)));
        let mut lines = users.chain(pairs).peekable();
        std::iter::from_fn(move || {
            lines.peek()?;
            Some(lines.by_ref().take(PIECE).fold(String::new(), |mut piece, line| {
                let _ = writeln!(piece, "{line}");
                piece
            }))
        })
    }

    /// Counts the pieces that [`World::make`] sends.
    #[must_use]
    pub fn size(&self) -> usize {
        (self.graph.users() as usize + self.graph.edges() / 2).div_ceil(PIECE)
    }

    /// Makes the accounts that do not exist yet, and calls `step` after each piece.
    ///
    /// # Errors
    /// The gateway refuses or does not answer.
    pub fn make(&self, ops: &mut OpsConnection, mut step: impl FnMut()) -> Result<(), BenchError> {
        // If the last line is there, all are: they are made in order and removed in the opposite order.
        if let Some((one, other)) = self.graph.friendships().last()
            && ops.are_friends(&self.account(one), &self.account(other))?
        {
            return Ok(());
        }
        for piece in self.pieces() {
            ops.import(&piece)?;
            step();
        }
        Ok(())
    }

    /// Deletes the accounts, and calls `step` after each.
    ///
    /// # Errors
    /// The gateway refuses or does not answer.
    pub fn remove(&self, ops: &mut OpsConnection, mut step: impl FnMut()) -> Result<(), BenchError> {
        for user in (0..self.graph.users()).rev() {
            ops.delete(&self.account(user))?;
            step();
        }
        Ok(())
    }

    /// Changes the profile of every `each`th user through the server API.
    ///
    /// # Errors
    /// The gateway refuses or does not answer.
    pub fn touch(&self, ops: &mut OpsConnection, each: u32, word: &str) -> Result<(), BenchError> {
        let users: Vec<_> = (0..self.graph.users()).step_by(each.max(1) as usize).collect();
        for some in users.chunks(PIECE) {
            let lines = some
                .iter()
                .map(|user| format!("{{\"user\":{{\"account\":\"{}\",\"sign\":\"{word}\"}}}}\n", self.account(*user)));
            ops.import(&lines.collect::<String>())?;
        }
        Ok(())
    }
}

/// Returns a value that a field may have.
fn value(field: &FieldSchema) -> FieldValue {
    let none = FieldValue::default();
    let most = field.max_length.map_or(usize::MAX, |most| most as usize);
    let text = || field.values.first().cloned().unwrap_or_else(|| "something".chars().take(most).collect());
    let number = 7.0_f64.clamp(field.min.unwrap_or(7.0), field.max.unwrap_or(7.0));
    match field.r#type.as_str() {
        "text" => FieldValue { text: Some(text()), ..none },
        "integer" => FieldValue { integer: Some(number as i64), ..none },
        "number" => FieldValue { number: Some(number), ..none },
        "boolean" => FieldValue { boolean: Some(true), ..none },
        "list" => FieldValue { list: Some(FieldTexts { texts: vec![text()] }), ..none },
        _ => none,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rosterd_protocol::import_line;

    #[test]
    fn every_line_is_one_that_an_import_takes_and_the_pieces_are_as_many_as_told() {
        let graph = Graph::regular(300, 4, 1).unwrap();
        let world = World::new(graph, "bench", "300x4s1").unwrap();
        let pieces: Vec<_> = world.pieces().collect();
        assert_eq!(pieces.len(), world.size());
        let lines: Vec<_> = pieces.iter().flat_map(|piece| piece.lines()).collect();
        assert_eq!(lines.len(), 300 + 600);
        assert!(lines.iter().all(|line| import_line(line).is_ok()), "{}", lines[0]);
    }

    #[test]
    fn the_accounts_have_a_value_in_every_own_field() {
        let mut world = World::new(Graph::star(1), "bench", "star1").unwrap();
        let schema = r#"{"fields": {
            "colour": {"type": "text", "maxLength": 9, "values": ["red"]}, "about": {"type": "text", "maxLength": 4},
            "level": {"type": "integer", "min": 10, "max": 20}, "score": {"type": "number", "min": 0, "max": 0.5},
            "vip": {"type": "boolean"}, "tags": {"type": "list", "maxLength": 3, "maxItems": 2}, "place": {"type": "place"}
        }}"#;
        world.fill(&serde_json::from_str(schema).unwrap());
        let line = world.pieces().next().unwrap().lines().next().unwrap().to_owned();
        let fields = r#""fields":{"about":"some","colour":"red","level":10,"score":0.5,"tags":["som"],"vip":true}"#;
        assert!(line.contains(fields) && import_line(&line).is_ok(), "{line}");
    }

    #[test]
    fn a_prefix_that_makes_no_accounts_is_refused() {
        let world = |prefix: &str| World::new(Graph::star(1), prefix, "star1");
        assert_eq!(world("bench").unwrap().account(7), "bench-star1-000007");
        assert!(world("two words").is_err());
        assert!(world("a-prefix-that-is-far-too-long").is_err());
    }
}
