//! How cost grows: the gateway at one thing after the other of which there is more and more, as plots.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rosterd_bench::plot::{Axis, Chart, PlotLine};
use rosterd_bench::scenario::Scenario;

use super::servers::{Cores, Server};
use super::work::{fanout, figure};

const CPU: &str = "server_us_per_delivery";

/// Measures all of it and writes a picture of each into `into`.
pub(crate) fn grow(cores: Cores, directory: &Path, into: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(into)?;
    let growth = Growth { cores, directory };
    for (file, chart) in [
        ("cost-by-sessions.svg", growth.by_sessions()?),
        ("cost-by-friends.svg", growth.by_friends()?),
        ("cost-by-rate.svg", growth.by_rate()?),
        ("cost-by-slow-clients.svg", growth.by_slow_clients()?),
    ] {
        fs::write(into.join(file), chart.svg())?;
        println!("{}", into.join(file).display());
        for line in &chart.lines {
            println!("  {}: {:?}", line.name, line.points);
        }
    }
    Ok(())
}

struct Growth<'a> {
    cores: Cores,
    directory: &'a Path,
}

impl Growth<'_> {
    fn gateway(&self, scenario: &Scenario) -> Result<Server, Box<dyn Error>> {
        Server::gateway(self.cores, &self.directory.join("gateway"), scenario, &[])
    }

    /// CPU for each delivery, at so many updates a second.
    fn point(server: &Server, users: u32, friends: u32, rate: u32) -> Result<f64, Box<dyn Error>> {
        let arguments = format!("fanout --users {users} --friends {friends} --rate {rate} --warm-up 1 --seconds 4");
        figure(&server.bench(&arguments)?, 0, CPU).ok_or_else(|| "no figure".into())
    }

    fn by_sessions(&self) -> Result<Chart, Box<dyn Error>> {
        let mut lines = vec![line("rosterd"), line("limit, write")];
        for users in [250, 500, 1000, 2000, 4000, 8000, 16_000] {
            let scenario = fanout(users, 50);
            for (at, server) in
                [self.gateway(&scenario)?, Server::limit(self.cores, "write", &scenario)?].iter().enumerate()
            {
                lines[at].points.push((users.into(), Self::point(server, users, 50, 400)?));
            }
        }
        Ok(chart("CPU for each delivery as sessions grow: 50 friends, 400 updates/s", "sessions", lines))
    }

    fn by_friends(&self) -> Result<Chart, Box<dyn Error>> {
        let mut lines = vec![line("rosterd"), line("limit, write")];
        for friends in [4u32, 10, 20, 50, 100, 200, 400] {
            let scenario = fanout(2000, friends);
            for (at, server) in
                [self.gateway(&scenario)?, Server::limit(self.cores, "write", &scenario)?].iter().enumerate()
            {
                lines[at].points.push((friends.into(), Self::point(server, 2000, friends, 20_000 / friends)?));
            }
        }
        let title = "CPU for each delivery as friends grow: 2,000 sessions, 20,000 deliveries/s";
        Ok(chart(title, "friends of each user", lines))
    }

    fn by_rate(&self) -> Result<Chart, Box<dyn Error>> {
        let scenario = fanout(2000, 50);
        let mut lines = vec![line("rosterd"), line("limit, write"), line("limit, coalesce")];
        let servers = [
            self.gateway(&scenario)?,
            Server::limit(self.cores, "write", &scenario)?,
            Server::limit(self.cores, "coalesce", &scenario)?,
        ];
        for rate in [10, 50, 100, 250, 500, 1000, 2000, 3000] {
            for (at, server) in servers.iter().enumerate() {
                lines[at].points.push((rate.into(), Self::point(server, 2000, 50, rate)?));
            }
        }
        Ok(chart("CPU for each delivery as the rate grows: 2,000 sessions, 50 friends", "updates each second", lines))
    }

    fn by_slow_clients(&self) -> Result<Chart, Box<dyn Error>> {
        let length = Duration::ZERO;
        let scenario = Scenario::Slow { users: 2000, friends: 50, rate: 1.0, stalled: 1, length, stall: length };
        let gateway = self.gateway(&scenario)?;
        let mut lines = vec![line("the readers' 99 % within"), line("the same before")];
        for stalled in [1u32, 10, 25, 50, 75] {
            let arguments =
                format!("slow --users 2000 --friends 50 --rate 500 --stalled {stalled} --seconds 4 --stall 8");
            let found = gateway.bench(&arguments)?;
            for (line, row) in lines.iter_mut().zip([1, 0]) {
                line.points.push((stalled.into(), figure(&found, row, "p99_us").unwrap_or(f64::NAN) / 1000.0));
            }
        }
        let (x, y) = (Axis::new("clients in a hundred that do not read", false), Axis::new("milliseconds", false));
        Ok(Chart { title: "What slow clients do to the others: 2,000 × 50, 500 updates/s".to_owned(), x, y, lines })
    }
}

fn line(name: &str) -> PlotLine {
    PlotLine { name: name.to_owned(), points: Vec::new() }
}

fn chart(title: &str, x: &str, lines: Vec<PlotLine>) -> Chart {
    Chart { title: title.to_owned(), x: Axis::new(x, true), y: Axis::new("µs of the gateway's CPU", false), lines }
}
