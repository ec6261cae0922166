//! The accounts of a run, made through the server API as any others, and removed afterwards.
//!
//! Their names contain the run's prefix and its graph, so they collide with no other accounts, and a run with the same
//! parameters finds those that `--keep` left.

use std::fmt::Write as _;

use super::error::BenchError;
use super::graph::Graph;
use super::ops::OpsConnection;
use rosterd_engine::model::Account;

/// The lines of one import request: few enough for other writes to get their turn.
const PIECE: usize = 500;

/// The accounts and their friendships.
#[derive(Debug)]
pub struct World {
    /// The friendships.
    pub graph: Graph,
    stem: String,
}

impl World {
    /// Names the accounts `PREFIX-KIND-000000` and on.
    ///
    /// # Errors
    /// The names are not valid for accounts.
    pub fn new(graph: Graph, prefix: &str, kind: &str) -> Result<Self, BenchError> {
        let world = Self { graph, stem: format!("{prefix}-{kind}") };
        Account::parse(&world.account(999_999), "--prefix").map_err(|error| BenchError(error.message))?;
        Ok(world)
    }

    /// Returns the name of a user.
    #[must_use]
    pub fn account(&self, user: u32) -> String {
        format!("{}-{user:06}", self.stem)
    }

    /// Returns all accounts and friendships as lines of an import, in pieces.
    pub fn pieces(&self) -> impl Iterator<Item = String> + '_ {
        let users = (0..self.graph.users()).map(|user| {
            let account = self.account(user);
            format!(
                r#"{{"user":{{"account":"{account}","nick":"Bench {user}","avatar":"http://avatar/{account}","sign":"hello, world"}}}}"#
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
    fn a_prefix_that_makes_no_accounts_is_refused() {
        let world = |prefix: &str| World::new(Graph::star(1), prefix, "star1");
        assert_eq!(world("bench").unwrap().account(7), "bench-star1-000007");
        assert!(world("two words").is_err());
        assert!(world("a-prefix-that-is-far-too-long").is_err());
    }
}
