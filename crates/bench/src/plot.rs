//! Line charts as SVG, for reports and for the documentation. Pure; they need no fonts, scripts or other files.

use std::fmt::Write as _;

/// The size of the picture, and the margins for axes and names, in pixels.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 52.0;
/// The colours of the lines, which readers with a colour vision deficiency can distinguish too.
const COLORS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9"];

/// One axis of a chart.
#[derive(Debug, Clone, Default)]
pub struct Axis {
    /// The name, with the unit.
    pub label: String,
    /// Whether it is logarithmic.
    pub log: bool,
    /// The ticks with their labels; chosen by the values if there are none.
    pub marks: Vec<(f64, String)>,
}

impl Axis {
    /// Makes an axis whose ticks are chosen by the values.
    #[must_use]
    pub fn new(label: &str, log: bool) -> Self {
        Self { label: label.to_owned(), log, marks: Vec::new() }
    }
}

/// A line of a chart.
#[derive(Debug, Clone)]
pub struct PlotLine {
    /// The name.
    pub name: String,
    /// The points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A chart of lines.
#[derive(Debug, Clone)]
pub struct Chart {
    /// The title.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines.
    pub lines: Vec<PlotLine>,
}

/// The range of values of an axis, and its place in the picture.
struct Scale {
    log: bool,
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl Scale {
    fn of(axis: &Axis, values: impl Iterator<Item = f64> + Clone, start: f64, end: f64) -> Self {
        let values = values.filter(|value| value.is_finite() && (!axis.log || *value > 0.0));
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(f64::NEG_INFINITY, f64::max);
        let (least, most) = if least > most { (1.0, 10.0) } else { (least, most) };
        let (from, to) = if axis.log {
            (least.log10(), most.log10().max(least.log10() + 0.1))
        } else {
            (least.min(0.0), most.max(least + 1e-9) * 1.05)
        };
        Self { log: axis.log, from, to, start, end }
    }

    fn at(&self, value: f64) -> f64 {
        let value = if self.log { value.max(1e-9).log10() } else { value };
        self.start + (value - self.from) / (self.to - self.from) * (self.end - self.start)
    }

    /// Chooses round values at even distances.
    fn marks(&self, about: f64) -> Vec<(f64, String)> {
        let values: Vec<f64> = if self.log {
            let steps: &[f64] = if self.to - self.from > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
            #[allow(clippy::cast_possible_truncation, reason = "a power of ten")]
            let powers = self.from.floor() as i32..=self.to.ceil() as i32;
            powers.flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power))).collect()
        } else {
            let raw = (self.to - self.from) / about;
            let power = 10f64.powf(raw.log10().floor());
            let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * power).into_iter().find(|step| *step >= raw).unwrap_or(raw);
            (0..=40).map(|n| (self.from / step).ceil() * step + f64::from(n) * step).collect()
        };
        let (low, high) = (self.start.min(self.end) - 0.5, self.start.max(self.end) + 0.5);
        let inside = values.into_iter().filter(|value| (low..=high).contains(&self.at(*value)));
        inside.map(|value| (value, short(value))).collect()
    }
}

/// Formats a number for an axis.
fn short(value: f64) -> String {
    let (scaled, suffix) = match value.abs() {
        millions if millions >= 1e6 => (value / 1e6, " M"),
        thousands if thousands >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let digits = format!("{scaled:.3}");
    format!("{}{suffix}", digits.trim_end_matches('0').trim_end_matches('.'))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Chart {
    /// Draws the picture.
    #[must_use]
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| line.points.iter().copied());
        let x = Scale::of(&self.x, points().map(|point| point.0), LEFT, WIDTH - RIGHT);
        let y = Scale::of(&self.y, points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{}</text>\n",
            escaped(&self.title)
        );
        self.draw_axes(&x, &y, &mut svg);
        for (at, line) in self.lines.iter().enumerate() {
            draw_line(line, at, (&x, &y), &mut svg);
        }
        self.draw_names(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn draw_axes(&self, x: &Scale, y: &Scale, svg: &mut String) {
        let chosen = |axis: &Axis, scale: &Scale| {
            if axis.marks.is_empty() { scale.marks(6.0) } else { axis.marks.clone() }
        };
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in chosen(&self.y, y) {
            let at = y.at(value);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                escaped(&text)
            );
        }
        for (value, text) in chosen(&self.x, x) {
            let at = x.at(value);
            let _ = writeln!(
                svg,
                "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#eee\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 16.0,
                escaped(&text)
            );
        }
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"#333\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(LEFT, right),
            HEIGHT - 12.0,
            escaped(&self.x.label),
            f64::midpoint(TOP, bottom),
            escaped(&self.y.label)
        );
    }

    /// Draws the names of the lines in a row above them.
    fn draw_names(&self, svg: &mut String) {
        let mut at = LEFT;
        for (line, color) in self.lines.iter().zip(COLORS.iter().cycle()) {
            let _ = writeln!(
                svg,
                "<path d=\"M{at:.0} 38h18\" stroke=\"{color}\" stroke-width=\"3\"/><text x=\"{:.0}\" y=\"42\">{}</text>",
                at + 24.0,
                escaped(&line.name)
            );
            #[allow(clippy::cast_precision_loss, reason = "the length of a name")]
            let width = line.name.chars().count() as f64 * 7.0;
            at += width + 48.0;
        }
    }
}

fn draw_line(line: &PlotLine, at: usize, (x, y): (&Scale, &Scale), svg: &mut String) {
    let color = COLORS[at % COLORS.len()];
    let drawn = line.points.iter().filter(|(_, value)| value.is_finite() && (!y.log || *value > 0.0));
    let places: Vec<_> = drawn.map(|(px, py)| format!("{:.1},{:.1}", x.at(*px), y.at(*py))).collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\" stroke-linejoin=\"round\"/>",
        places.join(" ")
    );
    // So few points that each was measured by itself.
    if places.len() <= 16 {
        for place in places {
            let (px, py) = place.split_once(',').unwrap_or_default();
            let _ = writeln!(svg, "<circle cx=\"{px}\" cy=\"{py}\" r=\"3\" fill=\"{color}\"/>");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(log: bool, points: &[(f64, f64)]) -> String {
        let lines = vec![PlotLine { name: "a < b".to_owned(), points: points.to_vec() }];
        let (x, y) = (Axis::new("x", log), Axis::new("y", log));
        Chart { title: "R&D".to_owned(), x, y, lines }.svg()
    }

    #[test]
    fn the_ends_of_the_values_are_the_ends_of_the_picture() {
        let svg = chart(true, &[(10.0, 1.0), (100.0, 10.0), (1000.0, 100.0)]);
        assert!(svg.contains("points=\"78.0,308.0 389.0,182.0 700.0,56.0\""), "{svg}");
        assert!(svg.contains(">100</text>"), "{svg}");
    }

    #[test]
    fn texts_are_escaped_and_nothing_is_fetched() {
        let svg = chart(false, &[(0.0, 1.0), (1.0, 2.0)]);
        assert!(svg.contains("R&amp;D") && svg.contains("a &lt; b"));
        assert_eq!(svg.matches("http").count(), 1, "the name space only");
    }

    #[test]
    fn values_that_cannot_be_drawn_make_no_broken_picture() {
        for points in [&[][..], &[(1.0, 5.0)], &[(1.0, f64::NAN), (2.0, 0.0)], &[(0.0, 0.0), (0.0, 0.0)]] {
            for log in [false, true] {
                let svg = chart(log, points);
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{points:?} {log}: {svg}");
            }
        }
    }

    #[test]
    fn numbers_at_an_axis_are_short() {
        for (value, text) in [(0.0, "0"), (0.05, "0.05"), (250.0, "250"), (20_000.0, "20 k"), (1_500_000.0, "1.5 M")] {
            assert_eq!(short(value), text);
        }
    }
}
