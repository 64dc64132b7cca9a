//! A chart of curves, with a logarithmic scale for what grows.

use std::fmt::Write as _;

/// The size of the chart, the margins around the curves, and the room below for their names.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 560.0;
const MARGIN: f64 = 60.0;
const LEGEND: f64 = 90.0;

/// One colour per curve, distinguishable for colour-blind readers as well.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"];

/// The length of a dash.
const DASH: usize = 12;

/// The maximum number of horizontal lines.
const MOST_LINES: f64 = 8.0;

/// One curve.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub name: String,
    /// Whether its values are counts, so that several such curves may coincide: their dashes alternate.
    pub is_counted: bool,
    /// The number of existing items, and the cost of a message at that number.
    pub points: Vec<(usize, f64)>,
}

/// Draws curves as SVG.
pub(super) fn svg(heading: &str, curves: &[Curve]) -> String {
    let points = || curves.iter().flat_map(|curve| curve.points.iter());
    let most = points().map(|(number, _)| decades(*number)).fold(1.0, f64::max).ceil();
    let step = step(points().map(|(_, value)| *value).fold(1.0, f64::max));
    let highest = (points().map(|(_, value)| *value).fold(1.0, f64::max) / step).ceil() * step;
    let bottom = HEIGHT - MARGIN - LEGEND;
    let x = |decades: f64| MARGIN + decades / most * (WIDTH - 2.0 * MARGIN);
    let y = |value: f64| bottom - value / highest * (bottom - MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{MARGIN}\" y=\"28\" font-size=\"17\">{heading}</text>\n"
    );
    for decade in upwards(1.0, most) {
        line(&mut svg, (x(decade), y(0.0)), (x(decade), y(highest)), "stroke=\"#ddd\"");
        label(&mut svg, (x(decade) - 10.0, bottom + 20.0), &format!("{:.0}", 10_f64.powf(decade)));
    }
    for value in upwards(step, highest) {
        line(&mut svg, (x(0.0), y(value)), (x(most), y(value)), "stroke=\"#ddd\"");
        label(&mut svg, (MARGIN - 30.0, y(value) + 4.0), &format!("{value:.0}"));
    }
    for (number, curve) in curves.iter().enumerate() {
        let stroke = stroke(number, curve, curves);
        let at = |(number, value): &(usize, f64)| format!("{:.1},{:.1}", x(decades(*number)), y(*value));
        let points: Vec<_> = curve.points.iter().map(at).collect();
        append(&mut svg, format_args!("<polyline points=\"{}\" fill=\"none\" {stroke}/>\n", points.join(" ")));
        let (left, top) = place_in_legend(number, bottom);
        line(&mut svg, (left, top - 4.0), (left + 48.0, top - 4.0), &stroke);
        label(&mut svg, (left + 60.0, top), &curve.name);
    }
    svg + "</svg>\n"
}

/// Two columns below the curves.
fn place_in_legend(number: usize, bottom: f64) -> (f64, f64) {
    let (row, column) = (u16::try_from(number / 2).unwrap_or_default(), number % 2);
    (if column == 0 { MARGIN } else { WIDTH / 2.0 }, bottom + 56.0 + 22.0 * f64::from(row))
}

fn stroke(number: usize, curve: &Curve, curves: &[Curve]) -> String {
    let colour = COLOURS.get(number % COLOURS.len()).unwrap_or(&"black");
    let solid = format!("stroke=\"{colour}\" stroke-width=\"2.5\"");
    if !curve.is_counted {
        return solid;
    }
    let counted = curves.iter().filter(|curve| curve.is_counted).count();
    let before = curves.iter().take(number).filter(|curve| curve.is_counted).count();
    let (gap, offset) = (DASH * (counted - 1), DASH * (counted - before));
    format!("{solid} stroke-dasharray=\"{DASH} {gap}\" stroke-dashoffset=\"{offset}\"")
}

/// The distance between lines: 1, 2 or 5, or ten times that, and so on.
fn step(highest: f64) -> f64 {
    let steps = std::iter::successors(Some(1.0), |decade| Some(decade * 10.0));
    let mut steps = steps.flat_map(|decade| [1.0, 2.0, 5.0].map(|part| part * decade));
    steps.find(|step| highest / step <= MOST_LINES).unwrap_or(highest)
}

fn upwards(step: f64, most: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(0.0), move |value| Some(value + step)).take_while(move |value| *value <= most)
}

/// 0 for one, 1 for ten, 2 for a hundred.
#[expect(clippy::cast_precision_loss, reason = "a picture is less precise than that")]
fn decades(number: usize) -> f64 {
    (number.max(1) as f64).log10()
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), stroke: &str) {
    append(svg, format_args!("<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" {stroke}/>\n"));
}

fn label(svg: &mut String, (x, y): (f64, f64), text: &str) {
    append(svg, format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>\n"));
}

fn append(svg: &mut String, part: std::fmt::Arguments<'_>) {
    // Fails only if memory does.
    let _ = svg.write_fmt(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(name: &str, value: f64, is_counted: bool) -> Curve {
        Curve { name: name.to_owned(), is_counted, points: vec![(1, value), (100, value)] }
    }

    #[test]
    fn every_curve_is_in_the_picture_with_its_points_in_place() {
        let svg = svg("Growth", &[flat("flat", 2.0, false), flat("flatter", 1.0, false)]);
        assert!(svg.contains(">Growth<") && svg.contains(">flat<") && svg.contains(">flatter<"));
        assert!(svg.contains("points=\"60.0,60.0 900.0,60.0\""), "the highest value is at the top");
        assert!(svg.contains("points=\"60.0,235.0 900.0,235.0\""), "half of it is half way up");
    }

    #[test]
    fn equal_curves_take_turns_along_their_line() {
        let svg = svg("Growth", &[flat("one", 2.0, true), flat("other", 2.0, true), flat("measured", 1.0, false)]);
        for offset in [24, 12] {
            let dashes = format!("stroke-dasharray=\"12 12\" stroke-dashoffset=\"{offset}\"");
            assert_eq!(svg.matches(&dashes).count(), 2, "the curve and its name");
        }
    }

    #[test]
    fn there_are_few_lines_across() {
        for (highest, expected) in [(1.0, 1.0), (8.0, 1.0), (9.0, 2.0), (19.0, 5.0), (41.0, 10.0), (900.0, 200.0)] {
            assert_eq!(step(highest).to_bits(), f64::to_bits(expected), "{highest}");
        }
    }
}
