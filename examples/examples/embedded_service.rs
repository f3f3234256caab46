//! A service that embeds hub and engine in its own process.
//!
//! It factors numbers: a line over TCP holds a number, the answer its prime factors. Each request is a
//! task, so engines of other processes and machines could join with the engine's connection file when
//! one process is no longer enough; the service would not change.
//!
//! ```text
//! cargo run -p phalanx-examples --example embedded_service
//! ```

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};
use phalanx::client::Epoch;
use phalanx::identity::ClusterAuthority;
use phalanx::protocol::role::Role;
use phalanx::{
    Client, ConnectionFile, Engine, EngineHandle, Hub, HubHandle, HubOptions, LoadBalancedView,
    Method,
};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The prime factors of a number, smallest first.
const FACTOR: Method<u64, Vec<u64>> = Method::new("service.factor");

/// Longest line of a request: the largest number has 20 digits.
const REQUEST_LEN_MAX: u64 = 32;

const CALLERS: u64 = 4;
const NUMBERS_PER_CALLER: u64 = 50;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let cluster = Embedded::start().await?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let service = tokio::spawn(serve(listener, cluster.client.load_balanced_view()));

    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(call(address, 1 + caller * NUMBERS_PER_CALLER));
    }
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    service.abort();

    let factored = cluster.factored.load(Ordering::Relaxed);
    cluster.stop().await?;
    println!("{factored} numbers factored for {CALLERS} callers");
    ensure!(factored == CALLERS * NUMBERS_PER_CALLER, "every number is factored once");
    Ok(())
}

/// A cluster inside this process.
struct Embedded {
    hub: HubHandle,
    engine: EngineHandle,
    client: Client,
    /// What the engine's handler keeps between tasks.
    factored: Arc<AtomicU64>,
}

impl Embedded {
    async fn start() -> Result<Self> {
        // Nothing of this is ever written to disk but the engine's own connection file.
        let authority = ClusterAuthority::create()?;
        let hub = Hub::start(HubOptions::new(authority.issue(Role::Hub)?, Epoch(1)))?;
        let connection = |role| -> Result<ConnectionFile> {
            let addresses = hub.addresses().to_vec();
            Ok(ConnectionFile::new("embedded", addresses, authority.issue(role)?))
        };

        let factored = Arc::new(AtomicU64::new(0));
        let dir = tempfile::tempdir()?;
        // In a directory of its own, which `save` makes for its user alone.
        let engine_file = dir.path().join("keys").join("engine.json");
        connection(Role::Engine)?.save(&engine_file)?;
        let count = Arc::clone(&factored);
        let engine = Engine::builder()
            .slots(2)
            .on_blocking(FACTOR, move |number| {
                count.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(factor(number))
            })
            .spawn(&engine_file)?;

        let client = Client::connect(&connection(Role::Client)?).await?;
        Ok(Self { hub, engine, client, factored })
    }

    /// Ends all of it; an error of hub or engine comes out here, and never ends the process.
    async fn stop(self) -> Result<()> {
        self.client.close().await;
        self.engine.stop("the service ends");
        self.hub.stop("the service ends");
        tokio::task::spawn_blocking(|| {
            self.engine.join()?;
            self.hub.join()?;
            Ok(())
        })
        .await?
    }
}

fn factor(mut number: u64) -> Vec<u64> {
    let mut factors = Vec::new();
    let mut divisor = 2;
    while divisor * divisor <= number {
        while number.is_multiple_of(divisor) {
            factors.push(divisor);
            number /= divisor;
        }
        divisor += 1;
    }
    if number > 1 {
        factors.push(number);
    }
    factors
}

/// The service itself: one small task for each caller, which waits for tasks of the cluster.
async fn serve(listener: TcpListener, view: LoadBalancedView) -> io::Result<()> {
    let mut callers = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        callers.spawn(answer(stream, view.clone()));
        // Forget those that have ended.
        while callers.try_join_next().is_some() {}
    }
}

async fn answer(stream: TcpStream, view: LoadBalancedView) -> Result<()> {
    let (requests, mut answers) = stream.into_split();
    let mut requests = BufReader::new(requests);
    loop {
        let mut line = String::new();
        if (&mut requests).take(REQUEST_LEN_MAX).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match line.trim().parse::<u64>() {
            Ok(number) => match view.call(FACTOR, &number)?.await {
                Ok(factors) => factors.iter().map(u64::to_string).collect::<Vec<_>>().join(" "),
                Err(error) => format!("error: {error}"),
            },
            Err(error) => format!("error: {error}"),
        };
        answers.write_all(format!("{answer}\n").as_bytes()).await?;
    }
}

/// A caller, which checks every answer.
async fn call(address: SocketAddr, first: u64) -> Result<()> {
    let (answers, mut requests) = TcpStream::connect(address).await?.into_split();
    let mut answers = BufReader::new(answers).lines();
    for number in first..first + NUMBERS_PER_CALLER {
        requests.write_all(format!("{number}\n").as_bytes()).await?;
        let answer = answers.next_line().await?.context("the service hung up")?;
        let factors = answer.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>();
        let factors = factors.with_context(|| format!("{number}: {answer}"))?;
        ensure!(factors.iter().product::<u64>() == number, "{number} is not {answer}");
        ensure!(factors.iter().all(|&prime| factor(prime) == [prime]), "no primes: {answer}");
    }
    requests.write_all(b"twelve\n").await?;
    let answer = answers.next_line().await?.context("the service hung up")?;
    ensure!(answer.starts_with("error: "), "twelve is no number: {answer}");
    Ok(())
}
