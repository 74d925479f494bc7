//! Lines over two logarithmic axes, as SVG that reads on light and on dark pages.

use std::fmt::Write as _;

/// A figure with its axes. Values are above zero.
pub struct Panel {
    pub title: &'static str,
    pub lines: Vec<Line>,
}

pub struct Line {
    pub name: &'static str,
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 260.0;
/// Around the axes: left, right, top, bottom.
const MARGINS: (f64, f64, f64, f64) = (56.0, 84.0, 32.0, 28.0);
const COLOURS: [&str; 3] = ["#2f81f7", "#d29922", "#3fb950"];
const GREY: &str = "#8b949e";

/// Two panels in a row.
pub fn svg(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(2);
    let mut text = String::new();
    writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {:.0}\" font-family=\"sans-serif\" font-size=\"11\">",
        2.0 * WIDTH,
        rows as f64 * HEIGHT
    )
    .expect("a line");
    for (number, panel) in panels.iter().enumerate() {
        let (x, y) = ((number % 2) as f64 * WIDTH, (number / 2) as f64 * HEIGHT);
        writeln!(text, "<g transform=\"translate({x:.0} {y:.0})\">").expect("a line");
        draw(&mut text, panel);
        text.push_str("</g>\n");
    }
    text.push_str("</svg>\n");
    text
}

/// The decades that hold all values of one axis, and where on the page a value is.
struct Axis {
    least: f64,
    decades: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min).log10().floor();
        let most = values.fold(0.0, f64::max).log10().ceil();
        Self { least, decades: (most - least).max(1.0), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value.log10() - self.least) / self.decades * (self.to - self.from)
    }

    fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        (0..=self.decades as i32).map(|decade| {
            let value = 10f64.powf(self.least + f64::from(decade));
            (self.at(value), format!("{value}"))
        })
    }
}

fn draw(text: &mut String, panel: &Panel) {
    let (left, right, top, bottom) = MARGINS;
    let points = || panel.lines.iter().flat_map(|line| line.points.iter());
    let across = Axis::over(points().map(|(x, _)| *x), left, WIDTH - right);
    let up = Axis::over(points().map(|(_, y)| *y), HEIGHT - bottom, top);
    let mut put = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    put(format!("<text x=\"{left}\" y=\"16\" fill=\"{GREY}\" font-weight=\"bold\">{}</text>", panel.title));
    for (y, words) in up.ticks() {
        put(format!("<path d=\"M{left} {y:.1}H{:.1}\" stroke=\"{GREY}\" stroke-opacity=\".3\"/>", across.to));
        put(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{GREY}\" text-anchor=\"end\">{words}</text>",
            left - 6.0,
            y + 4.0
        ));
    }
    for (x, words) in across.ticks() {
        let y = HEIGHT - 10.0;
        put(format!("<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{GREY}\" text-anchor=\"middle\">{words}</text>"));
    }
    for (line, colour) in panel.lines.iter().zip(COLOURS) {
        let at: Vec<(f64, f64)> = line.points.iter().map(|(x, y)| (across.at(*x), up.at(*y))).collect();
        let path: Vec<String> = at.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let path = path.join(" ");
        put(format!("<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"));
        for (x, y) in &at {
            put(format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"));
        }
        if let Some((x, y)) = at.last() {
            let (x, y) = (x + 8.0, y + 4.0);
            put(format!("<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{colour}\">{}</text>", line.name));
        }
    }
}
