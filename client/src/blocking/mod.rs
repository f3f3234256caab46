//! The same client for programs without an async runtime: every wait blocks the calling thread.
//!
//! Callers submit from their own threads, and one that waits runs the client's sessions meanwhile.
//! Each [`Client`] has one thread of its own that does it when no caller waits. Not for use inside
//! an async runtime: waits there would block it.
//!
//! ```no_run
//! use phalanx_client::ConnectionFile;
//! use phalanx_client::blocking::Client;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let connection = ConnectionFile::load("client.json".as_ref())?;
//!     let client = Client::connect(&connection)?;
//!     let greeting = client.load_balanced_view().call::<_, _, String>("hello.greet", "ada")?;
//!     println!("{}", greeting.get()?);
//!     Ok(())
//! }
//! ```

mod client;
mod park;
mod result;
mod views;

pub use self::client::{Client, ClientBuilder};
pub use self::park::Waiter;
pub use self::result::{AsyncMapResult, AsyncResult, OutputReader};
pub use self::views::{DirectView, EngineView, LoadBalancedView};
