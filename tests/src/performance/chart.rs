//! A picture of curves, with a logarithmic scale for what grows.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

/// The size of the picture, and of the margin around the curves.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 480.0;
const MARGIN: f64 = 60.0;

/// One for each curve, told apart by people who see colours differently as well.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"];

/// One curve.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub name: String,
    /// How many there are, and what a message takes then.
    pub points: Vec<(usize, f64)>,
}

/// Writes curves as SVG.
pub(super) fn draw(path: &Path, heading: &str, curves: &[Curve]) -> io::Result<()> {
    fs::write(path, svg(heading, curves))
}

fn svg(heading: &str, curves: &[Curve]) -> String {
    let points = || curves.iter().flat_map(|curve| curve.points.iter());
    let most = points().map(|(number, _)| decades(*number)).fold(1.0, f64::max).ceil();
    let highest = points().map(|(_, value)| *value).fold(1.0, f64::max).ceil();
    let x = |decades: f64| MARGIN + decades / most * (WIDTH - 2.0 * MARGIN);
    let y = |value: f64| HEIGHT - MARGIN - value / highest * (HEIGHT - 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{MARGIN}\" y=\"28\" font-size=\"17\">{heading}</text>\n"
    );
    for decade in std::iter::successors(Some(0.0), |decade| Some(decade + 1.0)).take_while(|decade| *decade <= most) {
        line(&mut svg, (x(decade), y(0.0)), (x(decade), y(highest)));
        label(&mut svg, (x(decade) - 10.0, y(0.0) + 20.0), "black", &format!("{:.0}", 10_f64.powf(decade)));
    }
    for value in std::iter::successors(Some(0.0), |value| Some(value + 1.0)).take_while(|value| *value <= highest) {
        line(&mut svg, (x(0.0), y(value)), (x(most), y(value)));
        label(&mut svg, (MARGIN - 24.0, y(value) + 4.0), "black", &format!("{value:.0}"));
    }
    for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
        let at = |(number, value): &(usize, f64)| format!("{:.1},{:.1}", x(decades(*number)), y(*value));
        let points: Vec<_> = curve.points.iter().map(at).collect();
        append(
            &mut svg,
            format_args!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
                points.join(" ")
            ),
        );
    }
    for (number, (curve, colour)) in (0_u16..).zip(curves.iter().zip(COLOURS.iter().cycle())) {
        let place = (MARGIN + 12.0 + 300.0 * f64::from(number / 3), MARGIN + 16.0 + 18.0 * f64::from(number % 3));
        label(&mut svg, place, colour, &curve.name);
    }
    svg + "</svg>\n"
}

/// 0 for one, 1 for ten, 2 for a hundred.
#[expect(clippy::cast_precision_loss, reason = "a picture is less precise than that")]
fn decades(number: usize) -> f64 {
    (number.max(1) as f64).log10()
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    append(svg, format_args!("<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" stroke=\"#ddd\"/>\n"));
}

fn label(svg: &mut String, (x, y): (f64, f64), colour: &str, text: &str) {
    append(svg, format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{colour}\">{text}</text>\n"));
}

fn append(svg: &mut String, part: std::fmt::Arguments<'_>) {
    // Fails only where memory does.
    let _ = svg.write_fmt(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_is_in_the_picture_with_its_points_in_place() {
        let curve = |name: &str, value| Curve { name: name.to_owned(), points: vec![(1, value), (100, value)] };
        let svg = svg("Growth", &[curve("flat", 2.0), curve("flatter", 1.0)]);
        assert!(svg.contains(">Growth<") && svg.contains(">flat<") && svg.contains(">flatter<"));
        assert!(svg.contains("points=\"60.0,60.0 900.0,60.0\""), "the highest value is at the top");
        assert!(svg.contains("points=\"60.0,240.0 900.0,240.0\""), "half of it is half way up");
    }
}
