//! Axes: from values to marks that people count in (1, 2, 5, 10 ...; 15 s, 1 min), and to places.

use super::text::fixed;

/// More marks than this are never made, whatever the values are.
const MARKS_MAX: usize = 16;

/// One axis: its ends, its marks, and what stands beside it.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// Quantity and unit.
    pub label: String,
    /// Value at the low end (its logarithm where `logarithmic`).
    low: f64,
    high: f64,
    logarithmic: bool,
    /// Value and words of each mark.
    pub marks: Vec<(f64, String)>,
}

impl Axis {
    /// From zero to a round number at or above the largest value. A chart of amounts that does not
    /// begin at zero makes ripples look like waves.
    pub(super) fn from_zero(label: &str, largest: f64, marks: usize) -> Self {
        let largest = if largest.is_finite() && largest > 0.0 { largest } else { 1.0 };
        let step = round_step(largest / marks.max(1) as f64);
        let steps = (largest / step - 1e-9).ceil().max(1.0);
        let decimals = decimals_of(step);
        let mut made = Vec::new();
        for index in 0..MARKS_MAX {
            let value = index as f64 * step;
            if index as f64 > steps {
                break;
            }
            let words = if index == 0 { "0".to_owned() } else { fixed(value, decimals) };
            made.push((value, words));
        }
        Self {
            label: label.to_owned(),
            low: 0.0,
            high: steps * step,
            logarithmic: false,
            marks: made,
        }
    }

    /// From a power of ten (or 2 or 5 times one) at or below the least value to one above the largest.
    pub(super) fn logarithmic(label: &str, least: f64, largest: f64) -> Self {
        let least = if least.is_finite() && least > 0.0 { least } else { 0.1 };
        let largest = if largest.is_finite() && largest > least { largest } else { least * 10.0 };
        let decades = largest.log10().ceil() - least.log10().floor();
        let wanted: &[f64] = if decades <= 4.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let mut all = Vec::new();
        let mut power = 10_f64.powf(least.log10().floor());
        for _ in 0..MARKS_MAX {
            all.extend(wanted.iter().map(|factor| factor * power));
            if power > largest {
                break;
            }
            power *= 10.0;
        }
        let below = all.iter().rposition(|mark| *mark <= least * 1.000_001).unwrap_or(0);
        let above = all.iter().position(|mark| *mark >= largest * 0.999_999);
        let above = above.unwrap_or_else(|| all.len().saturating_sub(1));
        let made: Vec<(f64, String)> = all
            .iter()
            .take(above + 1)
            .skip(below)
            .map(|value| (*value, fixed(*value, decimals_of(*value))))
            .collect();
        let low = made.first().map_or(least, |mark| mark.0).log10();
        let high = made.last().map_or(largest, |mark| mark.0).log10();
        Self { label: label.to_owned(), low, high, logarithmic: true, marks: made }
    }

    /// Time from the start of a run: seconds, or minutes where it was long.
    pub(super) fn time(seconds: f64, marks: usize) -> Self {
        let seconds = if seconds.is_finite() && seconds > 0.0 { seconds } else { 1.0 };
        if seconds <= 120.0 {
            let mut axis = Self::from_zero("time, s", seconds, marks);
            axis.high = seconds;
            axis.marks.retain(|mark| mark.0 <= seconds * 1.000_001);
            return axis;
        }
        let steps =
            [15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0];
        let wanted = seconds / marks.max(1) as f64;
        let step = steps
            .into_iter()
            .find(|step| *step >= wanted)
            .unwrap_or_else(|| round_step(wanted / 3600.0) * 3600.0);
        let mut made = Vec::new();
        for index in 0..=MARKS_MAX {
            let value = index as f64 * step;
            if value > seconds * 1.000_001 {
                break;
            }
            made.push((value, clock(value)));
        }
        let label = if seconds < 3600.0 { "time, min:s" } else { "time, h:min:s" };
        Self { label: label.to_owned(), low: 0.0, high: seconds, logarithmic: false, marks: made }
    }

    /// Quantiles, each nine of a percentage as wide as the one before: [`nines`] of a quantile is
    /// its value on this axis.
    pub(super) fn quantiles(high: f64) -> Self {
        let high = if high.is_finite() { high.clamp(1.0, 6.0) } else { 4.0 };
        let all = [
            (0.0, "0"),
            (0.5, "50"),
            (0.9, "90"),
            (0.99, "99"),
            (0.999, "99.9"),
            (0.9999, "99.99"),
            (0.999_99, "99.999"),
            (0.999_999, "99.9999"),
        ];
        let marks = all
            .into_iter()
            .map(|(quantile, word)| (nines(quantile), word.to_owned()))
            .filter(|mark| mark.0 <= high + 1e-9)
            .collect();
        Self {
            label: "percentile, % of mails (each nine as wide as the last)".to_owned(),
            low: 0.0,
            high,
            logarithmic: false,
            marks,
        }
    }

    /// Where a value lies between the ends, 0 to 1. None: it has no place on this axis.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let value = if self.logarithmic { value.log10() } else { value };
        let width = self.high - self.low;
        if !value.is_finite() || width <= 0.0 {
            return None;
        }
        Some(((value - self.low) / width).clamp(0.0, 1.0))
    }
}

/// How many nines a quantile has: 0.9 is 1, 0.999 is 3, 0.5 is 0.3.
pub(super) fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile.clamp(0.0, 0.999_999_9)).log10()
}

/// The least of 1, 2, 5 times a power of ten that is not below `wanted`.
fn round_step(wanted: f64) -> f64 {
    let power = 10_f64.powf(wanted.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= wanted * 0.999_999);
    factor.unwrap_or(10.0) * power
}

/// Decimals that a multiple of `step` needs.
fn decimals_of(step: f64) -> usize {
    (0..9)
        .find(|decimals| step * 10_f64.powi(*decimals) >= 0.999_999)
        .map_or(9, |decimals| usize::try_from(decimals).unwrap_or(0))
}

/// `1:30`, `1:00:00`.
fn clock(seconds: f64) -> String {
    let (hours, rest) = ((seconds / 3600.0).floor(), seconds % 3600.0);
    let (minutes, rest) = ((rest / 60.0).floor(), rest % 60.0);
    if hours > 0.0 {
        format!("{hours:.0}:{minutes:02.0}:{rest:02.0}")
    } else {
        format!("{minutes:.0}:{rest:02.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(axis: &Axis) -> Vec<&str> {
        axis.marks.iter().map(|mark| mark.1.as_str()).collect()
    }

    #[test]
    fn marks_are_round_numbers_from_zero_to_above_the_largest() {
        for (largest, expected) in [
            (411.0, vec!["0", "100", "200", "300", "400", "500"]),
            (1.0, vec!["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (0.034, vec!["0", "0.01", "0.02", "0.03", "0.04"]),
            (12_000.0, vec!["0", "5,000", "10,000", "15,000"]),
            (0.0, vec!["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (f64::NAN, vec!["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ] {
            assert_eq!(words(&Axis::from_zero("y", largest, 5)), expected, "{largest}");
        }
    }

    #[test]
    fn time_is_counted_in_seconds_or_in_minutes() {
        assert_eq!(words(&Axis::time(1.0, 5)), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(words(&Axis::time(34.0, 6)), ["0", "10", "20", "30"]);
        assert_eq!(words(&Axis::time(600.0, 5)), ["0:00", "2:00", "4:00", "6:00", "8:00", "10:00"]);
        assert_eq!(
            words(&Axis::time(7200.0, 4)),
            ["0:00", "30:00", "1:00:00", "1:30:00", "2:00:00"]
        );
    }

    #[test]
    fn a_logarithmic_axis_holds_least_and_largest() {
        let axis = Axis::logarithmic("ms", 0.7, 260.0);
        assert_eq!(words(&axis), ["0.5", "1", "2", "5", "10", "20", "50", "100", "200", "500"]);
        let (low, high) = (axis.place(0.7).unwrap(), axis.place(260.0).unwrap());
        assert!(low > 0.0 && low < high && high < 1.0, "{low} {high}");
        assert_eq!(axis.place(0.0), None);
        assert_eq!(axis.place(f64::NAN), None);
    }

    #[test]
    fn each_nine_is_as_wide_as_the_one_before() {
        let axis = Axis::quantiles(4.0);
        assert_eq!(words(&axis), ["0", "50", "90", "99", "99.9", "99.99"]);
        let place = |quantile| axis.place(nines(quantile)).unwrap();
        assert!((place(0.99) - 0.5).abs() < 1e-9);
        assert!((place(0.9999) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn any_length_of_a_run_has_few_marks() {
        for seconds in [0.001, 0.4, 3.0, 119.9, 121.0, 3599.0, 86_400.0, 10_000_000.0] {
            let count = Axis::time(seconds, 6).marks.len();
            assert!((2..=MARKS_MAX).contains(&count), "{seconds}: {count} marks");
        }
    }
}
