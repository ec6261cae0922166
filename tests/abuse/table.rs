//! The table: what the honest client waits for, calm and under each attack.

use std::fmt;
use std::time::Duration;

/// What is to be reached under attack.
#[derive(Debug, Clone, Copy)]
pub struct Goal {
    /// So many times the calm figure, or less.
    pub times: u32,
    /// Or this, if the calm figure is tiny.
    pub or: Duration,
}

/// One line.
pub struct Row {
    pub attack: &'static str,
    pub figure: &'static str,
    pub calm: Vec<Duration>,
    pub attacked: Vec<Duration>,
    pub goal: Goal,
    /// How much the attack did.
    pub did: u64,
}

#[derive(Default)]
pub struct Table(Vec<Row>);

impl Table {
    pub fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.0.iter()
    }
}

impl Row {
    fn most(&self) -> Duration {
        (p99(&self.calm) * self.goal.times).max(self.goal.or)
    }

    pub fn is_met(&self) -> bool {
        p99(&self.attacked) <= self.most()
    }
}

/// What 99 of 100 waits do not exceed.
fn p99(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * 99).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or(Duration::MAX)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| attack | done | honest client | p99 calm | p99 with attack | goal | |")?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for row in &self.0 {
            let show = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
            let (calm, attacked, goal) = (show(p99(&row.calm)), show(p99(&row.attacked)), show(row.most()));
            let met = if row.is_met() { "met" } else { "**missed**" };
            writeln!(f, "| {} | {} | {} | {calm} | {attacked} | ≤ {goal} | {met} |", row.attack, row.did, row.figure)?;
        }
        Ok(())
    }
}
