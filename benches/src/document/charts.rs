//! Charts as SVG, to be read on a light and on a dark background.

use crate::drivers::{NATIVE, V8, WAMR, WASM3};
use crate::engines::{INTERPRETED, POOLING, TIERED, WARDIAN, WASMI, WASMTIME};
use crate::options::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

/// Values of one engine, in its colour.
pub(crate) struct Series {
    pub(crate) engine: &'static str,
    /// Horizontal and vertical. In a chart of rows the vertical one is the row's number.
    pub(crate) points: Vec<(f64, f64)>,
}

/// What a chart says in words.
pub(crate) struct Words<'a> {
    pub(crate) title: &'a str,
    /// Below the horizontal axis.
    pub(crate) axis: &'a str,
}

const WIDTH: u32 = 760;
const ROW: u32 = 17;
const HEAD: i32 = 48;

/// Neither too light for white nor too dark for black.
const GREY: RGBColor = RGBColor(0x80, 0x80, 0x80);

fn colour(engine: &str) -> RGBColor {
    match engine {
        WARDIAN => RGBColor(0x2f, 0x81, 0xf7),
        TIERED => RGBColor(0xa0, 0x6c, 0xf0),
        INTERPRETED => RGBColor(0x1a, 0xa8, 0x7a),
        WASMTIME => RGBColor(0xe8, 0x6a, 0x17),
        POOLING => RGBColor(0xb0, 0x7d, 0x2b),
        WASMI => RGBColor(0xe0, 0x4f, 0x8a),
        V8 => RGBColor(0x6f, 0x9e, 0x3a),
        WASM3 => RGBColor(0xc9, 0xa2, 0x00),
        WAMR => RGBColor(0x00, 0xa3, 0xb4),
        NATIVE => RGBColor(0xc0, 0x50, 0x50),
        _ => GREY,
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn text<'a>(size: i32, align: HPos) -> TextStyle<'a> {
    // Where style sheets count, that of the file has a stronger colour for each background.
    let style = TextStyle::from(("sans-serif", size).into_font()).color(&GREY);
    style.pos(Pos::new(align, VPos::Center))
}

/// Draws, and writes the file with colours of text for both backgrounds.
fn drawn(path: &Path, height: u32, draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<()> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&area)?;
        area.present()?;
    }
    let style = "\n<style>@media(prefers-color-scheme:light){text{fill:#1f2328}}\
                 @media(prefers-color-scheme:dark){text{fill:#e6edf3}}</style>";
    let start = svg.find('>').ok_or("plotters wrote no SVG")? + 1;
    svg.insert_str(start, style);
    Ok(std::fs::write(path, svg)?)
}

/// The title, and which colour is which engine.
fn head(area: &Area<'_>, words: &Words<'_>, series: &[Series]) -> Result<()> {
    area.draw(&Text::new(words.title.to_owned(), (8, 14), text(16, HPos::Left)))?;
    let mut x = 12;
    for one in series {
        area.draw(&Circle::new((x, 36), 4, colour(one.engine).filled()))?;
        area.draw(&Text::new(one.engine, (x + 9, 36), text(12, HPos::Left)))?;
        x += 26 + 7 * i32::try_from(one.engine.len())?;
    }
    Ok(())
}

/// Least and greatest, with some room, as bounds of a logarithmic axis.
fn bounds(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
    for value in values.filter(|v| v.is_finite() && *v > 0.0) {
        (least, most) = (least.min(value), most.max(value));
    }
    if most <= 0.0 { 0.5..2.0 } else { least / 1.25..most * 1.25 }
}

/// Time, memory or anything: a label of an axis.
pub(crate) type Label = fn(f64) -> String;

/// One line for each engine, both axes logarithmic.
pub(crate) fn lines(
    path: &Path,
    words: &Words<'_>,
    series: &[Series],
    x_label: Label,
    y_label: Label,
) -> Result<()> {
    drawn(path, 340, |area| {
        head(area, words, series)?;
        let all = || series.iter().flat_map(|s| s.points.iter());
        let (x, y) = (bounds(all().map(|p| p.0)), bounds(all().map(|p| p.1)));
        let mut chart = ChartBuilder::on(area)
            .margin_top(HEAD)
            .margin_right(16)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d(x.log_scale(), y.log_scale())?;
        chart
            .configure_mesh()
            .axis_style(GREY)
            .bold_line_style(GREY.mix(0.25))
            .light_line_style(TRANSPARENT)
            .label_style(text(12, HPos::Center))
            .x_desc(words.axis)
            .axis_desc_style(text(12, HPos::Center))
            .x_label_formatter(&|x| x_label(*x))
            .y_label_formatter(&|y| y_label(*y))
            .draw()?;
        for one in series {
            let colour = colour(one.engine);
            let points = || one.points.iter().copied().filter(|p| p.1 > 0.0);
            chart.draw_series(LineSeries::new(points(), colour.stroke_width(2)))?;
            chart.draw_series(points().map(|p| Circle::new(p, 3, colour.filled())))?;
        }
        Ok(())
    })
}

/// A row for each name, with a dot for each engine; the axis is logarithmic, and where `at_one` is given the 1
/// is marked.
pub(crate) fn dots(
    path: &Path,
    words: &Words<'_>,
    names: &[&str],
    series: &[Series],
    label: Label,
    at_one: bool,
) -> Result<()> {
    let rows = u32::try_from(names.len())?;
    drawn(path, rows * ROW + 48 + HEAD.unsigned_abs(), |area| {
        head(area, words, series)?;
        let one = at_one.then_some(1.0);
        let values = series.iter().flat_map(|s| s.points.iter().map(|p| p.0));
        let x = bounds(values.chain(one));
        let left = x.start;
        let longest = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
        let mut chart = ChartBuilder::on(area)
            .margin_top(HEAD)
            .margin_right(24)
            .x_label_area_size(40)
            .y_label_area_size(u32::try_from(longest * 7 + 12)?)
            .build_cartesian_2d(x.log_scale(), f64::from(rows)..0.0)?;
        chart
            .configure_mesh()
            .axis_style(GREY.mix(0.5))
            .bold_line_style(GREY.mix(0.25))
            .light_line_style(TRANSPARENT)
            .disable_y_mesh()
            .y_labels(0)
            .label_style(text(12, HPos::Center))
            .x_desc(words.axis)
            .axis_desc_style(text(12, HPos::Center))
            .x_label_formatter(&|x| label(*x))
            .draw()?;
        if at_one {
            let line = vec![(1.0, 0.0), (1.0, f64::from(rows))];
            chart.draw_series(LineSeries::new(line, GREY.stroke_width(2)))?;
        }
        for (number, name) in (0u32..).zip(names) {
            let at = chart.backend_coord(&(left, f64::from(number) + 0.5));
            area.draw(&Text::new((*name).to_owned(), (at.0 - 8, at.1), text(12, HPos::Right)))?;
        }
        for one in series {
            let colour = colour(one.engine);
            let dot = |p: &(f64, f64)| Circle::new((p.0, p.1 + 0.5), 4, colour.mix(0.9).filled());
            chart.draw_series(one.points.iter().map(dot))?;
        }
        Ok(())
    })
}

/// A factor: `0.5`, `1`, `20`.
pub(crate) fn factor(value: f64) -> String {
    let text = if value < 0.095 { format!("{value:.3}") } else { format!("{value:.2}") };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A number of things; the place of zero on a logarithmic axis is 0.1.
pub(crate) fn count(value: f64) -> String {
    match value {
        v if v < 0.5 => "0".to_owned(),
        v if v < 1e4 => format!("{v:.0}"),
        v if v < 1e6 => format!("{:.0}k", v / 1e3),
        v => format!("{:.0}M", v / 1e6),
    }
}

/// Decimal bytes, as module sizes are given.
pub(crate) fn bytes(value: f64) -> String {
    format!("{}B", count(value).replace('M', " M").replace('k', " k"))
}

/// Nanoseconds.
pub(crate) fn time(value: f64) -> String {
    short(&crate::report::shown("", value))
}

/// Bytes of memory.
pub(crate) fn memory(value: f64) -> String {
    short(&crate::report::shown("memory:", value))
}

/// Without digits that say nothing on an axis.
fn short(text: &str) -> String {
    text.replace(".00 ", " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        assert_eq!(
            [factor(1.0), factor(0.05), factor(0.5), factor(20.0)],
            ["1", "0.05", "0.5", "20"]
        );
        assert_eq!([count(0.1), count(1000.0), count(1e4)], ["0", "1000", "10k"]);
        assert_eq!([bytes(1e4), bytes(1e7), bytes(100.0)], ["10 kB", "10 MB", "100B"]);
        assert_eq!([time(1000.0), time(1500.0)], ["1 µs", "1.50 µs"]);
    }

    /// Text has a colour for both backgrounds, and every point is there.
    #[test]
    fn files() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("chart.svg");
        let words = Words { title: "a chart", axis: "size" };
        let series = || vec![Series { engine: WARDIAN, points: vec![(1.0, 0.0), (2.0, 1.0)] }];
        dots(&path, &words, &["one", "two"], &series(), factor, true)?;
        let svg = std::fs::read_to_string(&path)?;
        assert!(svg.contains("prefers-color-scheme:dark") && svg.contains("two"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 1 + 2, "{svg}");
        lines(&path, &words, &series(), count, time)?;
        // A logarithmic axis has no zero.
        assert_eq!(std::fs::read_to_string(&path)?.matches("<circle").count(), 1 + 1);
        Ok(())
    }
}
