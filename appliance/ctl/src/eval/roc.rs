//! The curve as a picture: spam that is caught over ham that is held, the latter by powers of ten.

use std::fmt::Write as _;

use super::measure::Point;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 420.0;
const MARGIN: f64 = 60.0;
/// The left edge: 0.01 % of ham.
const DECADES: f64 = 4.0;

/// SVG of a curve; the point at `threshold` thousandths is marked.
pub(crate) fn svg(curve: &[Point], threshold: i32) -> String {
    let (ham, spam) = curve.last().map_or((1, 1), |last| (last.ham.max(1), last.spam.max(1)));
    let x = |part: u32| {
        let share = (f64::from(part) / f64::from(ham)).max(10.0_f64.powf(-DECADES));
        MARGIN + (WIDTH - 2.0 * MARGIN) * (1.0 + share.log10() / DECADES)
    };
    let y =
        |part: u32| HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * f64::from(part) / f64::from(spam);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (share, text) in
        [(0.0001, "0.01 %"), (0.001, "0.1 %"), (0.01, "1 %"), (0.1, "10 %"), (1.0_f64, "100 %")]
    {
        let at = MARGIN + (WIDTH - 2.0 * MARGIN) * (1.0 + share.log10() / DECADES);
        let (top, bottom) = (MARGIN, HEIGHT - MARGIN);
        let _ = writeln!(
            out,
            "<path d=\"M{at:.1} {top}V{bottom}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\">{text}</text>",
            bottom + 18.0
        );
    }
    for percent in [0_u32, 25, 50, 75, 90, 100] {
        let at = HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * f64::from(percent) / 100.0;
        let _ = writeln!(
            out,
            "<path d=\"M{MARGIN} {at:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\">{percent} %</text>",
            WIDTH - MARGIN,
            MARGIN - 6.0,
            at + 4.0
        );
    }
    let mut path = format!("M{:.1} {:.1}", x(0), y(0));
    let mut marked = (x(0), y(0));
    for point in curve {
        // Steps: what lies between two numbers of points is not there.
        let _ = write!(path, "H{:.1}V{:.1}", x(point.ham), y(point.spam));
        if point.points >= threshold {
            marked = (x(point.ham), y(point.spam));
        }
    }
    let _ =
        writeln!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"#1f5fa8\" stroke-width=\"2\"/>");
    let (cx, cy) = marked;
    let _ = writeln!(out, "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"5\" fill=\"#c0392b\"/>");
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">ham that is held</text>\
         <text x=\"16\" y=\"{:.1}\">spam that is caught; the dot: the threshold</text></svg>",
        WIDTH / 2.0,
        HEIGHT - 14.0,
        MARGIN / 2.0
    );
    out
}
