//! The figures of a measurement, as a table for people and as JSON.

use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::load::Style;
use super::method::Subject;
use super::processes::CpuPerTask;

/// All that was measured, and under which circumstances.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The release measured.
    pub release: &'static str,
    /// `release`, or `debug`, whose figures mean nothing.
    pub profile: &'static str,
    /// How many processors this program might have used.
    pub cpus: usize,
    /// The one on which everything ran; `None` = wherever the system put it.
    pub pinned_to_cpu: Option<usize>,
    /// Length of the arguments of each task, in bytes.
    pub args_bytes: usize,
    /// How the client kept tasks in flight.
    pub client: Style,
    /// Many tasks at once.
    pub throughput: Vec<Throughput>,
    /// One task at a time.
    pub latency: Vec<Latency>,
}

/// Many tasks at once: the median of some runs.
#[derive(Debug, Clone, Serialize)]
pub struct Throughput {
    /// What was measured.
    pub executor: Subject,
    /// How many engines there were.
    pub engines: u32,
    /// How many tasks a run had.
    pub tasks: u64,
    /// How many of them were in flight.
    pub in_flight: usize,
    /// How many runs there were.
    pub runs: usize,
    /// Tasks a second in the median run.
    pub tasks_per_s: f64,
    /// In the slowest run.
    pub tasks_per_s_min: f64,
    /// In the fastest run.
    pub tasks_per_s_max: f64,
    /// What a task of the median run cost.
    pub cpu_per_task: CpuPerTask,
}

/// One task at a time.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    /// What was measured.
    pub executor: Subject,
    /// How many engines there were.
    pub engines: u32,
    /// How many tasks were measured.
    pub tasks: u64,
    /// Half of them took less.
    pub p50_us: f64,
    /// One in a hundred took longer.
    pub p99_us: f64,
    /// Half of as many bare round trips between client and hub, in the same run, took less: two of
    /// the four hops of a task, and what the machine was worth at that time. A relay has none.
    pub ping_p50_us: Option<f64>,
    /// What a task cost.
    pub cpu_per_task: CpuPerTask,
}

impl Report {
    /// For people.
    pub fn table(&self) -> String {
        let placement = match self.pinned_to_cpu {
            Some(cpu) => format!("everything on processor {cpu}"),
            None => format!("{} processors, free", self.cpus),
        };
        let mut text = format!(
            "Phalanx {} ({} build), {placement}, {} bytes of arguments\n",
            self.release, self.profile, self.args_bytes
        );
        if !self.throughput.is_empty() {
            text += "\nMany at once (cpu columns: microseconds per task)\n";
            text += &self.throughput_table();
        }
        if !self.latency.is_empty() {
            text += "\nOne at a time (cpu columns: microseconds per task)\n";
            text += &self.latency_table();
        }
        let ratios = self.ratios();
        if !ratios.is_empty() {
            text += &format!("\nOf the bare path, in this run\n{}\n", ratios.join("\n"));
        }
        text
    }

    /// What clusters reached of the bare path with as many engines.
    fn ratios(&self) -> Vec<String> {
        let many = self.throughput.iter().map(|row| (row.executor, row.engines, row.tasks_per_s));
        let single = self.latency.iter().map(|row| (row.executor, row.engines, row.p50_us));
        let many = of_bare(many.collect())
            .map(|(of, ratio)| format!("{of}: {:.0} % of its tasks a second", 100.0 * ratio));
        let single =
            of_bare(single.collect()).map(|(of, ratio)| format!("{of}: {ratio:.2} times its P50"));
        many.chain(single).collect()
    }

    fn throughput_table(&self) -> String {
        let headings = ["EXECUTOR", "ENGINES", "TASKS", "IN FLIGHT", "TASKS/S", "MIN", "MAX"];
        let rows = self.throughput.iter().map(|row| {
            let figures = [row.tasks_per_s, row.tasks_per_s_min, row.tasks_per_s_max];
            let mut cells = vec![
                row.executor.as_str().to_owned(),
                row.engines.to_string(),
                row.tasks.to_string(),
                row.in_flight.to_string(),
            ];
            cells.extend(figures.map(|figure| format!("{figure:.0}")));
            (cells, row.cpu_per_task)
        });
        columns(&headings, rows)
    }

    fn latency_table(&self) -> String {
        let headings = ["EXECUTOR", "ENGINES", "TASKS", "P50 US", "P99 US", "PING P50"];
        let rows = self.latency.iter().map(|row| {
            let mut cells = vec![
                row.executor.as_str().to_owned(),
                row.engines.to_string(),
                row.tasks.to_string(),
            ];
            cells.extend([row.p50_us, row.p99_us].map(|figure| format!("{figure:.1}")));
            cells.push(row.ping_p50_us.map_or("-".into(), |figure| format!("{figure:.1}")));
            (cells, row.cpu_per_task)
        });
        columns(&headings, rows)
    }
}

/// The figures of clusters over those of the bare path with as many engines, and whose they are.
fn of_bare(rows: Vec<(Subject, u32, f64)>) -> impl Iterator<Item = (String, f64)> {
    let is_bare = |(subject, ..): &(Subject, u32, f64)| *subject == Subject::Bare;
    let (bare, clusters): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_bare);
    clusters.into_iter().filter_map(move |(subject, engines, figure)| {
        let (.., bare) = bare.iter().find(|(_, of, _)| *of == engines)?;
        Some((format!("{}, engines: {engines}", subject.as_str()), figure / bare))
    })
}

/// Plain columns, figures to the right, those of the processors last.
fn columns(headings: &[&str], rows: impl Iterator<Item = (Vec<String>, CpuPerTask)>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(headings.iter().chain(&["HUB", "ENGINES", "CLIENT", "TOTAL"]).copied());
    for (mut cells, cpu) in rows {
        let figures = [cpu.hub_us, cpu.engines_us, cpu.client_us, cpu.total_us];
        cells.extend(figures.map(|figure| format!("{figure:.2}")));
        table.add_row(cells);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
        if column.index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_held_against_the_bare_path_with_as_many_engines() {
        let rows = vec![
            (Subject::Bare, 1, 100.0),
            (Subject::Bare, 2, 200.0),
            (Subject::Null, 2, 50.0),
            (Subject::Native, 3, 1.0),
        ];
        let ratios: Vec<_> = of_bare(rows).collect();
        assert_eq!(ratios, [("null, engines: 2".to_owned(), 0.25)]);
    }
}
