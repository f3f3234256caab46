//! The client's part: calls on the load-balanced view, as any program makes them.
//!
//! Every result is awaited, decoded and compared; a wrong one fails the measurement.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use phalanx::{AsyncResult, Client, LoadBalancedView};
use serde::Serialize;
use serde_bytes::ByteBuf;
use tokio::task::JoinSet;

use super::bare::BareClient;
use super::method::{ECHO, arguments};

/// How the client keeps tasks in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// As many asynchronous callers as tasks may be in flight, each with one call at a time: there
    /// are always so many.
    Callers,
    /// One caller with a queue of results, awaited in order: at most so many.
    Queue,
}

/// Who makes the calls.
#[derive(Debug)]
pub enum Caller {
    /// A program, on the load-balanced view of its client.
    View(LoadBalancedView, Style),
    /// The client of a bare path.
    Bare(BareClient),
}

impl Caller {
    /// Makes `tasks` calls with `in_flight` at a time. How long it took.
    pub async fn many(&mut self, tasks: u64, in_flight: usize) -> Result<Duration> {
        let start = Instant::now();
        match self {
            Self::View(view, Style::Callers) => callers(view, tasks, in_flight).await?,
            Self::View(view, Style::Queue) => queue(view, tasks, in_flight).await?,
            Self::Bare(client) => client.many(tasks, in_flight as u64).await?,
        }
        Ok(start.elapsed())
    }

    /// Makes `tasks` calls, each when the one before is answered. How long each took, shortest first.
    pub async fn one_at_a_time(&mut self, tasks: u64) -> Result<Vec<Duration>> {
        let args = arguments();
        let mut took = Vec::with_capacity(usize::try_from(tasks)?);
        for _ in 0..tasks {
            let start = Instant::now();
            match self {
                Self::Bare(client) => client.many(1, 1).await?,
                Self::View(view, _) => check(&view.call(ECHO, &args)?.await?, &args)?,
            }
            took.push(start.elapsed());
        }
        took.sort_unstable();
        Ok(took)
    }
}

async fn callers(view: &LoadBalancedView, tasks: u64, in_flight: usize) -> Result<()> {
    let started = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        let (view, started) = (view.clone(), Arc::clone(&started));
        callers.spawn(async move {
            let args = arguments();
            while started.fetch_add(1, Ordering::Relaxed) < tasks {
                check(&view.call(ECHO, &args)?.await?, &args)?;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    Ok(())
}

async fn queue(view: &LoadBalancedView, tasks: u64, in_flight: usize) -> Result<()> {
    let args = arguments();
    let mut open: VecDeque<AsyncResult<ByteBuf>> = VecDeque::with_capacity(in_flight);
    let mut unsubmitted = tasks;
    loop {
        while unsubmitted > 0 && open.len() < in_flight {
            open.push_back(view.call(ECHO, &args)?);
            unsubmitted -= 1;
        }
        let Some(oldest) = open.pop_front() else { return Ok(()) };
        check(&oldest.await?, &args)?;
        // Whatever else has come meanwhile.
        while let Some(result) = open.front().and_then(AsyncResult::try_get) {
            check(&result?, &args)?;
            open.pop_front();
        }
    }
}

/// Asks the hub for `count` signs of life, one after the other. How long each took, shortest first.
pub async fn pings(client: &Client, count: u64) -> Result<Vec<Duration>> {
    let mut took = Vec::with_capacity(usize::try_from(count)?);
    for _ in 0..count {
        let start = Instant::now();
        client.ping().await?;
        took.push(start.elapsed());
    }
    took.sort_unstable();
    Ok(took)
}

fn check(result: &ByteBuf, args: &ByteBuf) -> Result<()> {
    ensure!(result == args, "the engine gave back {} other bytes", result.len());
    Ok(())
}

/// The value below which this share of the sorted values lies; zero if there are none.
pub fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let index = (last as f64 * share.clamp(0.0, 1.0)).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_of_the_list() {
        let sorted: Vec<_> = (0..=100).map(Duration::from_micros).collect();
        let us = |share| quantile(&sorted, share).as_micros();
        assert_eq!((us(0.0), us(0.5), us(0.99), us(1.0)), (0, 50, 99, 100));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }
}
