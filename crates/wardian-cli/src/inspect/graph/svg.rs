//! The graph as a picture: `layout` finds the places, and this draws what is there.

mod compact;
mod drawn;

use super::{Graph, Node};
use compact::{Item, compact};
use layout::core::base::Orientation;
use layout::core::color::Color;
use layout::core::format::{ClipHandle, RenderBackend};
use layout::core::geometry::Point;
use layout::core::style::StyleAttr;
use layout::std_shapes::shapes::{Arrow, Element, ShapeKind};
use layout::topo::layout::VisualGraph;
use std::collections::BTreeMap;
use std::fmt::Write;
use wardian_observe::{escape_html, shorten};

/// Columns of a name that are shown; the whole of it is shown where the pointer rests.
const COLUMNS: usize = 44;
const FONT: usize = 12;
/// What a column of the font takes, and what is around a name.
const COLUMN: f64 = 7.3;
const HEIGHT: f64 = 24.;
const PADDING: f64 = 16.;
/// Room for a box and for the bend of an arrow, up and down.
const BOX_ROOM: f64 = HEIGHT + 14.;
const BEND_ROOM: f64 = 12.;
/// Room for the line on top.
const TOP: f64 = 56.;

const STYLE: &str = "<style>text{font:12px monospace;fill:#222}rect{fill:#eef3fb;stroke:#57749e}\
    .table{fill:#fff3d6;stroke:#b58a2a;stroke-dasharray:4 2}path{fill:none;stroke:#8893a3}\
    path:hover{stroke:#c2410c}</style>\
    <marker id=\"head\" viewBox=\"0 0 10 10\" refX=\"10\" refY=\"5\" markerWidth=\"8\" markerHeight=\"8\" \
    markerUnits=\"userSpaceOnUse\" orient=\"auto-start-reverse\">\
    <path d=\"M0 1L10 5L0 9z\" style=\"fill:#8893a3\"/></marker>\n";

pub(super) fn render(graph: &Graph<'_>) -> String {
    let mut picture = VisualGraph::new(Orientation::LeftToRight);
    let mut drawing = Drawing::default();
    let mut handles = BTreeMap::new();
    for node in &graph.nodes {
        let drawn = Box::of(graph, *node);
        let handle = picture.add_node(drawn.element(drawing.boxes.len()));
        handles.insert(*node, (handle, drawing.boxes.len()));
        drawing.boxes.push(drawn);
    }
    let (calls, left_out) = drawn::arrows(graph);
    for ((from, to), count) in calls {
        let ((from, a), (to, b)) = (handles[&from], handles[&to]);
        let mut arrow = Arrow::simple("");
        arrow.properties = Some(drawing.calls.len().to_string());
        drawing.calls.push((a, b, count));
        picture.add_edge(arrow, from, to);
    }
    if !graph.nodes.is_empty() {
        picture.do_it(false, false, false, &mut drawing);
    }
    let shown = graph.left_out.as_deref().unwrap_or("all functions that call or are called");
    let arrows = match left_out {
        0 => String::new(),
        count => format!("; {count} arrows of fewer calls are not shown"),
    };
    drawing.finish(&format!("{shown}{arrows}"))
}

/// A node as it is drawn.
struct Box {
    label: String,
    text: String,
    is_indirect: bool,
    /// Its corner and its size.
    place: (Point, Point),
}

impl Box {
    fn of(graph: &Graph<'_>, node: Node) -> Box {
        let label = graph.label(node);
        let own = if graph.calls.contains_key(&(node, node)) { " \u{21bb}" } else { "" };
        let text = shorten(&label, COLUMNS) + own;
        let is_indirect = node.is_indirect();
        Box { label, text, is_indirect, place: (Point::zero(), Point::zero()) }
    }

    fn element(&self, index: usize) -> Element {
        let width = self.text.chars().count() as f64 * COLUMN + PADDING;
        let style = StyleAttr::new(Color::fast("black"), 1, None, 0, FONT);
        let (shape, size) = (ShapeKind::new_box(&self.text), Point::new(width, HEIGHT));
        let index = index.to_string();
        Element::create_with_properties(shape, style, Orientation::LeftToRight, size, index)
    }
}

/// What is drawn: `layout` knows boxes and calls by their positions here.
#[derive(Default)]
struct Drawing {
    boxes: Vec<Box>,
    /// Caller, callee, and how often.
    calls: Vec<(usize, usize, usize)>,
    arrows: Vec<Bent>,
}

/// An arrow.
struct Bent {
    call: usize,
    /// It leads to the left.
    turned: bool,
    /// Where it bends between its ends, from left to right.
    bends: Vec<Point>,
}

impl Drawing {
    fn finish(mut self, caption: &str) -> String {
        let height = self.compact() + TOP + 20.;
        let right = self.boxes.iter().map(|drawn| drawn.place.0.x + drawn.place.1.x);
        let width = right.fold(640., f64::max) + 20.;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\">\n{STYLE}\
             <rect width=\"100%\" height=\"100%\" style=\"fill:#fff;stroke:none\"/>\n"
        );
        let caption = escape_html(caption);
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "<text x=\"10\" y=\"18\">Who calls whom: {caption}</text>\n<text x=\"10\" y=\"34\">wide arrows: \
             many calls; dashed boxes: calls through tables and references; \u{21bb}: calls itself</text>"
        );
        // Boxes above arrows.
        let boxes: String = self.boxes.iter().map(Box::draw).collect();
        let arrows: String = self.arrows.iter().map(|arrow| self.draw(arrow)).collect();
        let _ = writeln!(out, "<g transform=\"translate(0 {TOP})\">\n{arrows}{boxes}</g>");
        out + "</svg>\n"
    }

    /// Moves all up and down, for `layout` leaves much room between. Returns the height.
    fn compact(&mut self) -> f64 {
        let of_box = |(at, size): (Point, Point)| Item {
            column: (at.x + size.x / 2.).round() as i64,
            y: at.y + size.y / 2.,
            room: BOX_ROOM,
        };
        let of_bend = |at: &Point| Item { column: at.x.round() as i64, y: at.y, room: BEND_ROOM };
        let bends = self.arrows.iter().flat_map(|arrow| &arrow.bends).map(of_bend);
        let mut items: Vec<Item> =
            self.boxes.iter().map(|drawn| of_box(drawn.place)).chain(bends).collect();
        let height = compact(&mut items);
        let mut moved = items.iter().map(|item| item.y);
        for (drawn, y) in self.boxes.iter_mut().zip(&mut moved) {
            drawn.place.0.y = y - drawn.place.1.y / 2.;
        }
        let bends = self.arrows.iter_mut().flat_map(|arrow| &mut arrow.bends);
        bends.zip(moved).for_each(|(bend, y)| bend.y = y);
        height
    }

    fn draw(&self, arrow: &Bent) -> String {
        let (from, to, count) = self.calls[arrow.call];
        let (from, to) = (&self.boxes[from], &self.boxes[to]);
        // What calls to the left begins at its callee: arrows go through ranks of nodes from left to right.
        let (left, right) = if arrow.turned { (to, from) } else { (from, to) };
        let mut points = vec![left.sides().1];
        points.extend(&arrow.bends);
        points.push(right.sides().0);
        let marker = if arrow.turned { "marker-start" } else { "marker-end" };
        let width = 1. + (count as f64).ln() / 2.;
        let (d, s) = (curve(&points), if count == 1 { "" } else { "s" });
        let (a, b) = (escape_html(&from.label), escape_html(&to.label));
        format!(
            "<path d=\"{d}\" stroke-width=\"{width:.1}\" {marker}=\"url(#head)\"><title>{a} \u{2192} {b}: \
             {count} call{s}</title></path>\n"
        )
    }
}

impl Box {
    fn draw(&self) -> String {
        let ((at, size), class) =
            (self.place, if self.is_indirect { " class=\"table\"" } else { "" });
        let (x, y) = (at.x + size.x / 2., at.y + size.y / 2.);
        let (label, text) = (escape_html(&self.label), escape_html(&self.text));
        format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"4\"{class}>\
             <title>{label}</title></rect>\n<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" \
             dominant-baseline=\"central\" pointer-events=\"none\">{text}</text>\n",
            at.x, at.y, size.x, size.y
        )
    }

    /// The middle of its left and of its right side.
    fn sides(&self) -> (Point, Point) {
        let (at, size) = self.place;
        let y = at.y + size.y / 2.;
        (Point::new(at.x, y), Point::new(at.x + size.x, y))
    }
}

/// A curve through these points that is level at each.
fn curve(points: &[Point]) -> String {
    let mut d = String::new();
    for (i, to) in points.iter().enumerate() {
        let _ = match i.checked_sub(1).map(|i| points[i]) {
            None => write!(d, "M{:.1} {:.1}", to.x, to.y),
            Some(from) => {
                let bend = (to.x - from.x).abs().max(30.) / 2.;
                let (x, y) = (from.x + bend, from.y);
                write!(d, "C{x:.1} {y:.1},{:.1} {:.1},{:.1} {:.1}", to.x - bend, to.y, to.x, to.y)
            }
        };
    }
    d
}

impl RenderBackend for Drawing {
    fn draw_rect(
        &mut self,
        at: Point,
        size: Point,
        _: &StyleAttr,
        index: Option<String>,
        _: Option<ClipHandle>,
    ) {
        let index = index.and_then(|index| index.parse::<usize>().ok());
        if let Some(drawn) = index.and_then(|index| self.boxes.get_mut(index)) {
            drawn.place = (at, size);
        }
    }

    fn draw_arrow(
        &mut self,
        path: &[(Point, Point)],
        _: bool,
        head: (bool, bool),
        _: &StyleAttr,
        index: Option<String>,
        _: &str,
    ) {
        let call = index.and_then(|index| index.parse::<usize>().ok());
        let Some(call) = call.filter(|call| *call < self.calls.len()) else { return };
        let bends = path.iter().skip(1).rev().skip(1).rev().map(|(_, at)| *at).collect();
        self.arrows.push(Bent { call, turned: head.0, bends });
    }

    // Text is drawn with its box; no element here asks for anything else.

    fn draw_text(&mut self, _: Point, _: &str, _: &StyleAttr) {}

    fn draw_line(&mut self, _: Point, _: Point, _: &StyleAttr, _: Option<String>) {}

    fn draw_circle(&mut self, _: Point, _: Point, _: &StyleAttr, _: Option<String>) {}

    fn create_clip(&mut self, _: Point, _: Point, _: usize) -> ClipHandle {
        0
    }
}
