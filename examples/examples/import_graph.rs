//! A Rust engine for a cluster of Python ones: figures of a graph of imports, by a typed call.
//!
//! `make demo` starts it; it joins the cluster whose connection file `PHALANX_CONNECTION` names, and
//! ends with it. From Python: `view.call("imports.graph", {"files": [...], "into": "graph.json"})`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use phalanx::{Engine, Method, run_engine};
use serde::{Deserialize, Serialize};

/// Which files tell of imports, and where the figures go.
#[derive(Debug, Serialize, Deserialize)]
struct Imports {
    /// Each a JSON object of modules with the names that they import.
    files: Vec<PathBuf>,
    /// The figures are left here too, for the tasks that come after.
    into: PathBuf,
}

/// Figures of an import graph.
#[derive(Debug, Serialize, Deserialize)]
struct Figures {
    modules: usize,
    imports: usize,
    /// Groups of modules that import each other.
    cycles: usize,
    largest_cycle: Vec<String>,
    /// The most groups that can be passed one after the other along imports.
    longest_chain: usize,
    most_imported: Vec<(String, usize)>,
}

const GRAPH: Method<Imports, Figures> = Method::new("imports.graph");

/// How many of the most imported modules are named.
const MOST: usize = 10;

fn main() -> Result<()> {
    run_engine(Engine::builder().on_blocking(GRAPH, |task| graph(&task)))?;
    Ok(())
}

fn graph(task: &Imports) -> Result<Figures> {
    let mut imports = BTreeMap::new();
    for file in &task.files {
        let opened = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
        let of_package: BTreeMap<String, BTreeSet<String>> =
            serde_json::from_reader(BufReader::new(opened))
                .with_context(|| format!("cannot read {}", file.display()))?;
        imports.extend(of_package);
    }
    let figures = figures(&imports);
    let into = File::create(&task.into)
        .with_context(|| format!("cannot write {}", task.into.display()))?;
    serde_json::to_writer(into, &figures)?;
    Ok(figures)
}

fn figures(imports: &BTreeMap<String, BTreeSet<String>>) -> Figures {
    let mut graph = DiGraph::<&str, ()>::new();
    let nodes: BTreeMap<&str, NodeIndex> =
        imports.keys().map(|module| (module.as_str(), graph.add_node(module.as_str()))).collect();
    for (module, names) in imports {
        for name in names.iter().filter(|name| *name != module) {
            if let Some(imported) = nodes.get(name.as_str()) {
                graph.add_edge(nodes[module.as_str()], *imported, ());
            }
        }
    }
    // Each component comes after all that it reaches.
    let components = tarjan_scc(&graph);
    let mut cycles: Vec<Vec<String>> = components
        .iter()
        .filter(|component| component.len() > 1)
        .map(|component| component.iter().map(|node| graph[*node].to_owned()).collect())
        .collect();
    cycles.iter_mut().for_each(|cycle| cycle.sort_unstable());
    cycles.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    Figures {
        modules: graph.node_count(),
        imports: graph.edge_count(),
        cycles: cycles.len(),
        largest_cycle: cycles.into_iter().next().unwrap_or_default(),
        longest_chain: longest_chain(&graph, &components),
        most_imported: most_imported(&graph),
    }
}

fn longest_chain(graph: &DiGraph<&str, ()>, components: &[Vec<NodeIndex>]) -> usize {
    let mut of = vec![0; graph.node_count()];
    for (index, component) in components.iter().enumerate() {
        for node in component {
            of[node.index()] = index;
        }
    }
    let mut lengths: Vec<usize> = Vec::with_capacity(components.len());
    for (index, component) in components.iter().enumerate() {
        let below = component.iter().flat_map(|node| graph.neighbors(*node));
        let below = below.map(|node| of[node.index()]).filter(|other| *other != index);
        lengths.push(1 + below.map(|other| lengths[other]).max().unwrap_or(0));
    }
    lengths.into_iter().max().unwrap_or(0)
}

fn most_imported(graph: &DiGraph<&str, ()>) -> Vec<(String, usize)> {
    let mut counts = vec![0; graph.node_count()];
    for edge in graph.raw_edges() {
        counts[edge.target().index()] += 1;
    }
    let mut imported: Vec<(String, usize)> = graph
        .node_indices()
        .filter(|node| counts[node.index()] > 0)
        .map(|node| (graph[node].to_owned(), counts[node.index()]))
        .collect();
    imported.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    imported.truncate(MOST);
    imported
}
