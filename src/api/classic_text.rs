//! Rewrites metrics in the text format of Prometheus, version 0.0.4, which tools such as `promtool check metrics` read.
//!
//! It differs from `OpenMetrics` in what it knows of a metric, and in the name under which it says that.

/// Rewrites a text in the `OpenMetrics` format.
pub(super) fn classic_text(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = None;
    for line in open.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            // Which name it is about is known once the type is.
            (Some("#"), Some("HELP"), Some(name), rest) => help = Some((name, rest.unwrap_or_default())),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    other => ("", other),
                };
                if let Some((_, rest)) = help.take().filter(|(of, _)| *of == name) {
                    text.push_str(&format!("# HELP {name}{suffix} {rest}\n"));
                }
                text.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            }
            (Some("#"), ..) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_said_as_the_older_format_knows_it() {
        let open = "# HELP a_b Things that \\n happened.\n# TYPE a_b counter\na_b_total{kind=\"x y\"} 3\n\
                    # HELP c_seconds Times.\n# TYPE c_seconds histogram\n# UNIT c_seconds seconds\n\
                    c_seconds_sum 1.5\nc_seconds_bucket{le=\"+Inf\"} 2\n\
                    # HELP i Which.\n# TYPE i info\ni_info{version=\"1\"} 1\n# TYPE u unknown\nu 1\n# EOF\n";
        let expected = "# HELP a_b_total Things that \\n happened.\n# TYPE a_b_total counter\na_b_total{kind=\"x y\"} 3\n\
                        # HELP c_seconds Times.\n# TYPE c_seconds histogram\n\
                        c_seconds_sum 1.5\nc_seconds_bucket{le=\"+Inf\"} 2\n\
                        # HELP i_info Which.\n# TYPE i_info gauge\ni_info{version=\"1\"} 1\n# TYPE u untyped\nu 1\n";
        assert_eq!(classic_text(open), expected);
    }
}
