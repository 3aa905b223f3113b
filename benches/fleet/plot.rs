//! The plot of cost against size.

use std::path::Path;

use plotters::prelude::*;

use crate::tasks::{Column, Measured};

/// Draws the time of each task, with logarithmic axes: what grows with the size is a diagonal.
pub(crate) fn draw(path: &Path, sizes: &[usize], columns: &[Column]) {
    let line = |row: usize| -> Vec<(f64, f64)> {
        let points = sizes.iter().zip(columns);
        let points = points.filter_map(|(&size, column)| Some((size as f64, milliseconds(&column.get(row)?.1)?)));
        points.collect()
    };
    let tasks = columns[0].iter().enumerate();
    let lines: Vec<(&str, Vec<(f64, f64)>)> = tasks.map(|(row, (task, _))| (*task, line(row))).collect();
    let times = || lines.iter().flat_map(|(_, line)| line.iter().map(|(_, time)| *time));
    let (low, high) = times().fold((f64::MAX, f64::MIN), |(low, high), time| {
        (low.min(time), high.max(time))
    });
    let (first, last) = (sizes[0] as f64, sizes[sizes.len() - 1] as f64);
    let root = SVGBackend::new(path, (900, 560)).into_drawing_area();
    root.fill(&WHITE).expect("a canvas");
    let (plot, legend) = root.split_horizontally(560);
    let mut chart = ChartBuilder::on(&plot)
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((first..last).log_scale(), (low * 0.7..high * 1.4).log_scale())
        .expect("axes");
    let mut mesh = chart.configure_mesh();
    let number = |value: &f64| format!("{value:.0}");
    mesh.x_desc("dataplanes").y_desc("milliseconds");
    mesh.x_label_formatter(&number).y_label_formatter(&number);
    mesh.draw().expect("axes");
    let lines = lines.iter().filter(|(_, line)| !line.is_empty());
    for (row, (task, line)) in (0_i32..).zip(lines) {
        let color = Palette99::pick(usize::try_from(row).unwrap_or_default()).to_rgba();
        chart
            .draw_series(LineSeries::new(line.iter().copied(), color.stroke_width(2)))
            .expect("a line");
        chart
            .draw_series(line.iter().map(|point| Circle::new(*point, 3, color.filled())))
            .expect("points");
        let y = 30 + 26 * row;
        let sample = PathElement::new(vec![(0, y), (24, y)], color.stroke_width(3));
        legend.draw(&sample).expect("a legend");
        let name = Text::new(*task, (32, y - 7), ("sans-serif", 14));
        legend.draw(&name).expect("a legend");
    }
    root.present().expect("a file");
}

fn milliseconds(measured: &Measured) -> Option<f64> {
    match measured {
        Measured::Time { took, .. } => Some(took.as_secs_f64() * 1e3),
        Measured::Memory(_) | Measured::Nothing => None,
    }
}
