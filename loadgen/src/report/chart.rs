//! Charts as inline SVG: lines over an axis, and bars. Colours, dashes and type come from the page's
//! style sheet by class, so that a chart follows the light and the dark scheme.
//!
//! Text in an SVG shrinks with it, and a chart made for a desk cannot be read on a phone. So each
//! is drawn twice, [`Size::WIDE`] and [`Size::NARROW`], and the style sheet shows one of them.

use std::fmt::Write;

use super::scale::Axis;
use super::text::{escape, shortened};

/// The two shapes of a chart, in units that come to about a pixel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    class: &'static str,
    width: f64,
    height: f64,
    /// Marks that fit along each axis.
    marks: (usize, usize),
    /// Characters of a bar's name.
    name_characters: usize,
}

impl Size {
    pub(super) const WIDE: Self =
        Self { class: "wide", width: 600.0, height: 280.0, marks: (8, 5), name_characters: 60 };
    pub(super) const NARROW: Self =
        Self { class: "narrow", width: 340.0, height: 240.0, marks: (4, 4), name_characters: 30 };
}

/// One line: what it is, the class that gives it colour and dashes, and its points. A value that
/// is none leaves a gap: not measured is not zero.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub name: String,
    pub class: &'static str,
    pub points: Vec<(f64, Option<f64>)>,
}

impl Line {
    /// Its finite values.
    pub(super) fn values(&self) -> impl Iterator<Item = f64> {
        self.points.iter().filter_map(|(_, y)| *y).filter(|y| y.is_finite())
    }
}

/// What runs along the bottom.
#[derive(Clone, Copy, Debug)]
pub(super) enum Along {
    /// Seconds of a run so long.
    Time(f64),
    /// Nines of quantiles, so many.
    Quantiles(f64),
}

/// How heights are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Up {
    /// From zero.
    FromZero,
    /// By powers of ten: where the largest value is so far above the least that a scale from zero
    /// would show the largest only.
    Logarithmic,
}

/// Lines over an axis.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    /// What it shows, for who cannot see it.
    pub label: String,
    pub along: Along,
    pub up: Up,
    /// Quantity and unit of heights.
    pub unit: &'static str,
    pub lines: Vec<Line>,
}

impl Plot {
    /// Both shapes.
    pub(super) fn render(&self) -> String {
        format!("{}{}", self.render_at(Size::WIDE), self.render_at(Size::NARROW))
    }

    fn axes(&self, size: Size) -> (Axis, Axis) {
        let x = match self.along {
            Along::Time(seconds) => Axis::time(seconds, size.marks.0),
            Along::Quantiles(high) => Axis::quantiles(high),
        };
        let values = || self.lines.iter().flat_map(Line::values);
        let largest = values().fold(0.0, f64::max);
        let y = match self.up {
            Up::FromZero => Axis::from_zero(self.unit, largest, size.marks.1),
            Up::Logarithmic => {
                let least = values().filter(|value| *value > 0.0).fold(largest, f64::min);
                Axis::logarithmic(&format!("{}, logarithmic", self.unit), least, largest)
            }
        };
        (x, y)
    }

    fn render_at(&self, size: Size) -> String {
        let (x, y) = self.axes(size);
        let widest = y.marks.iter().map(|mark| mark.1.chars().count()).max().unwrap_or(1);
        let frame = Frame {
            left: 12.0 + widest as f64 * 7.0,
            right: size.width - 14.0,
            top: 26.0,
            bottom: size.height - 42.0,
        };
        let mut svg = open(size, size.height, &self.label);
        let _ = write!(
            svg,
            "<text class=\"unit\" x=\"0\" y=\"12\">{}</text>\
             <text class=\"unit\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            escape(&y.label),
            frame.right,
            size.height - 6.0,
            escape(&x.label),
        );
        frame.grid(&mut svg, &x, &y);
        for line in &self.lines {
            frame.line(&mut svg, line, (&x, &y));
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// The place of the lines within a chart.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame {
    fn x(&self, place: f64) -> f64 {
        self.left + place * (self.right - self.left)
    }

    fn y(&self, place: f64) -> f64 {
        self.bottom - place * (self.bottom - self.top)
    }

    fn grid(&self, svg: &mut String, x: &Axis, y: &Axis) {
        for (value, words) in &y.marks {
            let Some(at) = y.place(*value).map(|place| self.y(place)) else { continue };
            let class = if (at - self.bottom).abs() < 0.1 { "base" } else { "grid" };
            let _ = write!(
                svg,
                "<line class=\"{class}\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                self.left,
                self.right,
                self.left - 6.0,
                at + 4.0,
                escape(words),
            );
        }
        for (value, words) in &x.marks {
            let Some(at) = x.place(*value).map(|place| self.x(place)) else { continue };
            // A mark at the right end is not cut by the edge.
            let half = words.chars().count() as f64 * 3.3;
            let anchor = if at + half > self.right + 13.0 { "end" } else { "middle" };
            let _ = write!(
                svg,
                "<line class=\"tick\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                self.bottom,
                self.bottom + 4.0,
                self.bottom + 18.0,
                escape(words),
            );
        }
    }

    /// A path with a gap where a value is missing; points with dots where they are few, or where a
    /// point has no neighbour that a line could lead to.
    fn line(&self, svg: &mut String, line: &Line, (x, y): (&Axis, &Axis)) {
        let place = |point: &(f64, Option<f64>)| {
            let (across, up) = (x.place(point.0)?, y.place(point.1?)?);
            Some((self.x(across), self.y(up)))
        };
        let placed: Vec<Option<(f64, f64)>> = line.points.iter().map(place).collect();
        let mut path = String::new();
        let mut dots = String::new();
        for run in placed.split(Option::is_none) {
            for (index, (px, py)) in run.iter().flatten().enumerate() {
                let _ = write!(path, "{}{px:.1} {py:.1}", if index == 0 { "M" } else { "L" });
                if run.len() == 1 || placed.len() <= 30 {
                    let _ = write!(dots, "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"2.5\"/>");
                }
            }
        }
        if !path.is_empty() {
            let _ = write!(
                svg,
                "<g class=\"line {}\"><title>{}</title><path d=\"{path}\"/>{dots}</g>",
                line.class,
                escape(&line.name),
            );
        }
    }
}

/// One bar: its name and value above it in words.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub name: String,
    pub words: String,
    pub class: &'static str,
    pub value: f64,
}

/// Bars from zero, in both shapes.
pub(super) fn bars(label: &str, all: &[Bar]) -> String {
    format!("{}{}", bars_at(Size::WIDE, label, all), bars_at(Size::NARROW, label, all))
}

fn bars_at(size: Size, label: &str, all: &[Bar]) -> String {
    const ROW: f64 = 40.0;
    let amount = |bar: &Bar| if bar.value.is_finite() { bar.value.max(0.0) } else { 0.0 };
    let largest = all.iter().map(amount).fold(0.0, f64::max);
    let mut svg = open(size, all.len() as f64 * ROW + 4.0, label);
    for (index, bar) in all.iter().enumerate() {
        let top = index as f64 * ROW;
        let share = if largest > 0.0 { amount(bar) / largest } else { 0.0 };
        // What is not nothing can be seen.
        let width = if share > 0.0 { (share * size.width).max(2.0) } else { 0.0 };
        let _ = write!(
            svg,
            "<g class=\"bar {}\"><title>{}: {}</title>\
             <text x=\"0\" y=\"{:.1}\">{}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"track\" x=\"0\" y=\"{:.1}\" width=\"{:.1}\" height=\"10\"/>\
             <rect x=\"0\" y=\"{:.1}\" width=\"{width:.1}\" height=\"10\"/></g>",
            bar.class,
            escape(&bar.name),
            escape(&bar.words),
            top + 14.0,
            escape(&shortened(&bar.name, size.name_characters)),
            size.width,
            top + 14.0,
            escape(&bar.words),
            top + 20.0,
            size.width,
            top + 20.0,
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn open(size: Size, height: f64, label: &str) -> String {
    format!(
        "<svg class=\"{}\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {} {height}\" \
         xmlns=\"http://www.w3.org/2000/svg\">",
        size.class,
        escape(label),
        size.width,
    )
}
