//! What is in `deploy/` and in the operator's handbook names things that exist.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rosterd::metrics::{Commanded, EndpointLabel, EndpointResult, HookLabel, HookResult, Kind, Metrics, NodeState};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The words of a text that begin with `prefix`.
fn words<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_word(c)).filter(|word| word.starts_with(prefix) && word.len() > prefix.len()).collect()
}

/// Every series a gateway may show, as queries name them.
fn series() -> BTreeSet<String> {
    let metrics = Metrics::default();
    // Of those with labels nothing shows before the first of a kind.
    let kind = Kind { kind: "x" };
    let counters = [&metrics.closed, &metrics.logins, &metrics.full_syncs, &metrics.repairs, &metrics.reloads];
    let database = [&metrics.database.in_doubt, &metrics.database.replica_reads, &metrics.database.nats_refused];
    let further = [&metrics.refused, &metrics.key_sets, &metrics.log_dropped].into_iter().chain(database);
    for family in counters.into_iter().chain(further) {
        drop(family.get_or_create(&kind));
    }
    for family in [&metrics.catch_ups, &metrics.command_times] {
        drop(family.get_or_create(&kind));
    }
    drop(metrics.cluster.leads.get_or_create(&kind));
    drop(metrics.cluster.nodes.get_or_create(&NodeState { state: "x" }));
    drop(metrics.certificate_end.get_or_create(&kind));
    drop(metrics.commands.get_or_create(&Commanded { command: "x", result: "x" }));
    for family in [&metrics.webhook_events, &metrics.webhook_requests] {
        drop(family.get_or_create(&EndpointResult { endpoint: "x".to_owned(), result: "x" }));
    }
    let endpoint = EndpointLabel { endpoint: "x".to_owned() };
    for family in [&metrics.webhook_behind, &metrics.webhook_behind_changes, &metrics.webhook_state] {
        drop(family.get_or_create(&endpoint));
    }
    drop(metrics.webhook_request_times.get_or_create(&endpoint));
    drop(metrics.webhook_gaps.get_or_create(&endpoint));
    drop(metrics.hook_calls.get_or_create(&HookResult { hook: "x", result: "x" }));
    let hook = HookLabel { hook: "x" };
    drop(metrics.hook_times.get_or_create(&hook));
    drop(metrics.hook_in_flight.get_or_create(&hook));
    drop(metrics.hook_open.get_or_create(&hook));
    let text = metrics.render();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let named = types.flat_map(|(name, kind)| {
        let endings: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_count", "_sum"],
            "info" => &["_info"],
            _ => &[""],
        };
        endings.iter().map(move |ending| format!("{name}{ending}"))
    });
    // Prometheus itself explains the metrics that every process has.
    named.filter(|name| !name.starts_with("process_")).collect()
}

#[test]
fn every_metric_that_is_asked_for_exists() {
    let series = series();
    for file in ["deploy/grafana/rosterd.json", "deploy/prometheus/alerts.yml", "deploy/prometheus/alerts.test.yml"] {
        let text = read(file);
        let asked = words(&text, "rosterd_");
        assert!(asked.len() > 5, "{file} asks for nothing");
        for name in asked {
            assert!(series.contains(name), "{file} asks for {name}, which no gateway shows");
        }
    }
}

#[test]
fn every_metric_is_in_the_handbook_and_on_the_dashboard() {
    let (handbook, dashboard) = (read("docs/operations.md"), read("deploy/grafana/rosterd.json"));
    let (documented, shown) = (words(&handbook, "rosterd_"), words(&dashboard, "rosterd_"));
    let of = |name: &str, words: &BTreeSet<&str>| {
        let name = name.trim_end_matches("_bucket").trim_end_matches("_count").trim_end_matches("_sum");
        words.contains(name) || words.contains(format!("{name}_bucket").as_str())
    };
    for name in series() {
        assert!(of(&name, &documented), "{name} is not in docs/operations.md");
        assert!(of(&name, &shown), "{name} is not on the dashboard");
    }
    // And the handbook has no other metric.
    let series = series();
    for name in documented {
        assert!(series.contains(name) || series.contains(&format!("{name}_bucket")), "{name} does not exist");
    }
}

#[test]
fn every_alert_says_where_to_read_on_and_is_tested() {
    let (alerts, tests, handbook) =
        (read("deploy/prometheus/alerts.yml"), read("deploy/prometheus/alerts.test.yml"), read("docs/operations.md"));
    let names: Vec<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 5);
    for name in names {
        assert!(
            handbook.contains(&format!("#### {name}\n")),
            "docs/operations.md does not say what to do about {name}"
        );
        assert!(alerts.contains(&format!("docs/operations.md#{}\n", name.to_lowercase())), "{name} has no runbook");
        assert!(tests.contains(&format!("alertname: {name}\n")), "{name} is not tested");
    }
}

#[test]
fn every_setting_and_path_in_a_package_exists() {
    let settings = read("docs/configuration.md");
    for file in [
        "deploy/Dockerfile",
        "deploy/compose.yaml",
        "deploy/cluster/compose.yaml",
        "deploy/kubernetes/rosterd.yaml",
        "deploy/kubernetes/rosterd-cluster.yaml",
    ] {
        let text = read(file);
        let set: Vec<_> = words(&text, "ROSTERD_").into_iter().collect();
        assert!(set.len() > 2, "{file} sets nothing");
        for variable in set {
            assert!(settings.contains(&format!("`{variable}`")), "{file} sets {variable}, which is no setting");
        }
    }
    for file in ["deploy/kubernetes/rosterd.yaml", "deploy/kubernetes/rosterd-cluster.yaml"] {
        let manifest = read(file);
        assert_eq!((manifest.matches("path: /readyz").count(), manifest.matches("path: /livez").count()), (2, 1));
    }
}

/// The duration that comes after `label` in a text, in seconds.
fn after(text: &str, label: &str) -> Option<u64> {
    let rest = text.split_once(label)?.1.trim_start_matches([',', ' ', ':']).trim_start_matches("value: ");
    let word: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    let seconds = word.parse().ok().map(Duration::from_secs).or_else(|| humantime::parse_duration(&word).ok());
    Some(seconds.unwrap_or_else(|| panic!("{label} {word} is no duration")).as_secs())
}

#[test]
fn nobody_kills_before_a_stop_is_over() {
    let (lame_duck, deadline) = ("ROSTERD_SHUTDOWN__LAME_DUCK", "ROSTERD_SHUTDOWN__DEADLINE");
    let default = rosterd::config::Config::default().shutdown;
    for (file, grace) in [
        ("deploy/compose.yaml", "stop_grace_period"),
        ("deploy/cluster/compose.yaml", "stop_grace_period"),
        ("deploy/kubernetes/rosterd.yaml", "terminationGracePeriodSeconds"),
        ("deploy/kubernetes/rosterd-cluster.yaml", "terminationGracePeriodSeconds"),
        ("deploy/systemd/rosterd.service", "TimeoutStopSec="),
    ] {
        let text = read(file);
        let stop = after(&text, lame_duck).unwrap_or(default.lame_duck.as_secs())
            + after(&text, deadline).unwrap_or(default.deadline.as_secs());
        // The store is closed after that.
        assert!(after(&text, grace).unwrap() >= stop + 10, "{file}");
    }
}
