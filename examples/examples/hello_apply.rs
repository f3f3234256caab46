//! The smallest program: one typed method, engines that offer it, a client that calls it.
//!
//! ```text
//! cargo run -p phalanx-examples --example hello_apply
//! ```
//!
//! starts a cluster of this machine whose engines are this very program, and stops it. With the path of
//! a client's connection file it calls a cluster that runs already:
//!
//! ```text
//! phalanx start -n 2 --program target/debug/examples/hello_apply -- engine
//! target/debug/examples/hello_apply ~/.local/state/phalanx/clusters/default/client.json
//! phalanx stop
//! ```

use std::convert::Infallible;
use std::path::Path;

use anyhow::{Result, ensure};
use phalanx::{Client, ConnectionFile, Engine, LocalCluster, Method, run_engine};

/// Engines register it, clients call it: neither can get name or types wrong.
const GREET: Method<String, String> = Method::new("hello.greet");

const ENGINES: u32 = 2;

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("engine") => engine(),
        Some(connection_file) => client(Path::new(connection_file)),
        None => {
            let cluster =
                LocalCluster::builder().engines(ENGINES).this_program(["engine"])?.start()?;
            client(&cluster.connection_file())?;
            cluster.stop()?;
            Ok(())
        }
    }
}

fn engine() -> Result<()> {
    let greet = async |name: String| {
        Ok::<_, Infallible>(format!("Hello {name}, says process {}", std::process::id()))
    };
    run_engine(Engine::builder().on(GREET, greet))?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn client(connection_file: &Path) -> Result<()> {
    let client = Client::connect(&ConnectionFile::load(connection_file)?).await?;

    // One engine, whichever has room.
    let greeting = client.load_balanced_view().call(GREET, &"Ada".to_owned())?.await?;
    println!("{greeting}");
    ensure!(greeting.starts_with("Hello Ada, says process "), "not a greeting: {greeting}");

    // Every engine, each by itself.
    let everybody = client.view_all();
    let mut greetings = everybody.call(GREET, &"Grace".to_owned())?.await?;
    for (engine, greeting) in everybody.engines().iter().zip(&greetings) {
        println!("{engine}: {greeting}");
    }
    ensure!(greetings.len() == everybody.engines().len(), "each engine greets once");
    greetings.sort();
    greetings.dedup();
    ensure!(greetings.len() == everybody.engines().len(), "each engine is a process of its own");

    client.close().await;
    Ok(())
}
