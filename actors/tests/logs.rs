//! One id through all logs: whatever is logged about a task, by hub, engine or the user's code,
//! carries the task's id in the same field. A test binary of its own, as a process has one log.

mod support;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use phalanx_actors::rt;
use support::{Cluster, handlers};

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The one line that says this.
    fn line(&self, said: &str) -> String {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let mut lines = log.lines().filter(|line| line.contains(said)).map(str::to_owned);
        let line = lines.next().unwrap_or_else(|| panic!("no {said:?} in:\n{log}"));
        assert_eq!(lines.next(), None, "{said:?} is said twice");
        line
    }
}

#[test]
fn every_line_about_a_task_carries_its_id() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    rt::block_on(async {
        let cluster = Cluster::start();
        let engine = handlers()
            .handler("at once", |(): ()| async {
                tracing::info!("the handler that is over at once");
                Ok::<_, String>(())
            })
            .handler("later", |(): ()| async {
                tokio::task::yield_now().await;
                tracing::info!("the handler that waits");
                Ok::<_, String>(())
            })
            .blocking("on a thread", |(): ()| {
                tracing::info!("the handler on a thread");
                Ok::<_, String>(())
            });
        let _engine = cluster.engine(engine);
        let mut client = cluster.client().await;
        for (method, said) in [
            ("at once", "the handler that is over at once"),
            ("later", "the handler that waits"),
            ("on a thread", "the handler on a thread"),
        ] {
            let task = client.submit(method, &());
            client.result::<()>(task).await;
            let line = log.line(said);
            assert!(line.contains(&format!("task{{task={task} attempt=1}}")), "{line}");
        }
        let last = client.submit("double", &1_u64);
        client.result::<u64>(last).await;
        for said in ["submitted", "assigned", "started", "ended", "delivered"] {
            let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
            let mut lines = log.lines().filter(|line| line.contains(said));
            let about = format!("task{{task={last}");
            assert!(lines.any(|line| line.contains(&about)), "{said}:\n{log}");
        }
    });
}
